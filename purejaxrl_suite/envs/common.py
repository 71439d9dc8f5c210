"""Make environments playable by one agent: common observations, common `info`, time limits."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.spaces import abstract
from purejaxrl_suite.core.types import Array, Box, Environment, Key, PyTree, TimeStep


def common_space(envs: Sequence[Environment]) -> Box:
    """Find the smallest Box that holds the observations of all environments, padded with zeros.

    Raises:
        ValueError: dtypes or ranks differ, or only some have category codes.
    """
    spaces = [env.observation for env in envs]
    if len(set(spaces)) == 1 and not spaces[0].tasks:
        return spaces[0]
    kinds = {(space.dtype, len(space.shape), bool(space.categories)) for space in spaces}
    if len(kinds) > 1 or any(space.tasks for space in spaces):
        raise ValueError(
            f"envs: observations {spaces}, expected all numbers or all codes, of one dtype and rank"
        )
    shape = tuple(max(sizes) for sizes in zip(*(space.shape for space in spaces), strict=True))
    zero = [0.0] if any(space.shape != shape for space in spaces) else []
    low = min(zero + [float(np.min(space.low)) for space in spaces])
    high = max(zero + [float(np.max(space.high)) for space in spaces])
    codes = zip_longest(*(space.categories for space in spaces), fillvalue=1)
    return Box(
        shape=shape,
        dtype=spaces[0].dtype,
        low=low,
        high=high,
        categories=tuple(max(sizes) for sizes in codes),
    )


def state_numbers(*categories: int) -> Box:
    """Make the space of observations i32[K], numbers of states with so many values each."""
    return Box((len(categories),), "int32", 0, max(categories) - 1, categories=categories)


def timestep(
    obs: Array,
    reward: Array,
    terminated: Array,
    truncated: Array | None = None,
    info: Mapping[str, Array] | None = None,
) -> TimeStep:
    """Make what a step of an environment returns whose observation is the episode's last one, too.

    truncated: bool[]; None is never. info: {} by default.
    """
    return TimeStep(
        obs=obs,
        reward=reward,
        terminated=terminated,
        truncated=jnp.zeros((), bool) if truncated is None else truncated,
        final_obs=obs,
        info=info or {},
    )


def pad(obs: Array, space: Box) -> Array:
    """Pad an observation with zeros at the end of every axis to the shape of `space`."""
    sizes = zip(space.shape, obs.shape, strict=True)
    return jnp.pad(obs, [(0, whole - size) for whole, size in sizes])


def with_task(space: Box, tasks: int) -> Box:
    """Add a one-hot entry for each task at the end of the last axis of a space.

    Raises:
        ValueError: observations are scalars.
    """
    if not space.shape:
        raise ValueError(
            "envs: scalar observations, expected at least one axis to show the task on"
        )
    shape = (*space.shape[:-1], space.shape[-1] + tasks)
    codes = space.categories and (*space.categories, *(2,) * tasks)
    low, high = min(0.0, float(np.min(space.low))), max(_one(space), float(np.max(space.high)))
    return Box(shape=shape, dtype=space.dtype, low=low, high=high, categories=codes, tasks=tasks)


def _one(space: Box) -> float:
    """Return the number that networks scale to 1: of byte images, which they divide, the high."""
    image = space.dtype == "uint8" and not space.categories
    return float(np.max(space.high)) if image and np.max(space.high) > 0 else 1.0


def shown(space: Box, tasks: int) -> Callable[[Array, Any], Array]:
    """Make (obs, place) -> the padded observation with the task label of `place`."""
    shape, one = (*space.shape[:-1], tasks), _one(space)

    def show(obs: Array, place: Array) -> Array:
        told = (jnp.arange(tasks) == place).astype(space.dtype) * jnp.asarray(one, space.dtype)
        return jnp.concatenate([pad(obs, space), jnp.broadcast_to(told, shape)], axis=-1)

    return show


def common_info(envs: Sequence[Environment]) -> tuple[str, ...]:
    """List the entries of `info` that all environments have, sorted."""
    kinds = {(env.init, env.step): env for env in envs}  # one of each family is traced
    return tuple(sorted(set.intersection(*map(_info_names, kinds.values()))))


def common_limit(envs: Sequence[Environment]) -> int | None:
    """Return the largest time limit of the environments; None if one has none."""
    limits = [env.time_limit for env in envs]
    return None if None in limits else max(x for x in limits if x is not None)


def limit_of(env: Environment, params: PyTree) -> Any:
    """Return the time limit of one task with these parameters; None if nothing bounds episodes."""
    return env.time_limit if env.limit is None else env.limit(params)


def limits(env: Environment, params: PyTree) -> tuple[int, int] | None:
    """Return the smallest and largest time limit of members; None if nothing bounds episodes.

    params: of one member, or of B members: leaves are [B, ...], or [...] if members share them.
    """
    if env.time_limit is None:
        return None
    several = env.tasks and env.host is None  # on the host there are no parameters
    each = [np.ravel(limit_of(env, one)) for one in (params if several else (params,))]
    found = np.concatenate(each)
    return math.ceil(found.min()), math.ceil(found.max())


def shortest_limit(env: Environment) -> int | None:
    """Return the least steps between two cuts by the time limit, of any task; None if unknown."""
    known = limits(env, env.params)
    return known and min(known[0], env.time_limit or known[0])


def check_playable(envs: Sequence[Environment]) -> None:
    """Raise ValueError for environments with several tasks, phases, or discounts of steps."""
    for env in envs:
        if env.discounted:
            raise ValueError(f"envs: steps of {env.name} have discounts, expected plain ones")
        if env.tasks or env.phase is not None:
            raise ValueError(
                f"envs: {env.name} has tasks or phases of its own, expected plain ones"
            )


def _info_names(env: Environment) -> set[str]:
    def info(key: Key) -> object:
        state, _ = env.init(key, env.params)
        blank = abstract(env.action)
        action = jnp.zeros(blank.shape, blank.dtype)
        return env.step(key, env.params, state, action)[1].info

    return set(jax.eval_shape(info, jax.eval_shape(jax.random.key, 0)))
