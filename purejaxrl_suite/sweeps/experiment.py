"""What is trained: one type for what `run`, `sweep`, `plan`, `evolve` and studies are told.

These functions take an `Experiment`, or its fields as keywords: `Fields` names them to editors,
`front` to `help`, and `told` makes an Experiment of them.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypedDict

from purejaxrl_suite.core.types import Agent, Builder, Environment, Metric
from purejaxrl_suite.engine.evaluate import Evaluating
from purejaxrl_suite.engine.source import Source


class MakesSource(Protocol):
    """Makes the source of an agent's experience, such as `engine.online`."""

    def __call__(self, agent: Agent, env: Environment, /) -> Source:
        """The source."""
        ...


class Experiment(NamedTuple):
    """Say what is trained: an agent on environments, what is varied, how long, what is measured.

        experiment = pjs.Experiment(pjs.ppo, pjs.make("CartPole-v1"), seeds=16, steps=1e6)

    builder: (env, config, network, hypers) -> Agent, such as `ppo`; or an Agent that is built, and
        has its config and network already.
    env: one, or several with distinct names (a group each: one compiled program).
    seeds: how many (0 .. n - 1), or which; configurations with equal seeds are paired.
    steps: environment steps of each member, rounded down to whole updates.
    hypers, env_params: values, or points of them (`grid`, `random`, `sobol`, `one_at_a_time`): all
        members of one program. None: those of the agent and of the environment.
    config: a Config, a list of them, or points: a group each. network: a function Environment ->
        Network, or {name: function}, a group each. None: the agent's own.
    intervention: what is done to each member's learner between updates, or {name: that or None}, a
        group each. metrics, measure_every: what is measured of it, and after every how many
        updates. See `purejaxrl_suite.plasticity`.
    evaluate_every: updates from one evaluation of each member to the next, or an `Evaluating`.
    reset_pool: start states per environment and rollout; 0 resets exactly (see engine.resets).
    source: (agent, env) -> who makes the experience, such as `partial(engine.dataset, steps=...)`,
        which replays fixed experience that all members share. None: the agent acts in the
        environment (`engine.online`). Members are evaluated in the environment in any case, and
        `steps` counts transitions that are given to the agent.

    Every field is part of the identity of what is trained: a folder goes on with an Experiment that
    equals its own, and refuses another. Nearly all decide numbers. `seeds` chooses members, whose
    numbers depend on their own seed only; `metrics`, `measure_every` and `evaluate_every` add to
    the curves and leave training as it is, but that an intervention which draws random numbers
    draws others when it is measured. How all of it is carried out - folders, segments,
    checkpoints, memory, progress - decides no number, and is no field.

    It is checked as a whole, where it is laid out (`sweeps.layout`), before anything is compiled.
    """

    builder: Builder | Agent
    env: Environment | Sequence[Environment]
    seeds: int | Sequence[int]
    steps: float
    hypers: Any = None
    config: Any = None
    network: Any = None
    env_params: Any = None
    intervention: Any = None
    metrics: Sequence[Metric] = ()
    measure_every: int = 10
    evaluate_every: int | Evaluating | None = None
    reset_pool: int = 1
    source: MakesSource | None = None


class Fields(TypedDict, total=False):
    """The fields of an `Experiment` as keywords, but the first two."""

    seeds: int | Sequence[int]
    """How many, or which."""
    steps: float
    """Environment steps of each member."""
    hypers: Any
    """Hypers, or points of them."""
    config: Any
    """A Config, a list of them, or points: a group each."""
    network: Any
    """Environment -> Network, or {name: that}: a group each."""
    env_params: Any
    """Parameters of the environment, or points of them."""
    intervention: Any
    """An Intervention, or {name: that or None}: a group each."""
    metrics: Sequence[Metric]
    """What is measured of each learner."""
    measure_every: int
    """Updates from one measurement to the next."""
    evaluate_every: int | Evaluating | None
    """Updates from one evaluation to the next."""
    reset_pool: int
    """Start states per environment and rollout; 0 resets exactly."""
    source: MakesSource | None
    """(agent, env) -> who makes the experience; None: the agent acts."""


def front[F: Callable[..., Any]](function: F) -> F:
    """Show the fields of an Experiment in the signature of a function that takes them as keywords.

    It ends in `**fields: Unpack[Fields]`, which editors expand, but neither `help` nor notebooks.
    """
    own = list(inspect.signature(function).parameters.values())
    defaults, keyword = Experiment._field_defaults, inspect.Parameter.KEYWORD_ONLY
    fields = [
        inspect.Parameter(name, keyword, default=defaults.get(name), annotation=kind)
        for name, kind in Fields.__annotations__.items()
    ]
    places = [one for one in own if one.kind is not keyword][:-1]
    rest = [one for one in own if one.kind is keyword]
    signature = inspect.signature(function).replace(parameters=[*places, *fields, *rest])
    vars(function)["__signature__"] = signature
    return function


def told(function: Any, first: Any, env: Any, fields: Mapping[str, Any]) -> Experiment:
    """The Experiment that a `front` is told, whole or by its fields.

    first: an Experiment, of which `env` and `fields` are replaced where they are given; else its
        builder.
    Raises TypeError for a keyword that neither an Experiment nor the function has.
    """
    for name in fields:
        if name not in Fields.__annotations__:
            near = difflib.get_close_matches(name, inspect.signature(function).parameters, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            text = f"{function.__name__}() got an unexpected keyword argument {name!r}{hint}"
            raise TypeError(text)
    if isinstance(first, Experiment):
        return first._replace(**fields if env is None else {"env": env, **fields})
    return Experiment(first, env, **{"seeds": None, "steps": None, **fields})
