"""Aggregates: rliable and scipy as oracles, loops over what is there where runs are missing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rliable import metrics

from purejaxrl_suite import stats

TAUS = np.linspace(-2, 2, 9, dtype=np.float32)
plain = settings(max_examples=40, deadline=None)
close = {"rtol": 0, "atol": 1e-6}


def grid(shape, missing=False):
    """Multiples of 1/64: with ties, and their means over 4 or 8 seeds are exact in float32."""
    values = st.integers(-128, 128).map(lambda i: i / 64)
    if missing:
        values = st.one_of(values, st.just(np.nan))
    return arrays(np.float32, shape, elements=values)


def reals(shape):
    values = st.floats(-2, 2, width=32, allow_subnormal=False)
    return arrays(np.float32, shape, elements=values)


@jax.jit
def numbers(x):
    gaps = stats.optimality_gap(x), stats.optimality_gap(x, 0.25)
    return stats.mean(x), stats.median(x), stats.iqm(x), *gaps


@jax.jit
def profiles(x):
    return stats.performance_profile(x, TAUS), stats.average_score_profile(x, TAUS)


improvement = jax.jit(stats.probability_of_improvement)


@plain
@given(st.sampled_from([(1, 1), (4, 3), (8, 5)]).flatmap(lambda n: st.tuples(reals(n), grid(n))))
def test_aggregates_are_those_of_rliable(both):
    x, steps = (z.astype(np.float64) for z in both)
    gaps = metrics.aggregate_optimality_gap(x), metrics.aggregate_optimality_gap(x, 0.25)
    theirs = metrics.aggregate_mean(x), metrics.aggregate_median(x), metrics.aggregate_iqm(x)
    np.testing.assert_allclose(numbers(both[0]), [*theirs, *gaps], **close)
    runs = [np.mean(steps > tau) for tau in TAUS]
    tasks = [np.mean(steps.mean(axis=0) > tau) for tau in TAUS]
    np.testing.assert_allclose(profiles(both[1]), [runs, tasks], **close)


@plain
@given(st.sampled_from([(1, 4, 2), (4, 6, 3)]).flatmap(
    lambda n: st.tuples(grid((n[0], n[2])), grid((n[1], n[2])))
))  # fmt: skip
def test_probability_of_improvement_is_rliables(both):
    x, y = both
    theirs = metrics.probability_of_improvement(x.astype(np.float64), y.astype(np.float64))
    np.testing.assert_allclose(improvement(x, y), theirs, **close)
    np.testing.assert_allclose(improvement(x, y) + improvement(y, x), 1.0, **close)
    np.testing.assert_allclose(improvement(x, x), 0.5, **close)


def of_equal_tasks(runs):
    """The interquartile mean of n runs of which all of a task count for n / tasks."""
    n = sum(map(len, runs))
    counted = sorted((x, n / len(runs) / len(column)) for column in runs for x in column)
    total, mass, seen = 0.0, 0.0, 0.0
    for x, weight in counted:
        kept = min(seen + weight, n - n // 4) - max(seen, n // 4)
        total, mass, seen = total + max(kept, 0.0) * x, mass + max(kept, 0.0), seen + weight
    return total / mass if runs else np.nan


def test_who_misses_runs_of_a_task_is_still_measured_on_it():
    """Two runs of 1 weigh as much as four of 0: 1.5 each, of which one is cut at each end."""
    x = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, np.nan], [0.0, np.nan]])
    assert stats.iqm(x) == 0.5 and stats.iqm(x[:2]) == 0.5
    apart = np.random.default_rng(0).normal([0.0, 1.0], 0.01, size=(16, 2))
    fewer = np.where(np.arange(16)[:, None] < [16, 8], apart, np.nan)
    effect = stats.difference(jax.random.key(0), apart, fewer, paired=False, resamples=200)
    assert effect.low < 0.0 < effect.high and abs(effect.value) < 0.01


@plain
@given(grid((8, 4), missing=True), grid((4, 4), missing=True))
def test_missing_runs_are_as_if_they_had_not_been_made(x, y):
    runs = [column[~np.isnan(column)].astype(np.float64) for column in x.T]
    runs = [column for column in runs if column.size]

    def over_tasks(f, reduce=np.mean):
        return reduce([f(column) for column in runs]) if runs else np.nan

    def gap(gamma):
        return over_tasks(lambda column: gamma - np.mean(np.minimum(column, gamma)))

    mean, median, middle, *gaps = numbers(x)
    found = over_tasks(np.mean), over_tasks(np.mean, np.median), gap(1), gap(0.25)
    np.testing.assert_allclose([mean, median, *gaps], found, **close)
    np.testing.assert_allclose(middle, of_equal_tasks(runs), rtol=0, atol=1e-5)
    profile = [over_tasks(lambda column, tau=tau: np.mean(column > tau)) for tau in TAUS]
    np.testing.assert_allclose(profiles(x)[0], profile, **close)
    pairs = [(a[~np.isnan(a)], b[~np.isnan(b)]) for a, b in zip(x.T, y.T, strict=True)]
    wins = [
        np.mean([(p > q) + 0.5 * (p == q) for p in a for q in b])
        for a, b in pairs
        if a.size and b.size
    ]
    np.testing.assert_allclose(improvement(x, y), np.mean(wins) if wins else np.nan, **close)


def test_an_axis_is_reduced_as_numpy_does_it():
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for axis in (0, 1):
        np.testing.assert_allclose(stats.mean(x, axis), x.mean(axis), atol=1e-6)
        np.testing.assert_allclose(stats.median(x, axis), np.median(x, axis), atol=1e-6)
        gap = 1 - np.minimum(x, 1).mean(axis)
        np.testing.assert_allclose(stats.optimality_gap(x, axis=axis), gap, atol=1e-6)


def test_an_infinite_return_counts_where_it_is():
    curve, episodes = np.array([np.inf, 1.0, 3.0]), np.ones(3)
    assert stats.final_score(curve, episodes, share=0.7) == 2.0
    np.testing.assert_array_equal(stats.window_means(curve, [0.0, 1.0, 1.0], 2), [1.0, 3.0])
    assert stats.final_score(curve, episodes, share=1.0) == np.inf


def test_nothing_known_is_nan():
    x = np.full((4, 3), np.nan, np.float32)
    assert np.isnan(numbers(x)).all() and np.isnan(profiles(x)).all()
    assert np.isnan(improvement(x, np.zeros_like(x))) and np.isnan(improvement(np.zeros_like(x), x))
    for episodes in (None, np.ones_like(x)):
        assert np.isnan(stats.area_under_curve(x, episodes)).all()
        assert np.isnan(stats.final_score(x, episodes)).all()
    assert np.isnan(stats.with_diverged(x, np.ones_like(x))).all()


@pytest.mark.parametrize(
    "f",
    [
        stats.iqm,
        stats.mean,
        stats.median,
        stats.optimality_gap,
        lambda x: stats.performance_profile(x, TAUS),
        lambda x: stats.average_score_profile(x, TAUS),
        lambda x: stats.probability_of_improvement(x, x[:3] + 0.1),
        lambda x: stats.area_under_curve(x, None, jnp.array([0.0, 1.0, 5.0])),
        lambda x: stats.area_under_curve(x, jnp.abs(x)),
        lambda x: stats.final_score(x, None),
        lambda x: stats.final_score(x, jnp.abs(x), share=0.7),
        lambda x: stats.window_means(x, jnp.abs(x), 2),
        lambda x: stats.with_diverged(x, x > 0.5, jnp.array([0.0, jnp.nan, -9.0])),
    ],
)
def test_jit_and_vmap_change_nothing(f):
    x = np.random.default_rng(1).normal(size=(2, 6, 3)).astype(np.float32)
    x[0, 0, 0] = np.nan
    together = jax.jit(jax.vmap(f))(x)
    alone = np.stack([f(each) for each in x])
    np.testing.assert_allclose(together, alone, rtol=1e-6, atol=1e-6)


def test_area_is_that_of_the_bridged_curve():
    rng = np.random.default_rng(2)
    curves = rng.normal(size=(2, 5, 12)).astype(np.float32)
    curves[rng.uniform(size=curves.shape) < 0.4] = np.nan
    curves[0, 0] = np.nan
    curves[0, 1, 1:] = np.nan
    steps = np.cumsum(rng.integers(1, 9, size=12)) * 1_000_000
    area = stats.area_under_curve(curves, None, steps)
    weighed = stats.area_under_curve(curves, np.ones_like(curves), steps)  # a window per point
    np.testing.assert_allclose(weighed, area, atol=1e-6)
    for index in np.ndindex(2, 5):
        there = ~np.isnan(curves[index])
        if not there.any():
            assert np.isnan(area[index])
            continue
        filled = np.interp(steps, steps[there], curves[index][there])
        expected = np.trapezoid(filled, steps) / (steps[-1] - steps[0])
        np.testing.assert_allclose(area[index], expected, atol=1e-6)
    compiled = jax.jit(lambda x, at: stats.area_under_curve(x, None, at))
    np.testing.assert_allclose(compiled(curves, steps), area, atol=1e-6)


def test_area_by_hand():
    assert stats.area_under_curve([0.0, 1.0, 1.0], None) == 0.75
    assert stats.area_under_curve([0.0, 1.0, 1.0], None, [0, 1, 4]) == 0.875
    assert stats.area_under_curve([0.0, 1.0, 1.0], [9, 1, 1], [0, 0.1, 0.4]) == 0.875
    assert stats.area_under_curve([7.0], None) == stats.area_under_curve([7.0], [2]) == 7.0
    np.testing.assert_allclose(stats.area_under_curve([np.nan, np.nan, 0.0, 10.0], None), 10 / 6)


def test_the_final_score_of_a_measurement_is_the_mean_of_the_end():
    curves = np.arange(20, dtype=np.float32) * np.ones((3, 1), np.float32)
    curves[1, -1] = np.nan
    curves[2, -2:] = np.nan
    np.testing.assert_array_equal(stats.final_score(curves, None), [19.0, 18.0, 17.0])
    np.testing.assert_array_equal(stats.final_score(curves, None, share=0.1), [18.5, 18.0, 17.0])


def test_means_over_episodes_by_hand():
    """The last half of what was run: sums divided by numbers, and nothing where none ended."""
    curves = np.array([[8, 6, 1, 4], [9, 9, np.nan, 4], [9, 5, np.nan, np.nan], [9, 7, 2, 4]])
    episodes = np.array([[1, 1, 2, 1], [1, 1, 0, 3], [1, 1, 0, 0], [3, 1, np.nan, np.nan]])
    found = stats.final_score(curves, episodes, share=0.5)
    np.testing.assert_array_equal(found, [2, 4, np.nan, 7])
    np.testing.assert_array_equal(stats.final_score(curves, episodes, 1.0), [4, 6, 7, 8.5])
    windows = stats.window_means(curves, episodes, 2)
    np.testing.assert_array_equal(windows, [[7, 2], [9, 4], [7, np.nan], [8.5, np.nan]])
    np.testing.assert_array_equal(stats.window_means(curves[:2], None, 3)[:, 0], [7, 9])
    assert stats.window_means(curves, episodes, 9).shape == (4, 4)


def made_up(num_envs, length, steps):
    """Rows of a policy whose episodes take 8 steps and return 0, or 248 and 1, half of them each.

    Returns (means [U], numbers [U]) of the episodes that end in updates of `length` steps of each
    of `num_envs` environments, as the engine has them.
    """
    rng = np.random.default_rng(0)
    long = rng.random((num_envs, steps // 64)) < 0.5
    ends = np.cumsum(np.where(long, 248, 8), axis=1)
    update = (ends - 1) // length
    count = steps // length
    numbers = np.bincount(update.ravel(), minlength=count)[:count]
    sums = np.bincount(update.ravel(), long.ravel(), minlength=count)[:count]
    with np.errstate(invalid="ignore"):
        return sums / numbers, numbers


@pytest.mark.parametrize(("num_envs", "length"), [(4, 128), (128, 32)])
def test_a_score_does_not_depend_on_how_training_is_cut_into_updates(num_envs, length):
    means, numbers = made_up(num_envs, length, 2**25 // num_envs)
    assert stats.final_score(means, numbers, share=0.5) == pytest.approx(0.5, abs=5e-3)
    assert stats.area_under_curve(means, numbers) == pytest.approx(0.5, abs=5e-3)
    if num_envs == 4:  # where updates count alike, those in which few, long episodes ended are many
        assert stats.final_score(means, None, share=0.5) > 0.6


def test_members_that_diverged_have_the_worst_score_of_their_task():
    scores = np.array([[1.0, 5.0, np.nan], [3.0, 4.0, np.nan], [2.0, np.nan, np.nan]])
    diverged = np.array([[False, True, True], [True, False, False], [False, False, False]])
    found = stats.with_diverged(scores, diverged, [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(found, [[1, 4, np.nan], [0.5, 4, np.nan], [2, np.nan, np.nan]])
    found = stats.with_diverged(scores, diverged[:, :1], 9.0)  # of an agent on all tasks
    np.testing.assert_array_equal(found[1], [1, 4, 9])


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: stats.median([1.0, 2.0]), "x"),
        (lambda: stats.performance_profile([[1.0]], 0.5), "taus"),
        (lambda: stats.average_score_profile([[1.0]], [[0.5]]), "taus"),
        (lambda: stats.probability_of_improvement(np.ones((4, 2)), np.ones((4, 3))), "x, y"),
        (lambda: stats.area_under_curve(np.ones((2, 0)), None), "curves"),
        (lambda: stats.area_under_curve([1.0, 2.0], None, [0.0]), "steps"),
        (lambda: stats.area_under_curve([1.0, 2.0], None, [1.0, 1.0]), "steps"),
        (lambda: stats.area_under_curve([1.0, 2.0], [1.0]), "episodes"),
        (lambda: stats.final_score([1.0], None, share=5), "share"),
        (lambda: stats.final_score([1.0, 2.0], [1.0]), "episodes"),
        (lambda: stats.window_means([1.0, 2.0], None, 0), "windows"),
        (lambda: stats.with_diverged([1.0, 2.0], [True] * 3), "diverged"),
        (lambda: stats.with_diverged(np.ones((2, 3)), np.ones((2, 1)), [0.0, 1.0]), "random"),
    ],
)
def test_bad_input_names_the_argument(call, argument):
    with pytest.raises(ValueError, match=f"^{argument}:"):
        call()
