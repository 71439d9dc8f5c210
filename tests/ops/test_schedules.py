"""Schedules: their ends, their middles, and the change points of BBF."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.ops import schedules


def each(schedule, steps):
    return np.asarray(jax.jit(jax.vmap(schedule))(steps))


def test_linear_waits_falls_and_stays():
    steps = np.array([0, 2000, 3000, 4000, 9000])
    found = each(lambda t: schedules.linear(t, 1.0, 0.2, 2000.0, 2000.0), steps)
    np.testing.assert_allclose(found, [1.0, 1.0, 0.6, 0.2, 0.2], rtol=1e-6)


def test_exponential_takes_equal_factors():
    found = each(lambda t: schedules.exponential(t, 8.0, 0.5, 4), np.arange(6))
    np.testing.assert_allclose(found, [8.0, 4.0, 2.0, 1.0, 0.5, 0.5], rtol=1e-5)


@pytest.mark.parametrize("schedule", [schedules.linear, schedules.exponential])
def test_no_duration_is_the_end_at_once(schedule):
    assert schedule(0, 1.0, 0.1, 0.0) == pytest.approx(0.1)
    assert schedule(4, 1.0, 0.1, 0.0, 5.0) == 1.0
    assert schedule(5, 1.0, 0.1, 0.0, 5.0) == pytest.approx(0.1)


def test_n_step_of_bbf_changes_at_known_steps():
    n = each(schedules.annealed_n_step, np.arange(12_000))
    assert n.dtype == np.int32 and n[0] == 10 and n[-1] == 3
    changes = np.flatnonzero(np.diff(n)) + 1
    np.testing.assert_array_equal(changes, [427, 1350, 2390, 3579, 4966, 6633, 8720])
    np.testing.assert_array_equal(np.diff(n)[changes - 1], -1)


def test_discount_of_bbf():
    steps = np.array([0, 2500, 5000, 7500, 10_000, 40_000])
    found = each(schedules.annealed_discount, steps)
    np.testing.assert_allclose(found, [0.97, 0.98313, 0.99051, 0.99467, 0.997, 0.997], atol=5e-6)


STEPS = np.arange(1, 120_001)


def resets(period, last=100_000.0, **how):
    due = each(lambda t: schedules.reset_is_due(t, 1, period, last, **how), STEPS)
    return np.flatnonzero(due) + 1


def test_resets_of_bbf_are_at_known_steps():
    """The lists of both published versions of the code."""
    np.testing.assert_array_equal(resets(20_000.0), [20_000, 40_000, 60_000, 80_000])
    np.testing.assert_array_equal(resets(20_000.0, as_released=True), [20_002, 40_003, 60_004])
    assert len(resets(5000.0)) == 19 and len(resets(5000.0, as_released=True)) == 18
    assert len(resets(0.0)) == 0 and len(resets(0.0, as_released=True)) == 0


def test_a_reset_waits_for_the_end_of_its_update():
    due = [u for u in range(1, 10) if schedules.reset_is_due(jnp.int32(u), 8, 20.0, 84.0)]
    assert due == [3, 5, 8]
    assert not schedules.reset_is_due(jnp.int32(8), 8, 20.0, 83.0)


def due_by_hand(updates, advance, period, last, late):
    """With numbers of any size: whether a multiple of the interval is among an update's steps."""
    steps, interval = updates * advance - late, period + late
    passed = steps // interval > max(steps - advance, 0) // interval
    return bool(period) and passed and updates * advance + period <= last + late


@pytest.mark.parametrize("as_released", [False, True])
@pytest.mark.parametrize(
    ("advance", "period", "last"),
    [(1, 20_000, 10**5), (64, 20_000, 10**5), (4096, 2**20, 2**40), (100, 7, 2**31)]
    + [(8, 2**30, 2**50), (6144, 2**24 + 2, 2**45)],
)
def test_resets_are_right_where_steps_are_too_many_for_an_int32(advance, period, last, as_released):
    """Around every multiple of the period near the limits of the count of updates and of steps."""
    rng = np.random.default_rng(0)
    near = [1, 2, 2**31 // advance, last // advance, (last - period) // advance]
    interval = period + as_released
    times = rng.integers(1, 1 + min(last, 2**31 * advance) // interval, 40)
    near += [interval * int(m) // advance for m in times]
    around = np.arange(-2, 3)[:, None] + np.asarray(near)[None]
    updates = np.unique(np.clip(around, 1, 2**31 - 1)).astype(np.int32)
    found = each(
        lambda u: schedules.reset_is_due(
            u, advance, float(period), float(last), as_released=as_released
        ),
        updates,
    )
    wanted = [due_by_hand(int(u), advance, period, last, int(as_released)) for u in updates]
    assert any(wanted)
    np.testing.assert_array_equal(found, wanted)


def test_a_count_at_its_largest_stays_there_and_keeps_its_place_in_the_period():
    period, start = 7, 2**31 - 5
    found = [start]
    count = jax.jit(schedules.counted)
    for _ in range(40):
        found.append(int(count(np.int32(found[-1]), np.int32(period))))
    assert min(found) >= 2**31 - 1 - period and max(found) == 2**31 - 1
    wanted = (start + np.arange(41)) % period
    np.testing.assert_array_equal(np.asarray(found) % period, wanted)
    assert schedules.whole(jnp.float32(2.0**40)) == 2**31 - 128
