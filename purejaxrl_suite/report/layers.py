"""Heat maps of plasticity metrics by layer over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from purejaxrl_suite.plasticity.names import layers_of
from purejaxrl_suite.report.configurations import Configuration, configurations
from purejaxrl_suite.report.figures import CHARACTER, STYLE, axis_label, line_name, save
from purejaxrl_suite.report.summary import binned, mean

COLOURS_OF_SHARES = "viridis"
MOST = 8
"""The most maps in a figure."""


def layer_maps(curves: Any, metric: str = "dormant_0.1", path: str | Path | None = None) -> Figure:
    """Draw a metric of each layer against environment steps, averaged over seeds.

    Args:
        curves: `Result.curves`, or {label: curves}; there is a map for each of the first eight
            configurations, all on the same colour scale.
        metric: with values per layer.
        path: where to write the picture, if anywhere.

    Returns:
        The figure.

    Raises:
        ValueError: the curves lack the metric by layer.
    """
    found = [one for one in configurations(curves) if layers_of(metric, _names(one))][:MOST]
    if not found:
        raise ValueError(f"metric: the curves have no layers of {metric!r}")
    maps = [by_layer(one.curves, metric) for one in found]
    known = np.concatenate([values[np.isfinite(values)] for _, _, values in maps] or [np.zeros(1)])
    ends = min(0.0, known.min(initial=0.0)), known.max(initial=1e-6)
    with matplotlib.rc_context(STYLE):
        widest = max(len(layer) for layers, _, _ in maps for layer in layers)
        height = sum(1.0 + 0.3 * len(layers) for layers, _, _ in maps)
        figure = Figure(figsize=(5.4 + CHARACTER * widest, height), layout="constrained")
        axes = figure.subplots(len(maps), 1, squeeze=False)[:, 0]
        unit = axis_label(found[0].curves[metric].attrs, metric)
        for ax, one, (layers, steps, values) in zip(axes, found, maps, strict=True):
            heat_map(ax, layers, at=steps, values=values, unit=unit, ends=ends)
            ax.set_title(": ".join(part for part in (one.environment, line_name(one)) if part))
        axes[-1].set_xlabel("environment steps")
        save(figure, path)
    return figure


def by_layer(curves: Any, metric: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return (layers, environment steps [W], means over seeds f32[layers, W]) of a metric."""
    layers = layers_of(metric, map(str, curves.data_vars))
    windows = [binned(curves, name) for name in layers.values()]
    values = np.stack([mean(values.T) for _, values in windows])
    return list(layers), windows[0][0], values


def heat_map(
    ax: Axes,
    rows: Sequence[str],
    *,
    at: np.ndarray,
    values: np.ndarray,
    unit: str,
    ends: tuple[float, float],
) -> None:
    """Draw a heat map with a row for each label, and a colour bar.

    at: [K], the end of each column. values: [rows, K]; NaN stays white. ends: of the colour scale.
    """
    edges = np.concatenate([[0.0], at])
    style: Any = {"cmap": COLOURS_OF_SHARES, "vmin": ends[0], "vmax": ends[1]}
    mesh = ax.pcolormesh(edges, np.arange(len(rows) + 1) - 0.5, values, **style)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False)
    ax.xaxis.set_major_formatter(EngFormatter())
    ax.xaxis.set_major_locator(MaxNLocator(5))
    place = ax.inset_axes((1.03, 0.0, 0.04, 1.0))  # beside it, whatever the other panels need
    bar: Any = ax.figure.colorbar(mesh, cax=place)
    bar.set_label(unit)
    bar.outline.set_visible(False)


def _names(one: Configuration) -> list[str]:
    return list(map(str, one.curves.data_vars))
