"""Environments of Gymnasium, by id or of the user's own, played on the host."""

import difflib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from purejaxrl_suite.core.argument import boolean, function, integer, number, wrong
from purejaxrl_suite.core.host import Host
from purejaxrl_suite.core.types import Array, Environment, Key, PyTree
from purejaxrl_suite.envs import host_spaces
from purejaxrl_suite.envs.host import Reading, VectorHost, checked
from purejaxrl_suite.envs.recipe import called

PREFIX = "gymnasium:"


def ids() -> tuple[str, ...]:
    """List no ids: every id that is registered with Gymnasium is one, after `gymnasium:`."""
    return ()


def takes(id: str) -> bool:
    """Tell whether `make` is responsible for an id."""
    return id.startswith(PREFIX)


def make(
    id: str,
    *,
    asynchronous: bool = False,
    time_limit: int | None = None,
    info: Sequence[str] = (),
    patience: float = 60.0,
    **options: Any,
) -> Environment:
    """Make an environment that is registered with Gymnasium.

    Args:
        id: such as `"gymnasium:CartPole-v1"`, or `"gymnasium:package:Name-v0"`, which imports the
            package first.
        asynchronous: step each copy in a process of its own (AsyncVectorEnv), rather than one after
            the other (SyncVectorEnv): worth it where a step takes longer than about 0.1 ms.
        time_limit: steps after which an episode is truncated; None is the registered one.
        info: names of numbers in `info` that become curves, read at the last step of each episode.
        patience: seconds after which copies that do not answer end training.
        **options: of Gymnasium's environment.

    Returns:
        The environment.

    Raises:
        ValueError: the id is unknown, or the environment cannot be made or has other spaces than
            those of `envs.host_spaces`.
    """
    import gymnasium

    name = id.removeprefix(PREFIX)
    if ":" not in name and name not in gymnasium.registry:
        nearest = difflib.get_close_matches(name, gymnasium.registry, n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(nearest)}?" if nearest else ""
        raise ValueError(f"id: Gymnasium has no environment {name!r}{hint}")
    limit = {} if time_limit is None else {"max_episode_steps": time_limit}
    _limit("time_limit", time_limit)
    build = partial(gymnasium.make, name, disable_env_checker=True, **limit, **options)
    known = {"asynchronous": asynchronous, "info": tuple(info), "patience": patience}
    made = host_environment(build, name=id, **known)
    recipe = called("make", id, time_limit=time_limit, **known, **options)
    return made._replace(recipe=(recipe,))


def host_environment(
    build: Callable[[], Any],
    *,
    name: str = "",
    asynchronous: bool = False,
    time_limit: int | None = None,
    info: Sequence[str] = (),
    patience: float = 60.0,
) -> Environment:
    """Make an environment of a function that builds a Gymnasium environment.

    One copy is built at once, to read its spaces. Agents are trained in it as in any other, by
    `engine.sebulba`.

    Args:
        build: such as the class of your environment, without arguments. For `asynchronous` it must
            be importable, or picklable by cloudpickle.
        name: of the environment; by default that of `build`.
        asynchronous: as in `make`.
        time_limit: steps after which an episode is truncated, if the environment does not do so.
        info: as in `make`.
        patience: as in `make`.

    Returns:
        The environment.

    Raises:
        ValueError: it cannot be built, a space is not one of `envs.host_spaces`, or an argument is
            out of range.

    Example:
        >>> import gymnasium
        >>> env = pjs.host_environment(lambda: gymnasium.make("CartPole-v1"), name="mine")
        >>> env.action.n, env.time_limit
        (2, 500)
    """
    import gymnasium

    function("build", build, 0, "() -> a Gymnasium environment")
    boolean("asynchronous", asynchronous)
    _limit("time_limit", time_limit)
    name = name or getattr(build, "__name__", type(build).__name__)
    one = _limited(build, time_limit)
    first = _built(name, one)
    if not isinstance(first, gymnasium.Env):
        raise wrong("build", "a function that returns a Gymnasium environment", first)
    spaces, limit = (first.observation_space, first.action_space), _time_limit(first)
    first.close()

    def vector(count: int) -> Any:
        copies = [checked(one, i) for i in range(count)]
        same = gymnasium.vector.AutoresetMode.SAME_STEP
        if not asynchronous:
            return gymnasium.vector.SyncVectorEnv(copies, autoreset_mode=same)
        # A forked process would have JAX's locks without its threads.
        how: Any = {"autoreset_mode": same, "context": "spawn"}
        return gymnasium.vector.AsyncVectorEnv(copies, **how)

    return _environment(name, vector, spaces, time_limit=limit, info=tuple(info), patience=patience)


def vector_environment(
    build: Callable[[int], Any],
    *,
    name: str = "",
    time_limit: int | None = None,
    info: Sequence[str] = (),
    patience: float = 60.0,
) -> Environment:
    """Make an environment of a function that builds a vector environment of Gymnasium.

    Any autoreset mode will do: the true successors are those of the mode.

    Args:
        build: number of environments -> a `gymnasium.vector.VectorEnv`.
        name: of the environment; by default that of `build`.
        time_limit: steps within which every episode ends, if there are so many.
        info: as in `host_environment`.
        patience: as in `host_environment`.

    Returns:
        The environment.

    Raises:
        ValueError: it cannot be built, or its spaces are not those of `envs.host_spaces`.
    """
    function("build", build, 1, "(number of environments) -> a vector environment")
    _limit("time_limit", time_limit)
    name = name or getattr(build, "__name__", type(build).__name__)
    first = _built(name, partial(build, 1))
    spaces = first.single_observation_space, first.single_action_space
    first.close()
    return _environment(
        name, build, spaces, time_limit=time_limit, info=tuple(info), patience=patience
    )


def _environment(
    name: str,
    vector: Callable[[int], Any],
    spaces: tuple[Any, Any],
    *,
    time_limit: int | None,
    info: tuple[str, ...],
    patience: float,
) -> Environment:
    """Make the environment of a builder of vector environments with these single spaces."""
    observation, read = host_spaces.observation(f"{name}: observation", spaces[0])
    action, write = host_spaces.action(f"{name}: action", spaces[1])
    reading = Reading(observation, read, write, info)

    def open(seeds: Sequence[int]) -> VectorHost:
        made = _built(name, partial(vector, len(seeds)))
        return VectorHost(name, made, reading, seeds=seeds, patience=patience)

    host = Host(open, info, number("patience", patience, above=0.0))
    return outside(name, host)._replace(
        observation=observation, action=action, time_limit=time_limit
    )


def outside(name: str, host: Host) -> Environment:
    """Make an environment on the host, whose spaces are to be filled in."""
    message = f"env: {name} is stepped on the host, so no compiled program can do it"

    def init(key: Key, params: PyTree) -> tuple[PyTree, Array]:
        raise ValueError(message)

    def step(key: Key, params: PyTree, state: PyTree, action: Array) -> Any:
        raise ValueError(message)

    nothing: Any = None
    return Environment(
        name=name,
        observation=nothing,
        action=nothing,
        time_limit=None,
        params=(),
        init=init,
        step=step,
        host=host,
    )


def _built(name: str, build: Callable[[], Any]) -> Any:
    try:
        return build()
    except Exception as error:  # users' functions may raise anything
        raise ValueError(f"{name}: it cannot be built: {type(error).__name__}: {error}") from error


def _limit(name: str, steps: int | None) -> None:
    if steps is not None:
        integer(name, steps, 1)


def _limited(build: Callable[[], Any], steps: int | None) -> Callable[[], Any]:
    return build if steps is None else partial(_cut, build, steps)


def _cut(build: Callable[[], Any], steps: int) -> Any:
    import gymnasium

    return gymnasium.wrappers.TimeLimit(build(), steps)


def _time_limit(env: Any) -> int | None:
    """Return the least time limit among an environment's wrappers and its specification."""
    import gymnasium

    found = [] if env.spec is None else [env.spec.max_episode_steps]
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            found.append(env._max_episode_steps)
        env = env.env
    return min((x for x in found if x is not None), default=None)
