"""Running mean and variance of a stream of batches.

After ten million samples one more changes a float32 mean or variance by less than its rounding
error, and from 2^24 on it leaves a float32 count unchanged. So each is kept as a number and its
rounding error (compensated summation).
"""

import math
from typing import NamedTuple

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array
from purejaxrl_suite.ops.differentiable import sqrt


class Left(NamedTuple):
    """Rounding errors: what is to be added to the numbers of the same name."""

    count: Array
    mean: Array
    variance: Array


class Moments(NamedTuple):
    """Running moments of a stream.

    count: f32[], samples seen. mean, variance: f32[*shape], of the population so far.
    left: their rounding errors; counts are exact to 2^48.
    """

    count: Array
    mean: Array
    variance: Array
    left: Left


def init(shape: tuple[int, ...] = ()) -> Moments:
    """Make moments of no samples: mean 0 and variance 1, so that `normalize` is the identity."""
    none, zero, *zeros = (jnp.zeros(s, jnp.float32) for s in ((), (), shape, shape, shape))
    return Moments(none, zeros[0], jnp.ones(shape, jnp.float32), Left(zero, *zeros[1:]))


def update(moments: Moments, batch: Array) -> Moments:
    """Merge a batch [..., *shape] (Chan, Golub and LeVeque 1983, The American Statistician 37)."""
    axes = tuple(range(batch.ndim - moments.mean.ndim))
    size = math.prod(batch.shape[: len(axes)])
    batch, left, first = batch.astype(jnp.float32), moments.left, moments.count == 0
    # Sums are relative to a number near the samples, which is exact where samples are all equal.
    mean = jnp.where(first, batch[(0,) * len(axes)], moments.mean)
    variance = jnp.where(first, 0.0, moments.variance)
    off = batch - jnp.expand_dims(mean, axes) - jnp.expand_dims(left.mean, axes)
    delta, spread = jnp.mean(off, axes), jnp.var(off, axes)
    count, count_left = _plus(moments.count, left.count, jnp.float32(size))
    weight = size / count
    wider = spread - variance + (1.0 - weight) * jnp.square(delta)
    mean, mean_left = _plus(mean, left.mean, weight * delta)
    variance, variance_left = _plus(variance, left.variance, weight * wider)
    return Moments(count, mean, variance, Left(count_left, mean_left, variance_left))


def _plus(x: Array, left: Array, more: Array) -> tuple[Array, Array]:
    """Add x + left + more: the sum and its rounding error (Knuth, The Art, vol. 2)."""
    total = x + more
    added = total - x
    left = left + ((x - (total - added)) + (more - added))
    rounded = total + left
    return rounded, left - (rounded - total)


def normalize(
    moments: Moments, x: Array, clip: Array | float = math.inf, epsilon: float = 1e-8
) -> Array:
    """Normalize x by running moments: (x - mean) / sqrt(variance + epsilon), clipped.

    Args:
        moments: of the stream.
        x: [..., *shape].
        clip: results are clipped to +-clip.
        epsilon: added to the variance.

    Returns:
        f32[..., *shape].
    """
    axes = tuple(range(x.ndim - moments.mean.ndim))
    mean, left = (jnp.expand_dims(m, axes) for m in (moments.mean, moments.left.mean))
    scale = jnp.expand_dims(jnp.sqrt(moments.variance + epsilon), axes)
    return jnp.clip((x.astype(jnp.float32) - mean - left) / scale, -clip, clip)


def standardize(x: Array, group: Array | None = None, groups: int = 1) -> Array:
    """Standardize: subtract the mean and divide by the standard deviation + 1e-8.

    Args:
        x: f32[...].
        group: i32[...] in [0, groups), each standardized by itself; None is one group.
        groups: how many there are.

    Returns:
        f32[...].
    """
    if group is None:
        return (x - jnp.mean(x)) / (sqrt(jnp.var(x)) + 1e-8)
    member = (jnp.ravel(group)[:, None] == jnp.arange(groups)[None]).astype(jnp.float32)
    # An absent group divides a sum of zero by one; no element uses it.
    count, flat = jnp.maximum(jnp.sum(member, axis=0), 1.0), jnp.ravel(x)
    centred = flat - member @ (flat @ member / count)
    deviation = member @ sqrt(jnp.square(centred) @ member / count)
    return jnp.reshape(centred / (deviation + 1e-8), x.shape)
