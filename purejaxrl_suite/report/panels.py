"""Draw panels of studies: lines, intervals, bars and heat maps, in the colours of a figure."""

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from purejaxrl_suite.report.figures import CHARACTER, COLOURS, label_lines
from purejaxrl_suite.report.layers import heat_map
from purejaxrl_suite.report.summary import engineering
from purejaxrl_suite.studies.panels import Bars, Heat, Interval, Intervals, Line, Lines, Panel

MARK = "#888888"
OTHER = "#666666"
"""Colour of intervals that are of no arm, beside panels of arms."""
ENDS = ("value", "low", "high")
FEW = 8
"""Up to so many points on an axis, each is named."""
DOTS = 40
"""Lines of up to so many points have a marker at each."""
DECADES = 200
"""Range of a logarithmic axis, as a factor, below which 2 and 5 are named, too."""
WIDE = 0.02
"""Width of a character of such a name, as a share of the axis."""
LONGEST = 26
"""Characters in a line of the name of a row."""
SMALL = 0.8
"""Size of a legend's letters, as a share of others."""


class Style(NamedTuple):
    """Looks of an arm, the same in every panel of a figure.

    dash: of its lines. sign: before its name, for lines that are not solid.
    """

    colour: str
    dash: Any = "-"
    sign: str = ""


_DASHES = (("-", ""), ((0, (4, 1.5)), "┅ "), ((0, (1.2, 1.2)), "┈ "))
STYLES = tuple(Style(colour, *dash) for dash in _DASHES for colour in COLOURS)


def styles(panels: Sequence[Panel]) -> dict[str, Style]:
    """Give every line and bar a style by its label: one in all panels, two never in one panel.

    Labels that share no panel may share a colour if there are more labels than colours; lines are
    dashed only where a panel has more lines than there are colours.
    """
    groups = [_labels(panel) for panel in panels]
    found: dict[str, Style] = {}
    for label in dict.fromkeys(label for group in groups for label in group):
        met = {found[x] for group in groups if label in group for x in group if x in found}
        used = Counter(found.values())
        free = [one for one in STYLES if one not in met] or list(STYLES)
        found[label] = min(free, key=lambda one: (bool(one.sign), used[one]))
    return found


def draw(ax: Axes, panel: Panel, looks: Mapping[str, Style], width: float) -> None:
    """Draw a panel with its title; `width` of its axes is in inches."""
    drawn_by: Any = {Lines: _lines, Intervals: _intervals, Bars: _bars, Heat: _heat}
    drawn_by[type(panel)](ax, panel, looks)
    if isinstance(panel, Bars):
        _legend(ax, panel, width)
    beside = after(panel)
    ax.set_title(wrapped(panel.title, width + beside, 1.1))
    ax.set_xlabel(wrapped(ax.get_xlabel(), width))


def without_intervals(panel: Panel) -> Panel:
    """Return the panel without bands and intervals, and without the words that announce them."""
    if isinstance(panel, Lines):
        none = [(np.nan,) * len(one.x) for one in panel.lines]
        bare = [x._replace(low=n, high=n) for x, n in zip(panel.lines, none, strict=True)]
        return panel._replace(lines=tuple(bare), y=_unannounced(panel.y))
    if isinstance(panel, Intervals):
        return panel._replace(rows=_bare(panel.rows), x=_unannounced(panel.x))
    if isinstance(panel, Bars):
        return panel._replace(rows=tuple(map(_bare, panel.rows)), y=_unannounced(panel.y))
    return panel


def before(panel: Panel) -> float:
    """Estimate the width of what stands left of the axes in inches."""
    if isinstance(panel, Intervals):
        return 0.1 + CHARACTER * max((_longest(one.label) for one in panel.rows), default=0)
    if isinstance(panel, Heat):
        return 0.1 + CHARACTER * max(map(len, panel.rows), default=0)
    return 0.7


def after(panel: Panel) -> float:
    """Estimate the width of what stands right of the axes in inches."""
    if isinstance(panel, Lines):
        return 0.2 + CHARACTER * (2 + max((len(one.label) for one in panel.lines), default=0))
    return 0.8 if isinstance(panel, Heat) else 0.1


def wrapped(text: str, width: float, size: float = 1.0) -> str:
    """Break a text into lines of a width in inches; size: of its letters, 1 as most."""
    return textwrap.fill(text, max(12, int(width / (CHARACTER * size))))


def named(row: str) -> str:
    """Break the name of a row of intervals into lines."""
    return textwrap.fill(row, LONGEST, break_on_hyphens=False, break_long_words=False)


def readable(number: float) -> str:
    """Write a number of an axis: `0.001`, `20 k`, `1 M`."""
    text = engineering(number) if abs(number) >= 1e3 else f"{number:.6g}"
    return text.replace("-", "\u2212")


def _longest(row: str) -> int:
    return max(map(len, named(row).splitlines()), default=0)


def _labels(panel: Panel) -> tuple[str, ...]:
    if isinstance(panel, Lines):
        return tuple(one.label for one in panel.lines)
    return panel.labels if isinstance(panel, Bars) else ()


def _bare(rows: Iterable[Interval]) -> tuple[Interval, ...]:
    return tuple(one._replace(low=np.nan, high=np.nan) for one in rows)


def _unannounced(text: str) -> str:
    return re.sub("(, |^)95 % interval", "", text)


def _lines(ax: Axes, panel: Lines, looks: Mapping[str, Style]) -> None:
    ax.set_xscale("log" if panel.logarithmic else "linear")
    ax.set_yscale("log" if panel.logarithmic_y else "linear")
    ends = {}
    for one in panel.lines:
        look = looks[one.label]
        dots: Any = {"marker": "o", "markersize": 3} if len(one.x) <= DOTS else {}
        ax.plot(one.x, one.value, color=look.colour, linestyle=look.dash, **dots)
        ax.fill_between(one.x, one.low, one.high, color=look.colour, alpha=0.2, linewidth=0)
        if len(one.x) == 1:  # a band needs two points
            ax.vlines(one.x, one.low, one.high, color=look.colour, alpha=0.5)
        ends[look.sign + one.label] = (_last(one), look.colour)
    if panel.against is not None:
        ax.axhline(panel.against, color=MARK, linewidth=1, linestyle="--")
    _name_points(ax, panel)
    _name_numbers(ax.yaxis, ax.get_ylim(), panel.logarithmic_y)
    ax.set_xlabel(panel.x + ", logarithmic" * panel.logarithmic)
    ax.set_ylabel(panel.y + ", logarithmic" * panel.logarithmic_y)
    label_lines(ax, ends)


def _name_points(ax: Axes, panel: Lines) -> None:
    """Name the points of the horizontal axis if they are few, else round numbers."""
    known = sorted({x for one in panel.lines for x in one.x})
    names = [readable(x) for x in known]
    if len(known) <= FEW and not _crowded(known, names, panel.logarithmic):
        ax.set_xticks(known, names)
        ax.xaxis.set_minor_locator(NullLocator())
        return
    _name_numbers(ax.xaxis, ax.get_xlim(), panel.logarithmic)


def _name_numbers(axis: Any, ends: tuple[float, float], logarithmic: bool) -> None:
    if logarithmic:
        few = ends[1] < DECADES * ends[0]
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
        axis.set_minor_formatter(NullFormatter())
    elif axis.axis_name == "x":
        axis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
    axis.set_major_formatter(FuncFormatter(lambda x, _: readable(x)))


def _crowded(x: list[float], names: list[str], logarithmic: bool) -> bool:
    """Tell whether the names of these points would overlap."""
    gaps = np.diff(np.log(x) if logarithmic else x)
    return len(gaps) > 0 and gaps.min() < WIDE * (1 + max(map(len, names))) * gaps.sum()


def _intervals(ax: Axes, panel: Intervals, looks: Mapping[str, Style]) -> None:
    if panel.against is not None:
        ax.axvline(panel.against, color=MARK, linewidth=1, linestyle="--")
        if panel.smallest:
            low, high = panel.against - panel.smallest, panel.against + panel.smallest
            ax.axvspan(low, high, color="#f0f0f0", linewidth=0)
    neutral = Style(OTHER if looks else COLOURS[0])
    for y, one in enumerate(panel.rows):
        look = looks.get(one.label, neutral)
        ax.plot([one.low, one.high], [y, y], color=look.colour, linestyle=look.dash)
        ax.plot(one.value, y, "o", color=look.colour, markersize=5)
    ax.set_yticks(range(len(panel.rows)), [named(one.label) for one in panel.rows])
    ax.set_ylim(len(panel.rows) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    _name_numbers(ax.xaxis, ax.get_xlim(), logarithmic=False)
    ax.set_xlabel(panel.x)


def _bars(ax: Axes, panel: Bars, looks: Mapping[str, Style]) -> None:
    width = 0.8 / len(panel.labels)
    for number, (label, rows) in enumerate(zip(panel.labels, panel.rows, strict=True)):
        x = np.arange(len(rows)) + (number - (len(panel.labels) - 1) / 2) * width
        value, low, high = (np.array([getattr(r, n) for r in rows]) for n in ENDS)
        colour = looks[label].colour
        ax.bar(x, value, width, color=colour, label=label)
        ax.vlines(x, low, high, color=OTHER, linewidth=1)
    ax.set_xticks(range(len(panel.groups)), panel.groups, fontsize="small")
    ax.grid(visible=False, axis="x")
    ax.set_ylabel(panel.y)


def _legend(ax: Axes, panel: Bars, width: float) -> None:
    """Name the bars above them."""
    each = 0.45 + SMALL * CHARACTER * max(map(len, panel.labels))
    columns = max(1, min(len(panel.labels), int(width / each)))
    rows = -(-len(panel.labels) // columns)
    ax.margins(y=0.1 + 0.1 * rows)
    ax.legend(fontsize="x-small", frameon=False, ncols=columns, loc="upper left")


def _heat(ax: Axes, panel: Heat, looks: Mapping[str, Style]) -> None:
    del looks  # its colours are numbers
    heat_map(
        ax,
        panel.rows,
        at=np.asarray(panel.at),
        values=np.asarray(panel.values),
        unit=panel.unit,
        ends=(panel.low, panel.high),
    )
    ax.set_xlabel(panel.x)


def _last(one: Line) -> float:
    known = np.asarray(one.value)[~np.isnan(one.value)]
    return float(known[-1]) if known.size else np.nan
