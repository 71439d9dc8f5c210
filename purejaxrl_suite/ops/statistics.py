"""Running mean and variance of a stream of batches."""

import math
from typing import NamedTuple

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array


class Moments(NamedTuple):
    """count: f32[], samples seen. mean, variance: f32[*shape], of the population so far."""

    count: Array
    mean: Array
    variance: Array


def init(shape: tuple[int, ...] = ()) -> Moments:
    """Moments of no samples: mean 0 and variance 1, so that `normalize` is the identity."""
    return Moments(
        jnp.zeros((), jnp.float32), jnp.zeros(shape, jnp.float32), jnp.ones(shape, jnp.float32)
    )


def update(moments: Moments, batch: Array) -> Moments:
    """Merge a batch [..., *shape] (Chan, Golub and LeVeque 1983, The American Statistician 37)."""
    axes = tuple(range(batch.ndim - moments.mean.ndim))
    size = math.prod(batch.shape[: len(axes)])
    batch = batch.astype(jnp.float32)
    total = moments.count + size
    weight = size / total
    delta = jnp.mean(batch, axes) - moments.mean
    variance = (
        (1.0 - weight) * moments.variance
        + weight * jnp.var(batch, axes)
        + (1.0 - weight) * weight * jnp.square(delta)
    )
    return Moments(total, moments.mean + weight * delta, variance)


def normalize(
    moments: Moments, x: Array, clip: Array | float = math.inf, epsilon: float = 1e-8
) -> Array:
    """(x - mean) / sqrt(variance + epsilon), clipped to +-clip; x is [..., *shape]."""
    axes = tuple(range(x.ndim - moments.mean.ndim))
    mean = jnp.expand_dims(moments.mean, axes)
    scale = jnp.expand_dims(jnp.sqrt(moments.variance + epsilon), axes)
    return jnp.clip((x.astype(jnp.float32) - mean) / scale, -clip, clip)


def standardize(x: Array, group: Array | None = None, groups: int = 1) -> Array:
    """x [...] less its mean, over its deviation + 1e-8.

    group: i32[...] in [0, groups): each group by its own mean and deviation; None takes all as one.
    """
    if group is None:
        return (x - jnp.mean(x)) / (jnp.std(x) + 1e-8)
    member = (jnp.ravel(group)[:, None] == jnp.arange(groups)[None]).astype(jnp.float32)
    # A group that is absent has a sum of zero over one, which is used by no element.
    count, flat = jnp.maximum(jnp.sum(member, axis=0), 1.0), jnp.ravel(x)
    centred = flat - member @ (flat @ member / count)
    deviation = member @ jnp.sqrt(jnp.square(centred) @ member / count)
    return jnp.reshape(centred / (deviation + 1e-8), x.shape)
