"""From curves over updates to what is shown: windows, final scores, estimates with intervals.

`curves` is always `Result.curves`: an xarray.Dataset over (seed, step) with attributes. NaN marks
an update in which a seed finished no episode; what a seed last showed stands until it shows
something new, and a seed that has shown nothing yet is left out of the statistics.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from purejaxrl_suite.stats import bootstrap_interval, iqm

BINS = 50
FINAL = 0.05
"""Share of training, at its end, over which a final score is averaged."""


class Estimate(NamedTuple):
    """An interquartile mean over seeds with its 95 % bootstrap interval (NaN for a single seed)."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def estimate(scores: np.ndarray) -> Estimate:
    """Interquartile mean and interval of each column of scores f32[S, ...], over seeds."""
    value, (low, high) = _estimate(jax.random.key(0), np.asarray(scores, np.float32))
    return Estimate(*(np.asarray(x) for x in (value, low, high)))


@jax.jit
def _estimate(key: jax.Array, scores: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    statistic = partial(iqm, axis=0)
    return statistic(scores), bootstrap_interval(key, scores, statistic)


def labelled(curves: Any) -> dict[str, Any]:
    """{label: dataset}, also from one dataset alone, which is labelled by its agent."""
    if hasattr(curves, "data_vars"):  # a dataset is a mapping too
        return {str(curves.attrs.get("agent", "agent")): curves}
    return dict(curves)


def binned(curves: Any, metric: str, bins: int = BINS) -> tuple[np.ndarray, np.ndarray]:
    """Window means of a metric: (environment steps at the end of each window [W], f32[S, W]).

    Windows hold equally many updates (the first ones one more, where that does not divide), and
    there are at most `bins` of them.
    Raises ValueError for a metric that the curves do not have.
    """
    values = _forward_fill(_window_means(_values(curves, metric), bins))
    ends = np.array(
        [window[-1] for window in np.array_split(curves["step"].values, values.shape[1])]
    )
    return ends, values


def final_scores(curves: Any, metric: str = "episode_return", share: float = FINAL) -> np.ndarray:
    """One score per seed, f32[S]: its mean over the last `share` of training.

    Never less than one update. A seed that finished no episode there keeps what it showed last;
    NaN where it has shown nothing.
    """
    values = _values(curves, metric)
    final = mean(values[:, -max(1, round(share * values.shape[1])) :])
    return np.where(np.isnan(final), _forward_fill(values)[:, -1], final)


def engineering(x: float, digits: int = 3) -> str:
    """A number for people: 1234567 -> `1.23 M`; NaN -> `n/a`."""
    if not np.isfinite(x):
        return "n/a"
    for size, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(x) >= size:
            return f"{x / size:.{digits}g}{prefix}"
    return f"{x:.{digits}g}"


def _values(curves: Any, metric: str) -> np.ndarray:
    if metric not in curves:
        known = ", ".join(sorted(map(str, curves.data_vars)))
        raise ValueError(f"metric: {metric!r} is not among the curves ({known})")
    return np.asarray(curves[metric].transpose("seed", "step").values, np.float32)


def _window_means(values: np.ndarray, bins: int) -> np.ndarray:
    windows = np.array_split(values, min(bins, values.shape[1]), axis=1)
    return np.stack([mean(window) for window in windows], axis=1)


def mean(window: np.ndarray) -> np.ndarray:
    """Mean over axis 1 of what is not NaN; NaN, and no warning, where everything is."""
    count = np.sum(~np.isnan(window), axis=1)
    return np.where(count > 0, np.nansum(window, axis=1) / np.maximum(count, 1), np.nan)


def _forward_fill(values: np.ndarray) -> np.ndarray:
    seen = np.where(np.isnan(values), 0, np.arange(values.shape[1]))
    return np.take_along_axis(values, np.maximum.accumulate(seen, axis=1), axis=1)
