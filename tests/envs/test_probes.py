"""The probes pay what their docstrings say, for every action and observation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.envs import probes

KEYS = 16


def _first_step(env, action):
    """Observations and the step after them, of `KEYS` episodes."""

    def one(key):
        state, obs = env.init(key, env.params)
        return obs, env.step(key, env.params, state, jnp.asarray(action))[1]

    obs, now = jax.vmap(one)(jax.random.split(jax.random.key(0), KEYS))
    assert bool(jnp.all(now.terminated)) and not bool(jnp.any(now.truncated))
    return np.asarray(obs[:, 0]), np.asarray(now.reward)


@pytest.mark.parametrize("action", [0, 1])
def test_one_step_probes(action: int):
    sign = 2 * action - 1
    assert np.all(_first_step(probes.constant_reward(), action)[1] == 1)
    obs, reward = _first_step(probes.observation_reward(), action)
    assert set(obs) == {-1.0, 1.0}
    np.testing.assert_array_equal(reward, obs)
    assert np.all(_first_step(probes.action_reward(), action)[1] == sign)
    obs, reward = _first_step(probes.observation_action_reward(), action)
    np.testing.assert_array_equal(reward, obs * sign)


def test_delayed_reward_pays_at_the_second_step():
    env = probes.delayed_reward()
    key = jax.random.key(0)
    state, obs = env.init(key, ())
    assert obs == 0
    state, first = env.step(key, (), state, jnp.int32(0))
    assert (first.obs, first.reward, first.terminated) == (1, 0, False)
    _, second = env.step(key, (), state, jnp.int32(1))
    assert (second.reward, second.terminated) == (1, True)


def test_tracking_pays_the_squared_error_of_the_clipped_action():
    obs, reward = _first_step(probes.tracking(), [3.0])
    np.testing.assert_allclose(reward, -((1 - obs) ** 2), rtol=1e-6)
    assert np.all(np.abs(obs) <= 1) and np.std(obs) > 0.3


@pytest.mark.parametrize("right", [True, False])
def test_recall_asks_at_the_fifth_step(right: bool):
    env = probes.recall()
    for seed in range(4):
        state, obs = env.init(jax.random.key(seed), ())
        cue, seen, rewards, ends = float(obs[0]), [obs], [], []
        for _ in range(5):
            action = jnp.int32((cue > 0) == right)
            state, now = env.step(jax.random.key(9), (), state, action)
            seen.append(now.obs)
            rewards.append(float(now.reward))
            ends.append(bool(now.terminated))
        expected = [[cue, 0], [0, 0], [0, 0], [0, 0], [0, 1], [0, 0]]
        np.testing.assert_array_equal(np.stack(seen), expected)
        assert rewards == [0, 0, 0, 0, 1.0 if right else -1.0]
        assert ends == [False] * 4 + [True]
