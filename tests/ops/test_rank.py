"""Ranks by hand, and singular values against numpy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.ops import rank

VALUES = jnp.array([4.0, 3.0, 2.0, 0.99, 0.01, 0.0])


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
    for function in (rank.effective_rank, rank.stable_rank, rank.srank, rank.numerical_rank):
        np.testing.assert_allclose(function(values), n, rtol=1e-6)


def test_zeros_have_no_rank():
    values = rank.singular_values(jnp.zeros((4, 3)))
    np.testing.assert_array_equal(values, np.zeros(3))
    for function in (rank.effective_rank, rank.stable_rank, rank.srank, rank.numerical_rank):
        assert function(values) == 0


@pytest.mark.parametrize("shape", [(9, 4), (4, 9)])
@pytest.mark.parametrize("scale", [1.0, 1e-20])
def test_singular_values_are_numpys(shape, scale):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32) * np.float32(scale)
    x[:, 1] = x[:, 0]
    expected = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    found = jax.jit(rank.singular_values)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * scale)
    assert (found == 0).sum() == (1 if shape == (9, 4) else 0)
