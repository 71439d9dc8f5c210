"""Summarise curves over updates: windows, final scores, estimates with intervals.

Means are over episodes, whatever the updates they ended in. In a window without a new value, a seed
keeps its last one; a seed is left out before all of its environments have finished an episode. A
member that diverged (its parameters are no longer finite) is left out of figures, which say how
many did; scores give it the worst of its task (`stats.with_diverged`).
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from purejaxrl_suite import stats
from purejaxrl_suite.report.configurations import Configuration, configurations, sign
from purejaxrl_suite.stats.aggregate import FINAL, WINDOWS

FEWEST = 10
"""Least number of windows of a curve, if it has so many rows."""

_final_score = jax.jit(stats.final_score, static_argnames="share")


def estimate(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate (interquartile mean, low, high) of each column of scores f32[S, ...], over seeds.

    low and high are its 95 % interval (`stats.estimate`), NaN for a single seed.
    """
    value, low, high = stats.estimate(jax.random.key(0), scores, partial(stats.iqm, axis=0))
    alone = np.sum(~np.isnan(scores), axis=0) == 1
    return np.where(alone, np.nansum(scores, axis=0), value), low, high


def binned(curves: Any, metric: str, bins: int = WINDOWS) -> tuple[np.ndarray, np.ndarray]:
    """Average a metric over windows of training.

    Windows have equally many rows (the first ones may have one more). There are fewer than `bins`,
    but at least FEWEST, if episodes are longer than a window: short windows are biased towards
    short episodes.

    Args:
        curves: over (seed, step).
        metric: a variable of the curves.
        bins: the most windows.

    Returns:
        (environment steps at the end of each window [W], f32[S, W]).

    Raises:
        ValueError: the curves lack the metric.
    """
    steps, values, episodes = _over_steps(curves, metric, complete=True)
    if episodes is not None:
        bins = min(bins, max(FEWEST, len(steps) // rows_of_an_episode(curves)))
    values = np.where(diverged(curves)[:, None], np.nan, values)
    values = _forward_fill(np.asarray(stats.window_means(values, episodes, bins)))
    ends = np.array([window[-1] for window in np.array_split(steps, values.shape[1])])
    return ends, values


def rows_of_an_episode(curves: Any) -> int:
    """Compute the rows that the longest episodes of a member take, in the median over members.

    It is 1 if the curves do not tell how long rollouts or episodes are.
    """
    if "rollout_length" not in curves.attrs or "episode_length" not in curves:
        return 1
    lengths = np.asarray(curves["episode_length"].transpose(..., "step").values)
    longest = np.fmax.reduce(lengths, axis=-1, initial=1.0)
    steps = curves.attrs["rollout_length"] * curves.attrs.get("updates_per_row", 1)
    return math.ceil(float(np.median(longest)) / steps)


def final_scores(curves: Any, metric: str = "episode_return", share: float = FINAL) -> np.ndarray:
    """Compute a score per seed and configuration: the mean over the last episodes of training.

    A member that diverged has the worst score of any member on its task, and at most that of a
    random policy if known (`stats.with_diverged`).

    Args:
        curves: `Result.curves`.
        metric: of which higher is better.
        share: of training, from its end.

    Returns:
        f32[S, ...]: seeds, then the other axes of the curves in their order. NaN for a member that
        finished no episode in the window.

    Raises:
        ValueError: the curves lack the metric, or the share is outside (0, 1].
    """
    found = configurations(curves)
    rows = np.stack(member_scores(found, metric, share))
    sizes = [curves.sizes[axis] for axis in found[0].at]
    return np.moveaxis(rows.reshape(*sizes, -1), -1, 0)


def member_scores(
    found: Sequence[Configuration], metric: str, share: float = FINAL
) -> list[np.ndarray]:
    """Compute `final_scores` f32[S] of each configuration; the worst is over its environment."""
    scores = [np.zeros(0, np.float32)] * len(found)
    for environment in dict.fromkeys(one.environment for one in found):
        here = [i for i, one in enumerate(found) if one.environment == environment]
        known = [np.asarray(_of_members(found[i].curves, metric, share)) for i in here]
        way = sign(found[here[0]].curves, metric)
        lost = np.concatenate([diverged(found[i].curves) for i in here])
        random = stats.random_score(environment, metric)
        whole = stats.with_diverged(way * np.concatenate(known)[:, None], lost[:, None], random)
        ends = np.cumsum([len(x) for x in known])[:-1]
        for i, part in zip(
            here, np.split(np.float32(way) * np.asarray(whole)[:, 0], ends), strict=True
        ):
            scores[i] = part
    return scores


def diverged(curves: Any) -> np.ndarray:
    """Tell which members ended with non-finite parameters: bool[S, ...]."""
    if "diverged" not in curves:
        return np.zeros(curves.sizes["seed"], bool)
    return np.asarray(curves["diverged"].transpose("seed", ...).values, bool)


def spread(seeds: set[int]) -> str:
    """Write `IQM and 95 % interval, 8 seeds`."""
    count = "-".join(str(n) for n in sorted({min(seeds), max(seeds)}))
    interval = "95 % interval" if max(seeds) > 1 else "no interval"
    return f"IQM and {interval}, {count} seed{'s' * (max(seeds) > 1)}"


def unlike(members: int, diverged: int, missing: int) -> str:
    """Say in a caption how many members diverged or have no score; "" if none."""
    text = f"; {diverged} of {members} members diverged and have the worst score" * (diverged > 0)
    none = f"; {missing} of {members} finished no episode at the end and have none"
    return text + none * (missing > 0)


def engineering(x: float, digits: int = 3) -> str:
    """Write a number for people: 1234567 -> `1.23 M`; NaN -> `n/a`."""
    if not np.isfinite(x):
        return "n/a"
    for size, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(x) >= size:
            return f"{x / size:.{digits}g}{prefix}"
    return f"{x:.{digits}g}"


def mean(window: np.ndarray) -> np.ndarray:
    """Average over axis 1 ignoring NaN; NaN without a warning if all are."""
    count = np.sum(~np.isnan(window), axis=1)
    return np.where(count > 0, np.nansum(window, axis=1) / np.maximum(count, 1), np.nan)


def _of_members(curves: Any, metric: str, share: float) -> Any:
    _, values, episodes = _over_steps(curves, metric)
    return _final_score(values, episodes, share=share)


def _over_steps(curves: Any, metric: str, *, complete: bool = False) -> stats.LearningCurves:
    """Call `stats.curves`; ValueError naming the metrics over steps if this is none of them."""
    known = [str(name) for name, x in curves.data_vars.items() if {"seed", "step"} <= set(x.dims)]
    if metric not in known:
        raise ValueError(f"metric: {metric!r} is not among the curves ({', '.join(sorted(known))})")
    return stats.curves(curves, metric, complete=complete)


def _forward_fill(values: np.ndarray) -> np.ndarray:
    seen = np.where(np.isnan(values), 0, np.arange(values.shape[1]))
    return np.take_along_axis(values, np.maximum.accumulate(seen, axis=1), axis=1)
