"""The LSTM goes on where it stopped, in both directions of time; tables are looked up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import envs, nets
from purejaxrl_suite.nets import lstm

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(size=(6, 2, 3)), jnp.float32)
PARAMS = lstm.init(jax.random.key(1), 3, 4)


def test_two_halves_are_the_whole():
    empty = lstm.empty(PARAMS, 2)
    memory, hidden = lstm.unroll(PARAMS, X, empty)
    first, early = lstm.unroll(PARAMS, X[:3], empty)
    second, late = lstm.unroll(PARAMS, X[3:], first)
    np.testing.assert_allclose(hidden, jnp.concatenate([early, late]), rtol=1e-6)
    np.testing.assert_allclose(memory.cell, second.cell, rtol=1e-6)
    assert hidden.shape == (6, 2, 4) and jnp.all(memory.hidden == hidden[-1])


def test_backward_is_forward_in_the_other_order():
    empty = lstm.empty(PARAMS, 2)
    forward = lstm.unroll(PARAMS, X[::-1], empty)[1][::-1]
    np.testing.assert_array_equal(lstm.unroll(PARAMS, X, empty, backward=True)[1], forward)


def test_a_reset_forgets():
    empty, resets = lstm.empty(PARAMS, 2), jnp.zeros((6, 2), bool).at[3, 0].set(True)
    hidden = lstm.unroll(PARAMS, X, empty, resets)[1]
    anew, on = lstm.unroll(PARAMS, X[3:], empty)[1], lstm.unroll(PARAMS, X, empty)[1]
    np.testing.assert_allclose(hidden[3:, 0], anew[:, 0], rtol=1e-6)
    np.testing.assert_allclose(hidden[:, 1], on[:, 1], rtol=1e-6)


def test_one_step_by_hand():
    """All weights 0: gates of 1/2, a forget gate of sigmoid(1), and a candidate of tanh(0)."""
    zero = jax.tree.map(jnp.zeros_like, PARAMS) | {"bias": PARAMS["bias"]}
    memory = lstm.LSTMMemory(jnp.zeros((1, 4)), jnp.ones((1, 4)))
    after, hidden = lstm.unroll(zero, X[:1, :1], memory)
    kept = 1.0 / (1.0 + np.exp(-1.0))
    np.testing.assert_allclose(after.cell, np.full((1, 4), kept), rtol=1e-6)
    np.testing.assert_allclose(hidden[0], np.full((1, 4), 0.5 * np.tanh(kept)), rtol=1e-6)


def test_a_table_is_looked_up():
    env = envs.make("Meta-ABC", size=3)
    network = nets.tabular(env.observation, env.action)
    params = network.init(KEY)
    obs = jnp.array([[4], [0]], jnp.int32)
    output, _ = network.apply(params, obs, (), {})
    heads = params["heads"]
    np.testing.assert_array_equal(output.policy, heads["policy"]["kernel"][jnp.array([4, 0])])
    np.testing.assert_array_equal(output.value, heads["value"]["kernel"][jnp.array([4, 0]), 0])
    uniform = nets.tabular(env.observation, env.action, scale=0.0).init(KEY)
    assert not any(np.any(x) for x in jax.tree.leaves(uniform))


def test_tables_need_numbers_of_states():
    env = envs.make("CartPole-v1")
    with pytest.raises(ValueError, match="observation: expected the number of a state"):
        nets.tabular(env.observation, env.action)
    env = envs.make("Meta-ABC")
    with pytest.raises(ValueError, match="scale: expected a finite number of at least 0"):
        nets.tabular(env.observation, env.action, scale=-1.0)
