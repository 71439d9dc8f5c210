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


STEPS = jnp.arange(1, 120_001)


def resets(period, last=100_000.0, **how):
    due = jax.jit(jax.vmap(lambda t: schedules.reset_is_due(t, 1, period, last, **how)))(STEPS)
    return np.flatnonzero(due) + 1


def test_resets_of_bbf_are_at_known_steps():
    """The lists of both published versions of the code."""
    np.testing.assert_array_equal(resets(20_000.0), [20_000, 40_000, 60_000, 80_000])
    np.testing.assert_array_equal(resets(20_000.0, as_released=True), [20_002, 40_003, 60_004])
    assert len(resets(5000.0)) == 19 and len(resets(5000.0, as_released=True)) == 18
    assert len(resets(0.0)) == 0 and len(resets(0.0, as_released=True)) == 0


def test_a_reset_waits_for_the_end_of_its_update():
    due = [t for t in range(8, 80, 8) if schedules.reset_is_due(t, 8, 20.0, 84.0)]
    assert due == [24, 40, 64]
    assert not schedules.reset_is_due(64, 8, 20.0, 83.0)
