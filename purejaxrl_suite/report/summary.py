"""From curves over updates to what is shown: windows, final scores, estimates with intervals.

NaN marks an update in which a seed finished no episode; what a seed last showed stands until it
shows something new, and a seed that has shown nothing yet is left out of the statistics. So is a
member that diverged (its parameters are no longer finite): what it showed before says nothing about
the configuration, and figures and tables count such members instead.
"""

from functools import partial
from typing import Any

import jax
import numpy as np

from purejaxrl_suite import stats
from purejaxrl_suite.stats import final_score
from purejaxrl_suite.stats.aggregate import FINAL

BINS = 50


def estimate(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(interquartile mean, low, high) of each column of scores f32[S, ...], over seeds.

    low and high are its 95 % interval (`stats.estimate`), NaN for a single seed.
    """
    value, low, high = stats.estimate(jax.random.key(0), scores, partial(stats.iqm, axis=0))
    alone = np.sum(~np.isnan(scores), axis=0) == 1
    return np.where(alone, np.nansum(scores, axis=0), value), low, high


def binned(curves: Any, metric: str, bins: int = BINS) -> tuple[np.ndarray, np.ndarray]:
    """Window means of a metric: (environment steps at the end of each window [W], f32[S, W]).

    curves: over (seed, step). Windows hold equally many updates (the first ones one more, where
    that does not divide), and there are at most `bins` of them.
    Raises ValueError for a metric that the curves do not have.
    """
    values = _forward_fill(_window_means(_values(curves, metric), bins))
    ends = np.array(
        [window[-1] for window in np.array_split(curves["step"].values, values.shape[1])]
    )
    return ends, values


def final_scores(curves: Any, metric: str = "episode_return", share: float = FINAL) -> np.ndarray:
    """One score per seed and configuration: its mean over the last `share` of training.

    Never less than one update. A member that finished no episode there keeps what it showed last;
    NaN where it has shown nothing, or has diverged.
    Returns f32[S, ...]: seeds, then the other axes of the curves in their order.
    """
    return np.asarray(final_score(_values(curves, metric), share))


def diverged(curves: Any) -> np.ndarray:
    """Which members ended with parameters that are not finite: bool[S, ...]."""
    if "diverged" not in curves:
        return np.zeros(curves.sizes["seed"], bool)
    return np.asarray(curves["diverged"].transpose("seed", ...).values, bool)


def spread(seeds: set[int]) -> str:
    """`IQM and 95 % interval, 8 seeds`."""
    count = "-".join(str(n) for n in sorted({min(seeds), max(seeds)}))
    interval = "95 % interval" if max(seeds) > 1 else "no interval"
    return f"IQM and {interval}, {count} seed{'s' * (max(seeds) > 1)}"


def engineering(x: float, digits: int = 3) -> str:
    """A number for people: 1234567 -> `1.23 M`; NaN -> `n/a`."""
    if not np.isfinite(x):
        return "n/a"
    for size, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(x) >= size:
            return f"{x / size:.{digits}g}{prefix}"
    return f"{x:.{digits}g}"


def mean(window: np.ndarray) -> np.ndarray:
    """Mean over axis 1 of what is not NaN; NaN, and no warning, where everything is."""
    count = np.sum(~np.isnan(window), axis=1)
    return np.where(count > 0, np.nansum(window, axis=1) / np.maximum(count, 1), np.nan)


def _values(curves: Any, metric: str) -> np.ndarray:
    """f32[S, ..., U] of a metric, NaN for members that diverged."""
    known = [str(name) for name, x in curves.data_vars.items() if {"seed", "step"} <= set(x.dims)]
    if metric not in known:
        raise ValueError(f"metric: {metric!r} is not among the curves ({', '.join(sorted(known))})")
    values = np.asarray(curves[metric].transpose("seed", ..., "step").values, np.float32)
    lost = diverged(curves)
    return np.where(lost.reshape(lost.shape + (1,) * (values.ndim - lost.ndim)), np.nan, values)


def _window_means(values: np.ndarray, bins: int) -> np.ndarray:
    windows = np.array_split(values, min(bins, values.shape[1]), axis=1)
    return np.stack([mean(window) for window in windows], axis=1)


def _forward_fill(values: np.ndarray) -> np.ndarray:
    seen = np.where(np.isnan(values), 0, np.arange(values.shape[1]))
    return np.take_along_axis(values, np.maximum.accumulate(seen, axis=1), axis=1)
