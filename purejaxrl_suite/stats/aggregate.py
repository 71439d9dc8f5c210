"""Scores to numbers: aggregates over seeds and tasks, after Agarwal et al. 2021 (arXiv 2108.13264).

Scores are f32[S, tasks], seeds first; more axes than two count as more tasks. NaN marks a missing
score and never counts. Where runs are missing, every task still weighs the same, except in `iqm`,
which pools all runs. What nothing is known of is NaN. Every function may be jitted and vmapped.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from purejaxrl_suite.core.types import Array

FINAL = 0.05
"""Share of training, at its end, over which `final_score` averages."""


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
    x = _sorted(jnp.moveaxis(x, axis, -1))
    valid = jnp.sum(~jnp.isnan(x), axis=-1, keepdims=True)
    cut = valid // 4
    rank = jnp.expand_dims(jnp.arange(x.shape[-1]), tuple(range(x.ndim - 1)))
    kept = (rank >= cut) & (rank < valid - cut)
    total = jnp.sum(jnp.where(kept, x, 0.0), axis=-1)
    count = jnp.sum(kept, axis=-1)
    return jnp.where(count > 0, total / jnp.maximum(count, 1), jnp.nan)


def mean(x: ArrayLike, axis: int | None = None) -> Array:
    """Mean over tasks of each task's mean over seeds; with `axis`, the mean along that axis.

    x: f32[S, ...]. Returns f32[], or f32 with the axis removed.
    """
    x = jnp.asarray(x, jnp.float32)
    return jnp.nanmean(x, axis=axis) if axis is not None else jnp.nanmean(_task_means(x))


def median(x: ArrayLike, axis: int | None = None) -> Array:
    """Median over tasks of each task's mean over seeds; with `axis`, the median along that axis.

    x: f32[S, tasks]. Returns f32[], or f32 with the axis removed.
    Raises ValueError for x of one axis and no `axis`: whether the median of seeds or the mean of
    one task is meant cannot be known.
    """
    x = jnp.asarray(x, jnp.float32)
    if axis is not None:
        return jnp.nanmedian(x, axis=axis)
    if x.ndim < 2:
        raise ValueError(f"x: expected [S, tasks], got {x.shape}; axis=0 is the median over seeds")
    return jnp.nanmedian(_task_means(x))


def optimality_gap(x: ArrayLike, gamma: float = 1.0, axis: int | None = None) -> Array:
    """How far the mean falls short of `gamma` when nothing above `gamma` counts as more than it.

    x: f32[S, ...], normalized scores. 0 is best; scores below 0 make it larger than `gamma`.
    """
    x = jnp.asarray(x, jnp.float32)
    return gamma - mean(jnp.where(x > gamma, gamma, x), axis)


def performance_profile(x: ArrayLike, taus: ArrayLike) -> Array:
    """Run-score distribution: the share of runs that score more than tau.

    x: f32[S, ...]. taus: f32[K]. Returns f32[K], non-increasing in tau.
    Raises ValueError unless taus has one axis.
    """
    x, taus = jnp.asarray(x, jnp.float32), _check_taus(taus)
    return jax.vmap(lambda tau: mean(_above(x, tau)))(taus)


def average_score_profile(x: ArrayLike, taus: ArrayLike) -> Array:
    """Average-score distribution: the share of tasks whose mean over seeds is more than tau.

    x: f32[S, ...]. taus: f32[K]. Returns f32[K], non-increasing in tau.
    Raises ValueError unless taus has one axis.
    """
    means, taus = _task_means(jnp.asarray(x, jnp.float32)), _check_taus(taus)
    return jax.vmap(lambda tau: jnp.nanmean(_above(means, tau)))(taus)


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> Array:
    """How probably a run of X beats a run of Y on the same task: ties half, averaged over tasks.

    x: f32[Sx, ...], y: f32[Sy, ...] with the same tasks. Returns f32[].
    Raises ValueError when the tasks differ in shape.
    """
    x, y = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
    if x.ndim == 0 or y.ndim == 0 or x.shape[1:] != y.shape[1:]:
        raise ValueError(f"x, y: expected [Sx, tasks] and [Sy, tasks], got {x.shape} and {y.shape}")

    def of_task(x: Array, y: Array) -> Array:
        y = _sorted(y)  # NaN comes last, above everything that is looked up
        beaten = jnp.searchsorted(y, x, side="left") + jnp.searchsorted(y, x, side="right")
        return jnp.nanmean(jnp.where(jnp.isnan(x), jnp.nan, beaten / (2 * jnp.sum(~jnp.isnan(y)))))

    x, y = (jnp.reshape(z, (z.shape[0], -1)) for z in (x, y))
    return jnp.nanmean(jax.vmap(of_task, in_axes=1)(x, y))


def area_under_curve(curves: ArrayLike, steps: ArrayLike | None = None) -> Array:
    """Mean height of a curve over its steps, by the trapezoidal rule: of a constant, the constant.

    curves: f32[..., T]. A missing point is bridged linearly; before the first and after the last
        valid point their value is held; a curve without a valid point gives NaN.
    steps: [T], increasing, where the points are; None for equal distances.
    Returns f32[...], in units of the score. Raises ValueError for steps that do not fit.
    """
    curves = jnp.asarray(curves, jnp.float32)
    if curves.ndim == 0 or curves.shape[-1] == 0:
        raise ValueError(f"curves: expected [..., T] with T of at least 1, got {curves.shape}")
    at = jnp.broadcast_to(_unit_interval(steps, curves.shape[-1]), curves.shape)
    filled = _bridge(curves, at)
    if curves.shape[-1] == 1:
        return filled[..., 0]
    middle = (filled[..., 1:] + filled[..., :-1]) / 2
    return jnp.sum(middle * jnp.diff(at, axis=-1), axis=-1)


def final_score(curves: ArrayLike, share: float = FINAL) -> Array:
    """Mean of each curve over the last `share` of its points, and never of less than one.

    curves: f32[..., T]. Where nothing is valid there, the last valid point stands; NaN without one.
    Returns f32[...]. Raises ValueError for a share outside (0, 1].
    """
    curves = jnp.asarray(curves, jnp.float32)
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share: expected a number in (0, 1], got {share}")
    if curves.ndim == 0 or curves.shape[-1] == 0:
        raise ValueError(f"curves: expected [..., T] with T of at least 1, got {curves.shape}")
    points = curves.shape[-1]
    final = jnp.nanmean(curves[..., -max(1, round(share * points)) :], axis=-1)
    index = jnp.broadcast_to(jnp.arange(points), curves.shape)
    last = jnp.max(jnp.where(jnp.isnan(curves), 0, index), axis=-1, keepdims=True)
    held = jnp.take_along_axis(curves, last, axis=-1)[..., 0]
    return jnp.where(jnp.isnan(final), held, final)


def _sorted(x: Array) -> Array:
    """x f32[..., N] in order, NaN last.

    As integers in the same order: XLA on a CPU sorts those five times faster than floats, and
    sorting is most of a bootstrap (`benchmarks/statistics.py`).
    """
    bits = jax.lax.bitcast_convert_type(jnp.where(jnp.isnan(x), jnp.nan, x), jnp.int32)
    bits = jnp.sort(_mirrored(bits), axis=-1)
    return jax.lax.bitcast_convert_type(_mirrored(bits), jnp.float32)


def _mirrored(bits: Array) -> Array:
    """Bits of floats and integers of the same order, either way; negative ones run backwards."""
    return jnp.where(bits < 0, bits ^ jnp.int32(0x7FFFFFFF), bits)


def _task_means(x: Array) -> Array:
    return jnp.ravel(jnp.nanmean(x, axis=0))


def _above(x: Array, tau: Array) -> Array:
    return jnp.where(jnp.isnan(x), jnp.nan, (x > tau).astype(jnp.float32))


def _check_taus(taus: ArrayLike) -> Array:
    taus = jnp.asarray(taus, jnp.float32)
    if taus.ndim != 1:
        raise ValueError(f"taus: expected one axis, got {taus.shape}")
    return taus


def _unit_interval(steps: ArrayLike | None, points: int) -> Array:
    """Where the points lie between 0 (the first) and 1 (the last), f32[T]."""
    if steps is None or points == 1:
        return jnp.linspace(0.0, 1.0, points)
    if np.shape(steps) != (points,):
        raise ValueError(f"steps: expected {points}, as many as points, got {np.shape(steps)}")
    if isinstance(steps, Tracer):
        steps = jnp.asarray(steps)
        return (steps - steps[0]) / (steps[-1] - steps[0])
    steps = np.asarray(steps, np.float64)  # more digits than float32 has for steps beyond 2**24
    if not np.all(np.diff(steps) > 0):
        raise ValueError(f"steps: expected increasing numbers, got {steps}")
    return jnp.asarray((steps - steps[0]) / (steps[-1] - steps[0]), jnp.float32)


def _bridge(curves: Array, at: Array) -> Array:
    """Fill the missing points of curves [..., T] that lie at [..., T]."""
    points, last = curves.shape[-1], curves.ndim - 1
    missing = jnp.isnan(curves)
    index = jnp.broadcast_to(jnp.arange(points), curves.shape)
    before = jax.lax.cummax(jnp.where(missing, -1, index), axis=last)
    after = jax.lax.cummin(jnp.where(missing, points, index), axis=last, reverse=True)
    before, after = (
        jnp.clip(jnp.where(before < 0, after, before), 0, points - 1),
        jnp.clip(jnp.where(after == points, before, after), 0, points - 1),
    )
    left, right = (jnp.take_along_axis(curves, near, axis=-1) for near in (before, after))
    start, end = (jnp.take_along_axis(at, near, axis=-1) for near in (before, after))
    apart = end > start
    weight = jnp.where(apart, (at - start) / jnp.where(apart, end - start, 1.0), 0.0)
    return left + weight * (right - left)
