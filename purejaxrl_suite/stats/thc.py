"""THC, tuning hyper-parameter consistency (Obando-Ceron et al. 2024, arXiv 2406.17523).

For one hyper-parameter, n values are tried in several settings (games, agents, amounts of data). In
each setting the values are ranked, and values whose intervals overlap share ranks; the score is how
far ranks move between settings, from 0 to 1. Low means that the ranking carries over, or that the
parameter matters nowhere; high means that it must be tuned for each setting.

The number is coarse for few values, and larger for them by chance alone: compare hyper-parameters
with different n through `consistency_null`. Two errors of the released code are corrected: equal
upper ends are ordered by their lower ends and not by the order of labels, and intervals below -100,
where the released ranking ends, are ranked like any other.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.stats.bootstrap import Estimate, estimate


class Consistency(NamedTuple):
    """The consistency of one hyper-parameter.

    thc: f32[], the mean over values, 0 (carries over) to 1. deviation: f32[], the standard
    deviation over values. spread: f32[n], the distance from a value's best to its worst rank, over
    n - 1. ranks: f32[settings, n], 1 is best.
    """

    thc: Array
    deviation: Array
    spread: Array
    ranks: Array


class Null(NamedTuple):
    """The distribution of THC for unrelated settings: f32[] each.

    mean, low, high: of THC over shuffles, with the central 95 %. p: the share of shuffles with a
    THC at most the observed one, which is counted as one; small means more consistent than chance.
    """

    mean: Array
    low: Array
    high: Array
    p: Array


def overlap_ranks(low: ArrayLike, high: ArrayLike) -> Array:
    """Rank values by their intervals, 1 for the highest; overlapping intervals share ranks.

    In the order of upper ends, a value's rank is the middle between that of the first value whose
    lower end it reaches, and that of the last whose upper end reaches its own lower end.
    low, high: f32[n]. NaN is a missing value: its rank is NaN and the others are ranked without it.
    Returns f32[n]. [9, 10], [5, 6], [1, 2] give 1, 2, 3; [6, 10], [4, 7], [1, 5] give 1.5, 2, 2.5.

    Example:
        >>> from purejaxrl_suite.stats.thc import overlap_ranks
        >>> overlap_ranks([6.0, 4.0, 1.0], [10.0, 7.0, 5.0])
        Array([1.5, 2. , 2.5], dtype=float32)
    """
    low, high = jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32)
    if low.ndim != 1 or low.shape != high.shape:
        raise ValueError(f"low, high: expected both [n], got {low.shape} and {high.shape}")
    # Pairs [this, other]; a comparison with NaN is False, so missing values are left out.
    above = (high[None, :] > high[:, None]) | (
        (high[None, :] == high[:, None]) & (low[None, :] > low[:, None])
    )
    place = jnp.broadcast_to(jnp.sum(above, axis=1), above.shape)  # [any, other]
    first = jnp.min(jnp.where(low[None, :] <= high[:, None], place, low.size), axis=1)
    last = jnp.sum(high[None, :] >= low[:, None], axis=1)
    return jnp.where(jnp.isnan(low + high), jnp.nan, (first + 1 + last) / 2)


def consistency_of_intervals(low: ArrayLike, high: ArrayLike) -> Consistency:
    """Compute the consistency from the intervals of n values in several settings.

    low, high: f32[settings, n], such as an interval of IQM over games for every agent and value. A
        value that is NaN in any setting is left out of all; with one left, THC is NaN.

    Raises:
        ValueError: there are fewer than two settings or values.
    """
    low, high = jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32)
    _check("low, high", low.shape[-2:] if low.shape == high.shape else ())
    missing = jnp.broadcast_to(jnp.any(jnp.isnan(low + high), axis=0), low.shape)
    low, high = (jnp.where(missing, jnp.nan, x) for x in (low, high))
    return _consistency(jax.vmap(overlap_ranks)(low, high))


def hyperparameter_consistency(scores: ArrayLike) -> Consistency:
    """Compute the consistency from scores of n values in several settings, over seeds.

    scores: f32[S, settings, n], NaN for missing seeds; the released code ranks the
        `area_under_curve` of curves. A value's interval is its mean -+ one standard deviation over
        seeds (ddof = 0, as released): a single seed is a point. A value without a seed in some
        setting is left out of all.

    Raises:
        ValueError: scores have other axes, or fewer than two settings or values.
    """
    scores = jnp.asarray(scores, jnp.float32)
    _check("scores", scores.shape[1:])
    center, spread = jnp.nanmean(scores, axis=0), jnp.nanstd(scores, axis=0)
    return consistency_of_intervals(center - spread, center + spread)


def consistency_interval(
    key: Key, scores: ArrayLike, confidence: float = 0.95, resamples: int = 2000
) -> Estimate:
    """Estimate THC with a percentile bootstrap interval over seeds, within setting and value.

    Resampling adds noise to noisy ranks, and THC cannot fall below 0: if it is near 0 the interval
    lies too high and may not contain it.

    Args:
        key: of the resamples.
        scores: as in `hyperparameter_consistency`; a cell with a single seed is missing.
        confidence: of the interval.
        resamples: of the bootstrap.

    Returns:
        THC with its interval.
    """
    _check("scores", np.shape(scores)[1:])
    return estimate(key, scores, statistic=_thc, confidence=confidence, resamples=resamples)


def consistency_null(key: Key, ranks: ArrayLike, shuffles: int = 9999) -> Null:
    """Compute the null distribution of THC, with ranks shuffled over the values in each setting.

    Args:
        key: of the shuffles.
        ranks: f32[settings, n], of a `Consistency`.
        shuffles: how many.

    Returns:
        The distribution, and the p-value of the observed THC.

    Raises:
        ValueError: there are fewer than two settings or values, or shuffles < 1.
    """
    ranks = jnp.asarray(ranks, jnp.float32)
    _check("ranks", ranks.shape)
    if shuffles < 1:
        raise ValueError(f"shuffles: expected at least 1, got {shuffles}")
    return _null(key, ranks, shuffles)


def _thc(scores: Array) -> Array:
    return hyperparameter_consistency(scores).thc


@partial(jax.jit, static_argnames="shuffles")
def _null(key: Key, ranks: Array, shuffles: int) -> Null:
    missing = jnp.isnan(ranks)

    def shuffled(key: Key) -> Array:
        draw = jnp.where(missing, 2.0, jax.random.uniform(key, ranks.shape))
        order = jnp.argsort(draw, axis=1)  # missing values last, so that they stay together
        return _consistency(jnp.take_along_axis(ranks, order, axis=1)).thc

    drawn = jax.lax.map(shuffled, jax.random.split(key, shuffles), batch_size=min(shuffles, 1024))
    observed = _consistency(ranks).thc
    low, high = jnp.quantile(drawn, jnp.array([0.025, 0.975], jnp.float32))
    # The tolerance: means of the same spreads in another order differ in their last digits.
    p = (1 + jnp.sum(drawn <= observed + 1e-6)) / (1 + shuffles)
    return Null(jnp.mean(drawn), low, high, jnp.where(jnp.isnan(observed), jnp.nan, p))


def _consistency(ranks: Array) -> Consistency:
    known = ~jnp.any(jnp.isnan(ranks), axis=0)
    values = jnp.sum(known)
    spread = (jnp.max(ranks, axis=0) - jnp.min(ranks, axis=0)) / jnp.maximum(values - 1, 1)
    # NaN is set explicitly: max and min compiled for CPU may ignore it.
    spread = jnp.where(known & (values > 1), spread, jnp.nan)
    return Consistency(jnp.nanmean(spread), jnp.nanstd(spread), spread, ranks)


def _check(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or min(shape) < 2:
        raise ValueError(f"{name}: expected at least two settings and two values, got {shape}")
