"""Scale actions by their bounds, for agents that need bounds: -1 is the lower, 1 the upper.

A dimension whose bounds are equal leaves no choice: its scaled action is 0, and it is not learnt.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import types
from purejaxrl_suite.core.types import Array, Key


class Units(NamedTuple):
    """Functions of scaled actions f32[B, A] in [-1, 1].

    size: A. free: for each dimension, whether its bounds differ. hold: sets the other dimensions to
    0. outside: scaled actions -> those of the environment. inside: the inverse.
    """

    size: int
    free: tuple[bool, ...]
    hold: Callable[[Array], Array]
    outside: Callable[[Array], Array]
    inside: Callable[[Array], Array]


def units(name: str, env: types.Environment) -> Units:
    """Make the scaling of the actions of `env`, for the agent `name`.

    Raises:
        ValueError: actions are no Box of one axis with finite bounds, low <= high, that differ in
            at least one dimension.
    """
    box = env.action
    if not isinstance(box, types.Box) or len(box.shape) != 1:
        raise ValueError(
            f"{name} needs continuous actions between finite bounds, environment {env.name!r} has "
            f"{box}"
        )
    ends = np.broadcast_to(np.asarray(box.low), box.shape), np.broadcast_to(box.high, box.shape)
    for i, (low, high) in enumerate(zip(*ends, strict=True)):
        if not (np.isfinite(low) and np.isfinite(high) and low <= high):
            raise ValueError(
                f"{name} needs finite bounds of actions: in dimension {i} of {env.name!r} "
                f"expected low <= high, got {low} and {high}"
            )
    low, high = (np.asarray(x, np.float32)[None] for x in ends)
    middle, reach = 0.5 * (high + low), 0.5 * (high - low)
    moves = reach > 0.0
    if not np.any(moves):
        raise ValueError(
            f"{name} needs a choice: expected bounds of actions of {env.name!r} that differ, got "
            f"{box.low} and {box.high}"
        )

    def hold(unit: Array) -> Array:
        return unit if np.all(moves) else jnp.where(moves, unit, 0.0)

    def outside(unit: Array) -> Array:
        return unit * reach + middle

    def inside(action: Array) -> Array:
        return hold((action - middle) / np.where(moves, reach, 1.0))

    return Units(
        size=box.shape[0], free=tuple(moves[0].tolist()), hold=hold, outside=outside, inside=inside
    )


def noise(units: Units) -> Callable[[Key, int], tuple[Array, Array]]:
    """Make (key, N) -> actions uniform in [-1, 1] and normal numbers, f32[N, A] each."""

    def draw(key: Key, batch: int) -> tuple[Array, Array]:
        uniform_key, normal_key = jax.random.split(key)
        shape = (batch, units.size)
        uniform = jax.random.uniform(uniform_key, shape, minval=-1.0, maxval=1.0)
        return uniform, jax.random.normal(normal_key, shape)

    return draw
