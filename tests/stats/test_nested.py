"""Units within units: whole rows are drawn, so the outer unit alone counts."""

import jax
import numpy as np
import pytest

from purejaxrl_suite import stats

ROWS, WITHIN, ROUNDS = 8, 32, 400


def covered(shape):
    """The share of intervals of the mean that hold 0, of rules and agents of equal variance."""
    random, held = np.random.default_rng(0), 0
    for number in range(ROUNDS):
        rules = random.normal(size=(ROWS, 1))
        scores = (rules + random.normal(size=(ROWS, WITHIN))).astype(np.float32)
        found = stats.estimate(
            jax.random.key(number), scores.reshape(shape), stats.mean, resamples=500
        )
        held += float(found.low) < 0.0 < float(found.high)
    return held / ROUNDS


@pytest.mark.slow
def test_intervals_over_rules_hold_and_those_over_agents_do_not():
    assert 0.92 < covered((ROWS, WITHIN)) < 0.98
    assert covered((ROWS * WITHIN, 1)) < 0.6


def test_what_varies_within_a_row_is_in_the_spread_between_rows():
    """The interval of scores is that of their means by row."""
    scores = np.random.default_rng(1).normal(size=(ROWS, WITHIN)).astype(np.float32)
    key = jax.random.key(0)
    whole = stats.estimate(key, scores, stats.mean)
    means = stats.estimate(key, scores.mean(1, keepdims=True), stats.mean)
    np.testing.assert_allclose(whole, means, rtol=1e-4)
