"""Lay out an experiment: groups of members, and their labels.

Static choices (environment, network, Config) make groups, each with one compiled program. Traced
ones (Hypers, environment parameters, seeds) make the members of every group: a flat axis in the
order (environment parameters, Hypers, seed), the last varying fastest.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from purejaxrl_suite.core.argument import instance, wrong
from purejaxrl_suite.core.interventions import observed
from purejaxrl_suite.core.parameter import like
from purejaxrl_suite.core.types import (
    Agent,
    Builder,
    Environment,
    Intervention,
    Network,
    PyTree,
)
from purejaxrl_suite.engine.evaluate import Evaluating
from purejaxrl_suite.engine.problem import Problem
from purejaxrl_suite.engine.rollout import counts
from purejaxrl_suite.engine.source import Hosted, Source, built_for
from purejaxrl_suite.engine.train import Train, make_train
from purejaxrl_suite.envs.common import limits
from purejaxrl_suite.sweeps import axes, check
from purejaxrl_suite.sweeps.axes import Points
from purejaxrl_suite.sweeps.before import Before
from purejaxrl_suite.sweeps.experiment import Experiment
from purejaxrl_suite.sweeps.fleet import Members


class Acting(NamedTuple):
    """An agent in an environment, and how it is trained.

    source: of its experience. reset_pool: start states per environment and rollout. intervention:
    applied (or only measuring) in training. evaluation: during training.
    """

    agent: Agent
    env: Environment
    source: Source
    reset_pool: int = 1
    intervention: Intervention | None = None
    evaluation: Evaluating | None = None


class Group(NamedTuple):
    """Members that share one compiled program.

    labels: {static axis: its value here}. config: the agent's, None for its defaults. members: all
    of them, C x S. updates: of each member. train: the training of one member. subject: what is
    trained, an agent in an environment or a problem without one. before: the origin of the members,
    None for fresh ones.

    Properties of an agent, such as `env`, raise ValueError for a problem, which has none.
    """

    labels: Mapping[str, Any]
    config: Any
    members: Members
    updates: int
    train: Train
    subject: Acting | Problem
    before: Before | None = None

    @property
    def acting(self) -> Acting:
        """Return the agent in its environment."""
        if isinstance(self.subject, Problem):
            name = self.subject.name
            raise ValueError(f"{name} has no environment: nobody acts, and nothing is evaluated")
        return self.subject

    @property
    def agent(self) -> Agent:
        """Return the agent."""
        return self.acting.agent

    @property
    def env(self) -> Environment:
        """Return the environment."""
        return self.acting.env

    @property
    def source(self) -> Source:
        """Return the source of experience."""
        return self.acting.source

    @property
    def hosted(self) -> Hosted | None:
        """Return how actors play on the host; None if nothing is played there."""
        return None if isinstance(self.subject, Problem) else self.subject.source.hosted

    @property
    def reset_pool(self) -> int:
        """Return the start states per environment and rollout."""
        return self.acting.reset_pool

    @property
    def intervention(self) -> Intervention | None:
        """Return what is applied or measured between updates; None for nothing."""
        return None if isinstance(self.subject, Problem) else self.subject.intervention

    @property
    def evaluation(self) -> Evaluating | None:
        """Return how members are evaluated during training; None for never."""
        return None if isinstance(self.subject, Problem) else self.subject.evaluation

    @property
    def name(self) -> str:
        """Return the name of what is trained: of the agent, or of the problem."""
        known = self.subject
        return known.name if isinstance(known, Problem) else known.agent.name

    @property
    def place(self) -> str:
        """Return the name of the environment, "" without one."""
        return "" if self.environment is None else self.environment.name

    @property
    def title(self) -> str:
        """Describe it in a few words: `ppo on CartPole-v1`."""
        return f"{self.name} on {self.place}" if self.place else self.name

    @property
    def shares(self) -> bool:
        """Tell whether members share data that are more than a few parameters."""
        return isinstance(self.subject, Problem) or not self.subject.source.acts

    @property
    def counts(self) -> Mapping[str, str]:
        """Return {mean over episodes: the number of these episodes}."""
        return {} if self.environment is None else counts(self.environment)

    @property
    def learnt(self) -> PyTree:
        """Return shapes and dtypes of the learnt parameters of one member."""
        known, key = self.subject, jax.random.key
        if isinstance(known, Problem):
            start = jax.eval_shape(lambda: known.train.init(key(0), known.hypers, known.data))
            return jax.eval_shape(known.train.params, start)
        agent = known.agent
        return jax.eval_shape(lambda: agent.init(key(0), agent.hypers)).learner.params

    @property
    def per_update(self) -> int:
        """Return the environment steps of one member in one update; 1 without an environment."""
        if isinstance(self.subject, Problem):
            return 1
        return self.agent.num_envs * self.agent.rollout_length

    @property
    def environment(self) -> Environment | None:
        """Return the environment, None without one."""
        return None if isinstance(self.subject, Problem) else self.subject.env

    @property
    def env_params(self) -> PyTree:
        """Return the parameters of the environment of all members, as in `Members.data`."""
        return self.source.env_params(self.members.data)

    def params_of(self, member: int) -> PyTree:
        """Return the parameters of the environment of one member."""
        return self.source.env_params(self.members.data_of(member))


class Layout(NamedTuple):
    """A laid-out sweep.

    static: {axis: labels} of the groups, in their order. traced: {axis: labels} of the C
    configurations. along: {name: (axis, labels)}, other coordinates of the points on an axis.
    seeds: the S seeds. steps: as requested.
    """

    groups: tuple[Group, ...]
    static: Mapping[str, Sequence[Any]]
    traced: Mapping[str, Sequence[Any]]
    along: Mapping[str, tuple[str, Sequence[Any]]]
    seeds: tuple[int, ...]
    steps: float

    @property
    def configurations(self) -> int:
        """Return C, the number of traced configurations of a group."""
        return math.prod(len(labels) for labels in self.traced.values())

    def only(self, number: int) -> "Layout":
        """Return the layout of one of its groups."""
        group = self.groups[number]
        static = {axis: [value] for axis, value in group.labels.items()}
        along = {name: x for name, x in self.along.items() if x[0] not in static}
        return self._replace(groups=(group,), static=static, along=along)

    def identity(self) -> dict[str, Any]:
        """Return the identity of the sweep as JSON, compared before anything is resumed."""
        from purejaxrl_suite.sweeps.identity import identity_of  # it imports this module

        return identity_of(self)


class Choice(NamedTuple):
    """Static choices of a group; labels: {axis: its value here}."""

    labels: Mapping[str, Any]
    env: Environment
    config: Any
    network: Network | None
    intervention: Intervention | None


def lay_out(experiment: Experiment, *, goes_on: bool = False) -> Layout:
    """Build every agent and list all members; raises ValueError for an invalid experiment.

    goes_on: whether its members begin with those of an earlier stage, as some agents must.
    """
    if experiment.env is None:
        return _lay_out_problem(experiment)
    builder, declared = check.builder(experiment)
    choices, static, along = _choices(experiment, declared)
    hypers, seeds = experiment.hypers, check.seeds(experiment.seeds)
    hypers = hypers if isinstance(hypers, Points) else Points(hypers)
    check.kind("hypers", hypers.base, declared.get("hypers"))
    groups = []
    for choice in choices:
        points = _env_points(experiment.env_params, choice.env)
        if len(static.get("environment", ())) > 1 and points.dims:
            points = points._replace(base=choice.env.params)  # each environment keeps its defaults
        env = _bounded(choice.env, points)
        build = partial(_build, builder, choice, hypers.base)
        agent, source = built_for(check.source(experiment), build, env)
        check.kind("hypers", hypers.base, type(agent.hypers))
        check.begins(agent, goes_on=goes_on)
        updates = check.steps(agent, experiment.steps)
        check.room(points.count * hypers.count, seeds, updates)
        members = _members(agent, points, hypers, seeds)
        made = _group(
            experiment, choice, agent=agent, source=source, members=members, updates=updates
        )
        groups.append(made)
        if choice.network is not None or not declared:  # otherwise the network is the agent's own
            check.outputs(agent)
    traced, traced_along = _traced(_env_points(experiment.env_params, choices[0].env), hypers)
    _check_names(static, traced, along | traced_along)
    return Layout(
        groups=tuple(groups),
        static=static,
        traced=traced,
        along=along | traced_along,
        seeds=tuple(seeds),
        steps=experiment.steps,
    )


def _lay_out_problem(experiment: Experiment) -> Layout:
    """Make every problem of an experiment without an environment, and list all members."""
    make = check.problem(experiment)
    settings, static, along = _configs(experiment.config, check.declared(make, 2).get("config"))
    hypers, seeds = experiment.hypers, check.seeds(experiment.seeds)
    hypers = hypers if isinstance(hypers, Points) else Points(hypers)
    updates, groups = check.updates(experiment.steps), []
    check.room(hypers.count, seeds, updates)
    for labels, config in settings:
        made = instance("builder", make(config, hypers.base), Problem)
        check.kind("hypers", hypers.base, type(made.hypers))
        check.metric(made)
        group = Group(
            labels=labels,
            config=config,
            members=members_of_problem(made, hypers, seeds),
            updates=updates,
            train=made.train,
            subject=made,
        )
        groups.append(group)
    _check_names(static, hypers.dims, along | _along(hypers))
    return Layout(
        groups=tuple(groups),
        static=static,
        traced=dict(hypers.dims),
        along=along | _along(hypers),
        seeds=tuple(seeds),
        steps=experiment.steps,
    )


def members_of_problem(made: Problem, hypers: Points, seeds: Sequence[int]) -> Members:
    """List the members of a problem, all of which share its data."""
    if hypers.base is None:
        hypers = hypers._replace(base=made.hypers)
    repeat, count = len(seeds), hypers.count
    each = {
        name: np.repeat(np.broadcast_to(x, count), repeat)
        for name, x in check.hypers(made, hypers).items()
    }
    return Members(
        np.tile(np.asarray(seeds, np.uint32), count),
        type(made.hypers)(**each),
        jax.tree.map(np.asarray, made.data),
        jax.tree.map(lambda _: False, made.data),
    )


def _choices(
    experiment: Experiment, declared: Mapping[str, type]
) -> tuple[list[Choice], dict[str, Any], dict[str, Any]]:
    """Combine all static choices; return them, {axis: labels}, and other coordinates."""
    networks, static_network = check.networks(experiment.network)
    interventions, static_intervention = check.interventions(experiment.intervention)
    environments, static_env = check.environments(experiment.env)
    configs, static_config, along = _configs(experiment.config, declared.get("config"))
    static = {**static_env, **static_network, **static_intervention, **static_config}
    made = []
    for env, (name, build), (what, done), (settings, config) in itertools.product(
        environments, networks, interventions, configs
    ):
        labels = {"environment": env.name, "network": name, "intervention": what} | settings
        network = _network(name, build, env, declared.get("network", object))
        here = {axis: labels[axis] for axis in static}
        made.append(Choice(labels=here, env=env, config=config, network=network, intervention=done))
    return made, static, along


def _build(builder: Builder, choice: Choice, hypers: Any, env: Environment) -> Agent:
    return instance("builder", builder(env, choice.config, choice.network, hypers), Agent)


def _group(
    experiment: Experiment,
    choice: Choice,
    *,
    agent: Agent,
    source: Source,
    members: Members,
    updates: int,
) -> Group:
    """Make the group of a built agent with all members, whose data are environment parameters."""
    evaluate_every, measure_every = experiment.evaluate_every, experiment.measure_every
    intervention = observed(choice.intervention, experiment.metrics, measure_every)
    evaluation = check.evaluation(evaluate_every, choice.env, members.data)
    return Group(
        labels=choice.labels,
        config=choice.config,
        members=with_source(members, source),
        updates=updates,
        train=single(agent, source, intervention, evaluation),
        subject=Acting(
            agent=agent,
            env=choice.env,
            source=source,
            reset_pool=experiment.reset_pool,
            intervention=intervention,
            evaluation=evaluation,
        ),
    )


def single(
    agent: Agent,
    source: Source,
    intervention: Intervention | None,
    evaluation: Evaluating | None,
) -> Train:
    """Make the training of one member; on the host it is evaluated outside of its program."""
    within = evaluation if source.hosted is None else None
    return make_train(agent, source, intervention=intervention, evaluation=within)


def with_source(members: Members, source: Source) -> Members:
    """Replace the members' environment parameters by the data of a source."""
    data = source.data(members.data)
    if source.hosted is not None:  # each member has its own, at each update
        count = len(members.seeds)
        each = jax.tree.map(lambda x: np.broadcast_to(x, (count, *x.shape)), data)
        return members._replace(data=each, varied=jax.tree.map(lambda _: True, data))
    varied = jax.tree.map(lambda leaf: leaf is True, source.data(members.varied))
    return members._replace(data=data, varied=varied)


def _network(name: str, build: Any, environment: Environment, kind: type) -> Network | None:
    """Build the network by a user's function and check its type; None without a function."""
    if build is None:
        return None
    what, made = f"network[{name!r}]" if name else "network", build(environment)
    if made is None:
        raise wrong(what, "a function that returns a network", None)
    return instance(what, made, kind)


def _configs(
    config: Any, wanted: type | None
) -> tuple[list[tuple[dict[str, Any], Any]], dict[str, Any], dict[str, Any]]:
    """Return [(labels, Config)], {axis: labels}, and other coordinates."""
    given = config if isinstance(config, list) else [getattr(config, "base", config)]
    for one in given:
        check.kind("config", one, wanted)
    if isinstance(config, Points):
        rows = itertools.product(*config.dims.values())
        settings = [dict(zip(config.dims, row, strict=True)) for row in rows]
        labelled = list(zip(settings, config.settings(), strict=True))
        extra = {n: (a, v) for n, (a, v) in _along(config).items()}
        return labelled, dict(config.dims), extra
    if not isinstance(config, list):
        return [({}, config)], {}, {}
    alike = all(hasattr(one, "_fields") and type(one) is type(config[0]) for one in config)
    if not config or not alike or any(one in config[:i] for i, one in enumerate(config)):
        raise wrong("config", "distinct Configs of one type", config)
    columns = {name: [getattr(one, name) for one in config] for name in config[0]._fields}
    differing = {n: ("config", xs) for n, xs in columns.items() if any(x != xs[0] for x in xs)}
    return (
        [({"config": i}, one) for i, one in enumerate(config)],
        {"config": range(len(config))},
        differing,
    )


def _env_points(env_params: Any, env: Environment) -> Points:
    """Make points of this environment's parameters; each environment keeps its own defaults."""
    if env_params is None:
        return Points(env.params)
    if not isinstance(env_params, Points):
        return Points(check.params("env_params", env_params, env))
    return env_params._replace(base=check.params("env_params", env_params.base, env))


def _bounded(env: Environment, points: Points) -> Environment:
    """Set the time limit to the shortest of all points, for the size of the replay's cuts."""
    known = limits(env, axes.replace(points.base, _columns(points)))
    if known is None:
        return env
    if known[0] < 1:
        raise ValueError(f"env_params: expected time limits of at least 1 step, got {known[0]}")
    return env._replace(time_limit=known[0])


def _columns(points: Points) -> dict[str, np.ndarray]:
    """Return {environment parameter: its values in its type}."""
    own = axes.fields(points.base)
    return {
        name: np.stack([np.asarray(like(f"env_params.{name}", x, own[name])) for x in values])
        for name, values in points.values.items()
    }


def _members(agent: Agent, env_points: Points, hypers: Points, seeds: Sequence[int]) -> Members:
    if hypers.base is None:
        hypers = hypers._replace(base=agent.hypers)
    repeat, count = len(seeds), hypers.count
    each = {
        name: np.tile(np.repeat(np.broadcast_to(x, count), repeat), env_points.count)
        for name, x in check.hypers(agent, hypers).items()
    }
    inner = count * repeat
    columns = {name: np.repeat(x, inner, axis=0) for name, x in _columns(env_points).items()}
    for name, values in env_points.alternatives().items():
        check.distinct(f"env_params.{name}", values, columns[name].dtype)
    varied = jax.tree.map(lambda _: False, env_points.base)
    return Members(
        np.tile(np.asarray(seeds, np.uint32), env_points.count * count),
        type(agent.hypers)(**each),
        axes.replace(env_points.base, columns),
        axes.replace(varied, dict.fromkeys(columns, True)),
    )


def _traced(env_points: Points, hypers: Points) -> tuple[dict[str, Any], dict[str, Any]]:
    both = set(env_points.dims) & set(hypers.dims)
    if both:
        raise ValueError(
            f"hypers and env_params both have the axis {', '.join(sorted(both))}: make one a grid"
        )
    dims = {**env_points.dims, **hypers.dims}
    return dims, _along(env_points) | _along(hypers)


def _along(points: Points) -> dict[str, tuple[str, Sequence[Any]]]:
    """Return values of fields that are not an axis, with the axis that they lie along."""
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
