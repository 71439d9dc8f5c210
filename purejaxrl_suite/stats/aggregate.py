"""Aggregate scores over seeds and tasks, after Agarwal et al. 2021 (arXiv 2108.13264).

Scores are f32[S, tasks], seeds first; further axes count as more tasks. NaN marks a missing score
and is ignored. Every task has the same weight, even if runs are missing. A result without any score
is NaN. Every function may be jitted and vmapped.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from purejaxrl_suite.core.compiling import quickly
from purejaxrl_suite.core.types import Array

FINAL = 0.05
"""Share of training, from its end, over which `final_score` averages."""
WINDOWS = 50
"""The most windows of a curve, for figures and for `area_under_curve`."""


@quickly("axis")
def iqm(x: ArrayLike, axis: int | None = None) -> Array:
    """Compute the interquartile mean (IQM): the mean of the middle half of the values.

    Args:
        x: f32[...]. NaN marks a missing value, neither counted nor cut: n valid values lose
            floor(n / 4) at each end (up to three are simply averaged); none gives NaN.
        axis: the axis to reduce, or None for all values at once (as published for seeds x tasks).
            Then x is f32[S, ...], and tasks that miss runs are upweighted to the weight of the
            others: otherwise arms that miss runs of different tasks would seem to differ.

    Returns:
        f32 with the axis removed, equal to scipy.stats.trim_mean(x, 0.25, axis) if nothing is
        missing.

    Example:
        >>> float(pjs.stats.iqm(jnp.array([0.0, 1.0, 2.0, 100.0])))
        1.5
    """
    x = jnp.asarray(x, jnp.float32)
    if axis is None:
        weights = _of_equal_tasks(x)
        x, weights = _sorted(jnp.ravel(x), jnp.ravel(weights))
    else:
        x = _sorted(jnp.moveaxis(x, axis, -1))[0]
        weights = jnp.where(jnp.isnan(x), 0.0, 1.0)
    valid = jnp.sum(~jnp.isnan(x), axis=-1, keepdims=True)
    cut = (valid // 4).astype(jnp.float32)
    reached = jnp.clip(jnp.cumsum(weights, axis=-1), cut, valid - cut)
    kept = reached - jnp.concatenate([cut, reached[..., :-1]], axis=-1)
    total = jnp.sum(jnp.where(kept > 0, kept * x, 0.0), axis=-1)
    count = jnp.sum(kept, axis=-1)
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1.0), jnp.nan)


@quickly("axis")
def mean(x: ArrayLike, axis: int | None = None) -> Array:
    """Average over tasks each task's mean over seeds; with `axis`, average along that axis.

    x: f32[S, ...]. Returns f32[], or f32 with the axis removed.
    """
    x = jnp.asarray(x, jnp.float32)
    return jnp.nanmean(x, axis=axis) if axis is not None else jnp.nanmean(_task_means(x))


@quickly("axis")
def median(x: ArrayLike, axis: int | None = None) -> Array:
    """Compute the median over tasks of each task's mean; with `axis`, the median along that axis.

    x: f32[S, tasks]. Returns f32[], or f32 with the axis removed.

    Raises:
        ValueError: x has one axis and `axis` is None, which could mean the median of seeds or the
            mean of one task.
    """
    x = jnp.asarray(x, jnp.float32)
    if axis is not None:
        return jnp.nanmedian(x, axis=axis)
    if x.ndim < 2:
        raise ValueError(f"x: expected [S, tasks], got {x.shape}; axis=0 is the median over seeds")
    return jnp.nanmedian(_task_means(x))


@quickly("axis")
def optimality_gap(x: ArrayLike, gamma: float = 1.0, axis: int | None = None) -> Array:
    """Compute the optimality gap: gamma minus the mean of scores clipped at gamma from above.

    Args:
        x: f32[S, ...], normalized scores.
        gamma: the score beyond which improvements do not count.
        axis: the axis to reduce, or None for all values.

    Returns:
        f32, 0 at best; scores below 0 make it larger than gamma.
    """
    x = jnp.asarray(x, jnp.float32)
    return gamma - mean(jnp.where(x > gamma, gamma, x), axis)


@quickly()
def performance_profile(x: ArrayLike, taus: ArrayLike) -> Array:
    """Compute the performance profile: the share of runs that score more than tau.

    x: f32[S, ...]. taus: f32[K]. Returns f32[K], non-increasing in tau.

    Raises:
        ValueError: taus does not have one axis.
    """
    x, taus = jnp.asarray(x, jnp.float32), _check_taus(taus)
    return jax.vmap(lambda tau: mean(_above(x, tau)))(taus)


@quickly()
def average_score_profile(x: ArrayLike, taus: ArrayLike) -> Array:
    """Compute the average-score profile: the share of tasks whose mean over seeds exceeds tau.

    x: f32[S, ...]. taus: f32[K]. Returns f32[K], non-increasing in tau.

    Raises:
        ValueError: taus does not have one axis.
    """
    means, taus = _task_means(jnp.asarray(x, jnp.float32)), _check_taus(taus)
    return jax.vmap(lambda tau: jnp.nanmean(_above(means, tau)))(taus)


@quickly()
def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> Array:
    """Compute the probability that a run of X beats a run of Y on a task, averaged over tasks.

    Ties count half. x: f32[Sx, ...], y: f32[Sy, ...] with the same tasks. Returns f32[].

    Raises:
        ValueError: the tasks differ in shape.

    Example:
        >>> float(pjs.stats.probability_of_improvement([[1.0], [3.0]], [[0.0], [2.0]]))
        0.75
    """
    x, y = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
    if x.ndim == 0 or y.ndim == 0 or x.shape[1:] != y.shape[1:]:
        raise ValueError(f"x, y: expected [Sx, tasks] and [Sy, tasks], got {x.shape} and {y.shape}")

    def of_task(x: Array, y: Array) -> Array:
        (y,) = _sorted(y)  # NaN comes last, above all values of x
        beaten = jnp.searchsorted(y, x, side="left") + jnp.searchsorted(y, x, side="right")
        return jnp.nanmean(jnp.where(jnp.isnan(x), jnp.nan, beaten / (2 * jnp.sum(~jnp.isnan(y)))))

    x, y = (jnp.reshape(z, (z.shape[0], -1)) for z in (x, y))
    return jnp.nanmean(jax.vmap(of_task, in_axes=1)(x, y))


@quickly("share")
def final_score(curves: ArrayLike, episodes: ArrayLike | None, share: float = FINAL) -> Array:
    """Average over the episodes that ended in the last `share` of training.

    Rows are weighted by their episodes, so that the score of a policy does not depend on how
    training was divided into updates.

    Args:
        curves: f32[..., T], in each row (one update or several) the mean over the episodes that
            ended in it.
        episodes: f32[..., T], the number of these episodes; NaN in a row that was not run, which
            is ignored. None only for a metric that is not a mean over episodes, such as one
            measured every few updates: then known points have equal weight, and if there is none
            in the window, the last known point is used.
        share: of the rows that were run, in (0, 1]; at least one row is used.

    Returns:
        f32[...], NaN where no episode ended in the window.

    Raises:
        ValueError: a share outside (0, 1], or shapes that do not fit.
    """
    curves = _checked_curves(curves)
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share: expected a number in (0, 1], got {share}")
    if episodes is None:
        return _last_mean(curves, share)
    episodes = _checked_episodes(episodes, curves)
    run = ~jnp.isnan(episodes)
    left = jnp.cumsum(run[..., ::-1], axis=-1)[..., ::-1]  # rows from this one to the last
    window = left <= jnp.maximum(1, jnp.round(share * left[..., :1]))
    weights = _weights(curves, jnp.where(window, episodes, 0.0))
    return _ratio(jnp.sum(_counted(curves, weights), axis=-1), jnp.sum(weights, axis=-1))


@quickly("windows")
def window_means(curves: ArrayLike, episodes: ArrayLike | None, windows: int = WINDOWS) -> Array:
    """Average over the episodes that ended in each of `windows` equal parts of a curve.

    Args:
        curves: as in `final_score`.
        episodes: as in `final_score`; with None known points have equal weight.
        windows: W, with equally many points each (the first ones may have one more); at most one
            window per point.

    Returns:
        f32[..., W], NaN for a window without an episode.

    Raises:
        ValueError: no window, or shapes that do not fit.
    """
    curves = _checked_curves(curves)
    if windows < 1:
        raise ValueError(f"windows: expected at least 1, got {windows}")
    weights = _weights(curves, _checked_episodes(1.0 if episodes is None else episodes, curves))
    part = _parts(curves.shape[-1], windows)

    def sums(x: Array) -> Array:
        rows = jnp.moveaxis(x, -1, 0)
        found = jax.ops.segment_sum(rows, part, part[-1] + 1, indices_are_sorted=True)
        return jnp.moveaxis(found, 0, -1)

    return _ratio(sums(_counted(curves, weights)), sums(weights))


def area_under_curve(
    curves: ArrayLike, episodes: ArrayLike | None, steps: ArrayLike | None = None
) -> Array:
    """Compute the mean height of a curve over its steps, by the trapezoidal rule.

    Missing points are interpolated linearly; before the first and after the last known point the
    curve is constant.

    Args:
        curves: f32[..., T], as in `final_score`.
        episodes: f32[..., T], as in `final_score`. If given, the curve is that of `window_means`,
            since single updates favour short episodes.
        steps: [T], increasing, the positions of the points; None for equal distances.

    Returns:
        f32[...], in units of the score; NaN for a curve without a known point.

    Raises:
        ValueError: steps or shapes that do not fit.
    """
    points = np.shape(curves)[-1] if np.ndim(curves) else 0
    return _area(curves, episodes, _unit_interval(steps, points))


@quickly()
def _area(curves: ArrayLike, episodes: ArrayLike | None, unit: Array) -> Array:
    curves = _checked_curves(curves)
    if episodes is not None:
        curves = window_means(curves, episodes)
        unit = window_means(unit, None)  # the position of a window is the mean of its steps
    if curves.shape[-1] == 1:
        return curves[..., 0]
    at = jnp.broadcast_to((unit - unit[0]) / (unit[-1] - unit[0]), curves.shape)
    filled = _bridge(curves, at)
    middle = (filled[..., 1:] + filled[..., :-1]) / 2
    return jnp.sum(middle * jnp.diff(at, axis=-1), axis=-1)


@quickly()
def with_diverged(scores: ArrayLike, diverged: ArrayLike, random: ArrayLike = np.nan) -> Array:
    """Replace the scores of diverged members by the worst score of their task.

    That is the lowest score of any member on this task among `scores`, and at most that of a random
    policy. Leaving diverged members out would make unstable settings look better than they are, and
    their scores before they diverged are not those of a final policy.

    Args:
        scores: f32[..., tasks], the higher the better, NaN where missing.
        diverged: bool[..., tasks] of the same shape, or 1 along an axis.
        random: f32[tasks], or one number for all: scores of a random policy, NaN where unknown.

    Returns:
        f32[..., tasks], as many as `scores`; NaN for a diverged member only if no score of the
        task is known.

    Raises:
        ValueError: shapes that do not fit.
    """
    scores, lost = jnp.asarray(scores, jnp.float32), jnp.asarray(diverged, bool)
    fits = [a in (1, b) for a, b in zip(lost.shape, scores.shape, strict=False)]
    if not fits or lost.ndim != scores.ndim or not all(fits):
        expected = f"the shape of scores, {scores.shape}, or 1 along an axis"
        raise ValueError(f"diverged: expected {expected}, got {lost.shape}")
    if np.shape(random) not in ((), scores.shape[-1:]):
        expected = f"one number or {scores.shape[-1:]}, one per task"
        raise ValueError(f"random: expected {expected}, got shape {np.shape(random)}")
    finite = jnp.where(jnp.isfinite(scores), scores, jnp.inf)
    lowest = jnp.min(finite, axis=tuple(range(scores.ndim - 1)))
    worst = jnp.fmin(jnp.where(jnp.isinf(lowest), jnp.nan, lowest), jnp.float32(random))
    worst = jnp.broadcast_to(worst, scores.shape)
    return jnp.where(jnp.broadcast_to(lost, scores.shape), worst, scores)


def _checked_curves(curves: ArrayLike) -> Array:
    curves = jnp.asarray(curves, jnp.float32)
    if curves.ndim == 0 or curves.shape[-1] == 0:
        raise ValueError(f"curves: expected [..., T] with T of at least 1, got {curves.shape}")
    return curves


def _checked_episodes(episodes: ArrayLike, curves: Array) -> Array:
    episodes = jnp.asarray(episodes, jnp.float32)
    if episodes.shape not in ((), curves.shape):
        expected = f"the shape of curves, {curves.shape}"
        raise ValueError(f"episodes: expected {expected}, got {episodes.shape}")
    return episodes


def _weights(curves: Array, episodes: Array) -> Array:
    """Return the weight of each point: 0 if its value or its episodes are unknown."""
    return jnp.where(jnp.isnan(curves) | jnp.isnan(episodes), 0.0, episodes)


def _counted(curves: Array, weights: Array) -> Array:
    """Multiply means by weights; 0, not inf * 0, for infinite returns of weight 0."""
    return jnp.where(weights == 0.0, 0.0, curves * weights)


def _ratio(total: Array, number: Array) -> Array:
    return jnp.where(number > 0, total / jnp.where(number > 0, number, 1.0), jnp.nan)


def _last_mean(curves: Array, share: float) -> Array:
    """Average the known points of the last share, or return the last known point before it."""
    points = curves.shape[-1]
    final = jnp.nanmean(curves[..., -max(1, round(share * points)) :], axis=-1)
    index = jnp.broadcast_to(jnp.arange(points), curves.shape)
    last = jnp.max(jnp.where(jnp.isnan(curves), 0, index), axis=-1, keepdims=True)
    held = jnp.take_along_axis(curves, last, axis=-1)[..., 0]
    return jnp.where(jnp.isnan(final), held, final)


def _parts(points: int, windows: int) -> np.ndarray:
    """Assign each point to a window, i32[T]."""
    sizes = [len(part) for part in np.array_split(np.arange(points), min(windows, points))]
    return np.repeat(np.arange(len(sizes)), sizes)


def _of_equal_tasks(x: Array) -> Array:
    """Weigh runs of f32[S, ...] so that all tasks are equal; 1 if none misses a run."""
    runs = jnp.reshape(x, (x.shape[0], -1)) if x.ndim else jnp.reshape(x, (1, 1))
    known = ~jnp.isnan(runs)
    each = jnp.sum(known, axis=0)
    share = jnp.sum(each) / jnp.maximum(jnp.sum(each > 0), 1)
    return jnp.where(known, share / jnp.maximum(each, 1), 0.0)


def _sorted(x: Array, *others: Array) -> tuple[Array, ...]:
    """Sort x f32[..., N], NaN last, and `others` in the same order.

    Floats are sorted as integers of the same order: XLA on a CPU sorts those five times faster, and
    sorting is most of a bootstrap (`benchmarks/statistics.py`).
    """
    bits = jax.lax.bitcast_convert_type(jnp.where(jnp.isnan(x), jnp.nan, x), jnp.int32)
    bits, *beside = jax.lax.sort((_mirrored(bits), *others), num_keys=1)
    return jax.lax.bitcast_convert_type(_mirrored(bits), jnp.float32), *beside


def _mirrored(bits: Array) -> Array:
    """Map bits of floats to integers of the same order, and back; negative floats are reversed."""
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
    """Scale steps to positions between 0 (the first) and 1 (the last), f32[T]."""
    if steps is None or points <= 1:
        return jnp.linspace(0.0, 1.0, points)
    if np.shape(steps) != (points,):
        raise ValueError(f"steps: expected {points}, as many as points, got {np.shape(steps)}")
    if isinstance(steps, Tracer):
        steps = jnp.asarray(steps)
        return (steps - steps[0]) / (steps[-1] - steps[0])
    steps = np.asarray(steps, np.float64)  # float32 has too few digits for steps beyond 2**24
    if not np.all(np.diff(steps) > 0):
        raise ValueError(f"steps: expected increasing numbers, got {steps}")
    return jnp.asarray((steps - steps[0]) / (steps[-1] - steps[0]), jnp.float32)


def _bridge(curves: Array, at: Array) -> Array:
    """Interpolate the missing points of curves [..., T] at positions [..., T]."""
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
