"""Rebuild the layout of a run from its record, the inverse of `record.record_of`.

A record only names functions; the caller passes them (`Parts`). Whether they are the right ones is
checked afterwards, by comparing identities.
"""

import ast
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import instance
from purejaxrl_suite.core.types import (
    Agent,
    Environment,
    Intervention,
    Network,
    PyTree,
)
from purejaxrl_suite.engine.evaluate import Evaluating
from purejaxrl_suite.engine.problem import Problem
from purejaxrl_suite.engine.sebulba import acting, sebulba
from purejaxrl_suite.engine.source import built_for
from purejaxrl_suite.sweeps import check
from purejaxrl_suite.sweeps.axes import CONFIGURATION, Points
from purejaxrl_suite.sweeps.before import Before
from purejaxrl_suite.sweeps.experiment import MakesSource
from purejaxrl_suite.sweeps.fleet import Members
from purejaxrl_suite.sweeps.layout import (
    Acting,
    Group,
    Layout,
    members_of_problem,
    single,
    with_source,
)
from purejaxrl_suite.sweeps.record import plain, shapes, structure

Known = Mapping[str, Any]
"""The record of a group."""


class Parts(NamedTuple):
    """Parts of a run that a record only names.

    builder: (env, config, network, hypers) -> Agent. config: has the values that a record cannot
    hold; None for an agent without. env, network, intervention: of a group; a network of None is
    the agent's own, the intervention includes metrics. source: makes the source of a group in which
    the agent does not act. A problem has only the builder, (config, hypers) -> Problem, and the
    config.
    """

    builder: Any
    config: Any
    env: Callable[[Known], Environment]
    network: Callable[[Known], Callable[[Environment], Network] | None]
    intervention: Callable[[Known], Intervention | None]
    source: MakesSource | None = None


def layout_of(record: Mapping[str, Any], parts: Parts, *, acting: bool = True) -> Layout:
    """Rebuild the layout of a record with these parts.

    Args:
        record: of the run.
        parts: that the record only names.
        acting: whether members will act; if not, networks are not compared.

    Returns:
        The layout.

    Raises:
        ValueError: the record lacks something; the message names it and the argument for it.
    """
    groups = tuple(_group(known, record, parts, acting) for known in record["groups"])
    along = {name: (axis, values) for name, (axis, values) in record["values on axes"].items()}
    return Layout(
        groups=groups,
        static=record["static axes"],
        traced=record["traced axes"],
        along=along,
        seeds=tuple(record["seeds"]),
        steps=record["steps"],
    )


def _problem(known: Known, record: Mapping[str, Any], parts: Parts, acting: bool) -> Group:
    """Rebuild a group without an environment."""
    config = _config(known["config"], parts.config)
    made = instance("builder", parts.builder(config, None), Problem)
    if made.name != known["agent"]:
        raise ValueError(f"builder: expected one of {known['agent']}, got one of {made.name}")
    values = [told for _, _, told in _leaves("hypers", made.hypers, known["hypers"])]
    count = math.prod(len(labels) for labels in record["traced axes"].values())
    columns = {
        name: np.broadcast_to(np.asarray(told, np.float32), count).tolist()
        for name, told in zip(made.hypers._fields, values, strict=True)
    }
    points = Points(made.hypers, columns, {CONFIGURATION: range(count)})
    group = Group(
        labels=known["labels"],
        config=config,
        members=members_of_problem(made, points, record["seeds"]),
        updates=known["updates"],
        train=made.train,
        subject=made,
    )
    if acting:
        _check_network(shapes(group.learnt), known["parameters"])
    return group


def _group(known: Known, record: Mapping[str, Any], parts: Parts, acting: bool) -> Group:
    if "problem" in known:
        return _problem(known, record, parts, acting)
    env, config = parts.env(known), _config(known["config"], parts.config)
    network = parts.network(known)

    def build(env: Environment) -> Agent:
        return parts.builder(env, config, None if network is None else network(env), None)

    agent, source = built_for(_source(known, parts.source), build, env)
    if agent.name != known["agent"]:
        raise ValueError(f"builder: expected one of {known['agent']}, got one of {agent.name}")
    if acting:
        _check_network(structure(agent, env)["parameters"], known["parameters"])
    intervention, told = parts.intervention(known), known["evaluation"]
    evaluation = None if told is None else Evaluating(**told)
    return Group(
        labels=known["labels"],
        config=config,
        members=with_source(_members(known, record, agent, env), source),
        updates=known["updates"],
        train=single(agent, source, intervention, evaluation),
        subject=Acting(
            agent=agent,
            env=env,
            source=source,
            reset_pool=known["reset_pool"],
            intervention=intervention,
            evaluation=evaluation,
        ),
        before=Before(known["before"]) if "before" in known else None,
    )


def _source(known: Known, made_by: MakesSource | None) -> MakesSource:
    """Return the maker of the source of a group's experience."""
    if "source" not in known:
        return partial(acting, reset_pool=known["reset_pool"])
    if made_by is None:
        name = known["source"]["name"]
        if name.startswith("sebulba("):
            call: Any = ast.parse(name, mode="eval").body
            return partial(sebulba, **{x.arg: ast.literal_eval(x.value) for x in call.keywords})
        raise ValueError(f"source: no folder holds {name}: pass source= as the run had it")
    return made_by


def _check_network(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    for name in dict.fromkeys((*theirs, *ours)):
        there, here = theirs.get(name, "none"), ours.get(name, "none")
        if there != here:
            raise ValueError(f"network: {name} is {there} there, {here} here: pass network=")


def _config(told: Mapping[str, Any], own: Any) -> Any:
    """Rebuild the Config of a record, with values of `own` if the record names them."""
    if own is None:
        return None
    if set(told) != set(own._fields):
        names = ", ".join(sorted(set(told) ^ set(own._fields)))
        raise ValueError(f"config: {type(own).__name__} of this version differs in {names}")
    return own._replace(**{name: _field(name, getattr(own, name), told[name]) for name in told})


def _field(name: str, own: Any, told: Any) -> Any:
    if plain(own) == told:
        return own
    if isinstance(told, list):
        return tuple(_field(name, None, one) for one in told)
    if hasattr(own, "_fields"):
        return own._replace(**_fields(name, told))
    if isinstance(own, float) and isinstance(told, str):  # inf and nan
        return float(told)
    if not isinstance(told, str) or own is None or isinstance(own, str):
        return told
    raise ValueError(f"config.{name}: no folder holds {told}: pass config= with it")


def _fields(name: str, told: str) -> dict[str, Any]:
    """Parse the fields of a NamedTuple of plain values: `Switches(first=True)`."""
    try:
        call: Any = ast.parse(told, mode="eval").body
        return {one.arg: ast.literal_eval(one.value) for one in call.keywords}
    except (SyntaxError, ValueError, AttributeError):
        raise ValueError(f"config.{name}: no folder holds {told}: pass config= with it") from None


def _members(known: Known, record: Mapping[str, Any], agent: Agent, env: Environment) -> Members:
    seeds, axes = record["seeds"], record["traced axes"]
    count, repeat = math.prod(len(labels) for labels in axes.values()), len(seeds)
    names = {*axes, *(name for name, (axis, _) in record["values on axes"].items() if axis in axes)}
    columns = [
        np.repeat(np.broadcast_to(np.asarray(told, np.float32), count), repeat)
        for _, _, told in _leaves("hypers", agent.hypers, known["hypers"])
    ]
    params, varied = [], []
    for name, own, told in _leaves("env_params", env.params, known["env_params"]):
        varied.append(name.partition(".")[0] in names)
        if varied[-1]:
            params.append(np.repeat(_column(name, own, told, count), repeat, axis=0))
        else:
            params.append(_param(name, own, told))
    made = jax.tree.structure(env.params)
    return Members(
        np.tile(np.asarray(seeds, np.uint32), count),
        jax.tree.unflatten(jax.tree.structure(agent.hypers), columns),
        jax.tree.unflatten(made, params),
        jax.tree.unflatten(made, varied),
    )


def _leaves(what: str, own: PyTree, told: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return [(name, leaf, its entry in the record)]."""
    leaves = tree.named(own)
    if set(leaves) != set(told):
        names = ", ".join(sorted(set(told) ^ set(leaves)))
        raise ValueError(f"{what}: those of this run differ in {names}")
    return [(name, leaf, told[name]) for name, leaf in leaves.items()]


def _param(name: str, own: Any, told: Any) -> Any:
    """Rebuild a parameter of the environment that all members share."""
    if plain(own) == told:
        return own
    return check.like(f"env_params.{name}", _value(name, told, own), own)


def _value(name: str, told: Any, own: Any) -> Any:
    """Rebuild a number, or an array in the dtype of the environment's own."""
    try:
        if isinstance(told, list):
            return np.asarray(told).astype(np.asarray(own).dtype)
        return float(told) if isinstance(told, str) else told  # inf and nan are texts
    except ValueError:
        what = f"an array that no folder holds ({told})"
        raise ValueError(f"env_params.{name}: it is {what}: pass env= with these params") from None


def _column(name: str, own: Any, told: Any, count: int) -> np.ndarray:
    """Rebuild a varied parameter: one value for each of `count` configurations."""
    several = isinstance(told, list) and np.ndim(told) > np.ndim(own)
    values = told if several else [told] * count
    rows = [np.asarray(check.like(f"env_params.{name}", _value(name, x, own), own)) for x in values]
    return np.stack(rows)
