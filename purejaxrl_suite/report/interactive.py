"""Interactive figures for pages: curves and sensitivity, drawn by plotly.js.

They show the numbers of the pictures of the same name, in the same colours.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from purejaxrl_suite.report.configurations import Configuration, describe, short, step_label
from purejaxrl_suite.report.figures import COLOURS, axis_label, line_name
from purejaxrl_suite.report.html import identifier
from purejaxrl_suite.report.plain import in_plotly
from purejaxrl_suite.report.ranking import Score
from purejaxrl_suite.report.sensitivity import LINE, LOST, OTHERS, View, scale_of
from purejaxrl_suite.report.summary import binned, estimate

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

DASHES = ("solid", "dash", "dot", "dashdot")
"""Dashes of lines, so that they differ without colour, too."""
HEIGHT = 300
ENTRY = 22
"""Height of a legend entry in pixels."""
GRID = "#e6e6e6"
ZOOM = """
if (matchMedia("(pointer: fine)").matches) addEventListener("load", () => {
  for (const figure of document.querySelectorAll(".js-plotly-plot"))
    Plotly.relayout(figure, {dragmode: "zoom"});
});
"""
"""Script that enables zoom for mice only: on touch screens a drag must scroll."""


def script() -> str:
    """Return the source of plotly.js, for a page that needs no network."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def fragment(figure: "Figure", name: str) -> str:
    """Write a figure as HTML for a page with the script; name: its unique name."""
    config = {"responsive": True, "displaylogo": False, "displayModeBar": False}
    options: Any = {"full_html": False, "include_plotlyjs": False, "config": config}
    return figure.to_html(
        div_id=identifier(name), default_height=f"{figure.layout.height}px", **options
    )


def learning_curves(lines: Sequence[tuple[int, Configuration]], metric: str) -> "Figure":
    """Draw interquartile means over seeds with their 95 % intervals, against steps.

    lines: (number of the colour, configuration).
    """
    figure = _figure(HEIGHT + 30 + ENTRY * len(lines), step_label(lines[0][1].curves))
    for number, one in lines:
        steps, values = binned(one.curves, metric)
        value, low, high = estimate(values)
        _curve(figure, number, line_name(one), steps=steps, value=value, low=low, high=high)
    label = axis_label(lines[0][1].curves[metric].attrs, metric)
    figure.update_yaxes(title=in_plotly(label))
    figure.update_layout(showlegend=True)
    return figure


def diagnostic(lines: Sequence[tuple[int, Configuration]], metric: str) -> "Figure | None":
    """Draw medians and the middle half of the seeds; None if nothing was measured."""
    figure = _figure(220, step_label(lines[0][1].curves))
    for number, one in lines:
        if metric not in one.curves:
            continue
        steps, values = binned(one.curves, metric)
        known = np.isfinite(values).any(axis=0)
        if known.any():
            value, low, high = np.nanpercentile(values[:, known], (50, 25, 75), axis=0)
            name, at = line_name(one), steps[known]
            _curve(figure, number, name, steps=at, value=value, low=low, high=high)
    return figure if figure.data else None


def layer_map(layers: Sequence[str], steps: np.ndarray, values: np.ndarray, label: str) -> "Figure":
    """Draw a heat map with a row for each layer against steps; values: f32[layers, windows]."""
    figure = _figure(90 + 26 * len(layers))
    bar = {"title": {"text": in_plotly(label), "side": "right"}, "thickness": 12, "outlinewidth": 0}
    figure.add_heatmap(
        x=steps,
        y=[in_plotly(layer) for layer in layers],
        z=values,
        colorscale="Viridis",
        colorbar=bar,
        hovertemplate="%{y}<br>%{x:,} steps<br>%{z:.4g}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    figure.update_xaxes(showgrid=False)
    return figure


def sensitivity(view: View, name: str, label: str) -> "Figure":
    """Draw final scores of all configurations against one hyper-parameter.

    The line joins those that differ from the centre only in this one.
    """
    figure = _figure(260)
    scale = scale_of([one.settings[name] for one in view.scores])
    chosen = sorted(view.slice(name), key=lambda one: scale.place(one.settings[name]))
    others = [one for one in view.scores if one not in chosen]
    joined = len(chosen) > 1
    for scores, colour, mode in (
        (others, OTHERS if joined else LINE, "markers"),
        (chosen, LINE, "lines+markers"),
    ):
        _scores(figure, scores, name, scale=scale, colour=colour, mode=mode)
    ring = {"symbol": "circle-open", "size": 15, "color": LINE, "line": {"width": 2}}
    at = [scale.place(view.centre.settings[name])]
    figure.add_scatter(x=at, y=[view.centre.value], mode="markers", marker=ring, hoverinfo="skip")
    figure.update_xaxes(
        title=in_plotly(name.replace("_", " ")), type="log" if scale.kind == "log" else "linear"
    )
    if scale.kind == "ordinal" or len(scale.ticks) <= 8:
        places = [scale.place(x) for x in scale.ticks]
        figure.update_xaxes(tickvals=places, ticktext=[in_plotly(short(x)) for x in scale.ticks])
    figure.update_yaxes(title=in_plotly(label))
    return figure


def _figure(height: int, steps: str = "environment steps") -> "Figure":
    """Make an empty figure in the style of the pages."""
    from plotly.graph_objects import Figure

    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": "#333", "showline": True}
    layout = {
        "height": height,
        "margin": {"l": 62, "r": 8, "t": 8, "b": 44},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": "#1a1a1a"},
        "hovermode": "closest",
        "hoverdistance": -1,  # the nearest point, at any distance
        "hoverlabel": {"bgcolor": "white", "font": {"size": 12, "color": "#1a1a1a"}},
        "legend": {"orientation": "h", "yanchor": "top", "y": -0.22, "x": 0},
        "showlegend": False,
        "plot_bgcolor": "white",
        "xaxis": {**axis, "title": {"text": steps, "standoff": 6}},
        "yaxis": {**axis, "title": {"standoff": 6}},
    }
    return Figure(layout={**layout, "template": "none", "dragmode": False})


def _curve(
    figure: "Figure",
    number: int,
    name: str,
    *,
    steps: np.ndarray,
    value: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> None:
    """Draw a line and its band, with one legend entry for both."""
    colour, both = COLOURS[number % len(COLOURS)], f"curve-{number}"
    within = np.isfinite(low) & np.isfinite(high)
    around = np.concatenate([steps[within], steps[within][::-1]])
    edge = np.concatenate([high[within], low[within][::-1]])
    band = {"fill": "toself", "fillcolor": _transparent(colour), "line": {"width": 0}}
    quiet = {"hoverinfo": "skip", "showlegend": False, "mode": "lines"}
    figure.add_scatter(x=around, y=edge, legendgroup=both, **band, **quiet)
    figure.add_scatter(
        x=steps,
        y=value,
        name=in_plotly(name),
        mode="lines",
        legendgroup=both,
        zorder=1,  # above all bands
        line={"color": colour, "dash": DASHES[number % len(DASHES)], "width": 2},
        customdata=np.stack([low, high], axis=-1),
        hovertemplate=f"{_broken(name)}<br>%{{x:,}} steps<br>"
        "%{y:.4g} [%{customdata[0]:.4g}, %{customdata[1]:.4g}]<extra></extra>",
    )


def _scores(
    figure: "Figure", scores: Sequence[Score], name: str, scale: Any, colour: str, mode: str
) -> None:
    """Draw points with intervals; those with diverged members are marked by a cross."""
    if not scores:
        return
    value, low, high = np.array([(one.value, one.low, one.high) for one in scores]).T
    figure.add_scatter(
        x=[scale.place(one.settings[name]) for one in scores],
        y=value,
        mode=mode,
        line={"color": colour},
        marker={
            "color": [LOST if one.diverged else colour for one in scores],
            "symbol": ["x" if one.diverged else "circle" for one in scores],
            "size": 7,
        },
        error_y={
            "array": np.nan_to_num(high - value),
            "arrayminus": np.nan_to_num(value - low),
            "color": colour,
            "thickness": 1.2,
        },
        text=[_hover(one) for one in scores],
        hovertemplate="%{text}<extra></extra>",
    )


def _hover(one: Score) -> str:
    lines = [_broken(describe(one.settings)), f"{one.value:.4g} [{one.low:.4g}, {one.high:.4g}]"]
    lines += [f"{one.diverged} of {one.members} diverged"] * (one.diverged > 0)
    lines += [f"{one.missing} of {one.members} have no score"] * (one.missing > 0)
    return "<br>".join(lines)


def _broken(text: str) -> str:
    """Write each setting on its own line."""
    return in_plotly(text).replace(", ", "<br>")


def _transparent(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.2)"
