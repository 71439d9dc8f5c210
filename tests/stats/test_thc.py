"""THC: the worked examples, the invariants, and the ranking rule once more, as a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from purejaxrl_suite import stats

KEY = jax.random.key(0)
ends = arrays(np.float32, (2, 5), elements=st.integers(-20, 20).map(float))


def ranks_by_loop(low, high):
    """The published rule over a sorted list, with a strict order for equal upper ends."""
    order = sorted(range(len(low)), key=lambda v: (-high[v], -low[v]))
    ranks = np.empty(len(low))
    for place, value in enumerate(order):
        first = next(i for i in range(place + 1) if low[order[i]] <= high[value])
        after = [k for k in range(place + 1, len(order)) if high[order[k]] < low[value]]
        ranks[value] = (first + 1 + (after[0] if after else len(order))) / 2
    return ranks


@pytest.mark.parametrize(
    ("intervals", "ranks"),
    [
        ([(9, 10), (5, 6), (1, 2)], [1, 2, 3]),
        ([(6, 10), (4, 7), (1, 5)], [1.5, 2, 2.5]),
        ([(1, 2), (5, 6), (9, 10)], [3, 2, 1]),
        ([(0, 9), (1, 8), (2, 7)], [2, 2, 2]),
        ([(-300, -200), (-500, -400)], [1, 2]),
        ([(1, 2), (np.nan, np.nan), (3, 4)], [2, np.nan, 1]),
    ],
)
def test_worked_examples(intervals, ranks):
    low, high = np.array(intervals, np.float32).T
    np.testing.assert_array_equal(stats.overlap_ranks(low, high), ranks)


@settings(max_examples=60, deadline=None)
@given(ends, st.permutations(range(5)))
def test_ranks_follow_the_rule_and_not_the_labels(both, relabel):
    low, high = both.min(axis=0), both.max(axis=0)
    ranks = stats.overlap_ranks(low, high)
    np.testing.assert_array_equal(ranks, ranks_by_loop(low, high))
    relabel = np.array(relabel)
    np.testing.assert_array_equal(stats.overlap_ranks(low[relabel], high[relabel]), ranks[relabel])
    cubes = stats.overlap_ranks(low**3, high**3)  # exact up to 20**3
    np.testing.assert_array_equal(cubes, ranks)


def test_identical_settings_are_consistent():
    low = np.array([1.0, 5.0, 2.0, 9.0]) * np.ones((3, 1))
    found = stats.consistency_of_intervals(low, low + 1.5)
    assert found.thc == 0.0 and found.deviation == 0.0
    np.testing.assert_array_equal(found.spread, 0.0)


def test_what_overlaps_everywhere_is_consistent():
    low = np.random.default_rng(0).uniform(0, 1, size=(4, 5))
    found = stats.consistency_of_intervals(low, low + 2.0)
    np.testing.assert_array_equal(found.ranks, 3.0)
    assert found.thc == 0.0


def test_reversed_orders_of_two_values_are_as_inconsistent_as_can_be():
    low = np.array([[1.0, 5.0], [5.0, 1.0]])
    found = stats.consistency_of_intervals(low, low + 1.0)
    assert found.thc == 1.0
    np.testing.assert_array_equal(found.ranks, [[2, 1], [1, 2]])


def test_three_values_by_hand():
    scores = np.array([[[9.0, 5.0, 1.0], [5.0, 9.0, 1.0]]])  # one seed: points
    found = stats.hyperparameter_consistency(scores)
    np.testing.assert_array_equal(found.spread, [0.5, 0.5, 0.0])
    np.testing.assert_allclose(
        [found.thc, found.deviation], [1 / 3, np.std([0.5, 0.5, 0])], rtol=1e-6
    )


def test_scores_become_intervals_of_one_standard_deviation():
    scores = np.random.default_rng(1).normal(size=(5, 3, 4)).astype(np.float32)
    scores[2, 1, 3] = np.nan
    center, spread = np.nanmean(scores, axis=0), np.nanstd(scores, axis=0)
    theirs = stats.consistency_of_intervals(center - spread, center + spread)
    ours = stats.hyperparameter_consistency(scores)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), ours, theirs)
    scaled = stats.hyperparameter_consistency(4.0 * scores - 100.0)
    np.testing.assert_allclose(scaled.ranks, ours.ranks)


def test_a_value_without_seeds_in_one_setting_is_left_out():
    scores = np.random.default_rng(2).normal(size=(4, 3, 4)) + 9.0 * np.arange(4)
    scores[:, 1, 2] = np.nan
    found = stats.hyperparameter_consistency(scores)
    rest = stats.hyperparameter_consistency(np.delete(scores, 2, axis=2))
    assert np.isnan(found.spread[2]) and found.thc == rest.thc
    np.testing.assert_array_equal(found.ranks[:, [0, 1, 3]], rest.ranks)
    scores[:, :, :3] = np.nan
    assert np.isnan(stats.hyperparameter_consistency(scores).thc)


def test_the_interval_narrows_where_orders_are_clear():
    rng = np.random.default_rng(3)
    clear = 10.0 * rng.permuted(np.tile(np.arange(4.0), (3, 1)), axis=1)
    scores = clear + rng.normal(size=(12, 3, 4))
    found = stats.consistency_interval(KEY, scores, resamples=200)
    assert found.low == found.value == found.high > 0
    close = stats.consistency_interval(KEY, clear / 5 + rng.normal(size=(12, 3, 4)), resamples=200)
    assert close.low < close.high
    one = stats.consistency_interval(KEY, scores[:1], resamples=8)
    assert one.value >= 0 and np.isnan(one.low)


@pytest.mark.parametrize("values", [2, 3, 5])
def test_chance_gives_two_strangers_a_third_and_few_values_more(values):
    """For two uniform permutations E|i - j| / (n - 1) = (n + 1) / (3 n)."""
    ranks = np.tile(np.arange(1.0, values + 1), (2, 1))
    null = stats.consistency_null(KEY, ranks)
    np.testing.assert_allclose(null.mean, (values + 1) / (3 * values), atol=0.02)
    exact = 1 / np.prod(np.arange(1, values + 1))  # only the identical order is as consistent
    np.testing.assert_allclose(null.p, exact, atol=4 * np.sqrt(exact / 9999))


def test_missing_values_take_no_part_in_chance():
    ranks = np.array([[1.0, 2.0, np.nan, 3.0], [3.0, 2.0, np.nan, 1.0]])
    null = stats.consistency_null(KEY, ranks)
    rest = stats.consistency_null(KEY, ranks[:, [0, 1, 3]])
    np.testing.assert_allclose(null.mean, rest.mean, atol=0.02)
    assert null.p == rest.p == 1.0
    assert np.isnan(stats.consistency_null(KEY, np.full((2, 3), np.nan), 9)).all()


def test_jit_and_vmap_change_nothing():
    scores = np.random.default_rng(4).normal(size=(2, 5, 3, 4)).astype(np.float32)
    together = jax.jit(jax.vmap(stats.hyperparameter_consistency))(jnp.asarray(scores))
    for i in range(2):
        alone = stats.hyperparameter_consistency(scores[i])
        np.testing.assert_allclose(together.ranks[i], alone.ranks)
        np.testing.assert_allclose(together.thc[i], alone.thc, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: stats.overlap_ranks([1.0], [1.0, 2.0]), "low, high"),
        (lambda: stats.consistency_of_intervals(np.ones((2, 3)), np.ones((3, 2))), "low, high"),
        (lambda: stats.consistency_of_intervals(np.ones((1, 3)), np.ones((1, 3))), "low, high"),
        (lambda: stats.hyperparameter_consistency(np.ones((5, 3))), "scores"),
        (lambda: stats.hyperparameter_consistency(np.ones((5, 3, 1))), "scores"),
        (lambda: stats.consistency_interval(KEY, np.ones((5, 1, 2))), "scores"),
        (lambda: stats.consistency_null(KEY, np.ones(4)), "ranks"),
        (lambda: stats.consistency_null(KEY, np.ones((2, 2)), 0), "shuffles"),
    ],
)
def test_bad_input_names_the_argument(call, argument):
    with pytest.raises(ValueError, match=f"^{argument}:"):
        call()
