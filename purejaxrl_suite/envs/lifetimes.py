"""Distributions of small tasks, for agents that learn to learn (`purejaxrl_suite.meta`).

Parameters of the environment say what a task pays; `sample_task` draws them where a lifetime
begins. Observations are the number of a state, i32[1]. Random ABC: Zheng et al. 2020 (arXiv
1912.05500), whose rewards are the paper's; its geometry is our setting. The wide Catch of rollouts
that are shorter than the fall is our setting for a question of Xu et al. 2020 (arXiv 2007.08433).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.core.types import Array, Discrete, Environment, Key, PyTree, TimeStep
from purejaxrl_suite.envs import lifetime_grids
from purejaxrl_suite.envs.common import state_numbers, timestep
from purejaxrl_suite.envs.lifetime_chains import delayed_chain
from purejaxrl_suite.envs.recipe import made_by

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""Row and column of the actions of ABC: up, right, down, left."""


def ids() -> tuple[str, ...]:
    """List the ids that `make` takes."""
    return tuple(_makers())


def make(id: str, **options: Any) -> Environment:
    """Make a distribution of tasks.

    Args:
        id: one of `ids()`.
        **options: of the bandit `arms` (2), of ABC `size` (5) and `time_limit` (20), of Catch
            `rows` (6) and `columns` (11); those of `delayed_chain`, `grids`, and of the functions
            in `lifetime_goals` and `lifetime_rooms`.

    Returns:
        The environment.

    Raises:
        ValueError: the id or an option is unknown, or an option is out of range.
    """
    return made_by(_makers(), id, options)


def _makers() -> dict[str, Callable[..., Environment]]:
    from purejaxrl_suite.envs import lifetime_goals, lifetime_rooms  # made of what is here

    return {
        "Meta-ABC": abc,
        "Meta-Bandit": bandit,
        "Meta-Catch": catch,
        "Meta-DelayedChain": delayed_chain,
        **lifetime_grids.makers(),
        **lifetime_goals.makers(),
        **lifetime_rooms.makers(),
    }


class Payments(NamedTuple):
    """Parameters of a task. rewards: f32[K], of K arms or objects."""

    rewards: Any


def bandit(arms: int = 2) -> Environment:
    """Make a bandit, whose arms pay what they pay for a whole lifetime, from -1 to 1.

    Args:
        arms: of the bandit.

    Returns:
        The environment; an episode is one step. By default only the last arm pays.

    Raises:
        ValueError: arms < 2.
    """
    integer("arms", arms, 2)

    def sample_task(key: Key, params: Payments) -> Payments:
        return Payments(jax.random.uniform(key, (arms,), jnp.float32, -1.0, 1.0))

    def init(key: Key, params: Payments) -> tuple[Array, Array]:
        return jnp.int32(0), jnp.zeros(1, jnp.int32)

    def step(key: Key, params: Payments, state: Array, action: Array) -> tuple[Array, TimeStep]:
        reward = jnp.asarray(params.rewards, jnp.float32)[action]
        return state, timestep(jnp.zeros(1, jnp.int32), reward, jnp.ones((), bool))

    return Environment(
        name="bandit",
        observation=state_numbers(1),
        action=Discrete(arms),
        time_limit=1,
        params=Payments(np.eye(arms, dtype=np.float32)[-1]),
        init=init,
        step=step,
        sample_task=sample_task,
    )


class Room(NamedTuple):
    """State of ABC. place: i32[2], row and column. time: i32[]."""

    place: Array
    time: Array


def abc(size: int = 5, time_limit: int = 20) -> Environment:
    """Make a room with three objects; an episode ends where one is collected.

    The agent starts in the middle. A and C lie in the upper corners, B in the middle of the lowest
    row. In a task A pays U(-1, 1), B U(-0.5, 0) and C U(0, 0.5), so the best of a lifetime is A or
    C: 0.3958 in the mean, 0.25 for C alone. `info["object"]` is 1, 2 or 3 for A, B and C, 0 for
    none.

    Args:
        size: rows and columns of the room, odd.
        time_limit: steps after which an episode is cut.

    Returns:
        The environment; by default A pays 1, B -0.5 and C 0.5.

    Raises:
        ValueError: the size is even or below 3, or the time limit below 1.
    """
    if integer("size", size, 3) % 2 == 0:
        raise ValueError(f"size: expected an odd number of cells, got {size}")
    limit, middle = integer("time_limit", time_limit, 1), size // 2
    objects = np.array([[0, 0], [size - 1, middle], [0, size - 1]])
    low, high = np.array([-1.0, -0.5, 0.0]), np.array([1.0, 0.0, 0.5])

    def look(state: Room) -> Array:
        return (state.place[0] * size + state.place[1])[None]

    def sample_task(key: Key, params: Payments) -> Payments:
        drawn = jax.random.uniform(key, (3,), jnp.float32)
        return Payments((low + (high - low) * drawn).astype(jnp.float32))

    def init(key: Key, params: Payments) -> tuple[Room, Array]:
        state = Room(jnp.full(2, middle, jnp.int32), jnp.int32(0))
        return state, look(state)

    def step(key: Key, params: Payments, state: Room, action: Array) -> tuple[Room, TimeStep]:
        moved = state.place + jnp.asarray(MOVES, jnp.int32)[action]
        after = Room(jnp.clip(moved, 0, size - 1), state.time + 1)
        here = jnp.all(after.place[None] == jnp.asarray(objects, jnp.int32), axis=-1)
        reward = jnp.sum(jnp.where(here, jnp.asarray(params.rewards, jnp.float32), 0.0))
        number = jnp.sum(jnp.where(here, jnp.arange(1.0, 4.0), 0.0)).astype(jnp.float32)
        ends = jnp.any(here)
        cut = ~ends & (after.time >= limit)
        return after, timestep(look(after), reward, ends, cut, {"object": number})

    return Environment(
        name="abc",
        observation=state_numbers(size * size),
        action=Discrete(4),
        time_limit=limit,
        params=Payments(np.array([1.0, -0.5, 0.5], np.float32)),
        init=init,
        step=step,
        sample_task=sample_task,
    )


class Ball(NamedTuple):
    """State of Catch; row, column: of the ball, paddle: column, i32[] each."""

    row: Array
    column: Array
    paddle: Array


def catch(rows: int = 6, columns: int = 11) -> Environment:
    """Make Catch on a board that is wide for its height: most of the fall decides.

    The ball falls from a random column, a row each step; actions move the paddle in the lowest row
    to the left, not at all, or to the right; it starts in the middle. Catching pays 1, missing -1.
    If only the last k actions of the fall of 5 are the best ones and the others uniform, the ball
    is caught with probability (2 k + 1) / 11.

    Args:
        rows: of the board; an episode has rows - 1 steps.
        columns: of the board, odd, at most 2 rows - 1: then every ball can be caught.

    Returns:
        The environment.

    Raises:
        ValueError: a number is out of range.
    """
    integer("rows", rows, 2)
    if integer("columns", columns, 1, 2 * rows - 1) % 2 == 0:
        raise ValueError(f"columns: expected an odd number, got {columns}")

    def look(state: Ball) -> Array:
        number = (state.row * columns + state.column) * columns + state.paddle
        return number[None]

    def init(key: Key, params: PyTree) -> tuple[Ball, Array]:
        column = jax.random.randint(key, (), 0, columns, jnp.int32)
        state = Ball(jnp.int32(0), column, jnp.int32(columns // 2))
        return state, look(state)

    def step(key: Key, params: PyTree, state: Ball, action: Array) -> tuple[Ball, TimeStep]:
        paddle = jnp.clip(state.paddle + action - 1, 0, columns - 1)
        after = Ball(jnp.minimum(state.row + 1, rows - 1), state.column, paddle)
        last = after.row == rows - 1
        caught = paddle == state.column
        reward = jnp.where(last, jnp.where(caught, 1.0, -1.0), 0.0).astype(jnp.float32)
        success = {"success": (last & caught).astype(jnp.float32)}
        return after, timestep(look(after), reward, last, None, success)

    return Environment(
        name="catch",
        observation=state_numbers(rows * columns * columns),
        action=Discrete(3),
        time_limit=rows - 1,
        params=(),
        init=init,
        step=step,
    )
