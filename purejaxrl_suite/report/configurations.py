"""Split a sweep into its configurations, each with a label and curves over (seed, step)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from purejaxrl_suite.stats.inputs import DIRECTION, METRIC

POSITIONS = ("configuration", "config")
"""Axes whose labels are only numbers; the settings are coordinates along them."""


class Configuration(NamedTuple):
    """One configuration of a run or a sweep.

    run: label of its dataset, "" if there is only one. environment: its id. settings: {name: value}
    of all else that was varied. at: {axis: label}, for `curves.sel` and `Result.policy`. curves:
    over (seed, step).
    """

    run: str
    environment: str
    settings: Mapping[str, Any]
    at: Mapping[str, Any]
    curves: Any

    @property
    def label(self) -> str:
        """Write `learning_rate=0.0003, gamma=0.99`; for a single run its label or agent."""
        text = describe(self.settings)
        return ", ".join(x for x in (self.run, text) if x) or str(self.curves.attrs.get("agent"))


def configurations(curves: Any) -> list[Configuration]:
    """List all configurations of `Result.curves`, or of {label: curves}, in axis order."""
    if hasattr(curves, "data_vars"):  # a dataset is a mapping, too
        return _configurations("", curves)
    return [one for run, dataset in curves.items() for one in _configurations(str(run), dataset)]


def main_metric(found: Sequence[Configuration]) -> str:
    """Return the metric that is shown first: the return of episodes, or a problem's own."""
    return str(found[0].curves.attrs.get(METRIC, "episode_return")) if found else ""


def sign(curves: Any, metric: str) -> float:
    """Return 1 for a metric of which higher is better, -1 if lower is."""
    return -1.0 if curves[metric].attrs.get(DIRECTION) == "lower" else 1.0


def step_label(curves: Any) -> str:
    """Return what steps are: environment steps, or updates of a problem."""
    return str(curves["step"].attrs.get("long_name", "environment steps"))


def describe(settings: Mapping[str, Any]) -> str:
    """Write settings as `learning_rate=0.0003, gamma=0.99`."""
    return ", ".join(f"{name}={short(value)}" for name, value in settings.items())


def short(value: Any) -> str:
    """Write a value for people: as the user wrote it, or in few digits (also near 1)."""
    if not isinstance(value, float) or written(value):
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    close = (f"{value:.{digits}g}" for digits in range(3, 8))
    reach = 5e-3 * min(abs(value), abs(1.0 - value))
    return next((text for text in close if abs(float(text) - value) <= reach), str(value))


def written(value: float) -> bool:
    """Tell whether six digits are exact, as for numbers that people write but few drawn ones."""
    return float(f"{value:.6g}") == value


def parameters(scores: Sequence[Any]) -> list[str]:
    """List the settings that take more than one value among configurations or scores."""
    values: dict[str, set[Any]] = {}
    for one in scores:
        for name, value in one.settings.items():
            values.setdefault(name, set()).add(value)
    return [name for name, found in values.items() if len(found) > 1]


def _configurations(run: str, dataset: Any) -> list[Configuration]:
    axes = _axes(dataset)
    shape = [dataset.sizes[axis] for axis in axes]
    return [
        _configuration(run, dataset, dict(zip(axes, index, strict=True)))
        for index in np.ndindex(*shape)
    ]


def _axes(dataset: Any) -> list[str]:
    """List the axes of the curves other than seeds and steps, in their order."""
    shapes = [x.dims for x in dataset.data_vars.values() if {"seed", "step"} <= set(x.dims)]
    if not shapes:
        raise ValueError(f"curves: expected variables over (seed, step), got {dict(dataset.sizes)}")
    return [axis for axis in max(shapes, key=len) if axis not in ("seed", "step")]


def _configuration(run: str, dataset: Any, index: dict[str, int]) -> Configuration:
    one = dataset.isel(index)
    at = {axis: _plain(one[axis]) if axis in one.coords else i for axis, i in index.items()}
    settings: dict[str, Any] = {}
    for axis, label in at.items():
        along = [n for n, c in dataset.coords.items() if c.dims == (axis,) and n != axis]
        names = [str(name) for name in along if name != "varied"]
        points = names if axis in POSITIONS else []
        settings |= {name: _plain(one[name]) for name in points} or {axis: label}
    environment = str(settings.pop("environment", one.attrs.get("environment", "")))
    return Configuration(
        run=run, environment=environment, settings=settings, at=at, curves=_own_steps(one)
    )


def _own_steps(one: Any) -> Any:
    """Drop the steps at which only other groups of the sweep were measured."""
    if "steps_per_second" not in one:
        return one
    own = np.isfinite(one["steps_per_second"].values)
    return one if own.all() or not own.any() else one.isel(step=np.flatnonzero(own))


def _plain(scalar: Any) -> Any:
    """Convert a scalar coordinate to a Python value."""
    return scalar.values.item()
