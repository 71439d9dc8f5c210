"""Experiment: what `run`, `sweep`, `plan`, `evolve` and studies train.

These functions take an `Experiment`, or its fields as keywords: `Fields` shows them to editors,
`front` to `help`, and `told` makes an Experiment of them.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypedDict

from purejaxrl_suite.core.types import Agent, Builder, Environment, Metric
from purejaxrl_suite.engine.evaluate import Evaluating
from purejaxrl_suite.engine.problem import MakesProblem, Problem
from purejaxrl_suite.engine.source import Source


class MakesSource(Protocol):
    """A function that makes the source of an agent's experience, such as `engine.online`."""

    def __call__(self, agent: Agent, env: Environment, /) -> Source:
        """Make the source."""
        ...


class Experiment(NamedTuple):
    """What is trained: an agent on environments, what is varied, how long, what is measured.

        experiment = pjs.Experiment(pjs.ppo, pjs.make("CartPole-v1"), seeds=16, steps=1e6)

    builder: (env, config, network, hypers) -> Agent, such as `ppo`; or a built Agent, which already
        has its config and network. Without an environment a Problem, or what makes it.
    env: one environment, or several with distinct names, each a group (one compiled program). None
        for a problem, which has a name, seeds, steps, hypers and config only.
    seeds: how many (0 .. n - 1), or which; configurations with equal seeds are paired.
    steps: environment steps of each member, rounded down to whole updates; updates of a problem.
    hypers: values, or points (`grid`, `random`, `sobol`, `one_at_a_time`), which are members of one
        program. None: those of the agent.
    config: a Config, a list of them, or points, each a group. None: the agent's own.
    network: a function Environment -> Network, or {name: function}, each a group. None: the agent's
        own.
    env_params: values, or points, which are members of one program. None: those of the environment.
    intervention: applied to each member's learner between updates, or {name: one or None}, each a
        group. See `purejaxrl_suite.plasticity`.
    metrics: plasticity metrics of each member's learner.
    measure_every: updates from one measurement of them to the next.
    evaluate_every: updates from one evaluation of each member to the next, or an `Evaluating`.
    reset_pool: start states per environment and rollout; 0 resets exactly (see engine.resets).
    source: (agent, env) -> the source of experience, such as `partial(engine.dataset, steps=...)`,
        which replays fixed experience that all members share. None: the agent acts in the
        environment (`engine.online`). Members are evaluated in the environment in any case, and
        `steps` counts transitions that are given to the agent.

    Every field is part of the experiment's identity: a folder resumes an Experiment that equals its
    own, and refuses another. Nearly all fields change results. `seeds` chooses members, whose
    results depend on their own seed only; `metrics`, `measure_every` and `evaluate_every` add
    curves and leave training unchanged, except that an intervention that draws random numbers draws
    others when metrics are measured. Settings of execution (folders, segments, checkpoints, memory,
    progress) change no result and are not fields.
    It is checked as a whole when it is laid out (`sweeps.layout`), before anything is compiled.
    """

    builder: Builder | Agent | Problem | MakesProblem
    env: Environment | Sequence[Environment] | None
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
    """The fields of an `Experiment` as keywords, without the first two."""

    seeds: int | Sequence[int]
    """How many, or which."""
    steps: float
    """Environment steps of each member."""
    hypers: Any
    """Hypers, or points of them."""
    config: Any
    """A Config, a list of them, or points, each a group."""
    network: Any
    """Environment -> Network, or {name: one}, each a group."""
    env_params: Any
    """Parameters of the environment, or points of them."""
    intervention: Any
    """An Intervention, or {name: one or None}, each a group."""
    metrics: Sequence[Metric]
    """Plasticity metrics of each learner."""
    measure_every: int
    """Updates from one measurement to the next."""
    evaluate_every: int | Evaluating | None
    """Updates from one evaluation to the next."""
    reset_pool: int
    """Start states per environment and rollout; 0 resets exactly."""
    source: MakesSource | None
    """(agent, env) -> the source of experience; None: the agent acts."""


def front[F: Callable[..., Any]](function: F) -> F:
    """Show the fields of an Experiment in the signature of a function that takes them as keywords.

    The function ends in `**fields: Unpack[Fields]`, which editors expand, but not `help` and
    notebooks.
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
    """Make the Experiment from the arguments of a `front`.

    Args:
        function: the front.
        first: an Experiment, in which `env` and the given `fields` are replaced; or a builder.
        env: the environment, or None.
        fields: of the Experiment, by name.

    Returns:
        The Experiment.

    Raises:
        TypeError: neither an Experiment nor the function has a keyword.
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
