"""Schedules: their ends, their middles, and the change points of BBF."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.ops import schedules


def test_linear_waits_falls_and_stays():
    steps = jnp.array([0, 2000, 3000, 4000, 9000])
    found = jax.vmap(lambda t: schedules.linear(t, 1.0, 0.2, 2000.0, 2000.0))(steps)
    np.testing.assert_allclose(found, [1.0, 1.0, 0.6, 0.2, 0.2], rtol=1e-6)


def test_exponential_takes_equal_factors():
    found = jax.vmap(lambda t: schedules.exponential(t, 8.0, 0.5, 4))(jnp.arange(6))
    np.testing.assert_allclose(found, [8.0, 4.0, 2.0, 1.0, 0.5, 0.5], rtol=1e-5)


@pytest.mark.parametrize("schedule", [schedules.linear, schedules.exponential])
def test_no_duration_is_the_end_at_once(schedule):
    assert schedule(0, 1.0, 0.1, 0.0) == pytest.approx(0.1)
    assert schedule(4, 1.0, 0.1, 0.0, 5.0) == 1.0
    assert schedule(5, 1.0, 0.1, 0.0, 5.0) == pytest.approx(0.1)


def test_n_step_of_bbf_changes_at_known_steps():
    n = np.asarray(jax.jit(jax.vmap(schedules.annealed_n_step))(jnp.arange(12_000)))
    assert n.dtype == np.int32 and n[0] == 10 and n[-1] == 3
    changes = np.flatnonzero(np.diff(n)) + 1
    np.testing.assert_array_equal(changes, [427, 1350, 2390, 3579, 4966, 6633, 8720])
    np.testing.assert_array_equal(np.diff(n)[changes - 1], -1)


def test_discount_of_bbf():
    steps = jnp.array([0, 2500, 5000, 7500, 10_000, 40_000])
    found = jax.vmap(schedules.annealed_discount)(steps)
    np.testing.assert_allclose(found, [0.97, 0.98313, 0.99051, 0.99467, 0.997, 0.997], atol=5e-6)
