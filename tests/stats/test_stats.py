"""iqm and rliable_estimate: scipy and rliable as oracles, hand-made cases where they end."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rliable import metrics
from scipy.stats import bootstrap, trim_mean

from purejaxrl_suite.stats import aggregate, iqm, rliable_compare, rliable_estimate

KEY = jax.random.key(0)
STORED = json.loads((Path(__file__).parent / "rliable.json").read_text())
per_column = partial(iqm, axis=0)


@pytest.mark.parametrize(
    "seeds", [1, 2, 5, 8, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 4, 7, 10))]
)
def test_iqm_is_the_trimmed_mean(seeds):
    x = np.random.default_rng(seeds).normal(size=(seeds, 3)).astype(np.float32)
    np.testing.assert_allclose(iqm(x, axis=0), trim_mean(x, 0.25, axis=0), rtol=1e-5)
    np.testing.assert_allclose(iqm(x), metrics.aggregate_iqm(x), rtol=1e-5)


def test_iqm_skips_missing_values():
    x = jnp.array(
        [[jnp.nan, jnp.nan], [9.0, jnp.nan], [1.0, jnp.nan], [2.0, jnp.nan], [4.0, jnp.nan]]
    )
    np.testing.assert_array_equal(iqm(x, axis=0), [3.0, np.nan])  # mean of 2 and 4


@pytest.mark.parametrize("name", ["iqm", "mean", "median", "optimality_gap"])
def test_intervals_are_those_that_rliable_gave(name):
    """Stored, since rliable does not import everywhere; its draws are its own, hence the bounds."""
    x = np.array(STORED["scores"]["x"], np.float32)
    found = rliable_estimate(KEY, x, getattr(aggregate, name), resamples=10_000)
    value, low, high = STORED["found"][name]
    np.testing.assert_allclose(found.value, value, rtol=1e-5)
    np.testing.assert_allclose([found.low, found.high], [low, high], atol=0.08 * (high - low))


def test_improvement_is_the_one_that_rliable_gave():
    x, y = (np.array(STORED["scores"][name], np.float32) for name in "xy")
    found = rliable_compare(KEY, x, y, aggregate.probability_of_improvement, resamples=10_000)
    value, low, high = STORED["found"]["probability_of_improvement"]
    np.testing.assert_allclose(found.value, value, rtol=1e-5)
    np.testing.assert_allclose([found.low, found.high], [low, high], atol=0.08 * (high - low))


def test_interval_agrees_with_the_stratified_bootstrap_of_scipy():
    x = np.random.default_rng(0).gamma(2.0, size=(12, 4))
    found = rliable_estimate(KEY, x)
    theirs = bootstrap(
        tuple(x.T),  # every task is a sample of its own, as in rliable's StratifiedBootstrap
        lambda *tasks, axis: trim_mean(np.concatenate(tasks, axis=axis), 0.25, axis=axis),
        n_resamples=4000, method="percentile", vectorized=True, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    # Both are Monte Carlo: 2000 resamples know a quantile to about a twentieth of the width.
    np.testing.assert_allclose(found[1:], theirs, atol=0.08 * float(found.high - found.low))


def test_interval_of_a_curve_uses_the_valid_seeds_of_each_update():
    values = np.random.default_rng(1).normal(size=9).astype(np.float32)
    curve = np.full((9, 4), np.nan, np.float32)
    curve[:, 0] = values
    curve[[1, 3, 4, 6], 1] = values[:4]
    curve[5, 2] = 1.0  # a single seed: no spread is known
    _, low, high = rliable_estimate(jax.random.key(3), curve, per_column)
    alone = rliable_estimate(jax.random.key(4), values[:4, None], per_column)
    assert low.shape == (4,)
    np.testing.assert_allclose(low[1], alone.low[0], atol=0.1)
    np.testing.assert_allclose(high[1], alone.high[0], atol=0.1)
    assert low[0] < iqm(values) < high[0]
    assert np.isnan(low[2:]).all() and np.isnan(high[2:]).all()


def test_missing_runs_are_not_drawn():
    x = np.array([[0.0, 5.0], [1.0, np.nan], [2.0, 7.0], [np.nan, 6.0]], np.float32)
    short = np.array([0.0, 1.0, 2.0], np.float32)
    _, low, high = rliable_estimate(KEY, x, lambda s: jnp.nanmean(s[:, 0]))
    alone = rliable_estimate(KEY, short, lambda s: jnp.nanmean(s))
    np.testing.assert_allclose([low, high], alone[1:], atol=0.34)  # means of three are thirds


def test_chunks_do_not_change_the_result(monkeypatch):
    x = np.random.default_rng(2).normal(size=(6, 5))
    whole = rliable_estimate(KEY, x, per_column, resamples=50)
    monkeypatch.setattr("purejaxrl_suite.stats.resample.CHUNK", 240)
    chunked = rliable_estimate(KEY, x, per_column, resamples=50)
    np.testing.assert_array_equal(whole, chunked)
