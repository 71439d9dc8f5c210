"""N environments that step together: one vmap, or with several tasks one vmap for each dynamics.

Environment number i plays task i % K, so any leading part of the environments covers all tasks
evenly. Each batch computes its own dynamics alone; `lax.switch` under vmap would compute all
dynamics for every environment (benchmarks/multitask.py measures both).
"""

from collections.abc import Callable, Sequence
from typing import Any, Concatenate, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import spaces, tree
from purejaxrl_suite.core.host import refuse_host
from purejaxrl_suite.core.types import Agent, Array, Environment, Key, PyTree, TimeStep

Rowwise = Callable[Concatenate[Any, ...], PyTree]
"""(rows [n, ...], *states [n, ...]) -> states, of the n environments of a batch."""


class Each(Protocol):
    """Apply a function to the environments of each batch."""

    def __call__(self, function: Rowwise, rows: PyTree, /, *states: PyTree) -> PyTree:
        """Return the states, from rows [N, ...] and earlier states."""
        ...


class Parallel(NamedTuple):
    """The functions of N environments; the form of their states is private to them.

    init: (key[N], params) -> (states, obs[N]).
    step: (key[N], params, states, action[N]) -> (states, TimeStep[N]).
    each: applies a function of rows and states [n, ...] to the environments of each batch.
    """

    init: Callable[[Key, PyTree], tuple[PyTree, Array]]
    step: Callable[[Key, PyTree, PyTree, Array], tuple[PyTree, TimeStep]]
    each: Each


def parallel(env: Environment) -> Parallel:
    """Make the parallel form of an environment in JAX, with one task or several."""
    refuse_host(env, "a compiled program")
    if env.tasks:
        return _several(env)
    init, step = jax.vmap(env.init, (0, None)), jax.vmap(env.step, (0, None, 0, 0))
    return Parallel(init, step, lambda function, rows, *states: function(rows, *states))


def by_task(values: Array, tasks: int) -> Array:
    """Reshape values f32[N] of N environments to f32[N / K, K], a column for each task."""
    return jnp.reshape(values, (-1, tasks))


def check_tasks(env: Environment, name: str, n: int) -> None:
    """Raise ValueError unless n environments, counted by `name`, are equally many of each task."""
    if env.tasks and n % len(env.tasks):
        raise ValueError(
            f"{name}={n} must be a multiple of the {len(env.tasks)} tasks of {env.name}"
        )


def check_fit(agent: Agent, env: Environment) -> None:
    """Raise ValueError unless the agent was built for the environment's spaces and tasks."""
    for name in ("observation", "action"):
        ours, theirs = getattr(agent, name), getattr(env, name)
        if ours != theirs:
            raise ValueError(
                f"agent {agent.name!r} was built for {name} {spaces.describe(ours)}, environment "
                f"{env.name!r} has {spaces.describe(theirs)}: build the agent from this environment"
            )
    check_tasks(env, "num_envs", agent.num_envs)


def _several(env: Environment) -> Parallel:
    count = len(env.tasks)
    groups = _groups(env.params)

    def init(keys: Key, params: Sequence[PyTree]) -> tuple[PyTree, Array]:
        made = [
            jax.vmap(env.init, (0, axis))(rows, one)
            for rows, (axis, one) in zip(
                _split(keys, groups), _params(params, groups, len(keys)), strict=True
            )
        ]
        return tuple(state for state, _ in made), _merge([obs for _, obs in made], groups, count)

    def step(keys: Key, params: Sequence[PyTree], states: PyTree, action: Array) -> Any:
        made = [
            jax.vmap(env.step, (0, axis, 0, 0))(rows, one, state, chosen)
            for rows, (axis, one), state, chosen in zip(
                _split(keys, groups),
                _params(params, groups, len(keys)),
                states,
                _split(action, groups),
                strict=True,
            )
        ]
        return tuple(state for state, _ in made), _merge([now for _, now in made], groups, count)

    def each(function: Rowwise, rows: PyTree, *states: PyTree) -> PyTree:
        return tuple(map(function, _split(rows, groups), *states))

    return Parallel(init, step, each)


Groups = tuple[tuple[int, int], ...]
"""(first task, task after the last) of each batch."""


def _groups(params: Sequence[PyTree]) -> Groups:
    """Group neighbouring tasks whose parameters have the same structure and shapes."""
    looks = [(jax.tree.structure(one), *map(jnp.shape, jax.tree.leaves(one))) for one in params]
    starts = [i for i in range(len(looks)) if i == 0 or looks[i] != looks[i - 1]]
    return tuple(zip(starts, [*starts[1:], len(looks)], strict=True))


def _params(params: Sequence[PyTree], groups: Groups, n: int) -> list[tuple[int | None, PyTree]]:
    """Return the parameters of each batch and their axis for vmap."""

    def repeated(a: int, b: int) -> PyTree:
        each = tree.stack([jax.tree.map(jnp.asarray, one) for one in params[a:b]])
        times = n // len(params)
        return jax.tree.map(lambda x: jnp.tile(x, (times, *(1,) * (x.ndim - 1))), each)

    return [(None, params[a]) if b - a == 1 else (0, repeated(a, b)) for a, b in groups]


def _split(rows: PyTree, groups: Groups) -> list[PyTree]:
    """Split rows [N, ...] into those of each batch."""
    count = groups[-1][1]

    def part(x: Array, a: int, b: int) -> Array:
        grid = jnp.reshape(x, (-1, count, *x.shape[1:]))[:, a:b]
        return jnp.reshape(grid, (-1, *x.shape[1:]))

    return [jax.tree.map(lambda x, a=a, b=b: part(x, a, b), rows) for a, b in groups]


def _merge(parts: Sequence[PyTree], groups: Groups, count: int) -> PyTree:
    """Undo `_split`."""

    def whole(*xs: Array) -> Array:
        grids = [
            jnp.reshape(x, (-1, b - a, *x.shape[1:])) for x, (a, b) in zip(xs, groups, strict=True)
        ]
        return jnp.reshape(jnp.concatenate(grids, axis=1), (-1, *xs[0].shape[1:]))

    return jax.tree.map(whole, *parts)
