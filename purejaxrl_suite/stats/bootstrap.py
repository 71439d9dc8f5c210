"""Stratified percentile bootstrap over seeds, after Agarwal et al. 2021 (arXiv 2108.13264).

Seeds are drawn with replacement within each task by itself. Results follow from the key alone.
A call compiles once for each statistic (the same function object) and shape of the scores.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.stats.aggregate import iqm

CHUNK = 2**19
"""Scores that are resampled at once, whatever the number of resamples: 2 MB, which caches hold."""


class Estimate(NamedTuple):
    """A value with its interval: f32[...] each. An interval that nothing is known of is NaN."""

    value: Array
    low: Array
    high: Array


class Effect(NamedTuple):
    """A comparison of X with Y: f32[...] each; positive is in favour of X.

    seeds: i32[], the smallest number of seeds (of pairs of seeds) that a task has in either arm.
    """

    value: Array
    low: Array
    high: Array
    seeds: Array


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
    _, low, high = estimate(key, scores, statistic, confidence, resamples)
    return low, high


def estimate(
    key: Key,
    scores: ArrayLike,
    statistic: Callable[[Array], Array] = iqm,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Estimate:
    """A statistic of scores f32[S, ...] with its `bootstrap_interval`, of which see the arguments.

    Value and interval are of the same scores: a column with fewer than two valid seeds counts for
    neither. Only where there is but one seed at all is there a value, and no interval.
    """
    groups = ((_seeds_first("scores", scores),),)
    found = _bootstrap(key, groups, statistic, confidence, resamples)
    return Estimate(found.value, found.low, found.high)


def sample_efficiency(
    key: Key,
    curves: ArrayLike,
    statistic: Callable[[Array], Array] = iqm,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Estimate:
    """A statistic at every step of learning curves, with its interval.

    curves: f32[S, ..., T], seeds first, steps last, tasks between (none, or as many as there are).
    statistic: f32[S, ...] -> f32[...], of the scores at one step.
    Returns an Estimate of f32[..., T]. The band is pointwise: it holds 95 % at each step, not for
    the whole curve at once. Raises ValueError for curves without both axes.
    """
    if np.ndim(curves) < 2:
        raise ValueError(f"curves: expected [S, ..., T], got {np.shape(curves)}")
    return estimate(key, curves, _AtEveryStep(statistic), confidence, resamples)


def difference(
    key: Key,
    x: ArrayLike,
    y: ArrayLike,
    statistic: Callable[[Array], Array] = iqm,
    *,
    paired: bool,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Effect:
    """The statistic of X less that of Y, with its interval: `compare` of their difference."""
    options = {"paired": paired, "confidence": confidence, "resamples": resamples}
    return compare(key, x, y, _Difference(statistic), **options)


def compare(
    key: Key,
    x: ArrayLike,
    y: ArrayLike,
    comparison: Callable[[Array, Array], Array],
    *,
    paired: bool,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Effect:
    """A comparison of X with Y, with its percentile interval over seeds.

    x, y: f32[Sx, ...] and f32[Sy, ...], the same tasks in the same order. NaN as in `estimate`.
    comparison: (f32[Sx, ...], f32[Sy, ...]) -> f32[...], such as `probability_of_improvement`.
    paired: True draws the same seeds for both arms. It is right where row s of X and row s of Y
        share a seed and with it the draws of the environment; a pair with one score missing is
        missing. False draws the arms independently of each other.
    Raises ValueError where the tasks differ in shape or, paired, the numbers of seeds, and as
    `bootstrap_interval` does.
    """
    x, y = _seeds_first("x", x), _seeds_first("y", y)
    if x.shape[1:] != y.shape[1:] or (paired and x.shape != y.shape):
        wanted = "the same shape" if paired else "the same tasks"
        raise ValueError(f"x, y: expected {wanted}, got {x.shape} and {y.shape}")
    if paired:
        missing = jnp.isnan(x) | jnp.isnan(y)
        x, y = (jnp.where(missing, jnp.nan, z) for z in (x, y))
    groups = ((x, y),) if paired else ((x,), (y,))
    return _bootstrap(key, groups, comparison, confidence, resamples)


class _Difference(NamedTuple):
    """Equal to any other of the same statistic, so that its program is found again."""

    statistic: Callable[[Array], Array]

    def __call__(self, x: Array, y: Array) -> Array:
        return self.statistic(x) - self.statistic(y)


class _AtEveryStep(NamedTuple):
    """A statistic for scores [S, ..., T], step by step. Equality as above."""

    statistic: Callable[[Array], Array]

    def __call__(self, curves: Array) -> Array:
        return jax.vmap(self.statistic, in_axes=-1, out_axes=-1)(curves)


Groups = tuple[tuple[Array, ...], ...]
"""Arms [S, ...], grouped by what is drawn together."""


def _bootstrap(
    key: Key,
    groups: Groups,
    statistic: Callable[..., Array],
    confidence: float,
    resamples: int,
) -> Effect:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples: expected at least 1, got {resamples}")
    size = sum(arm.size for arms in groups for arm in arms)
    batch = max(1, min(resamples, CHUNK // size))
    return _compiled(key, groups, statistic, confidence, resamples, batch)


@partial(jax.jit, static_argnames=("statistic", "confidence", "resamples", "batch"))
def _compiled(
    key: Key,
    groups: Groups,
    statistic: Callable[..., Array],
    confidence: float,
    resamples: int,
    batch: int,
) -> Effect:
    single = any(arms[0].shape[0] == 1 for arms in groups)
    value = statistic(*_arms(_samples(groups, least=1 if single else 2)))
    samples = _samples(groups, least=2)

    def once(key: Key) -> Array:
        keys = jax.random.split(key, len(samples)) if len(samples) > 1 else [key]
        drawn = [_resample(*both) for both in zip(keys, samples, strict=True)]
        return statistic(*_arms(drawn))

    estimates = jax.lax.map(once, jax.random.split(key, resamples), batch_size=batch)
    tail = (1.0 - confidence) / 2.0
    low, high = jnp.quantile(estimates, jnp.array([tail, 1.0 - tail], jnp.float32), axis=0)
    return Effect(value, low, high, jnp.min(jnp.stack([_fewest(s.valid) for s in samples])))


class _Sample(NamedTuple):
    """Arms [S, ...] that share their draws, valid seeds first; valid: i32[1, ...], how many."""

    arms: tuple[Array, ...]
    valid: Array


def _samples(groups: Groups, least: int) -> list[_Sample]:
    """One sample per group of arms; a column short of `least` valid seeds counts in none of them.

    Groups are sorted by their first arm: NaN comes last, and a draw does not mind the order of the
    rest.
    """
    counts = [jnp.sum(~jnp.isnan(arms[0]), axis=0, keepdims=True) for arms in groups]
    enough = jnp.all(jnp.stack(counts) >= least, axis=0)
    samples = []
    for arms, count in zip(groups, counts, strict=True):
        order = jnp.argsort(arms[0], axis=0)
        arranged = (jnp.take_along_axis(arm, order, axis=0) for arm in arms)
        kept = tuple(jnp.where(enough, arm, jnp.nan) for arm in arranged)
        samples.append(_Sample(kept, jnp.where(enough, count, 0)))
    return samples


def _arms(samples: Sequence[_Sample]) -> list[Array]:
    return [arm for sample in samples for arm in sample.arms]


def _fewest(valid: Array) -> Array:
    """The smallest number of seeds of the tasks that count, 1 if none does."""
    return jnp.min(jnp.where(valid > 0, valid, jnp.maximum(jnp.max(valid), 1)))


def _resample(key: Key, sample: _Sample) -> _Sample:
    """Draw with replacement among the first `valid` seeds of each column; the rest stays NaN."""
    arms, valid = sample
    shape = arms[0].shape
    drawn = jnp.floor(jax.random.uniform(key, shape) * valid).astype(jnp.int32)
    drawn = jnp.maximum(jnp.minimum(drawn, valid - 1), 0)  # u * n may round up to n
    rank = jnp.expand_dims(jnp.arange(shape[0]), tuple(range(1, len(shape))))
    taken = (jnp.where(rank < valid, jnp.take_along_axis(arm, drawn, 0), jnp.nan) for arm in arms)
    return _Sample(tuple(taken), valid)


def _seeds_first(name: str, scores: ArrayLike) -> Array:
    scores = jnp.asarray(scores, jnp.float32)
    if scores.ndim == 0 or scores.size == 0:
        raise ValueError(
            f"{name}: expected [seeds, ...] with at least one entry, got {scores.shape}"
        )
    return scores
