"""estimate, compare, difference, sample_efficiency: scipy's bootstraps, and known cases."""

from functools import partial

import jax
import numpy as np
import pytest
from scipy.stats import bootstrap, norm, t, trim_mean

from purejaxrl_suite import stats
from purejaxrl_suite.stats.weighted import Difference

KEY = jax.random.key(0)
per_task = partial(stats.mean, axis=0)


def two_arms(seeds=12, tasks=1):
    rng = np.random.default_rng(0)
    shared = rng.gamma(2.0, size=(seeds, tasks))
    x = shared + 0.3 * rng.normal(size=(seeds, tasks)) + 0.5
    return x.astype(np.float32), shared.astype(np.float32)


def theirs(x, y, axis):
    return trim_mean(x, 0.25, axis=axis) - trim_mean(y, 0.25, axis=axis)


def of_scipy(x, y, paired, confidence=0.95):
    return bootstrap(
        (x[:, 0], y[:, 0]), theirs, paired=paired, vectorized=True, n_resamples=4000,
        method="percentile", rng=np.random.default_rng(1), confidence_level=confidence,
    ).confidence_interval  # fmt: skip


@pytest.mark.parametrize("paired", [True, False])
def test_the_interval_is_scipys_widened(paired):
    x, y = two_arms()
    effect = stats.difference(KEY, x, y, paired=paired, resamples=4000)
    value = theirs(x, y, axis=None)
    np.testing.assert_allclose(effect.value, value, rtol=1e-5)
    factor = np.sqrt(12 / 11) * t.ppf(0.975, 11) / norm.ppf(0.975)
    near = of_scipy(x, y, paired)
    far = of_scipy(x, y, paired, 1 - 2 * norm.sf(factor * norm.ppf(0.975)))
    low = min(value - factor * (value - near.low), far.low)
    high = max(value + factor * (near.high - value), far.high)
    np.testing.assert_allclose([effect.low, effect.high], [low, high], atol=0.08 * (high - low))
    assert effect.seeds == 12


def test_rliables_interval_is_scipys():
    x, y = two_arms()
    effect = stats.rliable_compare(KEY, x, y, Difference(stats.iqm), resamples=4000)
    expected = of_scipy(x, y, paired=False)
    width = expected.high - expected.low
    np.testing.assert_allclose([effect.low, effect.high], expected, atol=0.06 * width)


def test_of_one_task_a_mean_has_students_interval():
    x = np.random.default_rng(4).normal(size=(40, 1)).astype(np.float32)
    found = stats.estimate(KEY, x, stats.mean, resamples=20_000)
    student = t.interval(0.95, 39, loc=x.mean(), scale=x.std(ddof=1) / np.sqrt(40))
    np.testing.assert_allclose(found[1:], student, atol=0.04 * (student[1] - student[0]))


def test_what_tasks_of_a_seed_have_in_common_stays_together():
    random = np.random.default_rng(5)
    seeds = random.normal(size=(12, 1)) * np.ones((1, 20))
    x = (seeds + 0.01 * random.normal(size=(12, 20))).astype(np.float32)
    together, apart = (f(KEY, x) for f in (stats.estimate, stats.rliable_estimate))
    assert together.high - together.low > 2.5 * (apart.high - apart.low)


def test_the_interval_of_few_seeds_is_students_and_not_the_normals():
    x = np.random.default_rng(6).normal(size=(3, 4)).astype(np.float32)
    found, published = stats.estimate(KEY, x), stats.rliable_estimate(KEY, x)
    assert found.high - found.low > 1.5 * (published.high - published.low)


def test_pairs_see_what_is_the_same_for_both():
    x, y = two_arms(tasks=3)
    shifted = stats.difference(KEY, y + 1.0, y, paired=True)
    np.testing.assert_allclose(shifted[:3], 1.0, atol=1e-5)
    paired = stats.difference(KEY, x, y, paired=True)
    unpaired = stats.difference(KEY, x, y, paired=False)
    assert paired.high - paired.low < 0.5 * (unpaired.high - unpaired.low)


def test_a_pair_with_one_score_missing_is_missing():
    x, y = two_arms(seeds=9, tasks=2)
    x[1, 0] = y[4, 0] = np.nan
    both = ~np.isnan(x + y)
    effect = stats.difference(KEY, x, y, per_task, paired=True)
    kept = [(x[m, t] - y[m, t]).mean() for t, m in enumerate(both.T)]
    np.testing.assert_allclose(effect.value, kept, rtol=1e-5)
    assert effect.seeds == 7
    alone = stats.difference(KEY, x[both[:, 0], :1], y[both[:, 0], :1], per_task, paired=True)
    np.testing.assert_allclose(
        [effect.low[0], effect.high[0]], [alone.low[0], alone.high[0]], atol=0.1
    )


@pytest.mark.parametrize("paired", [True, False])
def test_value_and_interval_are_of_the_same_tasks(paired):
    x, y = two_arms(seeds=8, tasks=3)
    x[1:, 2] = np.nan  # one seed of X knows task 2
    effect = stats.difference(KEY, x, y, paired=paired)
    np.testing.assert_allclose(effect.value, stats.iqm(x[:, :2]) - stats.iqm(y[:, :2]), rtol=1e-5)
    estimate = stats.estimate(KEY, x)
    np.testing.assert_allclose(estimate.value, stats.iqm(x[:, :2]), rtol=1e-5)
    assert effect.low < effect.value < effect.high and effect.seeds == 8


@pytest.mark.parametrize("seeds", [(1, 1), (1, 8)])
def test_one_seed_gives_a_value_and_no_interval(seeds):
    x, y = (two_arms(seeds=n, tasks=2)[0] for n in seeds)
    effect = stats.difference(KEY, x, y, paired=False)
    np.testing.assert_allclose(effect.value, stats.iqm(x) - stats.iqm(y), rtol=1e-5)
    assert np.isnan(effect.low) and np.isnan(effect.high) and effect.seeds == 1
    with_nothing = np.concatenate([x, np.full((3, 2), np.nan)])
    for scores in (x, with_nothing):  # seeds that nothing is known of are none
        estimate = stats.estimate(KEY, scores)
        np.testing.assert_allclose(estimate.value, stats.iqm(x))
        assert np.isnan(estimate.low) and np.isnan(estimate.high)


def test_infinite_scores_have_no_interval():
    x = np.full((8, 2), np.inf)
    effect = stats.difference(KEY, x, np.zeros((8, 2)), paired=False)
    assert effect.value == np.inf and np.isnan(effect.low)
    assert stats.verdict(effect) == "INCONCLUSIVE" and stats.reason(effect) == "no interval"


def test_all_missing_is_nan():
    nothing = np.full((5, 2), np.nan)
    assert np.isnan(stats.estimate(KEY, nothing)).all()
    assert np.isnan(stats.estimate(KEY, nothing, per_task)).all()
    effect = stats.difference(KEY, nothing, np.ones((5, 2)), paired=False)
    assert np.isnan(effect[:3]).all()


def test_sample_efficiency_is_the_estimate_of_every_step():
    rng = np.random.default_rng(3)
    curves = np.cumsum(rng.normal(size=(10, 2, 4)), axis=2).astype(np.float32)
    curves[3, 1, 0] = np.nan
    found = stats.sample_efficiency(KEY, curves)
    for step in range(4):
        alone = stats.estimate(KEY, curves[..., step])
        np.testing.assert_allclose([z[step] for z in found], alone, rtol=1e-5)
    assert found.low.shape == found.high.shape == (4,)


def test_columns_are_estimated_by_the_seeds_that_they_have():
    x = np.random.default_rng(7).normal(size=(9, 3)).astype(np.float32)
    x[:4, 1] = np.nan
    x[1:, 2] = np.nan
    found = stats.estimate(KEY, x, per_task)
    for column, seeds in ((0, slice(None)), (1, slice(4, None))):
        alone = stats.estimate(KEY, x[seeds, column], stats.mean)
        np.testing.assert_allclose([z[column] for z in found], alone, rtol=1e-5)
    assert np.isnan([z[2] for z in found]).all()


def test_the_key_alone_decides():
    x, y = two_arms(seeds=6, tasks=2)

    def f(key):
        return stats.difference(key, x, y, paired=False, resamples=64)

    np.testing.assert_array_equal(f(KEY), f(KEY))
    assert f(KEY).low != f(jax.random.key(1)).low


def test_shares_stay_between_0_and_1():
    x, y = two_arms(seeds=8)
    better = stats.compare(KEY, y + 40.0, x, stats.probability_of_improvement, paired=False)
    almost = stats.compare(KEY, y + 1.5, x, stats.probability_of_improvement, paired=False)
    assert tuple(better[:3]) == (1.0, 1.0, 1.0) and almost.low < almost.value < almost.high == 1.0
    profile = stats.estimate(KEY, x, partial(stats.performance_profile, taus=[0.5, 1.5, 3.0]))
    assert np.all((profile.low >= 0.0) & (profile.high <= 1.0))


def test_equal_scores_have_an_interval_of_no_width():
    _, low, high = stats.estimate(KEY, np.full((5, 2), 3.0), resamples=20)
    assert low == high == 3.0


def test_a_statistic_of_ones_own_is_traced_once_and_agrees():
    seen = []

    def own(x):
        seen.append(x.shape)
        return stats.iqm(x)

    x, y = two_arms(seeds=8, tasks=2)
    found = stats.difference(KEY, x, y, own, paired=True)
    traces = len(seen)
    stats.difference(jax.random.key(1), y, x, own, paired=True)
    assert len(seen) == traces
    np.testing.assert_allclose(found, stats.difference(KEY, x, y, paired=True), rtol=1e-5)


@pytest.mark.parametrize(
    ("x", "y", "options", "argument"),
    [
        (np.ones((4, 2)), np.ones((4, 3)), {"paired": False}, "x, y"),
        (np.ones((4, 2)), np.ones((5, 2)), {"paired": True}, "x, y"),
        (np.float32(1), np.ones(4), {"paired": False}, "x"),
        (np.ones(4), np.ones((0,)), {"paired": False}, "y"),
        (np.ones(4), np.ones(4), {"paired": True, "confidence": 1.0}, "confidence"),
        (np.ones(4), np.ones(4), {"paired": True, "resamples": 0}, "resamples"),
    ],
)
def test_bad_input_names_the_argument(x, y, options, argument):
    with pytest.raises(ValueError, match=f"^{argument}:"):
        stats.difference(KEY, x, y, **options)


def test_a_curve_needs_steps():
    with pytest.raises(ValueError, match="^curves:"):
        stats.sample_efficiency(KEY, np.ones(5))
