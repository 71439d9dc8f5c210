"""What gradient steps of SAC and TD3 are given: batches from the replay, and random numbers."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.agents.action_units import Units
from purejaxrl_suite.buffers import Batch, Uniform
from purejaxrl_suite.core.types import Array, Key


class Drawn(NamedTuple):
    """What a gradient step is given.

    batch: single steps, actions in units. noise: f32[B, A], normal. key: for what else is random.
    """

    batch: Batch
    noise: Array
    key: Key


Draw = Callable[[Key, Any, Any, tuple[int, ...]], Drawn]


def drawing(replay: Uniform, units: Units) -> Draw:
    """(key, hypers, ring, shape) -> Drawn, leaves [*shape, ...], whose last axis is the batch's."""

    def draw(key: Key, hypers: Any, ring: Any, shape: tuple[int, ...]) -> Drawn:
        slot_key, noise_key, key = jax.random.split(key, 3)
        slot = replay.draw(slot_key, ring, math.prod(shape), 1).slot
        batch = replay.read(ring, slot, 1, hypers.gamma)
        batch = batch._replace(action=units.inside(batch.action))
        batch = jax.tree.map(lambda x: jnp.reshape(x, (*shape, *x.shape[1:])), batch)
        noise = jax.random.normal(noise_key, (*shape, units.size))
        return Drawn(batch, noise, jax.random.split(key, shape[:-1]))

    return draw
