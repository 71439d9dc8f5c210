"""Figures that compare algorithms: intervals, profiles, probabilities of improvement, scaling.

They draw results of `stats`, in the style of the other figures; the kinds of figures follow Agarwal
et al. 2021 (arXiv 2108.13264). An interval of NaN (one seed) is not drawn.
"""

import textwrap
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, NullLocator

from purejaxrl_suite.report.figures import CHARACTER, COLOURS, STYLE, label_lines, save
from purejaxrl_suite.report.ranking import best, remarks
from purejaxrl_suite.report.summary import spread
from purejaxrl_suite.stats import Effect, Estimate

MOST = 30
"""The most rows of a panel."""
MARKERS = "osD^vPX"
"""Markers of lines, so that they differ without colour, too."""


def intervals(
    estimates: Mapping[str, Mapping[str, Estimate]],
    path: str | Path | None = None,
    label: str = "normalized score",
) -> Figure:
    """Plot estimates with their intervals: a panel per measure, a row per algorithm.

    Args:
        estimates: {measure: {algorithm: Estimate of f32[]}}, such as
            `{"IQM": {"ppo": estimate(...)}}`.
        path: where to write the picture, if anywhere.
        label: unit of the measures.

    Returns:
        The figure.

    Raises:
        ValueError: measures have different algorithms, or an estimate is not one number.
    """
    names = list(next(iter(estimates.values()), ()))
    _check_count("estimates", names)
    for measure, found in estimates.items():
        if list(found) != names:
            raise ValueError(f"estimates: {measure} is of {list(found)}, expected {names}")
    with matplotlib.rc_context(STYLE):
        size = 0.5 + _width(names) + 2.2 * len(estimates), 0.9 + 0.32 * len(names)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(estimates), squeeze=False, sharey=True)[0]
        for ax, (measure, found) in zip(axes, estimates.items(), strict=True):
            _rows(ax, [_numbers(measure, found[name], ()) for name in names], COLOURS)
            ax.set_title(measure)
        axes[0].set_yticks(range(len(names)), names)
        figure.supxlabel(f"{label}, 95 % interval", fontsize=STYLE["font.size"])
        save(figure, path)
    return figure


def ranked(curves: Any, metric: str | None = None, path: str | Path | None = None) -> Figure:
    """Plot final scores of configurations with their intervals, best first.

    A panel per environment, a row for each of its best 30 configurations: the interquartile mean
    over seeds of final scores, as in `best`.

    Args:
        curves: `Result.curves`, or {label: curves}.
        metric: as in `best`.
        path: where to write the picture, if anywhere.

    Returns:
        The figure.

    Raises:
        ValueError: there are no curves, or some lack the metric.
    """
    ranking = best(curves, metric)
    shown = ranking.first(MOST)
    panels = {name: list(group) for name, group in groupby(shown, lambda one: one.environment)}
    rows = max(map(len, panels.values()))
    with matplotlib.rc_context(STYLE):
        size = (2.8 + _width([one.label for one in shown])) * len(panels), 0.9 + 0.24 * rows
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for ax, (environment, scores) in zip(axes, panels.items(), strict=True):
            _rows(ax, [(one.value, one.low, one.high) for one in scores], COLOURS[:1])
            ax.set_yticks(range(len(scores)), [one.label for one in scores])
            ax.set_title(environment)
        text = f"final {ranking.name}, {spread({one.members for one in shown})}{remarks(shown)}"
        figure.supxlabel(textwrap.fill(text, int(13 * size[0])), fontsize=STYLE["font.size"])
        save(figure, path)
    return figure


def improvement(effects: Mapping[str, Effect], path: str | Path | None = None) -> Figure:
    """Plot probabilities of improvement with their intervals, a bar per comparison.

    Bars begin at 1/2, where neither is better. An interval that excludes 1/2 means that a run of X
    beats a run of Y more often than not, or the reverse; it does not say by how much.

    Args:
        effects: {"X > Y": Effect of f32[]}, such as `compare(key, x, y,
            probability_of_improvement, paired=False)`.
        path: where to write the picture, if anywhere.

    Returns:
        The figure.

    Raises:
        ValueError: there are no effects, or one is not one number.
    """
    _check_count("effects", effects)
    rows = [_numbers(name, effect, ()) for name, effect in effects.items()]
    with matplotlib.rc_context(STYLE):
        size = 0.5 + _width(effects) + 3.4, 0.8 + 0.32 * len(rows)
        figure = Figure(figsize=size, layout="constrained")
        ax = figure.subplots()
        for y, (value, _, _) in enumerate(rows):
            ax.barh(y, value - 0.5, left=0.5, height=0.6, color=COLOURS[0], alpha=0.3)
        _rows(ax, rows, COLOURS[:1], band=False)
        ax.axvline(0.5, color="black", linewidth=1)
        ax.set_xlim(0.0, 1.0)
        ax.set_yticks(range(len(rows)), list(effects))
        ax.set_xlabel("probability of improvement, 95 % interval")
        save(figure, path)
    return figure


def performance_profiles(
    taus: Sequence[float],
    profiles: Mapping[str, Estimate],
    path: str | Path | None = None,
    label: str = "normalized score",
) -> Figure:
    """Plot the share of runs that score more than tau, with pointwise intervals.

    An algorithm whose profile is above another everywhere is better at every score; if two cross,
    it depends on the score. The area under a profile of scores >= 0 is their mean.

    Args:
        taus: [K].
        profiles: {algorithm: Estimate of f32[K]}, such as
            `estimate(key, scores, partial(performance_profile, taus=taus))`.
        path: where to write the picture, if anywhere.
        label: name of the axis of tau.

    Returns:
        The figure.

    Raises:
        ValueError: there are none or more than seven, or one is not [K].
    """
    _check_count("profiles", profiles, most=len(COLOURS))
    at = np.asarray(taus, float)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.8, 3.4), layout="constrained")
        ax = figure.subplots()
        for number, (name, profile) in enumerate(profiles.items()):
            value, low, high = _numbers(name, profile, at.shape)
            _line(ax, number, at, value, label=name)
            ax.fill_between(at, low, high, color=COLOURS[number], alpha=0.2, linewidth=0)
        ax.set_xlabel(f"{label} τ")
        ax.set_ylabel("share of runs with score > τ\n95 % interval")
        ax.set_ylim(0.0, 1.02)
        ax.margins(x=0)
        ax.legend(frameon=False, loc="upper right")
        save(figure, path)
    return figure


def scaling(
    sizes: Sequence[float],
    scores: Mapping[str, Estimate],
    path: str | Path | None = None,
    *,
    size: str = "parameters",
    label: str = "normalized score",
    logarithmic: bool = False,
) -> Figure:
    """Plot scores with their intervals against a size on a logarithmic axis.

    Args:
        sizes: [K], positive: parameters, experts, environments.
        scores: {algorithm: Estimate of f32[K]}, a line each.
        path: where to write the picture, if anywhere.
        size: name of the axis of sizes.
        label: name of the axis of scores.
        logarithmic: make that axis logarithmic, too, so that a power law is a straight line.

    Returns:
        The figure.

    Raises:
        ValueError: there are none or more than seven, one is not [K], or sizes are not positive.
    """
    _check_count("scores", scores, most=len(COLOURS))
    at = np.asarray(sizes, float)
    if not np.all(at > 0.0):
        raise ValueError(f"sizes: expected positive numbers, got {list(sizes)}")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6 + _width(scores), 3.4), layout="constrained")
        ax = figure.subplots()
        ax.set_xscale("log")
        ax.set_yscale("log" if logarithmic else "linear")
        ends = {}
        for number, (name, found) in enumerate(scores.items()):
            value, low, high = _numbers(name, found, at.shape)
            reach = np.nan_to_num(np.stack([value - low, high - value]))
            _line(ax, number, at, value, marker=MARKERS[number])
            ax.errorbar(at, value, yerr=reach, fmt="none", ecolor=COLOURS[number], capsize=2)
            ends[name] = (float(value[-1]), COLOURS[number])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        if len(at) <= 8:
            ax.set_xticks(at)
        ax.set_xlabel(size)
        ax.set_ylabel(f"{label}\n95 % interval")
        label_lines(ax, ends)
        save(figure, path)
    return figure


def _rows(ax: Axes, rows: Sequence[Any], colours: Sequence[str], *, band: bool = True) -> None:
    """Draw an interval per row from the top down, with its value as a tick."""
    for y, (value, low, high) in enumerate(rows):
        colour = colours[y % len(colours)]
        if band:
            ax.barh(y, high - low, left=low, height=0.6, color=colour, alpha=0.35)
        else:
            ax.plot([low, high], [y, y], color=colour)
        ax.plot([value, value], [y - 0.3, y + 0.3], color=colour, linewidth=2.5)
    ax.use_sticky_edges = False  # otherwise bars begin at the edge of the panel
    ax.margins(x=0.08)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(4))


def _line(ax: Axes, number: int, x: np.ndarray, y: np.ndarray, **style: Any) -> None:
    """Draw a line with its own dashes."""
    dashes: Any = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (5, 1.5, 1.5, 1.5)))
    ax.plot(x, y, color=COLOURS[number], linestyle=dashes[number % len(dashes)], **style)


def _numbers(name: str, found: Estimate | Effect, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Return value, low and high, checked to have one shape."""
    arrays = [np.asarray(x, float) for x in (found.value, found.low, found.high)]
    if any(x.shape != shape for x in arrays):
        raise ValueError(f"{name}: expected numbers of shape {shape}, got {arrays[0].shape}")
    return arrays


def _check_count(argument: str, names: Collection[str], most: int | None = None) -> None:
    if not names or (most is not None and len(names) > most):
        wanted = "at least one" if most is None else f"1 to {most}"
        raise ValueError(f"{argument}: expected {wanted}, got {len(names)}")


def _width(names: Collection[str]) -> float:
    """Estimate the width of the longest name in inches."""
    return CHARACTER * max(map(len, names))
