"""Training curves as a labelled xarray.Dataset, and their storage in zarr."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from purejaxrl_suite.core.types import Agent, Environment

if TYPE_CHECKING:
    import xarray

PACKAGES = ("purejaxrl_suite", "jax", "jaxlib", "flax", "optax", "gymnax", "navix", "distrax")
UNITS = {
    "episode_return": "reward",
    "episode_length": "steps",
    "entropy": "nats",
    "steps_per_second": "1/s",
}


def versions() -> dict[str, str]:
    """Versions of the packages that can change a result."""
    return {name: version(name) for name in PACKAGES}


def device() -> str:
    """Kind and number of the devices that programs run on."""
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind}"


def dataset(
    agent: Agent,
    env: Environment,
    hypers: Any,
    seeds: list[int],
    history: dict[str, np.ndarray],
    steps_per_second: np.ndarray,
    compile_seconds: float,
    wall_seconds: float,
) -> "xarray.Dataset":
    """Curves of one run.

    history {metric: f32[S, U]} becomes variables over (seed, step); step counts the environment
    steps of one seed at the end of each update. steps_per_second f32[U] counts all seeds.
    """
    import xarray

    updates = len(steps_per_second)
    steps = np.arange(1, updates + 1) * agent.num_envs * agent.rollout_length
    both = ("seed", "step")
    variables: dict[str, Any] = {
        name: (both, values, _attributes(name)) for name, values in history.items()
    }
    rate = steps_per_second.astype(np.float32)
    variables["steps_per_second"] = (("step",), rate, _attributes("steps_per_second"))
    coordinates = {
        "seed": ("seed", np.asarray(seeds), {"long_name": "seed"}),
        "step": ("step", steps, {"long_name": "environment steps", "units": "steps"}),
    }
    attributes = {
        "agent": agent.name,
        "environment": env.name,
        "hypers": json.dumps({name: float(x) for name, x in hypers._asdict().items()}),
        "num_envs": agent.num_envs,
        "rollout_length": agent.rollout_length,
        "compile_seconds": compile_seconds,
        "wall_seconds": wall_seconds,
        "steps_per_second": steps[-1] * len(seeds) / wall_seconds,
        "device": device(),
        "versions": json.dumps(versions()),
    }
    return xarray.Dataset(variables, coordinates, attributes)


def _attributes(name: str) -> dict[str, str]:
    return {"long_name": name.replace("_", " "), "units": UNITS.get(name, "1")}


def write(path: str | Path, curves: "xarray.Dataset") -> None:
    """Store curves in a zarr directory at `path`."""
    curves.to_zarr(path, mode="w", consolidated=False)


def read(path: str | Path) -> "xarray.Dataset":
    """Curves that `write` has stored."""
    import xarray

    with xarray.open_zarr(path, consolidated=False) as curves:
        return curves.load()
