"""estimate, compare, difference, sample_efficiency: scipy's bootstraps, and known cases."""

from functools import partial

import jax
import numpy as np
import pytest
from scipy.stats import bootstrap, trim_mean

from purejaxrl_suite import stats

KEY = jax.random.key(0)
per_task = partial(stats.mean, axis=0)


def two_arms(seeds=12, tasks=1):
    rng = np.random.default_rng(0)
    shared = rng.gamma(2.0, size=(seeds, tasks))
    x = shared + 0.3 * rng.normal(size=(seeds, tasks)) + 0.5
    return x.astype(np.float32), shared.astype(np.float32)


@pytest.mark.parametrize("paired", [True, False])
def test_difference_agrees_with_the_bootstrap_of_scipy(paired):
    x, y = two_arms()

    def theirs(x, y, axis):
        return trim_mean(x, 0.25, axis=axis) - trim_mean(y, 0.25, axis=axis)

    expected = bootstrap(
        (x[:, 0], y[:, 0]), theirs, paired=paired, vectorized=True, n_resamples=4000,
        method="percentile", rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    effect = stats.difference(KEY, x, y, paired=paired, resamples=4000)
    np.testing.assert_allclose(effect.value, theirs(x, y, axis=None), rtol=1e-5)
    width = expected.high - expected.low
    np.testing.assert_allclose([effect.low, effect.high], expected, atol=0.06 * width)
    assert effect.seeds == 12


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
    estimate = stats.estimate(KEY, x)
    np.testing.assert_allclose(estimate.value, stats.iqm(x))
    assert np.isnan(estimate.low) and np.isnan(estimate.high)


def test_all_missing_is_nan():
    nothing = np.full((5, 2), np.nan)
    assert np.isnan(stats.estimate(KEY, nothing)).all()
    effect = stats.difference(KEY, nothing, np.ones((5, 2)), paired=False)
    assert np.isnan(effect[:3]).all()


def test_probability_of_improvement_has_an_interval():
    x, y = two_arms(seeds=10, tasks=3)
    effect = stats.compare(KEY, x, y, stats.probability_of_improvement, paired=False)
    rng = np.random.default_rng(0)

    def once():
        a, b = (np.take_along_axis(z, rng.integers(10, size=z.shape), 0) for z in (x, y))
        return np.mean(a[:, None] > b[None]) + 0.5 * np.mean(a[:, None] == b[None])

    expected = np.quantile([once() for _ in range(4000)], [0.025, 0.975])
    np.testing.assert_allclose([effect.low, effect.high], expected, atol=0.02)


def test_sample_efficiency_is_the_estimate_of_every_step():
    rng = np.random.default_rng(3)
    curves = np.cumsum(rng.normal(size=(10, 2, 4)), axis=2).astype(np.float32)
    curves[3, 1, 0] = np.nan
    found = stats.sample_efficiency(KEY, curves)
    for t in range(4):
        alone = stats.estimate(KEY, curves[..., t])
        np.testing.assert_allclose(found.value[t], alone.value, rtol=1e-5)
        width = alone.high - alone.low
        ends = found.low[t], found.high[t]
        np.testing.assert_allclose(ends, [alone.low, alone.high], atol=0.15 * width)
    assert found.low.shape == found.high.shape == (4,)


def test_the_key_alone_decides_and_vmap_changes_nothing():
    x, y = two_arms(seeds=6, tasks=2)
    keys = jax.random.split(KEY, 3)

    def f(key):
        return stats.difference(key, x, y, paired=False, resamples=64)

    together = jax.jit(jax.vmap(f))(keys)
    for i, key in enumerate(keys):
        np.testing.assert_allclose([z[i] for z in together], f(key), rtol=1e-5)
    np.testing.assert_array_equal(f(keys[0]), f(keys[0]))
    assert f(keys[0]).low != f(keys[1]).low


def test_the_same_question_is_compiled_once(monkeypatch):
    seen = []

    def counted(x):
        seen.append(x.shape)
        return stats.iqm(x)

    x, y = two_arms(seeds=5, tasks=2)
    stats.difference(KEY, x, y, counted, paired=True, resamples=8)
    traces = len(seen)
    stats.difference(jax.random.key(1), y, x, counted, paired=True, resamples=8)
    assert len(seen) == traces


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
