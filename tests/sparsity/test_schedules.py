"""How much of the target is in force: published values, ends, phases of AC/DC, drop fractions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import sparsity

PUBLISHED = {0: 0.028, 10: 0.28, 25: 0.565, 50: 0.838, 75: 0.937, 99: 0.95}
"""{step: sparsity} of a target of .95 over the steps 0 .. 100."""


CUBIC, ONE_SHOT, CONSTANT = sparsity.cubic(), sparsity.one_shot(), sparsity.constant()


@partial(jax.jit, static_argnums=0)
def _shares(schedule, progress, start, end):
    return jax.vmap(lambda p: schedule.share(p, start, end))(progress)


def shares(schedule, progress, start, end):
    """f32[T] for progress [T]."""
    return _shares(schedule, np.float32(progress), np.float32(start), np.float32(end))


@partial(jax.jit, static_argnames="period")
def released(step, start, end, period=1):
    """f32[T] for steps [T]."""
    return sparsity.cubic_as_released(step, start, end, period=period)


def test_cubic_has_the_published_values():
    steps = np.array(list(PUBLISHED))
    theirs = released(steps, 0, 100)
    np.testing.assert_allclose(0.95 * theirs, list(PUBLISHED.values()), atol=6e-4)
    # The update number `step` is the one after which so much of the run is over.
    np.testing.assert_allclose(shares(CUBIC, (steps + 1) / 100, 0, 1), theirs, atol=1e-6)


def test_cubic_reaches_the_target_at_its_end():
    progress = np.float32([0.0, 0.1, 0.2, 0.5, 0.8, 0.9, 1.0])
    found = shares(CUBIC, progress, 0.2, 0.8)
    np.testing.assert_allclose(found, [0, 0, 0, 0.875, 1, 1, 1], atol=1e-6)
    assert np.all(np.asarray(found)[4:] == 1.0)
    np.testing.assert_allclose(shares(sparsity.cubic(1), progress, 0.2, 0.8)[3], 0.5, atol=1e-6)
    at_once = shares(CUBIC, progress, 0.5, 0.5)
    np.testing.assert_array_equal(at_once, [0, 0, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(shares(ONE_SHOT, progress, 0.5, 0.8), at_once)
    np.testing.assert_array_equal(shares(CONSTANT, progress, 0.5, 0.8), np.ones(7))


def test_as_released_misses_its_target_off_the_grid():
    """Masks at 0, 30, 60 ... up to 100: the last are those of step 90, with 91 of 100 passed.

    The numbers are what JaxPruner itself gave, for a target of .8.
    """
    found = released(np.asarray([0, 29, 30, 99, 100, 1000]), 0, 100, period=30)
    expected = [1 - (1 - x) ** 3 for x in (0.01, 0.01, 0.31, 0.91, 0.91, 0.91)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    for start, end, period, first, share, last in (
        (0, 100, 30, 0, 0.0238, 0.7994),
        (30, 100, 40, 40, 0.3210, 0.7840),
        (500, 2500, 1000, 1000, 0.4632, 0.7876),
    ):
        steps = np.asarray([first - 1, first, end, 10 * end])
        found = 0.8 * np.asarray(released(steps, start, end, period=period))
        np.testing.assert_allclose(found, [0.0, share, last, last], atol=5e-5)


def test_phases_of_ac_dc():
    """Dense up to .2, then sparse and dense by turns of .1, then sparse."""
    progress = np.arange(0, 101, 5) / 100
    found = shares(sparsity.cycles(3), progress, 0.2, 0.8)
    phases = [0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1]
    np.testing.assert_array_equal(found, phases)
    found = shares(sparsity.cycles(2, sparse=0.75), [0.0, 0.3, 0.45, 0.5, 0.9, 1.0], 0, 1)
    np.testing.assert_array_equal(found, [1, 1, 0, 1, 0, 1])


def test_drop_fractions():
    @partial(jax.jit, static_argnums=0)
    def fractions(drop, start, end):
        progress = jnp.asarray([0.1, 0.25, 0.5, 0.75, 1.0], jnp.float32)
        return jax.vmap(lambda p: drop.fraction(p, start, end, jnp.float32(0.3)))(progress)

    decaying, constant = sparsity.cosine_drop(), sparsity.constant_drop()
    cosine = [0.15 * (1 + np.cos(np.pi * p)) for p in (0.1, 0.25, 0.5, 0.75, 1.0)]
    np.testing.assert_allclose(fractions(decaying, 0, 1), cosine, atol=1e-6)
    np.testing.assert_allclose(fractions(decaying, 0.2, 0.5), [0, 0.15, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(fractions(constant, 0.2, 0.75), [0, 0.3, 0.3, 0, 0], atol=1e-6)


def test_refusals():
    with pytest.raises(ValueError, match="power: expected an integer of at least 1, got 0"):
        sparsity.cubic(0)
    with pytest.raises(ValueError, match="count: expected"):
        sparsity.cycles(0)
    with pytest.raises(ValueError, match="sparse: expected"):
        sparsity.cycles(2, sparse=1.0)
