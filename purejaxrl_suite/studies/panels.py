"""Panels of measurements of plasticity, as several studies draw them."""

from collections.abc import Mapping
from functools import partial
from math import ceil

import numpy as np

from purejaxrl_suite.core.types import Key
from purejaxrl_suite.plasticity.names import layers_of
from purejaxrl_suite.stats import Effect, Estimate, estimate, iqm
from purejaxrl_suite.studies.protocol import Curves, Heat, Intervals, Line, line, row

POINTS = 20
"""Of a line or a row, at most."""


def over_time(key: Key, label: str, curves: Curves, metric: str) -> Line:
    """Interquartile mean over seeds of a measurement, averaged over all other axes.

    Members that diverged are left out; the interval is the 95 % one.
    """
    few = _few(curves, metric)
    others = [axis for axis in few.dims if axis not in ("seed", "step")]
    values = few.mean(others).transpose("seed", "step").values
    return line(label, few["step"].values, estimate(key, values, partial(iqm, axis=0)))


def layer_map(title: str, curves: Curves, metric: str, unit: str) -> Heat:
    """A share of units in each layer against experience, averaged over all other axes."""
    layers = layers_of(metric, map(str, curves.data_vars))
    rows = {layer: _few(curves, name) for layer, name in layers.items()}
    at = next(iter(rows.values()))["step"].values
    values = [x.mean([axis for axis in x.dims if axis != "step"]).values for x in rows.values()]
    largest = np.nanmax(np.stack(values), initial=0.01)
    return Heat(
        title,
        "environment steps",
        unit,
        tuple(rows),
        tuple(map(float, at)),
        tuple(tuple(map(float, x)) for x in values),
        high=float(largest),
    )


def ranking(
    title: str, x: str, found: Mapping[str, Estimate | Effect], against: float, smallest: float
) -> Intervals:
    """A row for each, the largest value first; what is not known comes last."""
    rows = sorted(
        (row(label, one) for label, one in found.items()),
        key=lambda one: (one.value != one.value, -one.value),
    )
    return Intervals(title, x, tuple(rows), against, smallest)


def _few(curves: Curves, metric: str) -> Curves:
    """A variable without members that diverged, as means over at most POINTS windows.

    Windows in which nothing was measured are left out.
    """
    whole = curves[metric].where(~curves["diverged"])
    window = ceil(whole.sizes["step"] / POINTS)
    few = whole.coarsen(step=window, boundary="pad", coord_func="max").mean()
    return few.dropna("step", how="all")
