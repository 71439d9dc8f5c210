"""Panels of plasticity metrics that several studies draw."""

from collections.abc import Mapping
from functools import partial

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.plasticity.names import layers_of
from purejaxrl_suite.stats import Effect, Estimate, estimate, iqm
from purejaxrl_suite.studies.panels import Heat, Intervals, Line, line, row
from purejaxrl_suite.studies.protocol import Curves
from purejaxrl_suite.studies.scores import thinned


def over_time(key: Key, label: str, curves: Curves, metric: str) -> Line:
    """Draw the IQM of a metric over seeds, averaged over all other axes, with a 95 % interval.

    Members that diverged are left out, and counted in the label.

    Args:
        key: of the interval.
        label: of the line.
        curves: of an arm.
        metric: one of its variables.

    Returns:
        The line.
    """
    steps, few = _few(curves, metric)
    values = jnp.nanmean(few, axis=tuple(range(1, few.ndim - 1)))
    gone = curves["diverged"]
    label += f" ({int(gone.sum())}/{gone.size} diverged)" * bool(gone.any())
    return line(label, steps, estimate(key, values, partial(iqm, axis=0)))


def layer_map(title: str, curves: Curves, metric: str, unit: str) -> Heat:
    """Draw a metric of each layer against environment steps, averaged over all other axes.

    Args:
        title: of the panel.
        curves: of an arm.
        metric: with variables `METRIC.LAYER`.
        unit: of the colours.

    Returns:
        The panel.
    """
    layers = layers_of(metric, map(str, curves.data_vars))
    rows = {layer: _few(curves, name) for layer, name in layers.items()}
    at = next(iter(rows.values()))[0]
    values = [jnp.nanmean(x, axis=tuple(range(x.ndim - 1))) for _, x in rows.values()]
    largest = np.nanmax(np.stack(values), initial=0.01)
    return Heat(
        title=title,
        x="environment steps",
        unit=unit,
        rows=tuple(rows),
        at=tuple(map(float, at)),
        values=tuple(tuple(map(float, x)) for x in values),
        high=float(largest),
    )


def ranking(
    title: str, x: str, found: Mapping[str, Estimate | Effect], against: float, smallest: float
) -> Intervals:
    """Draw a row for each estimate, the largest first; unknown ones come last.

    Args:
        title: of the panel.
        x: label of the axis.
        found: estimates by label.
        against: the place of a vertical line.
        smallest: half the width of a band around it.

    Returns:
        The panel.
    """
    rows = sorted(
        (row(label, one) for label, one in found.items()),
        key=lambda one: (one.value != one.value, -one.value),
    )
    return Intervals(title=title, x=x, rows=tuple(rows), against=against, smallest=smallest)


def _few(curves: Curves, metric: str) -> tuple[np.ndarray, Array]:
    """Return `thinned` without windows in which nothing was measured."""
    steps, few = thinned(curves, metric)
    known = ~np.all(np.isnan(few), axis=tuple(range(few.ndim - 1)))
    return steps[known], few[..., known]
