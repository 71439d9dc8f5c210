"""Sensitivity to hyper-parameters: final scores against each of them, or against two at once."""

import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullLocator

from purejaxrl_suite.report.configurations import (
    configurations,
    describe,
    main_metric,
    parameters,
    short,
    written,
)
from purejaxrl_suite.report.figures import COLOURS, STYLE, axis_label, save
from purejaxrl_suite.report.ranking import Ranking, Score, best, remarks
from purejaxrl_suite.report.summary import FINAL, spread

LINE, LOST, OTHERS = COLOURS[0], COLOURS[1], "#b0b0b0"
COLUMNS = 4
TICKS = 8
"""Up to so many values of an axis, all are written."""
CROWDED = 0.12
"""Values closer than this share of the axis would overlap."""


def sensitivity(
    curves: Any,
    metric: str | None = None,
    path: str | Path | None = None,
    pair: tuple[str, str] | None = None,
) -> Figure:
    """Plot the IQM of final scores, with its 95 % interval, against each varied hyper-parameter.

    There is a panel per hyper-parameter, in a row per environment. The line joins the
    configurations that differ from the best one only in this hyper-parameter (from the defaults for
    points of `one_at_a_time`); all others are grey. Points of `random` and `sobol` differ in
    everything and are not joined. Crosses at the bottom count members that diverged, which have the
    worst score of their environment.

    Args:
        curves: `Result.curves` of one sweep.
        metric: as in `best`.
        path: where to write the picture, if anywhere.
        pair: two hyper-parameters (x, y) for one heat map, with all others as in the best.

    Returns:
        The figure.

    Raises:
        ValueError: the metric or pair is unknown, or nothing was varied.
    """
    if not hasattr(curves, "data_vars"):
        raise ValueError(f"curves: expected the dataset of one sweep, got {type(curves).__name__}")
    metric = metric or main_metric(configurations(curves))
    ranking = best(curves, metric)
    names = parameters(ranking.scores)
    if not names:
        raise ValueError("curves: expected a sweep of at least two values, but nothing was varied")
    if pair is not None and (len(set(pair)) != 2 or not set(pair) <= set(names)):
        raise ValueError(f"pair: expected two of {', '.join(names)}, got {', '.join(pair)}")
    label = axis_label(curves[metric].attrs, metric)
    with matplotlib.rc_context(STYLE):
        found = views(curves, ranking)
        figure = _maps(found, pair, label) if pair else _panels(found, names, label)
        save(figure, path)
    return figure


class View(NamedTuple):
    """The scores of one environment, best first, and the one that slices go through."""

    environment: str
    scores: list[Score]
    centre: Score
    kind: str

    def slice(self, *names: str) -> list[Score]:
        """Return the configurations that differ from the centre only in these settings."""
        fixed = [name for name in self.centre.settings if name not in names]
        return [
            one
            for one in self.scores
            if all(one.settings.get(name) == self.centre.settings[name] for name in fixed)
        ]


def views(curves: Any, ranking: Ranking) -> list[View]:
    """Make a view of each environment of a sweep."""
    found = []
    for environment, group in groupby(ranking.scores, lambda one: one.environment):
        scores, kind = list(group), "best"
        centres = scores
        if "varied" in curves.coords:
            (axis,) = curves["varied"].dims
            varied = dict(zip(curves[axis].values.tolist(), curves["varied"].values, strict=True))
            centres, kind = [one for one in scores if varied[one.at[axis]] == ""], "default"
        found.append(View(environment, scores, centres[0], kind))
    return found


def _panels(views: Sequence[View], names: Sequence[str], label: str) -> Figure:
    columns = min(len(names), COLUMNS) if len(views) == 1 else len(names)
    rows = -(-len(views) * len(names) // columns)
    width = 0.8 + 2.5 * max(columns, 2)
    figure = Figure(figsize=(width, 0.7 + 2.5 * rows), layout=ConstrainedLayoutEngine(w_pad=0.08))
    axes = figure.subplots(rows, columns, squeeze=False, sharey="row")
    panels = [(view, name) for view in views for name in names]
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    for number, (ax, (view, name)) in enumerate(zip(axes.flat, panels, strict=False)):
        _panel(ax, view, name)
        if number % columns == 0:
            ax.set_ylabel(label)
        if number % len(names) == 0:
            ax.set_title(view.environment)
    _caption(figure, views, _panels_text(views, names), width)
    return figure


def _panel(ax: Axes, view: View, name: str) -> None:
    scale = scale_of([one.settings[name] for one in view.scores])

    def places(scores: Sequence[Score]) -> list[Any]:
        return [scale.place(one.settings[name]) for one in scores]

    chosen = sorted(view.slice(name), key=lambda one: places([one])[0])
    joined = len(chosen) > 1
    others = [one for one in view.scores if one not in chosen]
    if joined:
        ax.plot(places(others), [one.value for one in others], ".", color=OTHERS, markersize=4)
    else:
        _intervals(ax, places(others), others, fmt=".", alpha=0.6)
    _intervals(ax, places(chosen), chosen, fmt="o-")
    ring: Any = {"color": LINE, "markersize": 9, "fillstyle": "none"}
    ax.plot(places([view.centre]), [view.centre.value], "o", **ring)
    marked = chosen if joined else view.scores
    for x, one in zip(places(marked), marked, strict=True):
        _mark_diverged(ax, x, one, text=joined)
    ax.set_xlabel(name.replace("_", " "))
    scale.apply(ax, "x")


def _intervals(ax: Axes, xs: Sequence[float], scores: Sequence[Score], **style: Any) -> None:
    value, low, high = np.array([(one.value, one.low, one.high) for one in scores]).T
    reach = np.nan_to_num(np.stack([value - low, high - value]))
    ax.errorbar(xs, value, yerr=reach, color=LINE, elinewidth=1.2, capsize=2, **style)


def _mark_diverged(ax: Axes, x: float, one: Score, *, text: bool) -> None:
    if not one.diverged:
        return
    at_foot: Any = {"transform": ax.get_xaxis_transform(), "color": LOST, "clip_on": False}
    ax.plot(x, 0.0, "x", zorder=5, **at_foot)
    if text:
        count = f"{one.diverged}/{one.members}"
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.8}
        ax.text(x, 0.04, count, ha="center", va="bottom", fontsize=7, bbox=box, **at_foot)


class Scale(NamedTuple):
    """An axis. kind: "log", "linear" or "ordinal" (equal distances). ticks: values in order."""

    kind: str
    ticks: list[Any]

    def place(self, value: Any) -> Any:
        """Return the place of a value on the axis."""
        return self.ticks.index(value) if self.kind == "ordinal" else value

    def apply(self, ax: Axes, which: str) -> None:
        """Make this the x or the y axis."""
        axis = ax.xaxis if which == "x" else ax.yaxis
        if self.kind == "log":
            (ax.set_xscale if which == "x" else ax.set_yscale)("log")
        if self.kind == "ordinal" or _few(self.ticks):
            axis.set_minor_locator(NullLocator())
            axis.set_ticks([self.place(x) for x in self.ticks], [short(x) for x in self.ticks])


def scale_of(values: Sequence[Any]) -> Scale:
    """Choose the axis for values.

    Logarithmic if that spaces the values more evenly and they span a factor of 3. Ordinal if they
    are not numbers, or a few numbers of which some would overlap.
    """
    if any(isinstance(x, bool) or not isinstance(x, int | float) for x in values):
        return Scale("ordinal", sorted(set(values), key=str))
    ticks = sorted(set(values))
    kind, at = "linear", np.asarray(ticks, float)
    if ticks[0] > 0 and ticks[-1] >= 3 * ticks[0] and _uneven(np.log(at)) <= _uneven(at):
        kind, at = "log", np.log(at)
    crowded = len(ticks) > 1 and np.min(np.diff(at)) <= CROWDED * (at[-1] - at[0])
    return Scale("ordinal" if crowded and _few(ticks) else kind, ticks)


def _uneven(x: np.ndarray) -> float:
    """Compute the largest deviation from even distances, as a share of the range."""
    even = np.linspace(x[0], x[-1], len(x))
    return float(np.max(np.abs(x - even)) / max(x[-1] - x[0], 1e-30))


def _few(ticks: Sequence[Any]) -> bool:
    return len(ticks) <= TICKS and all(isinstance(x, int) or written(x) for x in ticks)


def _panels_text(views: Sequence[View], names: Sequence[str]) -> str:
    centre = views[0].centre
    text = f"Ring: the {views[0].kind} configuration"
    text += f" ({describe(centre.settings)})" * (len(views) == 1)
    if any(len(view.slice(name)) > 1 for view in views for name in names):
        text += "; line: all else as there; grey: the others"
    return text + "."


def _caption(figure: Figure, views: Sequence[View], text: str, width: float) -> None:
    scores = [one for view in views for one in view.scores]
    text = (
        f"{spread({one.members for one in scores})}; last {100 * FINAL:.0f} % of training"
        f"{remarks(scores)}. {text}"
    )
    text += " Crosses: with members that diverged." * any(one.diverged for one in scores)
    text = textwrap.fill(text, int(16 * width))
    figure.supxlabel(text, x=0.01, ha="left", fontsize=7.5, color="#555555")


def _maps(views: Sequence[View], pair: tuple[str, str], label: str) -> Figure:
    width = 1.0 + 4.2 * len(views)
    figure = Figure(figsize=(width, 3.8), layout="constrained")
    text = "One point per configuration."
    for ax, view in zip(figure.subplots(1, len(views), squeeze=False)[0], views, strict=True):
        chosen = view.slice(*pair)
        sizes = [len({one.settings[name] for one in chosen}) for name in pair]
        if len(chosen) > max(1, sizes[0] * sizes[1] / 2):
            rest = {k: v for k, v in view.centre.settings.items() if k not in pair}
            text = f"All else as in the {view.kind} configuration" * bool(rest)
            text += f" ({describe(rest)})" * (bool(rest) and len(views) == 1)
            drawn = _cells(ax, chosen, pair)
        else:
            drawn = _cloud(ax, view.scores, pair)
        figure.colorbar(drawn, ax=ax, label=label)
        ax.set_title(view.environment)
        ax.set_xlabel(pair[0].replace("_", " "))
        ax.set_ylabel(pair[1].replace("_", " "))
    _caption(figure, views, text + "." * (text[-1:] not in (".", "")), width)
    return figure


def _cells(ax: Axes, chosen: Sequence[Score], pair: tuple[str, str]) -> Any:
    """Draw a cell per pair of values, with the score as colour and number."""
    scales = [
        scale_of([one.settings[name] for one in chosen])._replace(kind="ordinal") for name in pair
    ]
    matrix = np.full([len(scale.ticks) for scale in reversed(scales)], np.nan)
    at = [
        [scale.place(one.settings[name]) for one in chosen]
        for scale, name in zip(scales, pair, strict=True)
    ]
    matrix[at[1], at[0]] = [one.value for one in chosen]
    drawn = ax.imshow(matrix, cmap="cividis", origin="lower", aspect="auto")
    middle = (np.nanmin(matrix) + np.nanmax(matrix)) / 2
    for x, y, one in zip(*at, chosen, strict=True):
        if one.diverged:
            ax.plot(x, y - 0.35, "x", color=LOST)
        if matrix.size <= TICKS**2:
            style: Any = {"color": "white" if one.value < middle else "black", "fontsize": 7}
            ax.text(x, y, _cell_text(one), ha="center", va="center", **style)
    ax.grid(False)
    scales[0].apply(ax, "x")
    scales[1].apply(ax, "y")
    return drawn


def _cell_text(one: Score) -> str:
    value = f"{one.value:.3g}" if one.value == one.value else "none"
    interval = f"\n{one.low:.3g} to {one.high:.3g}" * (one.low == one.low)
    lost = f"\n{one.diverged}/{one.members} diverged" * (one.diverged > 0)
    return value + interval + lost + f"\n{one.missing}/{one.members}: none" * (one.missing > 0)


def _cloud(ax: Axes, scores: Sequence[Score], pair: tuple[str, str]) -> Any:
    """Draw a point per configuration, with the score as colour."""
    scales = [scale_of([one.settings[name] for one in scores]) for name in pair]
    xs, ys = (
        [scale.place(one.settings[name]) for one in scores]
        for scale, name in zip(scales, pair, strict=True)
    )
    drawn = ax.scatter(xs, ys, c=[one.value for one in scores], cmap="cividis", s=40, zorder=3)
    for x, y, one in zip(xs, ys, scores, strict=True):
        if one.diverged:
            ax.plot(x, y, "x", color=LOST, zorder=4)
    scales[0].apply(ax, "x")
    scales[1].apply(ax, "y")
    return drawn
