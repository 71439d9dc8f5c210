"""Actions in units of their bounds, for agents that need bounds: -1 is the lower, 1 the upper."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from purejaxrl_suite.core import types
from purejaxrl_suite.core.types import Array, Key


class Units(NamedTuple):
    """Of actions f32[B, A] in [-1, 1]; size: A.

    outside: from them to actions of the environment. inside: the way back.
    """

    size: int
    outside: Callable[[Array], Array]
    inside: Callable[[Array], Array]


def units(name: str, env: types.Environment) -> Units:
    """For the actions of `env` and the agent `name`.

    Raises ValueError unless they are a Box of one axis with finite bounds.
    """
    box = env.action
    bounded = isinstance(box, types.Box) and bool(np.all(np.isfinite([*map(np.sum, box[2:4])])))
    if not isinstance(box, types.Box) or len(box.shape) != 1 or not bounded:
        raise ValueError(
            f"{name} needs continuous actions between finite bounds, environment {env.name!r} has "
            f"{box}"
        )
    low, high = (np.broadcast_to(np.asarray(x, np.float32), (1, *box.shape)) for x in box[2:4])
    middle, reach = 0.5 * (high + low), 0.5 * (high - low)

    def outside(unit: Array) -> Array:
        return unit * reach + middle

    def inside(action: Array) -> Array:
        return (action - middle) / reach

    return Units(box.shape[0], outside, inside)


def noise(units: Units) -> Callable[[Key, int], tuple[Array, Array]]:
    """(key, N) -> actions uniform in [-1, 1] and normal numbers, f32[N, A] each."""

    def draw(key: Key, batch: int) -> tuple[Array, Array]:
        uniform_key, normal_key = jax.random.split(key)
        shape = (batch, units.size)
        uniform = jax.random.uniform(uniform_key, shape, minval=-1.0, maxval=1.0)
        return uniform, jax.random.normal(normal_key, shape)

    return draw
