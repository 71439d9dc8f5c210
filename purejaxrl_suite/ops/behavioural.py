"""Distances and kernels of feature vectors that behavioural metrics are learnt with.

MICo: Castro et al. 2021, arXiv 2106.08229. KSMe: Castro et al. 2023, arXiv 2310.19804. All pairs of
two sets of n and m vectors are compared by their Gram matrix, never by n x m differences.
"""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array
from purejaxrl_suite.ops import differentiable

TINY = 1e-30
"""A squared length up to it is that of the zero vector, whose direction is none."""


def gram(x: Array, y: Array) -> Array:
    """Compute inner products of the rows of f32[n, D] and f32[m, D], f32[n, m]."""
    # In less than float32 the angle of nearly parallel vectors would be lost.
    return jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)


def safe_sqrt(x: Array) -> Array:
    """Compute the square root; of numbers up to 1e-30 it is 0, and so is its gradient."""
    return differentiable.sqrt(jnp.where(x > TINY, x, 0.0))


def angles(x: Array, y: Array) -> Array:
    """Compute the angles between rows of f32[n, D] and f32[m, D], f32[n, m], in [0, pi].

    atan2(sqrt(1 - cos^2), cos), as in the paper's code. A zero vector is orthogonal to all, and has
    no gradient; nor have parallel vectors, at whose angle 0 the gradient has no limit.
    """
    lengths = safe_sqrt(_squares(x))[:, None] * safe_sqrt(_squares(y))[None, :]
    some = lengths > 0.0
    cosine = jnp.where(some, gram(x, y) / jnp.where(some, lengths, 1.0), 0.0)
    return jnp.arctan2(safe_sqrt(1.0 - jnp.square(cosine)), cosine)


def mico_distances(x: Array, y: Array, angle_weight: Array | float = 0.1) -> Array:
    """Compute U(x, y) = (|x|^2 + |y|^2) / 2 + angle_weight * angle(x, y) of all pairs.

    The squares and their mean are those of the paper's code; its text has norms. U(x, x) is |x|^2:
    the distance of a state to itself is learnt, too.

    Args:
        x: f32[n, D].
        y: f32[m, D].
        angle_weight: beta.

    Returns:
        f32[n, m].
    """
    norms = 0.5 * (_squares(x)[:, None] + _squares(y)[None, :])
    return norms + angle_weight * angles(x, y)


def pair_differences(x: Array) -> Array:
    """Compute |x_i - x_j| of numbers f32[n], f32[n, n]."""
    return jnp.abs(x[:, None] - x[None, :])


def squared_distances(x: Array, y: Array) -> Array:
    """Compute |x_i - y_j|^2 of rows of f32[n, D] and f32[m, D], f32[n, m], at least 0."""
    found = _squares(x)[:, None] + _squares(y)[None, :] - 2.0 * gram(x, y)
    return jnp.maximum(found, 0.0)


def _squares(x: Array) -> Array:
    return jnp.sum(jnp.square(x), axis=-1)
