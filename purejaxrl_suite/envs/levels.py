"""A finite set of levels: each episode starts from one of the same few states, by its number.

What is drawn where an episode begins, such as the layout of a navix or MiniGrid task, is fixed by
the number of its level, which is the same in every member and every run. So an agent may learn on
some levels and be evaluated on others, that it has never seen (Cobbe et al. 2019, arXiv
1912.01588, has 200 levels of Procgen). What is drawn at later steps is not part of a level.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.core.types import Array, Environment, Key, PyTree, TimeStep
from purejaxrl_suite.envs.recipe import recorded

LARGEST = 2**30
"""The most levels that there are: sums of two numbers of levels are i32."""
SEED = 0
"""Of the key that the keys of levels are folded from."""


class LevelSet(NamedTuple):
    """Parameters of `levels`: which are played.

    first: i32[], the number of the first. count: i32[], how many follow each other, itself
    included. env: parameters of the environment inside.
    """

    first: Array | np.int32
    count: Array | np.int32
    env: PyTree


class Level(NamedTuple):
    """State of `levels`. env: state of the environment inside. level: i32[], its number."""

    env: PyTree
    level: Array


@recorded
def levels(env: Environment, count: int, first: int = 0) -> Environment:
    """Start every episode from one of `count` levels, drawn uniformly.

    `info["level"]` is the number of an episode's level. Other levels are a matter of parameters,
    `held_out(env.params, 1000)`, so one program plays any of them, and numbers of levels may be an
    axis of a sweep.

    Args:
        env: what to wrap, with one task.
        count: how many levels there are.
        first: the number of the first.

    Returns:
        The environment; its parameters are a `LevelSet`.

    Raises:
        ValueError: a number is out of range, or the environment is a stream, plays several tasks,
            or has tasks to draw.

    Example:
        >>> from purejaxrl_suite.envs.levels import held_out, levels
        >>> env = levels(pjs.make("Navix-Empty-Random-6x6-v0"), 8)
        >>> unseen = held_out(env.params, 100)
        >>> int(unseen.first), int(unseen.count)
        (8, 100)
    """
    first = integer("first", first, 0, LARGEST - 1)
    count = integer("count", count, 1, LARGEST - first)
    if env.phase is not None or env.tasks or env.sample_task is not None:
        raise ValueError(f"env: {env.name} has several tasks, expected an environment with one")
    limit, render = env.limit, env.render

    def init(key: Key, params: LevelSet) -> tuple[Level, Array]:
        level = jax.random.randint(key, (), params.first, params.first + params.count)
        # Of one kind, whatever the keys of training are: levels are the same everywhere.
        root = jax.random.key(SEED, impl="threefry2x32")
        state, obs = env.init(jax.random.fold_in(root, level), params.env)
        return Level(state, level), obs

    def step(key: Key, params: LevelSet, state: Level, action: Array) -> tuple[Level, TimeStep]:
        inner, now = env.step(key, params.env, state.env, action)
        info = {**now.info, "level": state.level.astype(np.float32)}
        return state._replace(env=inner), now._replace(info=info)

    return env._replace(
        name=f"{env.name}/{count}-levels" + (f"-from-{first}" if first else ""),
        params=LevelSet(np.int32(first), np.int32(count), env.params),
        init=init,
        step=step,
        limit=None if limit is None else lambda params: limit(params.env),
        render=None if render is None else lambda params, state: render(params.env, state.env),
    )


def held_out(params: Any, count: int) -> LevelSet:
    """Make the parameters of `count` levels that come after those of training.

    For `policy._replace(env_params=held_out(policy.env_params, 1000)).evaluate()`.

    Args:
        params: of an environment with `levels`.
        count: how many there are.

    Returns:
        The parameters.

    Raises:
        ValueError: they are those of another environment, or the number is not positive.
    """
    if not isinstance(params, LevelSet):
        raise ValueError(f"params: expected those of envs.levels.levels, got {params!r}")
    count = integer("count", count, 1, LARGEST - 1)
    return params._replace(first=params.first + params.count, count=np.int32(count))
