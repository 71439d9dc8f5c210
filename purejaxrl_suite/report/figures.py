"""Learning curves with confidence bands, in one consistent style."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from purejaxrl_suite.core.argument import place
from purejaxrl_suite.report.configurations import (
    Configuration,
    configurations,
    main_metric,
    step_label,
)
from purejaxrl_suite.report.plain import without_formulas
from purejaxrl_suite.report.ranking import shortlist
from purejaxrl_suite.report.summary import binned, diverged, estimate, spread

# Okabe and Ito 2008, "Color universal design", for colour-blind readers; without yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLE: Any = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "lines.linewidth": 1.8,
    "savefig.dpi": 200,
}
EVALUATED = "evaluation_return"
FEW = 5
"""Lines that are drawn if there are more than colours."""
CHARACTER = 0.075
"""Width of a character in inches, about."""


def learning_curves(
    curves: Any, metric: str | None = None, path: str | Path | None = None
) -> Figure:
    """Plot the interquartile mean over seeds and its 95 % bootstrap interval against steps.

    Args:
        curves: `Result.curves`, or {label: curves}. There is one panel per environment and one line
            per configuration; of more than seven only the best five, by final score.
        metric: name of a variable of the curves; plotted as means over at most 50 windows. None is
            `evaluation_return` if all of them have it, else `episode_return`, or the metric of a
            problem without an environment.
        path: where to write the picture, if anywhere (PNG, PDF or SVG by its suffix).

    Returns:
        The figure.

    Raises:
        ValueError: there are no curves, or some lack the metric.

    Example:
        >>> env = pjs.make("CartPole-v1")
        >>> result = pjs.run(pjs.ppo(env), env, seeds=4, steps=1e5)
        >>> figure = pjs.report.learning_curves(result.curves, path="cartpole.png")
    """
    found = configurations(curves)
    if not found:
        raise ValueError("curves: expected at least one dataset, got none")
    metric = metric or shown_first(found)
    panels = shortlist(found, metric, len(COLOURS), FEW)
    labels = list(dict.fromkeys(one.label for few in panels.values() for one in few))
    beside = max(CHARACTER * (len(line_name(one)) - 8) for few in panels.values() for one in few)
    with matplotlib.rc_context(STYLE):
        size = 1.0 + (4.6 + max(0.0, beside)) * len(panels), 3.4
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for ax, (environment, few) in zip(axes, panels.items(), strict=True):
            order = labels if len(labels) <= len(COLOURS) else [one.label for one in few]
            _panel(ax, [(COLOURS[order.index(one.label)], one) for one in few], metric)
            count = sum(one.environment == environment for one in found)
            best = f"the best {len(few)} of {count} configurations"
            parts = [environment] + [best] * (count > len(few))
            ax.set_title(": ".join(part for part in parts if part))
        save(figure, path)
    return figure


def shown_first(found: Sequence[Configuration]) -> str:
    """Choose the metric of learning curves: returns of evaluations, if all curves have them."""
    evaluated = all(EVALUATED in one.curves for one in found)
    return EVALUATED if evaluated else main_metric(found)


def save(figure: Figure, path: str | Path | None) -> None:
    """Finish a figure; if there is a path, write it and make its folder."""
    without_formulas(figure)
    if path is not None:
        where = Path(place("path", path, "a file"))
        where.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(where)


def pack(path: str | Path) -> None:
    """Write a PNG again with 256 colours, in a third of the bytes; it looks the same."""
    from PIL import Image

    with Image.open(path) as image:
        density = image.info["dpi"]
        few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(path, optimize=True, dpi=density)


def axis_label(attributes: Mapping[str, str], metric: str) -> str:
    """Write `episode return [reward]`, from the attributes of a variable."""
    name = attributes.get("long_name", metric.replace("_", " "))
    units = attributes.get("units", "")
    return name + (f" [{units}]" if units not in ("", "1") else "")


def _panel(ax: Axes, lines: Sequence[tuple[str, Configuration]], metric: str) -> None:
    ends = {}
    for colour, one in lines:
        steps, values = binned(one.curves, metric)
        value, low, high = estimate(values)
        ax.plot(steps, value, color=colour)
        ax.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
        ends[line_name(one)] = (float(value[-1]), colour)
    datasets = [one.curves for _, one in lines]
    ax.set_xlabel(step_label(datasets[0]))
    seeds = {d.sizes["seed"] for d in datasets}
    ax.set_ylabel(f"{axis_label(datasets[0][metric].attrs, metric)}\n{spread(seeds)}")
    ax.xaxis.set_major_formatter(EngFormatter())
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.margins(x=0)
    ax.set_xlim(left=0)
    label_lines(ax, ends)


def line_name(one: Configuration) -> str:
    """Write the label, and how many members are not in the line."""
    lost = int(diverged(one.curves).sum())
    return one.label + f" ({lost}/{one.curves.sizes['seed']} diverged)" * (lost > 0)


def label_lines(ax: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    """Write each label beside the end of its line, shifted if it would cover another."""
    gap, free = 0.06, -1.0
    heights = {}
    to_axes, right = ax.transData + ax.transAxes.inverted(), ax.get_xlim()[1]
    places = {
        label: to_axes.transform((right, y))[1] if y == y else 0.0 for label, (y, _) in ends.items()
    }
    for label, height in sorted(places.items(), key=lambda item: item[1]):
        free = heights[label] = max(height, free + gap)
    ceiling = max(1.0, gap * (len(ends) - 1))
    for label in reversed(heights):
        heights[label] = min(heights[label], ceiling)
        ceiling = heights[label] - gap
        style: Any = {"transform": ax.transAxes, "color": ends[label][1], "va": "center"}
        ax.text(1.02, heights[label], label, **style)
