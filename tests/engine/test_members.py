"""Final states of a run: kept in a folder, found again, and refused where they do not fit."""

import jax
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.engine import members
from purejaxrl_suite.envs import probes

CONFIG = PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)


@pytest.fixture(scope="module")
def result():
    env = probes.delayed_reward()
    agent = ppo(env, CONFIG, nets.actor_critic(env.observation, env.action, hidden=(8,)))
    return pjs.run(agent, env, seeds=[5, 7], steps=64)


def test_members_are_found_again(result, tmp_path):
    members.save(result, tmp_path / "members")
    found = members.load(result.layout, tmp_path / "members", result.curves)
    for seed in (5, 7):
        ours, theirs = result.policy(seed=seed), found.policy(seed=seed)
        jax.tree.map(np.testing.assert_array_equal, ours.state, theirs.state)
    with pytest.raises(ValueError, match="holds a sweep already"):
        members.save(result, tmp_path / "members")


def test_members_of_another_run_are_refused(result, tmp_path):
    members.save(result, tmp_path / "members")
    with pytest.raises(ValueError, match="another experiment: seeds"):
        members.load(result.layout._replace(seeds=(5, 8)), tmp_path / "members", result.curves)
    with pytest.raises(ValueError, match="holds no sweep"):
        members.load(result.layout, tmp_path / "nothing", result.curves)
