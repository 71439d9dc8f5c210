"""Values as categorical predictions: a transform that tames large ones, and two-hot targets.

A head has logits over M atoms, evenly spaced between `low` and `high` in transformed space. Its
value is the inverse transform of the mean atom, its loss the cross-entropy to a two-hot target.
"""

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array
from purejaxrl_suite.ops import distributional

EPSILON = 1e-3
"""Slope of the linear part of the transform of MuZero (Schrittwieser et al. 2020)."""


def signed_hyperbolic(x: Array, epsilon: float = EPSILON) -> Array:
    """Compute h(x) = sign(x) (sqrt(|x| + 1) - 1) + epsilon x, f32[...].

    Pohlen et al. 2018, arXiv 1805.11593, proposition A.2.
    """
    # As a multiple of x: without cancellation where x is small, and with the slope 1/2 + epsilon at
    # 0, where that of sign(x) would be lost.
    return x / (jnp.sqrt(1.0 + jnp.abs(x)) + 1.0) + epsilon * x


def signed_parabolic(x: Array, epsilon: float = EPSILON) -> Array:
    """Compute the inverse of `signed_hyperbolic`, f32[...]."""
    size = jnp.abs(x)
    # y = sqrt(|h^-1(x)| + 1) - 1 solves epsilon y^2 + (1 + 2 epsilon) y = |x|; the form below, y =
    # ratio |x|, does not cancel, and as a multiple of x the result has its slope at 0.
    slope = 1.0 + 2.0 * epsilon
    ratio = 2.0 / (slope + jnp.sqrt(slope**2 + 4.0 * epsilon * size))
    return x * ratio * (ratio * size + 2.0)


def two_hot(x: Array, low: Array | float, high: Array | float, atoms: int) -> Array:
    """Spread a number over the two atoms next to it, so that their mean is the number.

    Args:
        x: f32[]; beyond the support it is the outermost atom.
        low: the first atom.
        high: the last atom.
        atoms: M, static.

    Returns:
        f32[M], probabilities.

    Raises:
        ValueError: less than two atoms.
    """
    if atoms < 2:
        raise ValueError(f"atoms={atoms}: expected at least 2")
    positions = jnp.reshape(x, (1,))
    return distributional.project(jnp.ones(1), positions, distributional.support(low, high, atoms))


def value_of(logits: Array, low: Array | float, high: Array | float) -> Array:
    """Compute the value f32[] that logits f32[M] over atoms in transformed space stand for."""
    atoms = distributional.support(low, high, logits.shape[0])
    return signed_parabolic(distributional.expectation(logits, atoms))


def categorical_value_loss(
    logits: Array, target: Array, low: Array | float, high: Array | float
) -> Array:
    """Compute the cross-entropy f32[] from logits f32[M] to the two-hot transformed target f32[].

    Schrittwieser et al. 2020, MuZero, appendix F.
    """
    wanted = two_hot(signed_hyperbolic(target), low, high, logits.shape[0])
    return distributional.cross_entropy(wanted, logits)
