"""Export curves to tables, netCDF, TensorBoard, Weights & Biases and MLflow.

Everything is written from finished curves, after training: no compiled program calls back. Updates
in which a member finished no episode (NaN) are left out. Packages that the suite does not depend on
are extras; an error names a missing one.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from purejaxrl_suite.core.argument import place
from purejaxrl_suite.report import settings
from purejaxrl_suite.report.configurations import Configuration, configurations, describe
from purejaxrl_suite.sweeps.files import replacing

if TYPE_CHECKING:
    import pandas

BATCH = 1000
"""The most values that MLflow takes at once."""


class Member(NamedTuple):
    """One seed of one configuration.

    name: such as `learning_rate=0.001/seed-3`. settings: all its settings. steps: [U],
    environment steps. values: {metric: f32[U]}.
    """

    name: str
    settings: Mapping[str, Any]
    steps: np.ndarray
    values: Mapping[str, np.ndarray]


def frame(curves: Any) -> "pandas.DataFrame":
    """Make a tidy table: a row per member and update, columns for settings, seed, step, metrics.

    curves: `Result.curves`, or {label: curves}. Values of a whole member or update, such as
    `diverged`, are repeated in all its rows. `frame.attrs["records"]` is {label: record of the
    run}; the label of a single dataset is "".
    """
    import pandas

    parts = []
    for one in _found(curves):
        part = one.curves.reset_coords(drop=True).to_dataframe().reset_index()
        names = {"run": one.run, "environment": one.environment, **one.settings}
        for column, (name, value) in enumerate(names.items()):
            part.insert(column, name, value)
        parts.append(part)
    whole = pandas.concat(parts, ignore_index=True)
    whole.attrs["records"] = records(curves)
    return whole


def records(curves: Any) -> dict[str, dict[str, Any]]:
    """Return {label: record of the run}; {} for older curves without one."""
    found = {"": curves} if hasattr(curves, "data_vars") else curves
    return {str(label): settings.record(one) for label, one in found.items()}


def to_csv(curves: Any, path: str | Path) -> None:
    """Write the `frame` as CSV; missing values are empty.

    The records of the runs, which CSV has no place for, go to a file beside it: PATH.json.
    """
    path = Path(place("path", path, "a file"))
    beside = path.with_name(f"{path.name}.json")
    with _new(path) as new, _new(beside) as records_at:
        frame(curves).to_csv(new, index=False)
        records_at.write_text(json.dumps(records(curves), indent=2) + "\n", encoding="utf-8")


def to_parquet(curves: Any, path: str | Path) -> None:
    """Write the `frame` as Parquet, for pandas, polars and DuckDB (extra `parquet`).

    pandas also reads its `attrs` back.
    """
    _load("pyarrow", "parquet")
    with _new(path) as new:
        frame(curves).to_parquet(new, engine="pyarrow", index=False)


def to_netcdf(curves: Any, path: str | Path) -> None:
    """Write the dataset itself, with its axes, units and attributes, as netCDF 3.

    Integers of that format end at 2^31 - 1; a variable with a larger one (seeds, steps) becomes
    float64, which is exact to 2^53.

    Raises:
        ValueError: there are several datasets: a file holds one.
    """
    if not hasattr(curves, "data_vars"):
        raise ValueError("curves: expected one dataset, a netCDF file holds no more")
    fits = {name: x.astype(_netcdf_dtype(x.values)) for name, x in curves.variables.items()}
    attributes = {name: _netcdf_number(x) for name, x in curves.attrs.items()}
    curves = curves.assign_coords({n: x for n, x in fits.items() if n in curves.coords})
    curves = curves.assign({n: x for n, x in fits.items() if n not in curves.coords})
    with _new(path) as new:
        curves.assign_attrs(attributes).to_netcdf(new, engine="scipy")


def _netcdf_dtype(values: np.ndarray) -> np.dtype:
    """Return the dtype of values, or float64 for integers that netCDF 3 cannot hold."""
    large = values.dtype.kind in "iu" and values.size and np.abs(values).max() >= 2**31
    return np.dtype(np.float64) if large else values.dtype


def _netcdf_number(value: Any) -> Any:
    """Return an attribute, as a float if it is an integer that netCDF 3 cannot hold."""
    return float(value) if isinstance(value, int) and abs(value) >= 2**31 else value


def to_tensorboard(curves: Any, path: str | Path) -> None:
    """Write event files, a folder per member, by environment steps (extra `tensorboard`)."""
    writer = _load("tensorboardX", "tensorboard").SummaryWriter
    with _new(path) as folder:
        for member in members(curves):
            with writer(str(folder / _inside(member.name)), write_to_disk=True) as events:
                events.add_text("settings", _markdown(member.settings))
                for metric, step, value in _points(member):
                    events.add_scalar(metric, value, step)


def to_wandb(curves: Any, project: str, **options: Any) -> None:
    """Log a run per member to Weights & Biases, by environment steps (extra `wandb`).

    Args:
        curves: `Result.curves`, or {label: curves}.
        project: of Weights & Biases.
        **options: for `wandb.init`, such as `entity`, `group`, `dir` or `mode="offline"`.

    Raises:
        ValueError: there are no curves, or wandb is not installed.
    """
    wandb = _load("wandb", "wandb")
    for member in members(curves):
        run = wandb.init(project=project, name=member.name, config=dict(member.settings), **options)
        run.define_metric("*", step_metric="environment_steps")
        rows: dict[int, dict[str, float]] = {}
        for metric, step, value in _points(member):
            rows.setdefault(step, {"environment_steps": step})[metric] = value
        for step in sorted(rows):
            run.log(rows[step])
        run.finish()


def to_mlflow(curves: Any, experiment: str, tracking_uri: str | None = None) -> None:
    """Log a run per member to an MLflow experiment, by environment steps (extra `mlflow`).

    Args:
        curves: `Result.curves`, or {label: curves}.
        experiment: its name; it is created if needed.
        tracking_uri: None is MLflow's own setting.

    Raises:
        ValueError: there are no curves, or mlflow is not installed.
    """
    mlflow = _load("mlflow", "mlflow")
    entities = import_module("mlflow.entities")
    client = mlflow.MlflowClient(tracking_uri)
    known = client.get_experiment_by_name(experiment)
    home = known.experiment_id if known else client.create_experiment(experiment)
    for member in members(curves):
        run = client.create_run(home, run_name=member.name).info.run_id
        for name, value in member.settings.items():
            client.log_param(run, name, value)
        points = [
            entities.Metric(metric, value, timestamp=0, step=step)
            for metric, step, value in _points(member)
        ]
        for start in range(0, len(points), BATCH):
            client.log_batch(run, metrics=points[start : start + BATCH])
        client.set_terminated(run)


def members(curves: Any) -> Iterator[Member]:
    """Yield every seed of every configuration, with all metrics over steps."""
    found = _found(curves)
    for one in found:
        text = describe(one.settings) if len(found) > 1 else ""
        several = len({other.environment for other in found}) > 1
        parts = [one.run, one.environment if several else "", text]
        for seed in one.curves["seed"].values.tolist():
            name = "/".join([part for part in parts if part] + [f"seed-{seed}"])
            yield _member(one, name, seed)


def _member(one: Configuration, name: str, seed: int) -> Member:
    curves = one.curves.sel(seed=seed)
    known = settings.settings(one) | {"environment": one.environment, "seed": seed}
    values = {str(k): np.asarray(v.values) for k, v in curves.items() if v.dims == ("step",)}
    return Member(name, known, curves["step"].values, values)


def _points(member: Member) -> Iterator[tuple[str, int, float]]:
    """Yield (metric, environment step, value) of all measured values."""
    for metric, values in member.values.items():
        for i in np.flatnonzero(np.isfinite(values)):
            yield metric, int(member.steps[i]), float(values[i])


def _markdown(settings: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in settings.items())


def _found(curves: Any) -> list[Configuration]:
    found = configurations(curves)
    if not found:
        raise ValueError("curves: expected at least one dataset, got none")
    return found


def _inside(name: str) -> str:
    """Turn the name of a member into a path that stays in its folder."""
    parts = re.sub(r"[^\w=.,/-]+", "_", name).split("/")
    return "/".join(part if part.strip(".") else "_" for part in parts)


def _new(path: str | Path) -> AbstractContextManager[Path]:
    """Yield a place to write; it becomes `path`, which must not exist, when it is complete."""
    new = Path(place("path", path, "a file or a folder"))
    if new.exists():
        raise ValueError(f"path: {path} exists already; choose another or remove it")
    return replacing(new)


def _load(module: str, extra: str) -> Any:
    """Import a module of an extra; ValueError that says how to install it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ValueError(
            f'{module} is not installed: pip install "purejaxrl_suite[{extra}]"'
        ) from error
