"""Point estimates over seeds, after Agarwal et al. 2021 (arXiv 2108.13264)."""

import jax.numpy as jnp
from jax.typing import ArrayLike

from purejaxrl_suite.core.types import Array


def iqm(x: ArrayLike, axis: int | None = None) -> Array:
    """Interquartile mean: the mean that is left when a quarter of the values is cut at each end.

    x: f32[...]. NaN marks a missing value, neither counted nor cut: n valid values lose
        floor(n / 4) at each end (up to three are simply averaged), no valid value gives NaN.
    axis: the axis to reduce, or None for all values at once (as published for seeds x tasks).
    Returns f32 with the axis removed, equal to scipy.stats.trim_mean(x, 0.25, axis) where nothing
    is missing.
    """
    x = jnp.asarray(x, jnp.float32)
    if axis is None:
        x, axis = jnp.ravel(x), 0
    x = jnp.moveaxis(jnp.sort(x, axis=axis), axis, -1)  # NaN sorts last
    valid = jnp.sum(~jnp.isnan(x), axis=-1, keepdims=True)
    cut = valid // 4
    rank = jnp.expand_dims(jnp.arange(x.shape[-1]), tuple(range(x.ndim - 1)))
    kept = (rank >= cut) & (rank < valid - cut)
    total = jnp.sum(jnp.where(kept, x, 0.0), axis=-1)
    count = jnp.sum(kept, axis=-1)
    return jnp.where(count > 0, total / jnp.maximum(count, 1), jnp.nan)
