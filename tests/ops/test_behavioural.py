"""Distances of features against numpy in float64; gradients where formulas have none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.ops import behavioural


def rows(n, size=7, seed=0):
    return np.random.default_rng(seed).normal(size=(n, size)).astype(np.float32)


def naive(x, y, beta):
    """U of all pairs, pair by pair in float64."""
    found = np.zeros((len(x), len(y)))
    for i, a in enumerate(x.astype(np.float64)):
        for j, b in enumerate(y.astype(np.float64)):
            cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-9)
            angle = np.arctan2(np.sqrt(max(1.0 - cosine**2, 0.0)), cosine)
            found[i, j] = 0.5 * (a @ a + b @ b) + beta * angle
    return found


def test_the_gram_form_is_that_of_pairs():
    x, y = rows(5), rows(4, seed=1)
    found = behavioural.mico_distances(jnp.asarray(x), jnp.asarray(y), 0.3)
    np.testing.assert_allclose(found, naive(x, y, 0.3), rtol=1e-5, atol=1e-4)
    apart = np.sum(np.square(x[:, None] - y[None]), axis=-1)
    np.testing.assert_allclose(behavioural.squared_distances(x, y), apart, rtol=1e-4, atol=1e-4)


def test_distances_of_one_set_are_symmetric_and_of_a_sample_to_itself_its_square():
    x = jnp.asarray(rows(6))
    found = behavioural.mico_distances(x, x)
    np.testing.assert_allclose(found, found.T, rtol=1e-6)
    np.testing.assert_allclose(jnp.diagonal(found), jnp.sum(x * x, axis=1), rtol=1e-3)
    assert np.all(found >= 0.0)


@pytest.mark.parametrize("case", ["zero", "both zero", "equal", "opposite"])
def test_gradients_are_finite_where_norms_and_angles_have_none(case):
    a = jnp.asarray(rows(1)[0])
    x, y = {
        "zero": (jnp.zeros_like(a), a),
        "both zero": (jnp.zeros_like(a), jnp.zeros_like(a)),
        "equal": (a, a),
        "opposite": (a, -a),
    }[case]

    def distance(x, y):
        return jnp.sum(behavioural.mico_distances(x[None], y[None], 0.1))

    for gradient, own in zip(jax.grad(distance, (0, 1))(x, y), (x, y), strict=True):
        # That of half the square: at an angle of 0 or pi there is no other.
        np.testing.assert_allclose(gradient, own, rtol=1e-2, atol=1e-2)
