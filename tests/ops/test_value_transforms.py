"""Transforms of values: round trips, hand-computed two-hot targets, and rlax as the oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from purejaxrl_suite.ops import distributional
from purejaxrl_suite.ops import value_transforms as ops

SUPPORT = (-300.0, 300.0)


def test_the_transform_and_its_inverse():
    x = np.float32([0.0, 1e-4, 0.01, 1.0, 7.0, 300.0, 12345.0, 1e6])
    x = np.r_[-x[::-1], x]
    np.testing.assert_allclose(ops.signed_parabolic(ops.signed_hyperbolic(x)), x, 3e-6)
    exact = np.float64(x)
    exact = np.sign(exact) * (np.sqrt(np.abs(exact) + 1) - 1) + 1e-3 * exact
    np.testing.assert_allclose(ops.signed_hyperbolic(x), exact, 1e-6)
    pair = rlax.SIGNED_HYPERBOLIC_PAIR
    np.testing.assert_allclose(ops.signed_hyperbolic(x), pair.apply(x), 1e-3, 1e-6)
    np.testing.assert_allclose(ops.signed_parabolic(x), pair.apply_inv(x), 1e-3, 1e-3)


@pytest.mark.parametrize(
    "transform, slope", [(ops.signed_hyperbolic, 0.501), (ops.signed_parabolic, 2 / 1.002)]
)
def test_slopes_at_0_are_those_beside_it(transform, slope):
    for x in (0.0, -0.0, 1e-6, -1e-6):
        assert jax.grad(transform)(x) == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (0.25, [0, 0, 0.75, 0.25, 0]),
        (-1.0, [0, 1, 0, 0, 0]),
        (2.0, [0, 0, 0, 0, 1]),
        (9.0, [0, 0, 0, 0, 1]),
        (-9.0, [1, 0, 0, 0, 0]),
    ],
)
def test_two_hot(x, expected):
    found = ops.two_hot(jnp.float32(x), -2.0, 2.0, 5)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    mean = found @ distributional.support(-2.0, 2.0, 5)
    assert mean == pytest.approx(np.clip(x, -2, 2), abs=1e-6)


def test_rlax_agrees_on_two_hot_targets_and_values():
    draw = np.random.default_rng(0)
    values = jnp.float32(draw.normal(0.0, 50.0, 64))
    pair = rlax.muzero_pair(*SUPPORT, 601, rlax.SIGNED_HYPERBOLIC_PAIR)
    ours = jax.vmap(lambda x: ops.two_hot(ops.signed_hyperbolic(x), *SUPPORT, 601))(values)
    logits = jnp.float32(draw.normal(size=(64, 601)))
    found = jax.vmap(lambda x: ops.value_of(x, *SUPPORT))(logits)
    with jax.numpy_rank_promotion("allow"):
        targets = pair.apply(values)
        expected = jax.vmap(lambda x: pair.apply_inv(jax.nn.softmax(x)))(logits)
    np.testing.assert_allclose(ours, targets, atol=2e-3)
    np.testing.assert_allclose(found, expected[:, 0], 1e-2, 1e-2)


def test_the_loss_is_least_at_its_target():
    target = jnp.float32(1.7)
    wanted = ops.two_hot(ops.signed_hyperbolic(target), -5.0, 5.0, 11)
    logits = jnp.log(wanted + 1e-20)
    assert ops.value_of(logits, -5.0, 5.0) == pytest.approx(1.7, abs=1e-5)
    slope = jax.grad(ops.categorical_value_loss)(logits, target, -5.0, 5.0)
    np.testing.assert_allclose(slope, 0.0, atol=1e-6)
    with pytest.raises(ValueError, match="atoms=1: expected at least 2"):
        ops.two_hot(target, 0.0, 1.0, 1)
