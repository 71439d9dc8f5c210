"""Agents solve real tasks at published settings; minutes each."""

import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite.presets import PRESETS

pytestmark = pytest.mark.slow


def train(preset, env_id, seeds, steps, **options):
    env = pjs.make(env_id, **options)
    return pjs.run(PRESETS[preset].agent(env), env, seeds=seeds, steps=steps)


def test_ppo_solves_cartpole_with_every_seed():
    returns = train("purejaxrl-cartpole", "CartPole-v1", 16, 5e5).evaluate().episode_return
    assert returns.mean("episode").min() >= 475


def test_pqn_solves_cartpole():
    returns = train("purejaxql-cartpole", "CartPole-v1", 4, 5e5).evaluate().episode_return
    assert returns.mean("episode").min() >= 475


def test_sac_swings_the_pendulum_up_with_every_seed():
    returns = train("sac-pendulum", "Pendulum-v1", 4, 1.5e4).evaluate().episode_return
    assert returns.mean("episode").min() >= -200


def test_ppo_solves_empty_8x8():
    result = train("minigrid", "Navix-Empty-8x8-v0", 8, 1e5)
    assert result.evaluate().success.mean("episode").median() >= 0.95


@pytest.mark.parametrize(
    ("preset", "steps", "score"), [("purejaxrl-minatar", 1e6, 8.0), ("purejaxql-minatar", 1e6, 5.0)]
)
def test_breakout_is_learnt(preset, steps, score):
    result = train(preset, "Breakout-MinAtar", 2, steps)
    assert result.curves.episode_return[:, -10:].mean() >= score
