"""Draw the figure of a study from its panels, for wide and for narrow pages."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from purejaxrl_suite.report.figures import STYLE, pack, save
from purejaxrl_suite.report.findings import size
from purejaxrl_suite.report.panels import (
    MARK,
    after,
    before,
    draw,
    named,
    styles,
    without_intervals,
    wrapped,
)
from purejaxrl_suite.stats import MINIMUM_SEEDS
from purejaxrl_suite.studies.panels import Intervals, Panel
from purejaxrl_suite.studies.study_result import StudyResult

COLUMNS = 2
AXES, NARROW, LEAST = 3.0, 4.4, 1.8
"""Widths in inches of axes, of a figure of one column, and of axes there at least."""
HIGH, LOW, ROW = 3.0, 1.9, 0.22
"""Heights in inches of a panel, of one with a few intervals, and of an interval."""


def study_figure(
    outcome: StudyResult, path: str | Path | None = None, columns: int = COLUMNS
) -> Figure:
    """Draw the panels of a study's result, and below them what was trained.

    Of fewer than eight seeds intervals are not drawn: they would not hold what they promise.

    Args:
        outcome: the result.
        path: where to write the picture, if anywhere.
        columns: panels in a row; 1 for narrow pages.

    Returns:
        The figure.

    Raises:
        ValueError: the result has no panels, or there is no column.
    """
    if not outcome.panels:
        raise ValueError(f"outcome: {outcome.study} has no panels")
    text, panels = f"{outcome.study}, {outcome.preset}: {size(outcome.budget)}", outcome.panels
    if outcome.budget.seeds < MINIMUM_SEEDS:
        panels = tuple(map(without_intervals, panels))
        text += f". No intervals: they need {MINIMUM_SEEDS} seeds."
    return panels_figure(panels, path, columns=columns, note=text)


def draw_study(outcome: StudyResult, folder: str | Path) -> Path:
    """Draw FOLDER/PRESET.png and, for narrow pages, PRESET-narrow.png; return the first."""
    path = Path(folder) / f"{outcome.preset}.png"
    for place, columns in ((path, COLUMNS), (path.with_stem(f"{outcome.preset}-narrow"), 1)):
        study_figure(outcome, place, columns)
        pack(place)
    return path


def panels_figure(
    panels: Sequence[Panel],
    path: str | Path | None = None,
    *,
    columns: int = COLUMNS,
    note: str = "",
) -> Figure:
    """Draw `Lines`, `Intervals`, `Bars` and `Heat` of `purejaxrl_suite.studies`.

    A label has one colour in all panels. The last panel is as wide as what is left of its row.

    Args:
        panels: what is drawn.
        path: where to write the picture, if anywhere.
        columns: panels in a row; 1 for narrow pages.
        note: a sentence below the panels.

    Returns:
        The figure.

    Raises:
        ValueError: there is no column.
    """
    if columns < 1:
        raise ValueError(f"columns: expected at least 1, got {columns}")
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    looks, (width, each) = styles(panels), _widths(rows)
    with matplotlib.rc_context(STYLE):
        below = wrapped(note, width)
        heights = [_height(row) for row in rows]
        height = sum(heights) + 0.17 * (1 + below.count("\n")) * bool(note)
        figure = Figure(figsize=(width, height), layout="constrained")
        grid: Any = figure.add_gridspec(len(rows), len(rows[0]), height_ratios=heights)
        for y, row in enumerate(rows):
            for x, panel in enumerate(row):
                last = panel is row[-1]
                ax = figure.add_subplot(grid[y, x:] if last else grid[y, x])
                wider = width - each - 1.0 if last and len(row) < len(rows[0]) else 0.0
                draw(ax, panel, looks, each + wider)
        if note:
            figure.supxlabel(below, x=0.01, ha="left", fontsize="small", color=MARK)
        save(figure, path)
    return figure


def _widths(rows: Sequence[Sequence[Panel]]) -> tuple[float, float]:
    """Return the widths of the figure and of axes in inches."""
    columns = [[row[x] for row in rows if x < len(row)] for x in range(len(rows[0]))]
    beside = sum(max(map(before, of)) + max(map(after, of)) for of in columns)
    if len(columns) == 1:
        axes = max(LEAST, NARROW - beside)
        return beside + axes, axes
    return beside + AXES * len(columns), AXES


def _height(row: Sequence[Panel]) -> float:
    """Compute the height of a row of panels in inches: enough for its intervals and their names."""
    intervals = [panel for panel in row if isinstance(panel, Intervals)]
    lines = [
        len(panel.rows) * max((1 + named(one.label).count("\n") for one in panel.rows), default=0)
        for panel in intervals
    ]
    return max(LOW if len(intervals) == len(row) else HIGH, 0.9 + ROW * max(lines, default=0))
