"""Rooms with objects whose worth is found out over episodes: boxes with a key, and swaps.

Zheng et al. 2020 (arXiv 1912.05500): what objects and the key pay is the paper's, geometry and the
length of phases are our setting. And a random walk whose ends swap what they pay, for a question of
Xu et al. 2020 (arXiv 2007.08433); the walk is that of Sutton and Barto 2018, example 6.2.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.core.types import Array, Clock, Discrete, Environment, Key, TimeStep
from purejaxrl_suite.envs.common import state_numbers, timestep
from purejaxrl_suite.envs.lifetimes import MOVES, Payments, abc

KEY_REWARD = -0.1


def makers() -> dict[str, Callable[..., Environment]]:
    """Return the functions that make these environments, by id."""
    return {
        "Meta-KeyBox": key_box,
        "Meta-RandomWalk": random_walk,
        "Meta-SwappedABC": swapped_abc,
    }


class KeyRoom(NamedTuple):
    """State of Key-Box. place: i32[2], row and column. key: i32[], 1 with it. time: i32[]."""

    place: Array
    key: Array
    time: Array


def key_box(size: int = 5, time_limit: int = 20) -> Environment:
    """Make a room with three boxes, which only open with a key; an episode ends at an open box.

    The boxes are the objects of ABC, in its places. The key lies in the lower left corner and costs
    0.1. In a task box A pays U(-1, 1), B U(-0.5, 0) and C U(0, 0.5), so the best of a lifetime is
    A or C after the key: 0.2958 in the mean. `info["object"]` is 1, 2 or 3 for A, B and C, 0 for
    none.

    Args:
        size: rows and columns of the room, odd.
        time_limit: steps after which an episode is cut.

    Returns:
        The environment; by default A pays 1, B -0.5 and C 0.5. An observation is i32[1], the number
        of the cell, plus the number of cells with the key.

    Raises:
        ValueError: the size is even or below 3, or the time limit below 1.
    """
    room, cells = abc(size, time_limit), size * size
    objects = np.array([[0, 0], [size - 1, size // 2], [0, size - 1]])

    def look(state: KeyRoom) -> Array:
        return (state.key * cells + state.place[0] * size + state.place[1])[None]

    def init(key: Key, params: Payments) -> tuple[KeyRoom, Array]:
        place = jnp.full(2, size // 2, jnp.int32)
        state = KeyRoom(place, jnp.int32(0), jnp.int32(0))
        return state, look(state)

    def step(key: Key, params: Payments, state: KeyRoom, action: Array) -> tuple[KeyRoom, TimeStep]:
        moved = state.place + jnp.asarray(MOVES, jnp.int32)[action]
        place = jnp.clip(moved, 0, size - 1)
        there = jnp.all(place == jnp.array([size - 1, 0], jnp.int32))
        found = there & (state.key == 0)
        after = KeyRoom(place, jnp.maximum(state.key, there.astype(jnp.int32)), state.time + 1)
        here = jnp.all(place[None] == jnp.asarray(objects, jnp.int32), axis=-1) & (after.key == 1)
        reward = jnp.sum(jnp.where(here, jnp.asarray(params.rewards, jnp.float32), 0.0))
        reward = reward + jnp.where(found, jnp.float32(KEY_REWARD), 0.0)
        number = jnp.sum(jnp.where(here, jnp.arange(1.0, 4.0), 0.0)).astype(jnp.float32)
        opened, late = jnp.any(here), after.time >= time_limit
        return after, timestep(look(after), reward, opened, late & ~opened, {"object": number})

    return room._replace(name="key_box", observation=state_numbers(2 * cells), init=init, step=step)


def swapped_abc(size: int = 5, time_limit: int = 20, phase_length: int = 250) -> Environment:
    """Make ABC in which A and C swap what they pay, again and again within a lifetime.

    In a task A pays 1 or -1 at first, B -0.5, and C what A does not. The paper's phases have 250
    episodes.

    Args:
        size: as in `abc`.
        time_limit: as in `abc`.
        phase_length: updates of the agent from one swap to the next.

    Returns:
        The environment; by default A pays 1 at first.

    Raises:
        ValueError: as in `abc`, or the phase length is below 1.
    """
    integer("phase_length", phase_length, 1)

    def sample_task(key: Key, params: Payments) -> Payments:
        first = jnp.where(jax.random.bernoulli(key), 1.0, -1.0).astype(jnp.float32)
        return Payments(jnp.stack([first, jnp.float32(-0.5), -first]))

    def phase(params: Payments, clock: Clock) -> tuple[Payments, Array]:
        swapped, begins = _phase(clock, phase_length)
        rewards = jnp.asarray(params.rewards, jnp.float32)
        return Payments(jnp.where(swapped, rewards[::-1], rewards)), begins

    return abc(size, time_limit)._replace(
        name="swapped_abc",
        params=Payments(np.array([1.0, -0.5, -1.0], np.float32)),
        sample_task=sample_task,
        phase=phase,
    )


class Walk(NamedTuple):
    """Parameters of the random walk. pay: f32[], of the right end; the left end pays -pay. left:
    f32[], the probability of a step to the left."""

    pay: Any
    left: Any


def random_walk(phase_length: int = 48) -> Environment:
    """Make a walk over five states whose ends pay 1 and -1, and swap that again and again.

    It starts in the middle and goes left or right by chance: there is one action, and only values
    to learn. With even chances the value of state i of 0 .. 4 is pay (i - 2) / 3.

    Args:
        phase_length: updates of the agent from one swap to the next; 48 are 960 steps of one
            environment with rollouts of 20.

    Returns:
        The environment; an observation is i32[1], the state.

    Raises:
        ValueError: the phase length is below 1.
    """
    integer("phase_length", phase_length, 1)

    def init(key: Key, params: Walk) -> tuple[Array, Array]:
        return jnp.int32(2), jnp.full(1, 2, jnp.int32)

    def step(key: Key, params: Walk, state: Array, action: Array) -> tuple[Array, TimeStep]:
        left = jax.random.uniform(key) < params.left
        after = state + jnp.where(left, -1, 1)
        sign = jnp.where(after < 0, -1.0, jnp.where(after > 4, 1.0, 0.0))
        reward = (sign * params.pay).astype(jnp.float32)
        ended, after = sign != 0, jnp.clip(after, 0, 4)
        return after, timestep(after[None], reward, ended)

    def phase(params: Walk, clock: Clock) -> tuple[Walk, Array]:
        swapped, begins = _phase(clock, phase_length)
        pay = jnp.asarray(params.pay, jnp.float32)
        return params._replace(pay=jnp.where(swapped, -pay, pay)), begins

    return Environment(
        name="random_walk",
        observation=state_numbers(5),
        action=Discrete(1),
        time_limit=None,
        params=Walk(np.float32(1.0), np.float32(0.5)),
        init=init,
        step=step,
        phase=phase,
    )


def _phase(clock: Clock, length: int) -> tuple[Array, Array]:
    """Tell whether payments are swapped, and whether that has just changed; bool[] each."""
    number, place = clock.update // length, clock.update % length
    return jnp.asarray(number % 2 == 1), jnp.asarray((place == 0) & (clock.update > 0))
