"""Stratified percentile bootstrap over seeds, after Agarwal et al. 2021 (arXiv 2108.13264)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from purejaxrl_suite.core.types import Array, Key

CHUNK = 2**22
"""Scores that are resampled at once: 16 MB in float32, whatever the number of resamples."""


def bootstrap_interval(
    key: Key,
    scores: ArrayLike,
    statistic: Callable[[Array], Array],
    confidence: float = 0.95,
    resamples: int = 2000,
) -> tuple[Array, Array]:
    """Percentile interval of a statistic of scores over seeds.

    Seeds are drawn with replacement within each column of `scores` by itself: a column is a task
    (the strata of the published method) or one update of a learning curve. Resamples are made in
    chunks, so memory does not grow with `resamples` times the size of `scores`.

    scores: f32[S, ...], seeds first. NaN marks a missing score (an update in which this seed
        finished no episode): a column is resampled among its valid seeds only, in their number.
    statistic: f32[S, ...] -> f32[...], such as `iqm` (all tasks in one number) or
        `partial(iqm, axis=0)` (one number per column). It must skip NaN, as `iqm` does.
    Returns (low, high), shaped like the statistic. A column with fewer than two valid seeds says
    nothing about the spread over seeds: it counts as missing, and what depends on it alone is NaN.
    Raises ValueError for scores without a seed axis, a confidence outside (0, 1), resamples < 1.
    """
    scores = jnp.asarray(scores, jnp.float32)
    if scores.ndim == 0 or scores.size == 0:
        raise ValueError(
            f"scores: expected [seeds, ...] with at least one entry, got {scores.shape}"
        )
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples: expected at least 1, got {resamples}")
    scores = jnp.sort(scores, axis=0)  # missing seeds last; a draw does not mind the order
    valid = jnp.sum(~jnp.isnan(scores), axis=0, keepdims=True)
    scores = jnp.where(valid > 1, scores, jnp.nan)
    estimates = jax.lax.map(
        lambda k: statistic(_resample(k, scores, valid)),
        jax.random.split(key, resamples),
        batch_size=max(1, min(resamples, CHUNK // scores.size)),
    )
    tail = (1.0 - confidence) / 2.0
    low, high = jnp.quantile(estimates, jnp.array([tail, 1.0 - tail], jnp.float32), axis=0)
    return low, high


def _resample(key: Key, scores: Array, valid: Array) -> Array:
    """Draw with replacement among the first `valid` seeds of each column; the rest stays NaN."""
    drawn = jnp.floor(jax.random.uniform(key, scores.shape) * valid).astype(jnp.int32)
    drawn = jnp.minimum(drawn, valid - 1)  # u * n may round up to n
    rank = jnp.expand_dims(jnp.arange(scores.shape[0]), tuple(range(1, scores.ndim)))
    return jnp.where(rank < valid, jnp.take_along_axis(scores, jnp.maximum(drawn, 0), 0), jnp.nan)
