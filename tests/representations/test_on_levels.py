"""Measuring agents on levels: training is the same, what is measured is known, mistakes."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.core.types import TimeStep
from purejaxrl_suite.envs.levels import levels
from purejaxrl_suite.representations import on_levels

ENV = levels(pjs.make("CartPole-v1", max_steps_in_episode=12), 3)
SIZES = {"envs": 8, "length": 16, "samples": 64, "episodes": 4}


def agent(env=ENV):
    config = pjs.PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=1)
    network = nets.actor_critic(env.observation, env.action, hidden=(8,))
    return pjs.ppo(env, config, network)


@functools.cache
def results():
    known = {"seeds": 2, "steps": 4 * 32}
    measured = pjs.run(agent(), ENV, source=partial(on_levels, every=2, **SIZES), **known)
    return measured, pjs.run(agent(), ENV, **known)


def test_training_is_the_same_and_rows_are_on_the_clock():
    measured, plain = results()
    jax.tree.map(
        np.testing.assert_array_equal, measured.state().agent.learner, plain.state().agent.learner
    )
    for name in set(plain.curves.data_vars) - {"steps_per_second"}:
        np.testing.assert_array_equal(measured.curves[name], plain.curves[name])
    own = set(measured.curves.data_vars) - set(plain.curves.data_vars)
    quantities = ("action", "value", "level", "next", "transition", "total")
    layers = ("", ".trunk.actor.dense_0", ".trunk.critic.dense_0")
    expected = {f"rollout_information_{q}{layer}" for q in quantities for layer in layers}
    assert own == expected | {"train_level_return", "held_out_return"}
    due = np.isfinite(measured.curves["rollout_information_level"].values.reshape(2, 4))
    np.testing.assert_array_equal(due, [[False, True, False, True]] * 2)
    returns = measured.curves["held_out_return"].values
    assert np.all((returns >= 1) | np.isnan(returns)) and np.nanmax(returns) <= 12


def dial(shown):
    """Shows two numbers, those of the start at all steps, or new ones at each; 16 steps long."""

    def init(key, params):
        numbers = jax.random.normal(key, (2,))
        return (jnp.int32(0), numbers), numbers

    def step(key, params, state, action):
        time, numbers = state[0] + 1, state[1]
        numbers = numbers if shown else jax.random.normal(key, (2,))
        ended = jnp.bool_(False), time >= 16
        now = TimeStep(numbers, jnp.float32(1.0), *ended, final_obs=numbers, info={})
        return (time, numbers), now

    return pjs.Environment("dial", pjs.Box((2,)), pjs.Discrete(2), 16, (), init, step)


@pytest.mark.slow
@pytest.mark.parametrize("shown", [True, False])
def test_levels_that_are_shown_are_in_the_representation(shown):
    env = levels(dial(shown), 4)
    sizes = SIZES | {"envs": 16, "length": 32, "samples": 512}
    source = partial(on_levels, every=1, **sizes)
    found = pjs.run(agent(env), env, source=source, seeds=1, steps=32).curves
    level = found["rollout_information_level"].item()
    if shown:
        assert level == pytest.approx(np.log(4), abs=0.15)
    else:
        assert level < 0.4


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: on_levels(agent(), pjs.make("CartPole-v1"), every=1), "env: expected one made by"),
        (lambda: on_levels(agent(), ENV, every=0), "every: expected an integer"),
        (lambda: on_levels(agent(), ENV, every=1, envs=2, length=3, samples=7), "in 1 .. 6"),
        (
            lambda: on_levels(
                pjs.ppo(ENV, pjs.PPOConfig(normalize_observations=True)), ENV, every=1
            ),
            "normalize_observations=False",
        ),
        (
            lambda: on_levels(
                pjs.ppo(ENV, None, nets.actor_critic(ENV.observation, ENV.action, memory_units=4)),
                ENV,
                every=1,
            ),
            "without a memory",
        ),
    ],
)
def test_mistakes_are_named(make, said):
    with pytest.raises(ValueError, match=said):
        make()
