"""Draw the figure of a study from its panels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from purejaxrl_suite.report.figures import CHARACTER, COLOURS, STYLE, label_lines, save
from purejaxrl_suite.report.layers import heat_map
from purejaxrl_suite.studies.panels import Bars, Heat, Intervals, Line, Lines, Panel
from purejaxrl_suite.studies.study_result import StudyResult

COLUMNS = 2
MARK = "#888888"
ENDS = ("value", "low", "high")
HIGH, LOW, ROW = 3.1, 2.0, 0.22
"""Heights in inches of a panel, of one with a few intervals, and of an interval."""
FEW = 8
"""Up to so many points on an axis, each is named."""
DECADES = 200
"""Range of a logarithmic axis, as a factor, below which 2 and 5 are named, too."""
WIDE = 0.02
"""Width of a character of such a name, as a share of the axis."""


def study_figure(outcome: StudyResult, path: str | Path | None = None) -> Figure:
    """Draw the panels of a study's result, two in a row.

    path: where to write the picture, if anywhere.

    Raises:
        ValueError: the result has no panels.
    """
    if not outcome.panels:
        raise ValueError(f"outcome: {outcome.study} has no panels")
    return panels_figure(outcome.panels, path)


def panels_figure(panels: Sequence[Panel], path: str | Path | None = None) -> Figure:
    """Draw `Lines`, `Intervals`, `Bars` and `Heat` of `purejaxrl_suite.studies`, two in a row.

    path: where to write the picture, if anywhere. Returns the figure.
    """
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(STYLE):
        heights = _heights(panels, columns)
        size = (4.4 + _beside(panels)) * columns, sum(heights)
        figure = Figure(figsize=size, layout="constrained")
        ratios: Any = {"height_ratios": heights}
        axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw=ratios).ravel()
        for ax, panel in zip(axes, panels, strict=False):
            draw: Any = DRAWN_BY[type(panel)]
            draw(ax, panel)
            ax.set_title(panel.title)
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        save(figure, path)
    return figure


def _lines(ax: Axes, panel: Lines) -> None:
    ax.set_xscale("log" if panel.logarithmic else "linear")
    if panel.logarithmic_y:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    ends = {}
    for colour, one in zip(COLOURS, panel.lines, strict=False):
        ax.plot(one.x, one.value, color=colour, marker="o", markersize=3)
        ax.fill_between(one.x, one.low, one.high, color=colour, alpha=0.2, linewidth=0)
        if len(one.x) == 1:  # a band needs two points
            ax.vlines(one.x, one.low, one.high, color=colour, alpha=0.5)
        ends[one.label] = (_last(one), colour)
    if panel.against is not None:
        ax.axhline(panel.against, color=MARK, linewidth=1, linestyle="--")
    known = sorted({x for one in panel.lines for x in one.x})
    names = [f"{x:g}" for x in known]
    if len(known) <= FEW and not _crowded(known, names, panel.logarithmic):
        ax.set_xticks(known, names)
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        if panel.logarithmic:
            few = known[-1] < DECADES * known[0]
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
            ax.xaxis.set_minor_formatter(NullFormatter())
        ax.xaxis.set_major_formatter(EngFormatter())
    ax.set_xlabel(panel.x)
    ax.set_ylabel(panel.y)
    label_lines(ax, ends)


def _crowded(x: list[float], names: list[str], logarithmic: bool) -> bool:
    """Tell whether the names of these points would overlap."""
    gaps = np.diff(np.log(x) if logarithmic else x)
    return len(gaps) > 0 and gaps.min() < WIDE * (1 + max(map(len, names))) * gaps.sum()


def _intervals(ax: Axes, panel: Intervals) -> None:
    if panel.against is not None:
        ax.axvline(panel.against, color=MARK, linewidth=1, linestyle="--")
        if panel.smallest:
            low, high = panel.against - panel.smallest, panel.against + panel.smallest
            ax.axvspan(low, high, color="#f0f0f0", linewidth=0)
    for y, one in enumerate(panel.rows):
        ax.plot([one.low, one.high], [y, y], color=COLOURS[0])
        ax.plot(one.value, y, "o", color=COLOURS[0], markersize=5)
    ax.set_yticks(range(len(panel.rows)), [one.label for one in panel.rows])
    ax.set_ylim(len(panel.rows) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlabel(panel.x)


def _bars(ax: Axes, panel: Bars) -> None:
    width = 0.8 / len(panel.labels)
    for number, (label, rows) in enumerate(zip(panel.labels, panel.rows, strict=True)):
        x = np.arange(len(rows)) + (number - (len(panel.labels) - 1) / 2) * width
        value, low, high = (np.array([getattr(r, n) for r in rows]) for n in ENDS)
        error = np.stack([value - low, high - value])
        colour = COLOURS[number % len(COLOURS)]
        ax.bar(x, value, width, color=colour, yerr=error, label=label, error_kw={"linewidth": 1})
    ax.set_xticks(range(len(panel.groups)), panel.groups, fontsize="small")
    ax.grid(visible=False, axis="x")
    ax.set_ylabel(panel.y)
    ax.margins(y=0.3)  # for the legend
    ax.legend(fontsize="x-small", frameon=False, ncols=3, loc="upper left")


def _heat(ax: Axes, panel: Heat) -> None:
    heat_map(
        ax,
        panel.rows,
        at=np.asarray(panel.at),
        values=np.asarray(panel.values),
        unit=panel.unit,
        ends=(panel.low, panel.high),
    )
    ax.set_xlabel(panel.x)


DRAWN_BY = {Lines: _lines, Intervals: _intervals, Bars: _bars, Heat: _heat}


def _last(one: Line) -> float:
    known = np.asarray(one.value)[~np.isnan(one.value)]
    return float(known[-1]) if known.size else np.nan


def _heights(panels: Sequence[Panel], columns: int) -> list[float]:
    """Compute the height of each row of panels in inches: enough for its intervals."""
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    few = [all(isinstance(panel, Intervals) for panel in row) for row in rows]
    counts = [[len(panel.rows) for panel in row if isinstance(panel, Intervals)] for row in rows]
    least = [LOW if low else HIGH for low in few]
    return [max(x, 0.9 + ROW * max(n, default=0)) for x, n in zip(least, counts, strict=True)]


def _beside(panels: Sequence[Panel]) -> float:
    """Estimate the width of the labels beside the panels in inches."""
    lines = [one.label for p in panels if isinstance(p, Lines) for one in p.lines]
    rows = [one.label for p in panels if isinstance(p, Intervals) for one in p.rows]
    rows += [label for p in panels if isinstance(p, Heat) for label in p.rows]
    return CHARACTER * max((len(label) for label in (*lines, *rows)), default=0) - 0.6
