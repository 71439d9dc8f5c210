"""Distributions of returns: hand-computed values, properties, and rlax as the oracle."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from hypothesis import strategies

from purejaxrl_suite.ops import distributional

SUPPORT = jnp.array([0.0, 1.0, 3.0])
floats = strategies.floats(-5.0, 5.0, width=32)


def test_projection_shares_by_nearness():
    probabilities = jnp.array([0.5, 0.25, 0.25])
    # 0.25 lies a quarter of the way to 1, 2.0 half-way to 3, -7 is outside.
    found = distributional.project(probabilities, jnp.array([0.25, 2.0, -7.0]), SUPPORT)
    np.testing.assert_allclose(found, [0.375 + 0.25, 0.125 + 0.125, 0.125], rtol=1e-6)


def test_projection_onto_its_own_support_is_the_identity():
    probabilities = jnp.array([0.2, 0.3, 0.5])
    found = distributional.project(probabilities, SUPPORT, SUPPORT)
    np.testing.assert_array_equal(found, probabilities)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(strategies.lists(floats, min_size=7, max_size=7))
def test_projection_keeps_mass_and_mean_and_agrees_with_rlax(positions):
    positions = np.float32(positions)
    probabilities = np.exp(np.cos(7.0 * positions))
    probabilities /= np.sum(probabilities)
    support = np.float32([-4.0, -1.0, 0.0, 0.5, 4.0])
    found = np.asarray(jax.jit(distributional.project)(probabilities, positions, support))
    assert np.all(found >= 0.0) and np.sum(found) == pytest.approx(1.0, abs=1e-5)
    mean = np.sum(probabilities * np.clip(positions, -4.0, 4.0))
    assert np.sum(found * support) == pytest.approx(float(mean), abs=1e-5)
    expected = jax.jit(rlax.categorical_l2_project)(positions, probabilities, support)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_categorical_target_by_hand():
    support = distributional.support(-1.0, 1.0, 5)
    np.testing.assert_allclose(support, [-1.0, -0.5, 0.0, 0.5, 1.0])
    probabilities = jnp.array([0.0, 0.0, 0.5, 0.5, 0.0])
    # Positions 0.25 + 0.5 * (0, 0.5) = 0.25, 0.5.
    found = distributional.categorical_target(0.25, 0.5, False, probabilities, support)
    np.testing.assert_allclose(found, [0.0, 0.0, 0.25, 0.75, 0.0], atol=1e-6)
    ended = distributional.categorical_target(0.25, 0.5, True, probabilities, support)
    np.testing.assert_allclose(ended, [0.0, 0.0, 0.5, 0.5, 0.0], atol=1e-6)


@pytest.mark.filterwarnings("ignore:Rlax categorical:PendingDeprecationWarning")
def test_categorical_loss_agrees_with_rlax():
    rng = np.random.default_rng(0)
    logits, next_logits = (jnp.asarray(x, "f") for x in rng.normal(size=(2, 3, 5)))
    selector, atoms = jnp.asarray(rng.normal(size=3), "f"), distributional.support(-2.0, 2.0, 5)
    probabilities = jax.nn.softmax(next_logits[jnp.argmax(selector)])
    target = distributional.categorical_target(0.3, 0.8, False, probabilities, atoms)
    found = distributional.cross_entropy(target, logits[1])
    expected = rlax.categorical_double_q_learning(
        atoms, logits, jnp.int32(1), 0.3, 0.8, atoms, next_logits, selector
    )
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_expectation():
    logits = jnp.log(jnp.array([[0.5, 0.25, 0.25], [1.0, 1e-30, 1e-30]]))
    np.testing.assert_allclose(distributional.expectation(logits, SUPPORT), [1.0, 0.0], atol=1e-6)


def test_midpoints():
    np.testing.assert_allclose(distributional.midpoints(4), [0.125, 0.375, 0.625, 0.875])


def test_quantile_huber_by_hand():
    quantiles, fractions = jnp.array([0.0, 2.0]), jnp.array([0.25, 0.75])
    # Errors of target 0.5: 0.5 and -1.5; Huber 0.125 and 1; tilted by 0.25 and |0.75 - 1|.
    found = distributional.quantile_huber(quantiles, fractions, jnp.array([0.5]))
    assert found == pytest.approx(0.25 * 0.125 + 0.25 * 1.0)
    # A second target 2.0 (errors 2 and 0; Huber 1.5 and 0): averaged over targets.
    found = distributional.quantile_huber(quantiles, fractions, jnp.array([0.5, 2.0]))
    assert found == pytest.approx(((0.25 * 0.125 + 0.25 * 1.0) + 0.25 * 1.5) / 2.0)


@pytest.mark.parametrize("kappa", [0.0, 0.5, 1.0, 3.0])
def test_quantile_huber_agrees_with_rlax(kappa):
    rng = np.random.default_rng(0)
    quantiles, targets = jnp.asarray(rng.normal(size=5), "f"), jnp.asarray(rng.normal(size=8), "f")
    fractions = jnp.asarray(rng.random(5), "f")

    def ours(quantiles):
        return distributional.quantile_huber(quantiles, fractions, targets, kappa)

    def theirs(quantiles):  # not divided by kappa, as in QR-DQN
        loss = rlax.quantile_regression_loss(quantiles, fractions, targets, kappa)
        return loss / (kappa or 1.0)

    both = (jax.jit(jax.value_and_grad(one))(quantiles) for one in (ours, theirs))
    (loss, gradient), (expected, slope) = both
    assert loss == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4)


def test_quantile_regression_finds_quantiles():
    targets = jnp.arange(1.0, 12.0)  # 1 .. 11
    fractions = jnp.array([0.25, 0.5, 0.9])
    descend = jax.jit(
        lambda x: x - 0.1 * jax.grad(distributional.quantile_huber)(x, fractions, targets, 0.0)
    )
    found = jnp.zeros(3)
    for _ in range(2000):
        found = descend(found)
    np.testing.assert_allclose(found, [3.0, 6.0, 10.0], atol=0.1)
