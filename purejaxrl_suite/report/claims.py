"""Draw all claims of all studies in one figure, in units of their smallest effects of interest."""

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from purejaxrl_suite.report.figures import STYLE, save
from purejaxrl_suite.report.findings import effect, size
from purejaxrl_suite.studies.study_result import Finding, Ruling, StudyResult

JUDGED = ("full", "standard")
"""Presets with verdicts, in order of preference."""
LOOKS = {
    Ruling.CONFIRMED: ("#009E73", "o"),
    Ruling.REFUTED: ("#D55E00", "X"),
    Ruling.INCONCLUSIVE: ("#0072B2", "D"),
    Ruling.NOT_TESTED: ("#888888", "o"),
    Ruling.EXPLORATORY: ("#CC79A7", "s"),
}
"""{ruling: colour and marker}; the marker of what was not tested is hollow."""
LETTER, LINE, BOX = 0.062, 0.125, 0.055
"""Inches: width of a letter, height of a line of a claim, and half of the place of an interval."""
TAKEN_BACK = "\u2020"
EXPECTED = "#e8e8e8"
TICKS = (-100, -10, -1, 0, 1, 10, 100)
UNIT = "effect in units of the smallest effect of interest, right as claimed"


class Page(NamedTuple):
    """Measures of the figure in inches.

    width: of the figure. left: where the axes begin. text: width of the claims' text. above:
    whether a claim stands above its interval, not beside it.
    """

    width: float
    left: float
    text: float
    above: bool


WIDE = Page(9.6, 5.4, 5.2, False)
NARROW = Page(4.3, 0.15, 4.1, True)


class Row(NamedTuple):
    """A claim at its place: y of its first line and of its interval, in inches from the top."""

    found: Finding
    lines: list[str]
    y: float
    at: float


def claims_figure(
    outcomes: Mapping[str, Mapping[str, StudyResult]],
    path: str | Path | None = None,
    *,
    narrow: bool = False,
) -> Figure:
    """Draw a row for each judged claim: its effect with the interval, coloured by its ruling.

    Effects are in units of the smallest effect of interest and point to the right if they are as
    claimed. A claim without such a unit has its numbers in words. Thin lines are intervals after
    adjustment for all claims of a study; a dagger is on verdicts that do not hold there. Studies
    that nothing has judged are named below.

    Args:
        outcomes: {study: {preset: result}}, empty for studies without one.
        path: where to write the picture, if anywhere.
        narrow: draw for pages as wide as a telephone.

    Returns:
        The figure.

    Raises:
        ValueError: no result has a verdict.
    """
    judged = {name: one for name, of in outcomes.items() if (one := _judged(of)) is not None}
    if not judged:
        raise ValueError("outcomes: expected a result of `standard` or `full`, got none")
    page = NARROW if narrow else WIDE
    missing = textwrap.wrap(_missing(outcomes, judged), int((page.width - 0.3) / LETTER))
    with matplotlib.rc_context(STYLE):
        heads, rows, height = _placed(judged, page)
        top, below = (1.1 if narrow else 0.65), 0.6 + LINE * len(missing)
        whole = top + height + below
        figure = Figure(figsize=(page.width, whole))
        width = 1.0 - (page.left + 0.2) / page.width
        ax = figure.add_axes((page.left / page.width, below / whole, width, height / whole))
        ax.set_ylim(height, 0.0)
        _axis(ax, rows)
        ax.grid(visible=not narrow)  # text stands on the axes of a narrow page
        for y, name, data in heads:
            _words(ax, page, y, name, weight="bold")
            _words(ax, page, y + LINE, data, color="#555555")
        for row in rows:
            _claim(ax, page, row)
        _legend(figure, rows, narrow)
        note: Any = {"fontsize": 7.5, "va": "bottom", "color": "#555555"}
        figure.text(0.15 / page.width, 0.1 / whole, "\n".join(missing), **note)
        save(figure, path)
    return figure


def _judged(of: Mapping[str, StudyResult]) -> StudyResult | None:
    """Return the largest result with verdicts."""
    return next((of[preset] for preset in JUDGED if preset in of), None)


def _placed(judged: Mapping[str, StudyResult], page: Page) -> tuple[list[Any], list[Row], float]:
    """Place headings (y, name, data) and rows from the top down; return them and the height."""
    heads, rows, y = [], [], 0.0
    for name, one in judged.items():
        heads.append((y, name, textwrap.shorten(size(one.budget), int(page.text / LETTER))))
        y += 2 * LINE + 0.03
        for found in one.findings:
            lines = textwrap.wrap(_statement(found), int(page.text / LETTER))
            tall = LINE * len(lines)
            rows.append(Row(found, lines, y, y + (tall + BOX + 0.02 if page.above else tall / 2)))
            y += tall + (0.19 if page.above else 0.03)
        y += 0.08
    return heads, rows, y


def _statement(found: Finding) -> str:
    """Write a claim, and why it has no verdict or would have none among all of its study."""
    if found.failed:
        return f"{found.statement} (not tested: {', '.join(found.failed)})"
    return found.statement + f" {TAKEN_BACK}" * _taken_back(found)


def _taken_back(found: Finding) -> bool:
    """Tell whether the verdict does not hold among all claims of its study."""
    return found.adjusted is not None and found.adjusted.verdict != found.verdict


def _axis(ax: Axes, rows: Sequence[Row]) -> None:
    """Draw the axis of effects: linear to one unit, logarithmic beyond."""
    ends = [abs(x) for row in rows for x in _units(row.found) if x == x]
    most = 1.3 * max(ends, default=1.0)
    ax.set_xscale("symlog", linthresh=1.0, linscale=0.7)
    ax.set_xlim(-most, most)
    ax.xaxis.set_major_locator(FixedLocator([x for x in TICKS if abs(x) < most]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}".replace("-", "−")))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.tick_params(axis="x", top=True, labeltop=True, labelsize=7.5)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(UNIT, fontsize=7.5)


def _units(found: Finding) -> tuple[float, float, float]:
    """Return value, low and high in units of the smallest effect, positive as claimed."""
    if not found.smallest:
        return math.nan, math.nan, math.nan
    sign = -1.0 if found.direction == "less" else 1.0
    value, *ends = (
        sign * (x - found.against) / found.smallest for x in (found.value, found.low, found.high)
    )
    return value, min(ends), max(ends)


def _claim(ax: Axes, page: Page, row: Row) -> None:
    """Write a claim, and draw its effect in colour over the place where it is claimed to be."""
    colour, marker = LOOKS[row.found.verdict]
    hollow = row.found.verdict is Ruling.NOT_TESTED
    for number, text in enumerate(row.lines):
        _words(ax, page, row.y + number * LINE, text)
    dot: Any = {"color": colour, "marker": marker, "markersize": 5, "clip_on": False}
    dot |= {"markerfacecolor": "white" if hollow else colour, "markeredgewidth": 1.0}
    if not row.found.smallest:
        ax.plot(0.03, row.at, transform=ax.get_yaxis_transform(), **dot)
        style: Any = {"fontsize": 7, "va": "center", "color": colour}
        style |= {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.5}}
        words = effect(row.found._replace(needed=None), row.found.unit)
        ax.text(0.06, row.at, words, transform=ax.get_yaxis_transform(), **style)
        return
    value, low, high = _units(row.found)
    ends = (-1.0, 1.0) if row.found.direction == "equal" else (1.0, ax.get_xlim()[1])
    box = row.at - BOX, row.at + BOX
    ax.plot((0.0, 0.0), box, color="#888888", linewidth=0.8)
    ax.fill_between(ends, *box, color=EXPECTED, linewidth=0, zorder=0)
    if row.found.adjusted is not None:
        wide = row.found._replace(low=row.found.adjusted.low, high=row.found.adjusted.high)
        ax.plot(_units(wide)[1:], (row.at, row.at), color=colour, linewidth=0.7)
    ax.plot(
        (low, high), (row.at, row.at), color=colour, linewidth=2, alpha=0.4 + 0.6 * (not hollow)
    )
    ax.plot(value, row.at, **dot)


def _words(ax: Axes, page: Page, y: float, text: str, **style: Any) -> None:
    """Write a line of text left of the axes, or at the left end where claims stand above."""
    place = (0.15 - page.left) / (page.width - page.left - 0.2)
    look: Any = {"transform": ax.get_yaxis_transform(), "fontsize": 7.5, "va": "top"} | style
    ax.text(place, y, text, **look)


def _legend(figure: Figure, rows: Sequence[Row], narrow: bool) -> None:
    """Name the colours, with the number of claims of each."""
    count = Counter(row.found.verdict for row in rows)
    handles = []
    for ruling, (colour, marker) in LOOKS.items():
        if count[ruling]:
            fill = "white" if ruling is Ruling.NOT_TESTED else colour
            name = f"{count[ruling]} {ruling.lower()}"
            look: Any = {"color": colour, "marker": marker, "markerfacecolor": fill}
            handles.append(Line2D([], [], linestyle="-", label=name, **look))
    grey = Line2D([], [], linewidth=7, color=EXPECTED, label="where the claim says it lies")
    thin = Line2D(
        [], [], linewidth=0.7, color="black", label="interval among all claims of a study"
    )
    figure.legend(
        handles=[*handles, grey, thin],
        loc="upper left",
        ncols=2 if narrow else 4,
        fontsize=7.5,
        frameon=False,
        borderaxespad=0.2,
    )


def _missing(outcomes: Mapping[str, Any], judged: Mapping[str, StudyResult]) -> str:
    """Name the studies whose claims nothing has judged."""
    names = [name for name in outcomes if name not in judged]
    if not names:
        return ""
    return f"Not judged yet (run at quick, or not at all): {', '.join(names)}."
