"""Statistics of resampled scores with counts as weights, instead of copies of runs.

A bootstrap computes the same statistic of thousands of resamples. With counts, scores are sorted
once and not for each resample, no program is compiled per shape, and the host is fast: an interval
of 100 runs of 26 tasks takes a fraction of the time of a compiled program with sorts.
`form_of` gives the weighted form of the statistics of `stats.aggregate` and of their differences;
other functions have none, and `stats.bootstrap` calls them on copies.

Scores are [S, C], a column per task; counts [B, S, C], or [B, S, 1] if whole rows are drawn.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from purejaxrl_suite.stats import aggregate

Statistic = Callable[[Any], Any] | Callable[[Any, Any], Any]
"""A statistic f32[S, ...] -> f32[...] of one arm, or a comparison (f32[Sx, ...], f32[Sy, ...]) ->
f32[...] of two."""

Form = Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], np.ndarray]
"""(arms [S, C], counts of each [B, S, C or 1]) -> [B, ...]."""


class Difference(NamedTuple):
    """A statistic of X minus that of Y; equal to any other Difference of the same statistic."""

    statistic: Callable[[Any], Any]

    def __call__(self, x: Any, y: Any) -> Any:
        """Subtract; X and Y are scores f32[S, ...]."""
        return self.statistic(x) - self.statistic(y)


def form_of(statistic: Statistic, whole: bool = False) -> Form | None:
    """Return the weighted form of a statistic, None if it has none.

    statistic: a function of `stats.aggregate`, a `partial` of one with keywords, or a `Difference`.
    whole: whether the interquartile mean cuts whole runs, as scipy and rliable do, or exactly a
        quarter, with fractions of runs.
    """
    if isinstance(statistic, Difference):
        inner = form_of(statistic.statistic, whole)
        return None if inner is None else partial(_difference, inner)
    options: dict[str, Any] = {}
    if isinstance(statistic, partial):
        if statistic.args:
            return None
        statistic, options = statistic.func, dict(statistic.keywords)
    form = _FORMS.get(statistic)
    if form is None or (options.get("axis") is not None and not _by_column(statistic, options)):
        return None
    if statistic is aggregate.iqm:
        options["whole"] = whole
    return partial(form, **options)


def range_of(statistic: Statistic) -> tuple[float, float]:
    """Return the range of a statistic: 0 to 1 for shares and probabilities."""
    function = statistic.func if isinstance(statistic, partial) else statistic
    return (0.0, 1.0) if function in _SHARES else (-np.inf, np.inf)


def by_column(statistic: Statistic) -> bool:
    """Tell whether a statistic is of each column by itself, such as `partial(iqm, axis=0)`."""
    if isinstance(statistic, Difference):
        return by_column(statistic.statistic)
    return isinstance(statistic, partial) and _by_column(statistic.func, statistic.keywords)


def _by_column(function: Statistic, options: dict[str, Any]) -> bool:
    return function in _ALONG_SEEDS and options.get("axis") == 0


def _difference(form: Form, arms: Sequence[np.ndarray], counts: Sequence[np.ndarray]) -> np.ndarray:
    return form(arms[:1], counts[:1]) - form(arms[1:], counts[1:])


def _iqm(
    arms: Sequence[np.ndarray],
    counts: Sequence[np.ndarray],
    axis: int | None = None,
    whole: bool = False,
) -> np.ndarray:
    (x,), (count,) = arms, counts
    order = np.argsort(x, axis=axis)
    if axis is None:
        order = order[~np.isnan(x.ravel()[order])]
        values, places = x.ravel()[order], order // x.shape[1] if count.shape[2] == 1 else order
        drawn = np.take(count.reshape(len(count), -1), places, axis=1)
        if len(order) < x.size:
            drawn = drawn * np.take(_of_equal_tasks(x, count), order % x.shape[1], axis=1)
    else:
        values = np.take_along_axis(x, order, 0)
        shared = count.shape[2] == 1
        drawn = count[:, order, 0] if shared else np.take_along_axis(count, order[None], 1)
    if not values.size:
        return np.full(len(count), np.nan)
    finite = np.nan_to_num(values, nan=np.nan)  # infinite scores are cut like any other
    return middle_mean(finite, drawn, whole)


def _of_equal_tasks(x: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Weigh the runs of each task so that all tasks are equal: f64[B, C]."""
    runs = _known_runs(x, count).astype(np.float64)
    share = runs.sum(axis=1) / np.maximum((runs > 0).sum(axis=1), 1)
    return share[:, None] / np.maximum(runs, 1.0)


def _known_runs(x: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Count the drawn known runs of each column, [B, C]."""
    known = ~np.isnan(x)
    return count[:, :, 0] @ known if count.shape[2] == 1 else np.einsum("bsc,sc->bc", count, known)


def middle_mean(values: np.ndarray, drawn: np.ndarray, whole: bool) -> np.ndarray:
    """Average the middle half of sorted values [V, ...] with counts [B, V, ...]: [B, ...]."""
    reached = np.cumsum(drawn, axis=1)
    total = reached[:, -1:].copy()
    low = np.floor(np.round(total, 6) / 4) if whole else total / 4
    high = total - low
    kept = np.diff(np.clip(reached, low, high, out=reached), axis=1, prepend=low)
    with np.errstate(invalid="ignore"):  # nothing drawn
        return np.einsum("bv...,v...->b...", kept, values) / (high - low)[:, 0]


def _mean(
    arms: Sequence[np.ndarray], counts: Sequence[np.ndarray], axis: int | None = None
) -> np.ndarray:
    (x,), (count,) = arms, counts
    means = _column_means(x, count)
    return means if axis == 0 else _over_tasks(means)


def _median(arms: Sequence[np.ndarray], counts: Sequence[np.ndarray]) -> np.ndarray:
    (x,), (count,) = arms, counts
    means = _column_means(x, count)
    known = ~np.isnan(means)
    ordered = np.sort(means, axis=1)  # NaN last
    last = np.maximum(known.sum(axis=1), 1) - 1
    each = np.arange(len(means))
    return (ordered[each, last // 2] + ordered[each, (last + 1) // 2]) / 2


def _optimality_gap(
    arms: Sequence[np.ndarray],
    counts: Sequence[np.ndarray],
    gamma: float = 1.0,
    axis: int | None = None,
) -> np.ndarray:
    below = np.where(arms[0] > gamma, gamma, arms[0])
    return gamma - _mean((below,), counts, axis)


def _profile(arms: Sequence[np.ndarray], counts: Sequence[np.ndarray], taus: Any) -> np.ndarray:
    (x,) = arms
    above = [np.where(np.isnan(x), np.nan, x > tau) for tau in np.asarray(taus, np.float32)]
    return np.stack([_mean((each,), counts) for each in above], axis=-1)


def _average_profile(
    arms: Sequence[np.ndarray], counts: Sequence[np.ndarray], taus: Any
) -> np.ndarray:
    means = _column_means(arms[0], counts[0])
    above = [np.where(np.isnan(means), np.nan, means > tau) for tau in np.asarray(taus, np.float32)]
    return np.stack([_over_tasks(each) for each in above], axis=-1)


def _improvement(arms: Sequence[np.ndarray], counts: Sequence[np.ndarray]) -> np.ndarray:
    """Compute the probability of improvement: per task, the share of pairs won by X, ties half."""
    (x, y), (of_x, of_y) = arms, counts
    shares = []
    for task in range(x.shape[1]):
        a, b = x[:, task], y[:, task]
        wins = (a[:, None] > b) + 0.5 * (a[:, None] == b)
        drawn_a, drawn_b = (c[..., task if c.shape[2] > 1 else 0] for c in (of_x, of_y))
        pairs = (drawn_a @ ~np.isnan(a)) * (drawn_b @ ~np.isnan(b))
        with np.errstate(invalid="ignore"):
            shares.append(np.einsum("bi,bi->b", drawn_a @ wins, drawn_b) / pairs)
    return _over_tasks(np.stack(shares, axis=-1))


def _column_means(x: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Average over seeds, [B, C]; NaN if no run of a column was drawn."""
    values = np.where(np.isnan(x), 0.0, x)
    if count.shape[2] == 1:
        total = count[:, :, 0] @ values
    else:
        total = np.einsum("bsc,sc->bc", count, values)
    with np.errstate(invalid="ignore"):
        return total / _known_runs(x, count)


def _over_tasks(means: np.ndarray) -> np.ndarray:
    """Average over the last axis, ignoring NaN; NaN if all are."""
    known = ~np.isnan(means)
    with np.errstate(invalid="ignore"):
        return np.where(known, means, 0.0).sum(axis=-1) / known.sum(axis=-1)


_FORMS: dict[Statistic, Any] = {
    aggregate.iqm: _iqm,
    aggregate.mean: _mean,
    aggregate.median: _median,
    aggregate.optimality_gap: _optimality_gap,
    aggregate.performance_profile: _profile,
    aggregate.average_score_profile: _average_profile,
    aggregate.probability_of_improvement: _improvement,
}
_ALONG_SEEDS = (aggregate.iqm, aggregate.mean, aggregate.optimality_gap)
_SHARES = (
    aggregate.performance_profile,
    aggregate.average_score_profile,
    aggregate.probability_of_improvement,
)
