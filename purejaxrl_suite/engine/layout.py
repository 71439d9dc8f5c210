"""From what a user varies to what is compiled: groups of members, and their labels.

Static choices (environment, network, Config) make groups, one compiled program each. Traced ones
(Hypers, environment parameters, seeds) make the members of every group: a flat axis in the order
(environment parameters, Hypers, seed), the last varying fastest.
"""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from purejaxrl_suite.core import spaces
from purejaxrl_suite.core.types import Agent, Environment, Intervention, Metric
from purejaxrl_suite.engine import axes
from purejaxrl_suite.engine.axes import Points
from purejaxrl_suite.engine.fleet import Members
from purejaxrl_suite.engine.train import check_fit
from purejaxrl_suite.plasticity.combine import observed


class Group(NamedTuple):
    """What shares one compiled program.

    labels: {static axis: its value here}. config: the agent's, None for its defaults. members: all
    of them, C x S. updates: of each member. intervention: what is done, and measured, in training.
    """

    labels: Mapping[str, Any]
    config: Any
    agent: Agent
    env: Environment
    members: Members
    updates: int
    intervention: Intervention | None = None

    @property
    def per_update(self) -> int:
        """Environment steps of one member in one update."""
        return self.agent.num_envs * self.agent.rollout_length


class Layout(NamedTuple):
    """A sweep, laid out.

    static: {axis: labels} of the groups, in their order. traced: {axis: labels} of the C
    configurations. along: {name: (axis, labels)}, what else is known of the points on an axis.
    seeds: S. steps: as asked for.
    """

    groups: tuple[Group, ...]
    static: Mapping[str, Sequence[Any]]
    traced: Mapping[str, Sequence[Any]]
    along: Mapping[str, tuple[str, Sequence[Any]]]
    seeds: tuple[int, ...]
    steps: float

    @property
    def configurations(self) -> int:
        """C, the traced configurations of a group."""
        return math.prod(len(labels) for labels in self.traced.values())

    def only(self, number: int) -> "Layout":
        """The layout of one of its groups."""
        group = self.groups[number]
        static = {axis: [value] for axis, value in group.labels.items()}
        along = {name: x for name, x in self.along.items() if x[0] not in static}
        return self._replace(groups=(group,), static=static, along=along)

    def identity(self) -> dict[str, Any]:
        """What makes this sweep this sweep, as JSON: compared before anything is resumed."""
        return json.loads(
            json.dumps(
                {
                    "groups": [_identity(group) for group in self.groups],
                    "static axes": {
                        name: [label(x) for x in xs] for name, xs in self.static.items()
                    },
                    "traced axes": {name: list(xs) for name, xs in self.traced.items()},
                    "values on axes": {
                        name: [axis, list(xs)] for name, (axis, xs) in self.along.items()
                    },
                    "seeds": self.seeds,
                    "steps": float(self.steps),
                },
                default=label,
            )
        )


def lay_out(
    builder: Callable[..., Agent],
    env: Environment | Sequence[Environment],
    *,
    hypers: Any,
    config: Any,
    network: Any,
    env_params: Any,
    seeds: int | Sequence[int],
    steps: float,
    intervention: Any = None,
    metrics: Sequence[Metric] = (),
    measure_every: int = 10,
) -> Layout:
    """Build every agent and list all members; raises ValueError for what makes no sense."""
    networks, static_network = _networks(network)
    interventions, static_intervention = _interventions(intervention)
    environments, static_env = _environments(env)
    configs, static_config, along = _configs(config)
    static = {**static_env, **static_network, **static_intervention, **static_config}
    hyper_points = hypers if isinstance(hypers, Points) else Points(hypers)
    chosen = check_seeds(seeds)
    groups = []
    for environment, (name, build), (what, done), (settings, one) in itertools.product(
        environments, networks, interventions, configs
    ):
        made = build(environment) if build else None
        agent = builder(environment, one, made, hyper_points.base)
        check_fit(agent, environment)
        labels = {"environment": environment.name, "network": name, "intervention": what} | settings
        params = _env_points(env_params, environment)
        if len(environments) > 1 and env_params is not None:
            params = params._replace(base=environment.params)  # each keeps its own defaults
        members = _members(agent, params, hyper_points, chosen)
        updates = check_steps(agent, steps)
        here = {axis: labels[axis] for axis in static}
        both = observed(done, metrics, measure_every)
        groups.append(Group(here, one, agent, environment, members, updates, both))
    traced, traced_along = _traced(_env_points(env_params, environments[0]), hyper_points)
    _check_names(static, traced, along | traced_along)
    return Layout(tuple(groups), static, traced, along | traced_along, tuple(chosen), steps)


def label(x: Any) -> Any:
    """What stands for a value in a coordinate or a file: numbers and texts themselves."""
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, bool | int | float | str) or x is None:
        return x
    return getattr(x, "__qualname__", None) or str(x)


def check_seeds(seeds: int | Sequence[int]) -> list[int]:
    """The seeds themselves: 0 .. n - 1 for a number."""
    chosen = list(range(seeds)) if isinstance(seeds, int) else [int(seed) for seed in seeds]
    if not chosen or len(set(chosen)) < len(chosen) or not all(0 <= s < 2**32 for s in chosen):
        raise ValueError(f"seeds must be a positive number or distinct integers >= 0, got {seeds}")
    return chosen


def check_steps(agent: Agent, steps: float) -> int:
    """Updates in that many environment steps of one member, at least one."""
    per_update = agent.num_envs * agent.rollout_length
    if not (np.isfinite(steps) and steps >= per_update):
        raise ValueError(
            f"steps={steps} is less than one update: {agent.num_envs} environments x "
            f"{agent.rollout_length} steps = {per_update}"
        )
    updates = int(steps) // per_update
    if updates >= 2**31:
        raise ValueError(
            f"steps={steps:g} are {updates:,} updates of {per_update} steps each, expected at most "
            f"{2**31 - 1:,} updates"
        )
    return updates


def check_hypers(agent: Agent, hypers: Any) -> Any:
    """The hypers themselves, if they are finite numbers of the agent's own type."""
    if type(hypers) is not type(agent.hypers):
        raise ValueError(f"hypers must be a {type(agent.hypers).__name__}, got {hypers!r}")
    for name, value in hypers._asdict().items():
        if not (np.ndim(value) == 0 and np.isfinite(value)):
            raise ValueError(f"hypers.{name} must be one finite number, got {value!r}")
    return hypers


def _environments(env: Any) -> tuple[list[Environment], dict[str, list[str]]]:
    if isinstance(env, Environment):
        return [env], {}
    found = list(env)
    names = [one.name for one in found]
    if not found or len(set(names)) < len(names):
        raise ValueError(f"env: expected environments with distinct names, got {names}")
    return found, {"environment": names}


def _networks(network: Any) -> tuple[list[tuple[str, Any]], dict[str, list[str]]]:
    if network is None or callable(network):
        return [("", network)], {}
    if not isinstance(network, Mapping) or not network:
        raise ValueError(
            "network: expected a function Environment -> Network or {name: function}, "
            f"got {network!r}"
        )
    return list(network.items()), {"network": list(network)}


def _interventions(
    intervention: Any,
) -> tuple[list[tuple[str, Intervention | None]], dict[str, list[str]]]:
    if intervention is None or isinstance(intervention, Intervention):
        return [("", intervention)], {}
    if not isinstance(intervention, Mapping) or not intervention:
        raise ValueError(
            "intervention: expected an Intervention, None or {name: one of them}, "
            f"got {intervention!r}"
        )
    return list(intervention.items()), {"intervention": list(intervention)}


def _configs(
    config: Any,
) -> tuple[list[tuple[dict[str, Any], Any]], dict[str, Any], dict[str, Any]]:
    """[(labels, Config)], {axis: labels}, what else is known along an axis."""
    if isinstance(config, Points):
        rows = itertools.product(*config.dims.values())
        settings = [dict(zip(config.dims, row, strict=True)) for row in rows]
        labelled = list(zip(settings, config.settings(), strict=True))
        extra = {n: (a, v) for n, (a, v) in _along(config).items()}
        return labelled, dict(config.dims), extra
    if not isinstance(config, list):
        return [({}, config)], {}, {}
    if not config or len({type(one) for one in config}) > 1 or len(set(config)) < len(config):
        raise ValueError(f"config: expected distinct Configs of one type, got {config}")
    columns = {name: [getattr(one, name) for one in config] for name in config[0]._fields}
    differing = {n: ("config", xs) for n, xs in columns.items() if any(x != xs[0] for x in xs)}
    return (
        [({"config": i}, one) for i, one in enumerate(config)],
        {"config": range(len(config))},
        differing,
    )


def _env_points(env_params: Any, env: Environment) -> Points:
    if env_params is None:
        return Points(env.params)
    if not isinstance(env_params, Points):
        return Points(env_params)
    if type(env_params.base) is not type(env.params):
        raise ValueError(
            f"env_params: points of {type(env_params.base).__name__} do not fit environment "
            f"{env.name!r}, whose parameters are {type(env.params).__name__}"
        )
    return env_params


def _members(agent: Agent, env_points: Points, hypers: Points, seeds: list[int]) -> Members:
    if hypers.base is None:
        hypers = hypers._replace(base=agent.hypers)
    rows = [check_hypers(agent, one) for one in hypers.settings()]
    repeat = len(seeds)
    stacked = jax.tree.map(lambda *xs: np.asarray(xs, np.float32), *rows)
    each = jax.tree.map(lambda x: np.tile(np.repeat(x, repeat), env_points.count), stacked)
    inner = len(rows) * repeat
    columns = {
        name: np.repeat(_cast(name, axes.fields(env_points.base)[name], values), inner, axis=0)
        for name, values in env_points.values.items()
    }
    varied = jax.tree.map(lambda _: False, env_points.base)
    return Members(
        np.tile(np.asarray(seeds, np.uint32), env_points.count * len(rows)),
        each,
        axes.replace(env_points.base, columns),
        axes.replace(varied, dict.fromkeys(columns, True)),
    )


def _cast(name: str, default: Any, values: Sequence[Any]) -> np.ndarray:
    """Values of an environment parameter in the dtype that it has."""
    column, dtype = np.asarray(values), np.asarray(default).dtype
    cast = column.astype(dtype)
    exact = np.issubdtype(dtype, np.floating) or np.array_equal(cast, column)
    if not (exact and np.all(np.isfinite(column))):
        raise ValueError(f"env_params.{name}: expected finite values of type {dtype}, got {values}")
    return cast


def _traced(env_points: Points, hypers: Points) -> tuple[dict[str, Any], dict[str, Any]]:
    both = set(env_points.dims) & set(hypers.dims)
    if both:
        raise ValueError(
            f"hypers and env_params both have the axis {', '.join(sorted(both))}: make one a grid"
        )
    dims = {**env_points.dims, **hypers.dims}
    return dims, _along(env_points) | _along(hypers)


def _along(points: Points) -> dict[str, tuple[str, Sequence[Any]]]:
    """Values of fields that are no axis themselves, and the axis they lie on."""
    if not points.dims or axes.CONFIGURATION not in points.dims:
        return {}
    found = {name: (axes.CONFIGURATION, values) for name, values in points.values.items()}
    if points.varied:
        found["varied"] = (axes.CONFIGURATION, points.varied)
    return found


def _check_names(static: Any, traced: Any, along: Any) -> None:
    names = [*static, *traced, *along, "seed", "step"]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two axes are called {', '.join(twice)}: vary each thing in one place")


def structure(agent: Agent, env: Environment) -> dict[str, Any]:
    """What a stored state fits to, as JSON: the agent, its spaces and its parameters' shapes."""
    state = jax.eval_shape(lambda: agent.init(jax.random.key(0), agent.hypers))
    leaves = jax.tree_util.tree_flatten_with_path(state.learner.params)[0]
    return {
        "agent": agent.name,
        "environment": env.name,
        "observation": spaces.describe(agent.observation),
        "action": spaces.describe(agent.action),
        "parameters": {jax.tree_util.keystr(path): list(leaf.shape) for path, leaf in leaves},
    }


def _identity(group: Group) -> dict[str, Any]:
    return structure(group.agent, group.env) | {
        "labels": {name: label(x) for name, x in group.labels.items()},
        "updates": group.updates,
        "intervention": "none" if group.intervention is None else group.intervention.name,
        "environment steps per update": group.per_update,
        "config": {name: label(x) for name, x in axes.fields(group.config).items()},
        "hypers": {name: float(x) for name, x in group.agent.hypers._asdict().items()},
    }
