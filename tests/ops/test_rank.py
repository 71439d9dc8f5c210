"""Ranks by hand, and singular values against numpy's in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.ops import rank

VALUES = jnp.array([4.0, 3.0, 2.0, 0.99, 0.01, 0.0])
RANKS = (rank.effective_rank, rank.stable_rank, rank.srank, rank.numerical_rank)


def test_hand_computed():
    np.testing.assert_allclose(rank.stable_rank(VALUES), (16 + 9 + 4 + 0.99**2 + 1e-4) / 16)
    shares = np.array([0.4, 0.3, 0.2, 0.099, 0.001])
    expected = np.exp(-np.sum(shares * np.log(shares)))
    np.testing.assert_allclose(rank.effective_rank(VALUES), expected, rtol=1e-6)
    # Cumulative shares are 0.4, 0.7, 0.9, 0.999: four reach 0.99, three reach 0.9.
    assert rank.srank(VALUES) == 4 and rank.srank(VALUES, delta=0.11) == 3
    assert rank.numerical_rank(VALUES) == 4 and rank.numerical_rank(VALUES, 0.6) == 2


@pytest.mark.parametrize("n", [1, 5])
def test_equal_values_have_full_rank_whatever_the_definition(n):
    values = jnp.full(n, 3.0)
    for function in RANKS:
        np.testing.assert_allclose(function(values), n, rtol=1e-6)


def test_zeros_have_no_rank_and_nan_has_none_that_is_known():
    values = rank.singular_values(jnp.zeros((4, 3)))
    np.testing.assert_array_equal(values, np.zeros(3))
    unknown = rank.singular_values(jnp.zeros((4, 3)).at[1, 1].set(jnp.nan))
    for function in RANKS:
        assert function(values) == 0 and np.isnan(function(unknown))


@pytest.mark.parametrize("shape", [(9, 4), (4, 9)])
@pytest.mark.parametrize("scale", [1.0, 1e-20])
def test_singular_values_are_numpys(shape, scale):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32) * np.float32(scale)
    x[:, 1] = x[:, 0]
    expected = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    found = jax.jit(rank.singular_values)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * scale)


def features(units, samples, decay, mean, seed=0):
    """Features whose singular values fall by powers, all samples moved by one long vector."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(n, units)))[0] for n in (samples, units))
    values = np.arange(1.0, units + 1) ** -decay
    direction = rng.random(units) / np.sqrt(units)
    return (left * values @ right.T * np.sqrt(samples) + mean * direction).astype(np.float32)


SPECTRA = {"flat": (0.3, 0.0), "decaying": (1.0, 3.0), "steep": (2.0, 3.0), "collapsed": (0.1, 3e3)}
SMALL = [(64, 256), (200, 256)]
LARGE = [pytest.param(*x, marks=pytest.mark.slow) for x in ((512, 1024), (2048, 1024))]


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize(("units", "samples"), SMALL + LARGE)
def test_ranks_are_those_of_double_precision(units, samples, spectrum):
    """Where a Gram matrix in float32 sees a few directions, or the mean alone."""
    x = features(min(units, samples), samples, *SPECTRA[spectrum])
    x = np.pad(x, ((0, 0), (0, units - x.shape[1])))
    values = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    shares = values / values.sum()
    srank = 1 + np.sum(np.cumsum(shares) < 0.99)
    effective = np.exp(-np.sum(shares * np.log(np.maximum(shares, 1e-300))))
    found = jax.jit(rank.singular_values)(x)
    np.testing.assert_allclose(rank.srank(found), srank, rtol=0.01)
    np.testing.assert_allclose(rank.effective_rank(found), effective, rtol=0.01)
