"""The record of a run: all settings in words and numbers, made from the layout.

The same record is compared before a run is resumed (`sweeps.identity`), stored in config.json and
in the attributes of the curves, and shown by the page and by every export.
"""

import json
import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import spaces, tree
from purejaxrl_suite.core.types import Agent, Environment
from purejaxrl_suite.engine import resets
from purejaxrl_suite.engine.problem import Problem
from purejaxrl_suite.envs.recipe import told
from purejaxrl_suite.sweeps import axes
from purejaxrl_suite.sweeps.layout import Group, Layout

SETTINGS = (
    *("jax_default_prng_impl", "jax_threefry_partitionable", "jax_random_seed_offset"),
    *("jax_enable_x64", "jax_default_matmul_precision"),
)
"""Settings of JAX that change random numbers or precision, some of which no jaxpr shows."""
FEW = 16
"""The most entries of an array that are written out; a longer one is written as a checksum."""


def record_of(laid: Layout) -> dict[str, Any]:
    """Record all settings of a layout, as JSON.

    A value that the C configurations of a group share is written once, otherwise as a list of C.
    """
    return {
        "static axes": {name: plain(list(xs)) for name, xs in laid.static.items()},
        "traced axes": {name: plain(list(xs)) for name, xs in laid.traced.items()},
        "values on axes": {n: [axis, plain(list(xs))] for n, (axis, xs) in laid.along.items()},
        "seeds": plain(list(laid.seeds)),
        "groups": [_group(group, len(laid.seeds)) for group in laid.groups],
        "steps": float(laid.steps),
        "settings": {name: plain(getattr(jax.config, name)) for name in SETTINGS},
    }


def structure(agent: Agent, env: Environment) -> dict[str, Any]:
    """Describe what a stored state fits, as JSON: agent, spaces and shapes of parameters."""
    state = jax.eval_shape(lambda: agent.init(jax.random.key(0), agent.hypers))
    return {
        "agent": agent.name,
        "environment": env.name,
        "observation": spaces.describe(agent.observation),
        "action": spaces.describe(agent.action),
        "parameters": shapes(state.learner.params),
    }


def shapes(params: Any) -> dict[str, list[int]]:
    """Describe parameters as JSON, {path: shape}."""
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    return {jax.tree_util.keystr(path): list(leaf.shape) for path, leaf in leaves}


def _problem(group: Group, made: Problem, seeds: int) -> dict[str, Any]:
    """Record a group without an environment."""
    config, parameters = axes.fields(made.config) or axes.fields(group.config), shapes(group.learnt)
    return {
        "agent": made.name,
        "problem": {name: plain(x) for name, x in tree.named(made.data).items()},
        "parameters": parameters,
        "parameter counts": _counts(parameters),
        "config": {name: plain(x) for name, x in config.items()},
        "hypers": {n: _column(x, seeds) for n, x in tree.named(group.members.hypers).items()},
        "labels": {name: plain(x) for name, x in group.labels.items()},
        "updates": group.updates,
    }


def _group(group: Group, seeds: int) -> dict[str, Any]:
    if isinstance(group.subject, Problem):
        return _problem(group, group.subject, seeds)
    env, members, source = group.env, group.members, group.source
    config = axes.fields(group.agent.config) or axes.fields(group.config)
    known = structure(group.agent, env)
    if source.acts:
        lasting = resets.lasts(group.agent, env, group.reset_pool)
        known |= {"updates per reset pool": lasting} if lasting > 1 else {}
        known |= {} if source.hosted is None else {"source": {"name": source.name}}
    else:
        shared = tree.named(source.data(None))
        known["source"] = {"name": source.name} | {n: plain(x) for n, x in shared.items()}
    return known | {
        "parameter counts": _counts(known["parameters"]),
        "recipe": list(env.recipe),
        "tasks": list(env.tasks),
        "time limit": env.time_limit,
        "env_params": {
            name: _column(x, seeds if varied else None)
            for (name, x), varied in zip(
                tree.named(group.env_params).items(),
                jax.tree.leaves(source.env_params(members.varied)),
                strict=True,
            )
        },
        "config": {name: plain(x) for name, x in config.items()},
        "hypers": {name: _column(x, seeds) for name, x in tree.named(members.hypers).items()},
        "labels": {name: plain(x) for name, x in group.labels.items()},
        "layers": _layers(group.agent),
        "intervention": None if group.intervention is None else group.intervention.name,
        "evaluation": None if group.evaluation is None else group.evaluation._asdict(),
        "reset_pool": group.reset_pool,
        "updates": group.updates,
        "environment steps per update": group.per_update,
    }


def attributes(record: dict[str, Any]) -> dict[str, Any]:
    """Make the attributes of curves: the record, and frequently used parts of it.

    hypers: those that all members of the first group share.
    """
    first = record["groups"][0]
    hypers = {name: x for name, x in first["hypers"].items() if not isinstance(x, list)}
    return {"record": json.dumps(record), "hypers": json.dumps(hypers)}


def plain(x: Any) -> Any:
    """Convert a value to JSON that equals itself when read back; functions become names."""
    if isinstance(x, np.generic):
        return plain(float(str(x)) if x.dtype == np.float32 else x.item())
    if isinstance(x, float) and not math.isfinite(x):
        return str(x)
    if x is None or isinstance(x, bool | int | float | str):
        return x
    if isinstance(x, np.ndarray | jax.Array) and not jnp.issubdtype(x.dtype, jax.dtypes.extended):
        found = np.asarray(x)
        if found.ndim == 0:
            return plain(found[()])
        return told(found) if found.size > FEW else [plain(one) for one in found]
    if isinstance(x, list | tuple | range) and not hasattr(x, "_fields"):
        return [plain(one) for one in x]
    return told(x)


def _column(x: Any, seeds: int | None) -> Any:
    """Reduce a value of all members, which `seeds` neighbours share; None: all share it."""
    if seeds is None:
        return plain(x)
    values = [plain(one) for one in np.asarray(x)[::seeds]]
    return values[0] if all(value == values[0] for value in values) else values


def _counts(parameters: dict[str, list[int]]) -> dict[str, int]:
    """Count parameters of one member by namespace, from the shapes of all leaves."""
    counts: dict[str, int] = {}
    for path, shape in parameters.items():
        name = (re.findall(r"^\['(.+?)'\]", path) or ["all"])[0]
        counts[name] = counts.get(name, 0) + math.prod(shape)
    return counts


def _layers(agent: Agent) -> dict[str, int]:
    """Return {hidden layer: its units} from the wiring."""
    if agent.network is None:
        return {}
    return {edge.layer: edge.units for edge in agent.network.wiring}
