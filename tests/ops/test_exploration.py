"""Epsilon-greedy: rates and greedy choice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.ops import exploration


def act(q_values, epsilon):
    noise = exploration.uniform(jax.random.key(0), len(q_values))
    return exploration.epsilon_greedy(noise, q_values, epsilon)


def test_greedy_takes_the_first_greatest():
    q_values = jnp.array([[0.0, 3.0, 3.0], [5.0, -1.0, 2.0]])
    actions = act(q_values, 0.0)
    np.testing.assert_array_equal(actions, [1, 0])
    assert actions.dtype == jnp.int32


@pytest.mark.parametrize("epsilon", [0.3, 1.0])
def test_every_other_action_is_taken_with_probability_epsilon_over_actions(epsilon):
    q_values = jnp.tile(jnp.array([[0.0, 1.0, 0.5, 0.2]]), (40_000, 1))
    actions = act(q_values, jnp.float32(epsilon))
    rates = np.bincount(actions, minlength=4) / 40_000
    expected = epsilon / 4 + (1 - epsilon) * np.array([0, 1, 0, 0])
    np.testing.assert_allclose(rates, expected, atol=0.01)


def test_epsilon_may_differ_between_environments():
    q_values = jnp.tile(jnp.array([[0.0, 1.0]]), (2000, 1))
    epsilon = jnp.where(jnp.arange(2000) < 1000, 0.0, 1.0)
    actions = act(q_values, epsilon)
    assert np.mean(actions[:1000]) == 1.0
    assert 0.4 < np.mean(actions[1000:]) < 0.6


def test_only_valid_actions_are_explored_and_alike():
    valid = jnp.tile(jnp.array([[False, True, False, True, True]]), (30_000, 1))
    q_values = jnp.where(valid, 1.0, -1e9)
    noise = exploration.uniform(jax.random.key(1), 30_000)
    rates = np.bincount(exploration.epsilon_greedy(noise, q_values, 1.0, valid), minlength=5)
    np.testing.assert_allclose(rates / 30_000, [0, 1 / 3, 0, 1 / 3, 1 / 3], atol=0.01)
    assert rates[0] == rates[2] == 0
    same = exploration.epsilon_greedy(noise, q_values, 0.3, jnp.ones_like(valid))
    np.testing.assert_array_equal(same, exploration.epsilon_greedy(noise, q_values, 0.3))
