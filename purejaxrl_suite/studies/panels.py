"""Panels of the figure of a study: lines, intervals, bars and colours, as numbers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from purejaxrl_suite.stats import Effect, Estimate


class Line(NamedTuple):
    """One line with its band, K points each; NaN for unknown points."""

    label: str
    x: tuple[float, ...]
    value: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Lines(NamedTuple):
    """A panel of lines.

    x, y: labels of the axes. logarithmic, logarithmic_y: whether they are logarithmic. against: the
    place of a horizontal line.
    """

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]
    logarithmic: bool = False
    against: float | None = None
    logarithmic_y: bool = False


class Interval(NamedTuple):
    """One row of a panel of intervals."""

    label: str
    value: float
    low: float
    high: float


class Intervals(NamedTuple):
    """A panel of intervals, one below the other.

    x: label of the axis. against: the place of a vertical line, with a band of `smallest` to both
    sides.
    """

    title: str
    x: str
    rows: tuple[Interval, ...]
    against: float | None = None
    smallest: float = 0.0


class Bars(NamedTuple):
    """A panel of bars with intervals: in each of G groups one bar for each label.

    y: label of the axis. groups: their names. rows: G intervals for each label.
    """

    title: str
    y: str
    groups: tuple[str, ...]
    labels: tuple[str, ...]
    rows: tuple[tuple[Interval, ...], ...]


class Heat(NamedTuple):
    """A heat map with a row per label, such as a layer.

    x: label of the axis; `at`: its K points. unit: of the colours, from `low` to `high`. rows:
    their labels. values: K for each row; NaN if unknown.
    """

    title: str
    x: str
    unit: str
    rows: tuple[str, ...]
    at: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]
    low: float = 0.0
    high: float = 1.0


Panel = Lines | Intervals | Bars | Heat


def row(label: str, found: Estimate | Effect) -> Interval:
    """Make a row of `Intervals` from an estimate of f32[]."""
    return Interval(label, float(found.value), float(found.low), float(found.high))


def line(label: str, x: ArrayLike | Sequence[float], found: Estimate | Effect) -> Line:
    """Make a line of `Lines` from an estimate of f32[K]."""
    return Line(
        label=label,
        x=_floats(x),
        value=_floats(found.value),
        low=_floats(found.low),
        high=_floats(found.high),
    )


def spread(label: str, x: ArrayLike | Sequence[float], values: ArrayLike) -> Line:
    """Make a line of the medians of f[S, K], with a band from the 10th to the 90th percentile."""
    low, middle, high = np.percentile(np.asarray(values, float), (10, 50, 90), axis=0)
    return Line(label, _floats(x), _floats(middle), _floats(low), _floats(high))


def _floats(values: ArrayLike | Sequence[float]) -> tuple[float, ...]:
    return tuple(np.asarray(values, float).tolist())
