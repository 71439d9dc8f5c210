"""Estimates and comparisons of scores, with intervals over seeds.

How an interval is made, so that it holds for few seeds and different tasks (`docs/statistics.md`
has the simulations):
1. The seed is the unit. Whole rows of scores are drawn with replacement, which keeps the dependence
   between the tasks of a seed; arms that are not paired are drawn independently.
2. The statistic of each resample is computed, and the percentiles of these, such as 2.5 and 97.5 %.
3. Each percentile is moved away from the estimate by the factor sqrt(n / (n - 1)) t / z, where n is
   the number of seeds: resamples spread too little, which the root corrects, and the spread of
   seeds is itself estimated with n - 1 degrees of freedom, hence Student's t in place of the normal
   distribution's z.
4. For normal scores that factor would lead to a certain outer percentile. If that percentile of the
   resamples lies farther out, the interval reaches to it: for clustered scores, tails are not
   multiples of each other.
5. n is the number of seeds of the smaller arm, and of the task with the fewest seeds.
`rliable_estimate` and `rliable_compare` are the published method (Agarwal et al. 2021): runs drawn
within each task, plain percentiles.

All of it runs on the host, with counts in place of copies (`stats.weighted`): no program is
compiled, except one for each shape of a statistic of your own.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike
from scipy import special

from purejaxrl_suite.core.types import Key
from purejaxrl_suite.stats.aggregate import iqm
from purejaxrl_suite.stats.inputs import numbers
from purejaxrl_suite.stats.resample import (
    Arms,
    Draw,
    Resampled,
    resampled,
    whole_rows,
    within_columns,
)
from purejaxrl_suite.stats.weighted import Difference, Statistic, by_column, range_of

Numbers = Any
"""f32[...], of numpy or jax."""


class Estimate(NamedTuple):
    """A value with its interval: f32[...] each. An unknown interval is NaN."""

    value: Numbers
    low: Numbers
    high: Numbers


class Effect(NamedTuple):
    """A comparison of X with Y: f32[...] each; positive is in favour of X.

    seeds: i32[], the smallest number of seeds (if paired, of pairs) of any task in either arm.
    """

    value: Numbers
    low: Numbers
    high: Numbers
    seeds: Numbers


def estimate(
    key: Key,
    scores: ArrayLike,
    statistic: Callable[[Any], Any] = iqm,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Estimate:
    """Estimate a statistic of scores, with an interval over seeds.

    Args:
        key: of the resamples.
        scores: f32[S, ...], seeds first. NaN marks a missing score (an update in which this seed
            finished no episode). A column with fewer than two valid seeds does not show the spread
            over seeds and is left out of value and interval. If there is only one seed in all, the
            value is computed and the interval is NaN.
        statistic: f32[S, ...] -> f32[...], such as `iqm` (all tasks in one number) or
            `partial(iqm, axis=0)` (one number per column). It must skip NaN, as `iqm` does.
        confidence: of the interval.
        resamples: of the bootstrap.

    Returns:
        The value with its interval, shaped like the statistic.

    Raises:
        ValueError: scores have no seed axis, confidence is outside (0, 1), or resamples < 1.

    Example:
        >>> scores = jnp.array([[0.1], [0.3], [0.2], [0.4]])
        >>> found = pjs.stats.estimate(jax.random.key(0), scores)
        >>> bool(found.low < found.value < found.high)
        True
    """
    groups = ((_seeds_first("scores", scores),),)
    found = _bootstrap(
        key,
        groups,
        statistic=statistic,
        confidence=confidence,
        resamples=resamples,
        method=_OURS,
    )
    return Estimate(found.value, found.low, found.high)


def rliable_estimate(
    key: Key,
    scores: ArrayLike,
    statistic: Callable[[Any], Any] = iqm,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Estimate:
    """Estimate a statistic as rliable does: runs drawn within each task, plain percentiles.

    For comparisons with published numbers. The interval is too narrow for few seeds, and far too
    narrow if one run plays all tasks. Arguments, result and errors are those of `estimate`.
    """
    groups = ((_seeds_first("scores", scores),),)
    found = _bootstrap(
        key,
        groups,
        statistic=statistic,
        confidence=confidence,
        resamples=resamples,
        method=_RLIABLES,
    )
    return Estimate(found.value, found.low, found.high)


def sample_efficiency(
    key: Key,
    curves: ArrayLike,
    statistic: Callable[[Any], Any] = iqm,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Estimate:
    """Estimate a statistic at every step of learning curves, with its interval.

    Args:
        key: of the resamples.
        curves: f32[S, ..., T], seeds first, steps last, any axes of tasks between.
        statistic: f32[S, ...] -> f32[...], of the scores at one step.
        confidence: of the interval at each step; the band does not hold for the whole curve at
            once.
        resamples: of the bootstrap.

    Returns:
        The values with their intervals, f32[..., T].

    Raises:
        ValueError: curves do not have both axes, or as in `estimate`.
    """
    if np.ndim(curves) < 2:
        raise ValueError(f"curves: expected [S, ..., T], got {np.shape(curves)}")
    steps = np.moveaxis(_seeds_first("curves", curves), -1, 0)
    how: Any = {"statistic": statistic, "confidence": confidence, "resamples": resamples}
    found = [estimate(key, each, **how) for each in steps]
    return jax.tree.map(lambda *parts: np.stack(parts, axis=-1), *found)


def difference(
    key: Key,
    x: ArrayLike,
    y: ArrayLike,
    statistic: Callable[[Any], Any] = iqm,
    *,
    paired: bool,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Effect:
    """Compare X with Y by the statistic of X minus that of Y.

    Args:
        key: of the resamples.
        x: f32[Sx, ...], as in `compare`.
        y: f32[Sy, ...], as in `compare`.
        statistic: f32[S, ...] -> f32[...], as in `estimate`.
        paired: whether rows of X and Y belong together, as in `compare`.
        confidence: of the interval.
        resamples: of the bootstrap.

    Returns:
        The difference with its interval.

    Raises:
        ValueError: as in `compare`.
    """
    options: Any = {"paired": paired, "confidence": confidence, "resamples": resamples}
    return compare(key, x, y, Difference(statistic), **options)


def compare(
    key: Key,
    x: ArrayLike,
    y: ArrayLike,
    comparison: Callable[[Any, Any], Any],
    *,
    paired: bool,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Effect:
    """Compare X with Y, with an interval over seeds.

    Args:
        key: of the resamples.
        x: f32[Sx, ...]. NaN as in `estimate`.
        y: f32[Sy, ...], the same tasks in the same order.
        comparison: (f32[Sx, ...], f32[Sy, ...]) -> f32[...], such as `probability_of_improvement`.
        paired: True draws the same seeds for both arms; a pair with one score missing is missing.
            It is valid if row s of X belongs to row s of Y, and helps if that makes their scores
            similar: the same trained network continued, the same levels or streams of tasks, the
            same hyper-parameters. The same seed alone does not: after the first updates the runs
            of two algorithms have nothing in common. False draws the arms independently.
        confidence: of the interval.
        resamples: of the bootstrap.

    Returns:
        The comparison with its interval.

    Raises:
        ValueError: the tasks differ in shape or, if paired, the numbers of seeds do; or as in
            `estimate`.
    """
    groups = _arms(x, y, paired)
    return _bootstrap(
        key,
        groups,
        statistic=comparison,
        confidence=confidence,
        resamples=resamples,
        method=_OURS,
    )


def rliable_compare(
    key: Key,
    x: ArrayLike,
    y: ArrayLike,
    comparison: Callable[[Any, Any], Any],
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Effect:
    """Compare X with Y as rliable does, with unpaired arms; see `rliable_estimate`.

    Arguments, result and errors are those of `compare`.
    """
    groups = _arms(x, y, paired=False)
    return _bootstrap(
        key,
        groups,
        statistic=comparison,
        confidence=confidence,
        resamples=resamples,
        method=_RLIABLES,
    )


def fewest_seeds(scores: ArrayLike) -> int:
    """Return the smallest number of seeds of the columns of f32[S, ...] that `estimate` uses.

    It is `Effect.seeds` of an effect that is made from an estimate.
    """
    scores = _seeds_first("scores", scores)
    return int(_fewest(_without_lone_seeds([(scores.reshape(len(scores), -1),)])))


class _Method(NamedTuple):
    """A bootstrap method.

    draw: which rows. exact: the quarter of `iqm`. ends: (resampled, tail, seeds) -> interval.
    """

    draw: Draw
    exact: bool
    ends: Callable[[Resampled, float, int], tuple[np.ndarray, np.ndarray]]


def _percentiles(found: Resampled, tail: float, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    low, high = _quantiles(found.drawn, [tail, 1.0 - tail])
    return low, high


def widened(found: Resampled, tail: float, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute percentiles and move them outwards, as in points 3 and 4 of the module."""
    normal = -special.ndtri(tail)
    factor = np.sqrt(seeds / (seeds - 1)) * special.stdtrit(seeds - 1, 1.0 - tail) / normal
    farther = special.ndtr(-factor * normal)
    center = found.center
    low, high, lowest, highest = _quantiles(found.drawn, [tail, 1 - tail, farther, 1 - farther])
    low, high = np.minimum(low, center), np.maximum(high, center)
    return (
        np.minimum(center - factor * (center - low), lowest),
        np.maximum(center + factor * (high - center), highest),
    )


def _quantiles(drawn: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Compute quantiles [K, ...] of the resamples [B, ...] that are not NaN."""
    if not np.isnan(drawn).any():
        return np.quantile(drawn, shares, axis=0)
    columns = drawn.reshape(len(drawn), -1).T
    known = (column[~np.isnan(column)] for column in columns)
    unknown = np.full(len(shares), np.nan)
    found = [np.quantile(column, shares) if column.size else unknown for column in known]
    return np.stack(found, axis=-1).reshape(len(shares), *drawn.shape[1:])


_OURS = _Method(whole_rows, True, widened)
_RLIABLES = _Method(within_columns, False, _percentiles)


@np.errstate(invalid="ignore", over="ignore")  # infinite scores have no interval
def _bootstrap(
    key: Key,
    groups: Sequence[Arms],
    *,
    statistic: Statistic,
    confidence: float,
    resamples: int,
    method: _Method,
) -> Effect:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples: expected at least 1, got {resamples}")
    tasks = groups[0][0].shape[1:]
    flat = _without_lone_seeds(
        [tuple(arm.reshape(len(arm), -1) for arm in arms) for arms in groups]
    )
    question = _Question(
        key=key,
        statistic=statistic,
        tail=(1.0 - confidence) / 2.0,
        resamples=resamples,
        method=method,
    )
    if not by_column(statistic):
        return _answer(question, flat, tasks)
    missing = np.concatenate([np.isnan(arms[0]) for arms in flat])
    patterns, which = np.unique(missing, axis=1, return_inverse=True)
    parts = np.full((3, missing.shape[1]), np.nan, np.float32)
    for index in range(patterns.shape[1]):  # columns that miss the same seeds are drawn together
        columns = np.flatnonzero(which.ravel() == index)
        here = [tuple(arm[:, columns] for arm in arms) for arms in flat]
        parts[:, columns] = _answer(question, here, columns.shape)[:3]
    value, low, high = parts.reshape(3, *tasks)
    return Effect(value, low, high, _fewest(flat))


class _Question(NamedTuple):
    key: Key
    statistic: Statistic
    tail: float
    resamples: int
    method: _Method


def _answer(question: _Question, groups: Sequence[Arms], tasks: tuple[int, ...]) -> Effect:
    """Estimate the statistic of all columns together, or of columns that miss the same seeds."""
    statistic, method, seeds = question.statistic, question.method, _fewest(groups)
    groups = [_without_empty_rows(arms) for arms in groups]
    found = resampled(
        question.key,
        groups,
        statistic=statistic,
        resamples=question.resamples,
        draw=method.draw,
        exact=method.exact,
        tasks=tasks,
    )
    low, high = np.nan, np.nan
    if min(len(arms[0]) for arms in groups) > 1:
        lowest, highest = range_of(statistic)
        low, high = np.clip(method.ends(found, question.tail, int(seeds)), lowest, highest)
    value, low, high = (np.asarray(x, np.float32) for x in (found.value, low, high))
    low, high = np.minimum(low, value), np.maximum(high, value)  # NaN where either is
    return Effect(value, low, high, seeds)


def _without_lone_seeds(groups: Sequence[Arms]) -> list[Arms]:
    """Set columns with fewer than two seeds to NaN, unless an arm has only one seed in all."""
    known = (np.any(~np.isnan(arms[0]), axis=1) for arms in groups)
    least = 1 if any(np.sum(rows) == 1 for rows in known) else 2
    enough = np.all([_valid(arms) >= least for arms in groups], axis=0)
    return [tuple(np.where(enough, arm, np.nan) for arm in arms) for arms in groups]


def _without_empty_rows(arms: Arms) -> Arms:
    """Drop seeds without any score; keep the first row if no seed has one."""
    known = ~np.all(np.isnan(arms[0]), axis=1)
    known[0] |= not known.any()
    return tuple(arm[known] for arm in arms)


def _fewest(groups: Sequence[Arms]) -> np.int32:
    """Return the smallest number of seeds of the columns in use, 1 if there is none."""
    valid = np.concatenate([_valid(arms) for arms in groups])
    return np.int32(valid[valid > 0].min() if valid.any() else 1)


def _valid(arms: Arms) -> np.ndarray:
    return np.sum(~np.isnan(arms[0]), axis=0)


def _arms(x: ArrayLike, y: ArrayLike, paired: bool) -> tuple[Arms, ...]:
    x, y = _seeds_first("x", x), _seeds_first("y", y)
    if x.shape[1:] != y.shape[1:] or (paired and x.shape != y.shape):
        wanted = "the same shape" if paired else "the same tasks"
        raise ValueError(f"x, y: expected {wanted}, got {x.shape} and {y.shape}")
    if not paired:
        return (x,), (y,)
    missing = np.isnan(x) | np.isnan(y)
    return (tuple(np.where(missing, np.nan, z) for z in (x, y)),)


def _seeds_first(name: str, scores: ArrayLike) -> np.ndarray:
    scores = numbers(name, scores)
    if scores.ndim == 0 or scores.size == 0:
        raise ValueError(
            f"{name}: expected [seeds, ...] with at least one entry, got {scores.shape}"
        )
    return scores
