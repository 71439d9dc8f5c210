"""Learning curves with confidence bands, in one consistent style."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from purejaxrl_suite.report.summary import binned, estimate, labelled

# Okabe and Ito 2008, "Color universal design": told apart by colour-blind readers; yellow left out.
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


def learning_curves(
    curves: Any, metric: str = "episode_return", path: str | Path | None = None
) -> Figure:
    """Plot the interquartile mean over seeds and its 95 % bootstrap interval against experience.

    curves: `Result.curves`, or {label: curves}. One panel per environment, one line per label.
    metric: name of a variable of the curves; plotted as means over at most 50 windows.
    path: where to write the picture, if anywhere (PNG, PDF or SVG by its suffix).
    Raises ValueError for no curves, or a metric that some of them lack.
    """
    panels: dict[str, dict[str, Any]] = {}
    for label, dataset in labelled(curves).items():
        panels.setdefault(str(dataset.attrs.get("environment", "")), {})[label] = dataset
    if not panels:
        raise ValueError("curves: expected at least one dataset, got none")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.0 + 4.6 * len(panels), 3.4), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for ax, (environment, datasets) in zip(axes, panels.items(), strict=True):
            _panel(ax, environment, datasets, metric)
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path)
    return figure


def _panel(ax: Axes, environment: str, datasets: Mapping[str, Any], metric: str) -> None:
    ends = {}
    for i, (label, dataset) in enumerate(datasets.items()):
        colour = COLOURS[i % len(COLOURS)]
        steps, values = binned(dataset, metric)
        value, low, high = estimate(values)
        ax.plot(steps, value, color=colour)
        ax.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
        ends[label] = (float(value[-1]), colour)
    attributes = next(iter(datasets.values()))[metric].attrs
    ax.set_title(environment)
    ax.set_xlabel("environment steps")
    ax.set_ylabel(_axis_label(attributes, metric, {d.sizes["seed"] for d in datasets.values()}))
    ax.xaxis.set_major_formatter(EngFormatter())
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.margins(x=0)
    ax.set_xlim(left=0)
    _label_lines(ax, ends)


def _axis_label(attributes: Mapping[str, str], metric: str, seeds: set[int]) -> str:
    name = attributes.get("long_name", metric.replace("_", " "))
    units = attributes.get("units", "")
    unit = f" [{units}]" if units not in ("", "1") else ""
    count = "-".join(str(n) for n in sorted({min(seeds), max(seeds)}))
    spread = "95 % interval" if max(seeds) > 1 else "no interval"
    return f"{name}{unit}\nIQM and {spread}, {count} seed{'s' * (max(seeds) > 1)}"


def _label_lines(ax: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    """Write each label beside the end of its line, moved up where it would cover the one below."""
    bottom, top = ax.get_ylim()
    gap, free = 0.06, -1.0
    for label, (y, colour) in sorted(ends.items(), key=lambda item: item[1][0]):
        height = max((y - bottom) / (top - bottom), free) if y == y else max(0.0, free)
        free = height + gap
        ax.text(1.02, height, label, transform=ax.transAxes, color=colour, va="center")
