"""Losses and diagnostics: hand-computed values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.ops import losses


def test_surrogate_clips_only_what_would_improve_it():
    ratios = jnp.array([1.5, 1.5, 0.5, 0.5, 1.1])
    advantages = jnp.array([2.0, -2.0, 2.0, -2.0, 1.0])
    found = losses.ppo_surrogate(jnp.log(ratios), jnp.zeros(5), advantages, 0.2)
    np.testing.assert_allclose(found, [-2.4, 3.0, -1.0, 1.6, -1.1], rtol=1e-6)


def test_surrogate_has_no_gradient_outside_the_clip():
    gradient = jax.grad(lambda x: losses.ppo_surrogate(x, 0.0, 2.0, 0.2))
    assert gradient(jnp.log(1.5)) == 0.0
    assert gradient(0.0) == pytest.approx(-2.0)


def test_value_loss_takes_the_larger_square():
    values, targets = jnp.array([3.0, 1.1, -3.0]), jnp.array([3.0, 2.0, 0.0])
    found = losses.clipped_value_loss(values, jnp.ones(3), targets, 0.5)
    # moved at most 1/2 from 1: 1.5, 1.1, 0.5
    np.testing.assert_allclose(found, [0.5 * 1.5**2, 0.5 * 0.9**2, 0.5 * 9.0], rtol=1e-6)


def test_huber_is_quadratic_then_linear():
    found = losses.huber(jnp.array([0.5, -0.5, 3.0, -3.0]), 1.0)
    np.testing.assert_allclose(found, [0.125, 0.125, 2.5, 2.5])


def test_approximate_kl_estimates_kl_and_keeps_small_values():
    old, new = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.4, 0.2])
    samples = np.repeat(np.arange(3), [500, 300, 200])
    exact = np.sum(old * np.log(old / new))
    ratio = jnp.asarray(np.log(new / old)[samples], jnp.float32)
    assert jnp.mean(losses.approximate_kl(ratio)) == pytest.approx(exact, rel=1e-4)
    assert losses.approximate_kl(jnp.float32(1e-2)) == pytest.approx(5.0167e-5, rel=1e-3)


def test_clipped_and_means():
    ratios = jnp.array([[1.0, 1.3], [0.7, 1.1]])
    found = losses.clipped(jnp.log(ratios), 0.2)
    np.testing.assert_array_equal(found, [[0.0, 1.0], [1.0, 0.0]])
    means = losses.means({"clipped": found, "ratio": ratios})
    assert means["clipped"] == 0.5 and means["ratio"] == pytest.approx(1.025)


def test_explained_variance():
    targets = jnp.array([1.0, 2.0, 3.0, 4.0])
    assert losses.explained_variance(targets + 5.0, targets) == 1.0
    assert losses.explained_variance(jnp.zeros(4), targets) == 0.0
    assert losses.explained_variance(-targets, targets) == -3.0
    assert losses.explained_variance(targets, jnp.ones(4)) == 0.0
