"""Several tasks played side by side by one agent, each in an equal share of its environments.

A task is an entry of the parameters. Entries of equal structure share one dynamics and become its
batch axis; another structure is another dynamics. The engine steps each dynamics by itself: a
batched `lax.switch` over tasks would compute all of them for every environment.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.argument import instance, instances, integer, wrong
from purejaxrl_suite.core.spaces import describe
from purejaxrl_suite.core.types import Array, Discrete, Environment, Key, PyTree, TimeStep
from purejaxrl_suite.envs.common import (
    check_playable,
    common_info,
    common_limit,
    common_space,
    limit_of,
    pad,
    shown,
    with_task,
)
from purejaxrl_suite.envs.recipe import called, recorded


class Task(NamedTuple):
    """Parameters of one task.

    place: i32[], in the list. env: {name of its dynamics: the environment's parameters}.
    """

    place: Array | np.int32
    env: Mapping[str, PyTree]


@recorded
def multi_task(
    envs: Sequence[Environment],
    *,
    valid: Sequence[Sequence[int]] | None = None,
    show_task: bool = True,
) -> Environment:
    """Combine environments into one that has them as its `tasks`.

    Observations are padded with zeros to one shape. There are as many actions as in the largest
    environment; agents give no probability to actions that a task does not have. `info` has the
    entries that all of them have. Environments that share their functions, such as those of
    `family`, are one batch. Each environment may be wrapped, and so may the result.

    Args:
        envs: one or more, with distinct names.
        valid: the actions of each; None is its first ones. For example, MinAtar's games take six
            actions (`use_minimal_action_set=False`), of which each game uses some.
        show_task: add a one-hot channel (or entry) for each task to observations. Without it only
            the game itself tells the task, so all tasks must have the same actions.

    Returns:
        The environment.

    Raises:
        ValueError: one agent cannot play them all.

    Example:
        >>> from purejaxrl_suite.envs.multi_task import multi_task
        >>> multi_task([pjs.make("CartPole-v1"), pjs.make("Acrobot-v1")]).tasks
        ('CartPole-v1', 'Acrobot-v1')
    """
    envs = instances("envs", envs, Environment)
    names = tuple(env.name.replace("/", "-") for env in envs)  # "/" would be a folder of curves
    if len(set(names)) < len(names):
        raise ValueError(f"envs: expected one or more with distinct names, got {names}")
    check_playable(envs)
    action = _common_action(envs, valid)
    if isinstance(action, Discrete) and action.valid and not show_task:
        raise ValueError("show_task: tasks differ in their actions, so observations must tell them")
    space = common_space(envs)
    show = shown(space, len(envs)) if show_task else lambda obs, place: pad(obs, space)
    told, first = common_info(envs), _first_of_dynamics(envs)
    kinds = {env.name: env for env in envs if first[env.name] == env.name}

    def init(key: Key, params: Task) -> tuple[PyTree, Array]:
        env, inner = _dynamics(kinds, params)
        state, obs = env.init(key, inner)
        return state, show(obs, params.place)

    def step(key: Key, params: Task, state: PyTree, action: Array) -> tuple[PyTree, TimeStep]:
        env, inner = _dynamics(kinds, params)
        state, now = env.step(key, inner, state, action)
        obs = show(now.final_obs, params.place)
        info = {name: now.info[name].astype(jnp.float32) for name in told}
        return state, now._replace(obs=obs, final_obs=obs, info=info)

    def render(params: Task, state: PyTree) -> Array:
        env, inner = _dynamics(kinds, params)
        assert env.render is not None
        return env.render(inner, state)

    def limit(params: Task) -> Any:
        return limit_of(*_dynamics(kinds, params))

    def sample_task(key: Key, params: Task | tuple[Task, ...]) -> Any:
        """Draw each task by its own environment; those without a distribution stay as they are."""
        if not isinstance(params, Task):
            keys = jax.random.split(key, len(params))
            return tuple(sample_task(one, task) for one, task in zip(keys, params, strict=True))
        env, inner = _dynamics(kinds, params)
        drawn = inner if env.sample_task is None else env.sample_task(key, inner)
        return params._replace(env={env.name: drawn})

    longest = common_limit(envs)
    return Environment(
        name="+".join(names),
        observation=with_task(space, len(envs)) if show_task else space,
        action=action,
        time_limit=longest,
        params=tuple(Task(np.int32(i), {first[e.name]: e.params}) for i, e in enumerate(envs)),
        init=init,
        step=step,
        render=render if all(env.render is not None for env in envs) else None,
        tasks=names,
        limit=None if longest is None else limit,
        sample_task=sample_task if any(env.sample_task for env in kinds.values()) else None,
    )


def family(env: Environment, params: Sequence[PyTree]) -> tuple[Environment, ...]:
    """Make variants of an environment that differ in parameters, named NAME-0, NAME-1 ...

    Args:
        env: the environment.
        params: of each variant, such as `[env.params.replace(gravity=g) for g in (5.0, 10.0)]` of a
            gymnax environment.

    Returns:
        The variants.

    Raises:
        ValueError: parameters differ from the environment's own in structure or shapes.
    """

    instance("env", env, Environment)
    if not isinstance(params, list | tuple) or hasattr(params, "_fields") or not params:
        raise wrong("params", "a list of parameters, one or more", params)

    def like(default: Any, value: Any) -> np.ndarray:
        cast = np.asarray(value, np.asarray(default).dtype)
        if cast.shape != np.shape(default) or not np.allclose(cast, value):
            raise ValueError(f"params: {value}, expected one like {default!r}")
        return cast

    def member(i: int, one: PyTree) -> Environment:
        if jax.tree.structure(one) != jax.tree.structure(env.params):
            raise ValueError(f"params: {one}, expected the structure of {env.params}")
        values = jax.tree.map(like, env.params, one)
        recipe, longest = (*env.recipe, called("family", i)), limit_of(env, values)
        known = {"params": values, "time_limit": longest, "recipe": recipe}
        return env._replace(name=f"{env.name}-{i}", **known)

    return tuple(member(i, one) for i, one in enumerate(params))


@recorded
def only(env: Environment, task: int) -> Environment:
    """Select one task of an environment, with the spaces of the whole.

    Raises:
        ValueError: there is no such task.
    """
    instance("env", env, Environment)
    if not env.tasks:
        raise wrong("env", "several tasks, as multi_task makes them", env.name)
    task = integer("task", task, 0, len(env.tasks) - 1)
    return env._replace(name=env.tasks[task], params=env.params[task], tasks=())


def task_labels(env: Environment) -> Callable[[Array], Array]:
    """Make the function [T, N] -> i32[T, N] that tells the task of each environment.

    Raises:
        ValueError: the environment does not have several tasks.
    """
    count = len(env.tasks)
    if not count:
        raise ValueError(f"environment {env.name!r} has no tasks, expected one made by multi_task")
    return lambda steps: jnp.broadcast_to(jnp.arange(steps.shape[1]) % count, steps.shape)


def _dynamics(kinds: Mapping[str, Environment], params: Task) -> tuple[Environment, PyTree]:
    """Return the environment whose functions a task uses, and the task's parameters of it."""
    if not isinstance(params, Task):
        raise ValueError("params: expected those of one task; `only` makes one of several")
    ((name, inner),) = params.env.items()
    return kinds[name], inner


def _first_of_dynamics(envs: Sequence[Environment]) -> dict[str, str]:
    """Map each name to that of the first environment with the same functions."""
    first: dict[Any, str] = {}
    return {
        env.name: first.setdefault((env.init, env.step, env.sample_task), env.name) for env in envs
    }


def _common_action(envs: Sequence[Environment], valid: Sequence[Sequence[int]] | None) -> Any:
    """Return Discrete with the actions of all, or the Box that all share."""
    spaces = [env.action for env in envs]
    listed = isinstance(valid, list | tuple) and all(hasattr(row, "__iter__") for row in valid)
    if valid is not None and not listed:
        raise wrong("valid", "a list of actions for each environment", valid)
    if not all(isinstance(space, Discrete) for space in spaces):
        if valid is not None or any(space != spaces[0] for space in spaces):
            found = ", ".join(describe(space) for space in spaces)
            raise ValueError(f"envs: actions {found}, expected all Discrete or one Box")
        return spaces[0]
    sizes: list[int] = [space.n for space in spaces if isinstance(space, Discrete)]
    rows = [range(n) for n in sizes] if valid is None else [set(row) for row in valid]
    if len(rows) != len(sizes) or not all(
        row and min(row) >= 0 and max(row) < n for row, n in zip(rows, sizes, strict=False)
    ):
        raise ValueError(f"valid: {valid}, expected for each environment some of its {sizes}")
    masks = tuple(tuple(a in row for a in range(max(sizes))) for row in rows)
    return Discrete(max(sizes), () if all(map(all, masks)) else masks)
