"""Check the arguments of `run`, `sweep`, `plan` and `evolve` before anything is built.

All raise ValueError in one sentence, `NAME: expected X, got Y`; see core.argument.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import argument, spaces, validate
from purejaxrl_suite.core.argument import (
    a,
    boolean,
    function,
    instance,
    integer,
    integers,
    number,
    shown,
    wrong,
)
from purejaxrl_suite.core.parameter import like
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    Builder,
    Clock,
    Discrete,
    Environment,
    Intervention,
    Key,
    PyTree,
)
from purejaxrl_suite.engine import rows
from purejaxrl_suite.engine.evaluate import Evaluating
from purejaxrl_suite.engine.parallel import check_tasks
from purejaxrl_suite.engine.problem import MakesProblem, Problem
from purejaxrl_suite.engine.sebulba import acting
from purejaxrl_suite.engine.source import Source
from purejaxrl_suite.envs.common import limits
from purejaxrl_suite.sweeps.axes import Points, fields, label
from purejaxrl_suite.sweeps.experiment import Experiment, MakesSource
from purejaxrl_suite.sweeps.memory import available, describe_bytes

SEEDS = "a number of seeds in 1 .. 4294967296, or a list of distinct integers in 0 .. 4294967295"
FORM = "(env, config, network, hypers) -> Agent"
PROBLEM = "(config, hypers) -> Problem"
UPDATES = 2**31 - 1
"""The most updates that a clock of int32 counts."""
CURVES = 4
"""The least number of curves of a member."""

HOST = 200
"""Bytes, about, of the seed, hypers and labels of a member, as numbers of Python."""

Named = tuple[list[tuple[str, Any]], dict[str, list[str]]]
"""[(name, value)], and {axis: names} if there are several."""


def seeds(given: Any) -> Sequence[int]:
    """Return the seeds: 0 .. n - 1 for a number n."""
    if isinstance(given, list | tuple | range) or getattr(given, "ndim", 0):
        return integers("seeds", given, low=0, high=2**32 - 1, expected=SEEDS)
    try:
        return range(integer("seeds", given, 1, 2**32))
    except ValueError:
        raise wrong("seeds", SEEDS, given) from None


def steps(agent: Agent, given: Any) -> int:
    """Compute the updates in so many environment steps of one member, at least one."""
    per_update = agent.num_envs * agent.rollout_length
    update = (
        f"one update, {agent.num_envs} environments x {agent.rollout_length} steps = {per_update}"
    )
    updates = int(number("steps", given, per_update, f" ({update})")) // per_update
    if updates < agent.least_updates:
        least = f"at least {agent.least_updates * per_update:,}, {agent.least_updates:,} updates"
        raise wrong("steps", f"{least}, as shorter runs do not use all of {agent.name!r}", given)
    if updates > UPDATES:
        most = f"at most {UPDATES * per_update:,} ({UPDATES:,} updates of {per_update:,} steps)"
        raise wrong("steps", most, given)
    return updates


def updates(given: Any) -> int:
    """Return the updates of each member of a problem, whose steps they are."""
    return int(number("steps", given, 1, " (one update)", high=UPDATES))


def problem(experiment: Experiment) -> MakesProblem:
    """Return the maker of the problem of an experiment without an environment.

    Raises:
        ValueError: the builder makes no problem, or a field is given that only agents have.
    """
    given, defaults = experiment.builder, Experiment._field_defaults
    if isinstance(given, Agent):
        raise wrong("env", f"an Environment, in which {given.name} acts", None)
    if len(experiment.metrics):
        raise wrong("metrics", "none without an environment", experiment.metrics)
    for name in ("network", "env_params", "intervention", "evaluate_every", "source"):
        if (one := getattr(experiment, name)) is not None:
            raise wrong(name, "none without an environment", one)
    for name in ("measure_every", "reset_pool"):
        if (one := getattr(experiment, name)) != defaults[name]:
            raise wrong(name, "the default without an environment", one)
    if not isinstance(given, Problem):
        return function("builder", given, 2, f"{PROBLEM}, or a Problem, without an environment")
    if experiment.config is not None:
        raise wrong(
            "config", f"None, as {given.name} is made: pass what makes it", experiment.config
        )
    return lambda config=None, hypers=None: given


def metric(made: Problem) -> None:
    """Raise ValueError unless the first metric of a problem is in its rows, by tracing."""

    def update() -> Any:
        given = jax.tree.map(jnp.float32, made.hypers)
        run = made.train.init(jax.random.key(0), given, made.data)
        clock = Clock(jnp.int32(0), jnp.int32(1))
        return made.train.update(jax.random.key(0), given, made.data, run, clock)[1]

    known = sorted(jax.eval_shape(update))
    if made.metric not in known:
        raise wrong(f"metric of {made.name}", f"one of {', '.join(known)}", made.metric)


def begins(agent: Agent, *, goes_on: bool) -> None:
    """Raise ValueError for an agent that needs an earlier stage, where there is none."""
    if agent.after and not goes_on:
        text = f"expected an agent that begins by itself: {agent.name} goes on from a stage of"
        raise ValueError(
            f"builder: {text} {agent.after}, see `pjs.stages` and the command `stages`"
        )


def builder(experiment: Experiment) -> tuple[Builder, dict[str, type]]:
    """Return the builder and its `declared` types; for a built Agent, a builder that returns it."""
    given: Any = experiment.builder
    if not isinstance(given, Agent):
        return given, declared(given)
    for name in ("config", "network"):
        if (one := getattr(experiment, name)) is not None:
            raise wrong(name, f"None, as {given.name} is built: pass what builds it", one)
    return lambda env, config, network, hypers: given, {}


def declared(builder: Any, arguments: int = 4) -> dict[str, type]:
    """Return {argument: type} of a builder, for arguments annotated with a class (or None)."""
    form = FORM if arguments == 4 else PROBLEM
    return argument.declared(function("builder", builder, arguments, form))


def kind(name: str, given: Any, wanted: type | None) -> Any:
    """Return the value, if it is None or of the type that the agent's builder declares."""
    if given is not None and wanted is not None and type(given) is not wanted:
        raise wrong(name, f"{a(wanted)} or points of one", given)
    return given


def hypers(agent: Agent | Problem, points: Points) -> dict[str, np.ndarray]:
    """Convert every field of the points to float32, one value or one for each point.

    Raises:
        ValueError: a value is out of its Range, or two values of an axis are equal in float32; the
            message names field, range and value.
    """
    kind = type(agent.hypers)
    given = {name: [x] for name, x in points.base._asdict().items()} | dict(points.values)
    found = validate.columns(kind, given, agent.config)
    for name, values in points.alternatives().items():
        distinct(f"hypers.{name}", values, np.float32)
    return found


def distinct(what: str, values: Sequence[Any], dtype: Any) -> None:
    """Raise ValueError for two values that are equal in the program's dtype."""
    seen: dict[bytes, Any] = {}
    for value in values:
        bits = np.asarray(value).astype(dtype).tobytes()
        if bits in seen:
            raise ValueError(
                f"{what}: expected values that differ as {np.dtype(dtype)}, "
                f"got {label(seen[bits])!r} and {label(value)!r}"
            )
        seen[bits] = value


def environments(env: Any) -> tuple[list[Environment], dict[str, list[str]]]:
    """Return the environments, and {axis: their names} if a list is given."""
    if isinstance(env, Environment):
        return [env], {}
    if not isinstance(env, list | tuple) or hasattr(env, "_fields") or not env:
        raise wrong("env", "an Environment, such as `make` gives, or a list of them", env)
    found = [instance(f"env[{i}]", one, Environment) for i, one in enumerate(env)]
    names = [one.name for one in found]
    if len(set(names)) < len(names):
        raise wrong("env", "environments with distinct names", names)
    return found, {"environment": names}


def networks(network: Any) -> Named:
    """Return networks, functions of an environment, by name; None for the agent's own."""

    def check(name: str, one: Any) -> Any:
        return function(name, one, 1, "Environment -> Network")

    return _named("network", network, check, "a function Environment -> Network")


def interventions(intervention: Any) -> Named:
    """Return interventions by name, None for none."""

    def check(name: str, one: Any) -> Any:
        return one if one is None else instance(name, one, Intervention)

    return _named("intervention", intervention, check, "an Intervention, None")


def evaluation(given: Any, env: Environment, params: PyTree) -> Evaluating | None:
    """Make the evaluation of members with these parameters, long enough for whole episodes.

    Raises:
        ValueError: nothing bounds episodes, or tasks do not divide them.
    """
    if given is None:
        return None
    name = "evaluate_every"
    how = given if isinstance(given, Evaluating) else Evaluating(integer(name, given, 1))
    integer(f"{name}.every", how.every, 1)
    integer(f"{name}.episodes", how.episodes, 1)
    boolean(f"{name}.explore", how.explore)
    check_tasks(env, f"{name}.episodes", how.episodes)
    known = limits(env, params)
    if how.steps is None and known is None:
        raise ValueError(
            f"{name}: expected an environment with a time limit, {env.name!r} has none: "
            "`envs.wrappers.time_limit` gives it one, `Evaluating(steps=...)` a budget"
        )
    steps = known[1] if how.steps is None and known else integer(f"{name}.steps", how.steps, 1)
    return how._replace(steps=steps)


def source(experiment: Experiment) -> MakesSource:
    """Return the maker of the source of an agent's experience; by default the agent acts."""
    pool, given = integer("reset_pool", experiment.reset_pool, 0), experiment.source
    if given is None:
        return partial(acting, reset_pool=pool)
    if pool != Experiment._field_defaults["reset_pool"]:
        raise wrong("reset_pool", "the default with a source, which may reset nothing", pool)
    made = function("source", given, 2, "(agent, env) -> Source")
    return lambda agent, env: instance("source", made(agent, env), Source)


def _named(name: str, given: Any, check: Callable[[str, Any], Any], what: str) -> Named:
    """Return one value under the name "", or those of a mapping, which are an axis."""
    if given is None:
        return [("", None)], {}
    if not isinstance(given, Mapping):
        try:
            return [("", check(name, given))], {}
        except ValueError:
            raise wrong(name, f"{what} or {{name: one of them}}", given) from None
    if not given or not all(isinstance(key, str) and _writable(key) for key in given):
        raise wrong(name, f"{what} or {{name: one of them}}, names being texts", given)
    found = [(key, check(f"{name}[{key!r}]", one)) for key, one in given.items()]
    return found, {name: list(given)}


def _writable(text: str) -> bool:
    """Tell whether a text can be a label in a file: it is not empty, and valid UTF-8."""
    return bool(text) and not any("\ud800" <= x <= "\udfff" for x in text)


def params(name: str, given: PyTree, env: Environment) -> PyTree:
    """Convert parameters of the environment to the types of its own."""
    structure = jax.tree.structure(env.params)
    if jax.tree.structure(given) != structure:
        for field, own in fields(env.params).items() if type(given) is type(env.params) else ():
            one = fields(given)[field]
            if jax.tree.structure(one) != jax.tree.structure(own):
                raise wrong(f"{name}.{field}", f"a value like {shown(own)}", one)
        own, got = (f"{shown(x)}{_fields(x)}" for x in (env.params, given))
        raise ValueError(f"{name}: expected {own}, as {env.name!r} has, got {got}")

    def leaf(path: Any, own: Any, one: Any) -> Any:
        return like(name + jax.tree_util.keystr(path), one, own)

    return jax.tree_util.tree_map_with_path(leaf, env.params, given)


def _fields(x: Any) -> str:
    return f" ({', '.join(map(str, fields(x)))})" if fields(x) else ""


def room(configurations: int, given: Sequence[int], updates: int) -> None:
    """Raise ValueError unless the curves of so many members fit into memory."""
    members = configurations * len(given)
    each = HOST + 4 * CURVES * min(updates, rows.ROWS)
    free = available()
    if members * each > free:
        raise ValueError(
            f"seeds: expected at most {free // each:,} members of {updates:,} updates, which "
            f"fit into the {describe_bytes(free)} of memory that are free, got "
            f"{members:,} ({configurations:,} configurations x {len(given):,} seeds)"
        )


def outputs(agent: Agent) -> None:
    """Raise ValueError unless actions and estimates have the shapes of the spaces.

    This finds networks with wrong output shapes by tracing, without compiling.
    """
    n = 2
    obs, key = spaces.abstract(agent.observation, n), jax.eval_shape(jax.random.key, 0)

    def ask(key: Key, obs: Array) -> Any:
        hypers = jax.tree.map(jnp.float32, agent.hypers)
        state, memory = agent.init(key, hypers), agent.memory(n)
        _, action, _ = agent.act(agent.noise(key, n), hypers, state, memory, obs, True)
        if agent.estimate is None:
            return action, None
        return action, agent.estimate(hypers, state, memory, obs, None)

    try:
        action, told = jax.eval_shape(ask, key, obs)
    except Exception as error:  # users' functions may raise anything
        reason = (str(error).splitlines() or [""])[0][:200]
        raise ValueError(
            f"network: expected one whose outputs {agent.name} can use, "
            f"got {type(error).__name__}: {reason}"
        ) from error
    wanted = {"actions": (action, spaces.abstract(agent.action, n).shape)}
    if told is not None:
        choices = (n, agent.action.n) if isinstance(agent.action, Discrete) else (n,)
        wanted |= {"values": (told.value, (n,)), "action values": (told.q, choices)}
        wanted["probabilities"] = told.probabilities, choices
    for name, (found, shape) in wanted.items():
        if found is not None and found.shape != shape:
            raise ValueError(
                f"network: expected {name} of {n} observations of shape {shape}, for the actions "
                f"{spaces.describe(agent.action)} of {agent.name}, got {found.shape}"
            )
