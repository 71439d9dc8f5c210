"""Training curves as a labelled xarray.Dataset, and their storage in zarr."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from purejaxrl_suite.engine.problem import Problem
from purejaxrl_suite.stats.inputs import DIRECTION, MEAN_OVER, METRIC
from purejaxrl_suite.sweeps import files
from purejaxrl_suite.sweeps.axes import label
from purejaxrl_suite.sweeps.layout import Group, Layout
from purejaxrl_suite.sweeps.record import attributes, record_of

if TYPE_CHECKING:
    import xarray

PACKAGES = ("purejaxrl_suite", "jax", "jaxlib", "flax", "optax", "gymnax", "navix", "distrax")
RUN = "run"
"""Attribute of stored curves: the name of their run in sweep.json."""
EXTRAS = ("brax", "mujoco", "playground")
UNITS = {
    "episode_return": "reward",
    "evaluation_return": "reward",
    "episode_length": "steps",
    "entropy": "nats",
    "steps_per_second": "1/s",
}


class GroupRows(NamedTuple):
    """Measured rows of a group.

    rows: {metric: f32[C * S, R]}, with `diverged`, whether the parameters of a member were not
    finite. steps_per_second: f32[R], of all members that were trained at once. each: updates of a
    row; the last row may have fewer.
    """

    rows: dict[str, np.ndarray]
    steps_per_second: np.ndarray
    each: int = 1


class Gathered(NamedTuple):
    """Rows of the chunks of all groups. seconds: of training. done: share of all steps."""

    groups: tuple[GroupRows, ...]
    seconds: float
    done: float


def versions() -> dict[str, str]:
    """Return versions of the packages that can change a result, with extras in use."""
    extras = [
        name for name in EXTRAS if name.replace("playground", "mujoco_playground") in sys.modules
    ]
    found = {name: version(name) for name in (*PACKAGES, *extras)}
    return found | {"python": ".".join(platform.python_version_tuple()[:2])}


def made_with() -> dict[str, Any]:
    """Return versions, device and flags, which can change a result, for the record."""
    return {"versions": versions(), "device": device(), "XLA_FLAGS": _flags()}


def _flags() -> str:
    """Return the flags of XLA, without the number of devices and logging."""
    given = os.environ.get("XLA_FLAGS", "").split()
    other = "--xla_force_host_platform_device_count", "--xla_dump"
    return " ".join(sorted(one for one in given if not one.startswith(other)))


def device() -> str:
    """Return kind and number of the devices that programs run on."""
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind}"


def ends(updates: int, each: int) -> np.ndarray:
    """Compute the updates done after each row, i64[R], with `each` updates in a row."""
    return np.minimum(np.arange(each, updates + each, each), updates)


def gather(
    laid: Layout,
    sizes: Sequence[int],
    each: Sequence[int],
    stored: Sequence[Sequence[dict[str, np.ndarray]]],
) -> Gathered:
    """Gather the rows of all members from the chunks of each group, NaN where (still) missing.

    Args:
        laid: layout of the sweep.
        sizes: members of a chunk, of each group.
        each: updates of a row, of each group.
        stored: {metric: f32[size, R]} of each chunk of each group.

    Returns:
        The rows of all groups.
    """
    names = sorted({name for parts in stored for part in parts for name in part})
    groups, trained, total, seconds = [], 0.0, 0.0, 0.0
    for group, size, row, parts in zip(laid.groups, sizes, each, stored, strict=True):
        updates = np.diff(ends(group.updates, row), prepend=0)
        rows = {name: _rows(parts, name, size, updates.size) for name in names}
        rates = rows.pop("steps_per_second")[::size]
        steps = group.per_update * size * updates
        seconds += float(np.nansum(steps / rates))
        trained += float(np.sum(steps * np.isfinite(rates)))
        total += float(np.sum(steps)) * len(rates)
        lost = np.fmax.reduce(rows["diverged"], axis=1, keepdims=True)
        rows = {n: x[: len(group.members.seeds)] for n, x in (rows | {"diverged": lost}).items()}
        groups.append(GroupRows(rows, _mean(rates), row))
    return Gathered(tuple(groups), seconds, trained / total)


def _rows(parts: Sequence[dict[str, np.ndarray]], name: str, size: int, count: int) -> np.ndarray:
    """Join a metric of all chunks, f32[chunks * size, count]; NaN where a chunk has none."""
    missing = np.full((size, count), np.nan, np.float32)
    rows = [np.broadcast_to(part.get(name, missing), (size, count)) for part in parts]
    return np.concatenate(rows)


def _mean(rates: np.ndarray) -> np.ndarray:
    """Average over the chunks that were measured; NaN if none was."""
    count = np.sum(np.isfinite(rates), axis=0)
    return np.where(count > 0, np.nansum(rates, axis=0) / np.maximum(count, 1), np.nan)


def dataset(laid: Layout, gathered: Gathered, compile_seconds: float) -> "xarray.Dataset":
    """Make the curves of a layout: variables over (static axes ..., traced axes ..., seed, step).

    `step` is the environment steps of one member at the end of each row, which spans an update or a
    block of them (`engine.rows`); if groups have different steps, a group has NaN at those of the
    others. `diverged` says which members ended with non-finite parameters.
    """
    over = {name: count for group in laid.groups for name, count in group.counts.items()}
    made = [
        _one_group(laid, group, rows, over)
        for group, rows in zip(laid.groups, gathered.groups, strict=True)
    ]
    curves = join(laid, made)
    total = sum(len(g.members.seeds) * g.updates * g.per_update for g in laid.groups)
    first = laid.groups[0]
    return curves.assign_attrs(
        {
            "agent": ", ".join(dict.fromkeys(group.name for group in laid.groups)),
            "environment": ", ".join(dict.fromkeys(group.place for group in laid.groups)),
            **attributes(record_of(laid)),
            **_subject(first),
            "updates_per_row": gathered.groups[0].each,
            "compile_seconds": compile_seconds,
            "wall_seconds": gathered.seconds,
            "steps_per_second": total * gathered.done / gathered.seconds,
            "device": device(),
            "versions": json.dumps(versions()),
        }
    )


def _subject(group: Group) -> dict[str, Any]:
    """Return attributes of what is trained: sizes of rollouts, or the first metric of a problem."""
    if isinstance(group.subject, Problem):
        return {METRIC: group.subject.metric}
    return {"num_envs": group.agent.num_envs, "rollout_length": group.agent.rollout_length}


def _one_group(
    laid: Layout, group: Group, made: GroupRows, over: Mapping[str, str]
) -> "xarray.Dataset":
    """Make the curves of a group; over: {mean over episodes: the number of these episodes}."""
    import xarray

    rows = dict(made.rows)
    diverged = rows.pop("diverged")[:, -1] > 0
    both = {name: (values, ("step",)) for name, values in rows.items()} | {
        "diverged": (diverged, ())
    }
    taken = {*laid.static, *laid.traced, *laid.along}  # a metric may have the name of an axis
    names = {name: f"measured_{name}" if name in taken else name for name in both}
    variables = {
        names[n]: variable(laid, n, x, dims, **({MEAN_OVER: names[over[n]]} if n in over else {}))
        for n, (x, dims) in both.items()
    }
    rates = made.steps_per_second.astype(np.float32)
    variables["steps_per_second"] = (("step",), rates, _attributes("steps_per_second"))
    steps = ends(group.updates, made.each) * group.per_update
    if isinstance(group.subject, Problem):
        kind = {"long_name": "updates", "units": "1"}
        variables[names[group.subject.metric]][2][DIRECTION] = "lower"
    else:
        kind = {"long_name": "environment steps", "units": "steps"}
    step = ("step", steps, kind)
    found = xarray.Dataset(variables, coordinates(laid) | {"step": step})
    return found.expand_dims({axis: [label(x)] for axis, x in group.labels.items()})


def coordinates(laid: Layout) -> dict[str, Any]:
    """Return the labels of the traced axes, the coordinates along them, and the seeds."""
    found = {axis: (axis, _labels(labels), _name(axis)) for axis, labels in laid.traced.items()}
    for name, (axis, values) in laid.along.items():
        if axis in laid.traced:
            found[name] = (axis, _labels(values), _name(name))
    return found | {"seed": ("seed", np.asarray(laid.seeds), {"long_name": "seed"})}


def join(laid: Layout, made: list["xarray.Dataset"]) -> "xarray.Dataset":
    """Join the datasets of all groups along the static axes."""
    import xarray

    if not laid.static:
        return made[0]
    nested: Any = list(made)
    for labels in reversed(list(laid.static.values())[1:]):  # innermost axis first
        nested = [nested[i : i + len(labels)] for i in range(0, len(nested), len(labels))]
    joined = xarray.combine_nested(
        nested,
        list(laid.static),
        join="outer",
        compat="no_conflicts",
        coords="minimal",
        data_vars="all",
        combine_attrs="override",
    )
    for name, (axis, values) in laid.along.items():
        if axis in laid.static:
            joined = joined.assign_coords({name: (axis, _labels(values), _name(name))})
    return joined


def side_by_side(each: Mapping[str, Any]) -> Any:
    """Join Datasets or DataArrays of environments, {name: one}, along a new first axis.

    Attributes are those of the first.
    """
    import xarray

    parts = [one.expand_dims(environment=[name]) for name, one in each.items()]
    return xarray.concat(
        parts,
        "environment",
        coords="minimal",
        compat="override",
        join="outer",
        combine_attrs="override",
    )


def variable(
    laid: Layout, name: str, values: np.ndarray, dims: tuple[str, ...], **known: str
) -> Any:
    """Make values [C * S, ...] a variable over the traced axes, seeds and `dims`.

    known: attributes beside its name and units.
    """
    sizes = [len(labels) for labels in laid.traced.values()]
    shape = (*sizes, len(laid.seeds), *values.shape[1:])
    return (*laid.traced, "seed", *dims), values.reshape(shape), _attributes(name) | known


def _labels(values: Sequence[Any]) -> np.ndarray:
    return np.asarray([label(x) for x in values])


def _name(name: str) -> dict[str, str]:
    return {"long_name": name.replace("_", " ")}


def _attributes(name: str) -> dict[str, str]:
    return _name(name) | {"units": UNITS.get(name, "1")}


def write(path: str | Path, curves: "xarray.Dataset") -> None:
    """Store curves in a zarr directory, which appears at `path` when it is complete."""
    from zarr.storage import LocalStore

    with files.replacing(path) as new:
        # A store, not a path: zarr would parse parts of a text as a URL.
        curves.to_zarr(LocalStore(new), mode="w", consolidated=False)
        files.seal(new)


def read(path: str | Path) -> "xarray.Dataset":
    """Read curves that `write` stored; ValueError naming a missing or damaged file."""
    import xarray
    from zarr.storage import LocalStore

    path = files.resolve(path)
    files.check_seal(path)
    with xarray.open_zarr(LocalStore(path, read_only=True), consolidated=False) as curves:
        found = curves.load()
    for name in files.SEAL:
        del found.attrs[name]
    return found
