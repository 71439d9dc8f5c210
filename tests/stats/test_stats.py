"""iqm and bootstrap_interval: scipy and rliable as oracles, hand-made cases where they end."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rliable import metrics
from scipy.stats import bootstrap, trim_mean

from purejaxrl_suite.stats import bootstrap_interval, iqm

per_column = partial(iqm, axis=0)


@pytest.mark.parametrize("seeds", [1, 2, 3, 4, 5, 7, 8, 10])
def test_iqm_is_the_trimmed_mean(seeds):
    x = np.random.default_rng(seeds).normal(size=(seeds, 3)).astype(np.float32)
    np.testing.assert_allclose(iqm(x, axis=0), trim_mean(x, 0.25, axis=0), rtol=1e-5)
    np.testing.assert_allclose(iqm(x), metrics.aggregate_iqm(x), rtol=1e-5)


def test_iqm_skips_missing_values():
    x = jnp.array(
        [[jnp.nan, jnp.nan], [9.0, jnp.nan], [1.0, jnp.nan], [2.0, jnp.nan], [4.0, jnp.nan]]
    )
    np.testing.assert_array_equal(iqm(x, axis=0), [3.0, np.nan])  # mean of 2 and 4


def test_interval_agrees_with_the_stratified_bootstrap_of_scipy():
    x = np.random.default_rng(0).gamma(2.0, size=(12, 4))
    low, high = jax.jit(bootstrap_interval, static_argnums=2)(jax.random.key(0), x, iqm)
    theirs = bootstrap(
        tuple(x.T),  # every task is a sample of its own, as in rliable's StratifiedBootstrap
        lambda *tasks, axis: trim_mean(np.concatenate(tasks, axis=axis), 0.25, axis=axis),
        n_resamples=4000, method="percentile", vectorized=True, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    # Both are Monte Carlo: 2000 resamples know a quantile to about a twentieth of the width.
    np.testing.assert_allclose([low, high], theirs, atol=0.08 * float(high - low))


def test_interval_of_a_curve_uses_the_valid_seeds_of_each_update():
    values = np.random.default_rng(1).normal(size=9).astype(np.float32)
    curve = np.full((9, 4), np.nan, np.float32)
    curve[:, 0] = values
    curve[[1, 3, 4, 6], 1] = values[:4]
    curve[5, 2] = 1.0  # a single seed: no spread is known
    low, high = bootstrap_interval(jax.random.key(3), curve, per_column)
    alone = bootstrap_interval(jax.random.key(4), values[:4, None], per_column)
    assert low.shape == (4,)
    np.testing.assert_allclose(low[1], alone[0][0], atol=0.1)
    np.testing.assert_allclose(high[1], alone[1][0], atol=0.1)
    assert low[0] < iqm(values) < high[0]
    assert np.isnan(low[2:]).all() and np.isnan(high[2:]).all()


def test_one_seed_has_no_interval():
    low, high = bootstrap_interval(jax.random.key(0), jnp.ones((1, 3)), per_column, resamples=10)
    assert np.isnan(low).all() and np.isnan(high).all()


def test_chunks_do_not_change_the_result(monkeypatch):
    x = np.random.default_rng(2).normal(size=(6, 5))
    whole = bootstrap_interval(jax.random.key(0), x, per_column, resamples=50)
    monkeypatch.setattr("purejaxrl_suite.stats.bootstrap.CHUNK", 240)
    chunked = bootstrap_interval(jax.random.key(0), x, per_column, resamples=50)
    np.testing.assert_array_equal(whole, chunked)


def test_equal_scores_have_an_interval_of_no_width():
    low, high = bootstrap_interval(jax.random.key(0), jnp.full((5, 2), 3.0), iqm, resamples=20)
    assert low == high == 3.0


@pytest.mark.parametrize(
    ("scores", "options", "argument"),
    [
        (jnp.float32(1.0), {}, "scores"),
        (jnp.zeros((0, 3)), {}, "scores"),
        (jnp.ones((4, 1)), {"confidence": 95}, "confidence"),
        (jnp.ones((4, 1)), {"resamples": 0}, "resamples"),
    ],
)
def test_bad_input_names_the_argument(scores, options, argument):
    with pytest.raises(ValueError, match=argument):
        bootstrap_interval(jax.random.key(0), scores, iqm, **options)
