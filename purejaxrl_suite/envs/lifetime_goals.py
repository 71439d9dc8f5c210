"""Tasks that differ in their goal, which observations tell: four rooms, and a taxi.

What the agent itself sees comes first in an observation and the number of the goal last, so a part
of the agent may be kept from it. An episode draws its goal by the chances in the parameters: those
of all goals of training or of test, or of one goal alone where a lifetime has one.

Four rooms of Sutton, Precup and Singh 1999; that goals of training lie in three rooms and those of
test in the fourth is an unofficial reading of Veeriah et al. 2021 (arXiv 2102.06741). The taxi is
after Dietterich 2000 (arXiv cs/9905014), on a larger board. Time limits, the taxi's walls and its
split of goals are our setting.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.core.types import Array, Discrete, Environment, Key, TimeStep
from purejaxrl_suite.envs.common import state_numbers, timestep
from purejaxrl_suite.envs.lifetimes import MOVES

ROOMS = """
#############
#     #     #
#     #     #
#           #
#     #     #
#     #     #
## ####     #
#     ### ###
#     #     #
#     #     #
#           #
#     #     #
#############
"""
TRAIN_BLOCKS, TEST_BLOCKS = ((2, 2), (2, 8), (9, 8)), ((8, 2),)
"""Upper left cells of blocks of 3 x 3 goals."""
SIZE = 7
"""Rows and columns of the taxi's board."""
LANDMARKS = ((0, 0), (0, 6), (6, 6), (6, 0))
WALLS = (*((row, 2) for row in (0, 1, 2)), *((row, x) for row in (4, 5, 6) for x in (1, 4)))
"""Row and column of the cells to the right of which there is a wall."""
PAIRS = tuple((a, b) for a in range(4) for b in range(4) if a != b)
"""Landmarks where the passenger waits, and where it wants to go."""


class Goals(NamedTuple):
    """Parameters of a task. chances: f32[G], of each goal; they sum to 1."""

    chances: Any


def makers() -> dict[str, Callable[..., Environment]]:
    """Return the functions that make these environments, by id."""
    return {"Meta-FourRooms": four_rooms, "Meta-Taxi": taxi}


class Walk(NamedTuple):
    """State of four rooms. place, goal: numbers of cells, time: i32[] each."""

    place: Array
    goal: Array
    time: Array


def four_rooms(time_limit: int = 200, test: bool = False) -> Environment:
    """Make four rooms with a goal in one of them; it pays 1 and ends the episode.

    Episodes start in any other free cell of 104. An observation is i32[2], the cell of the agent
    and that of the goal. Actions are up, right, down and left; a step into a wall is none.

    Args:
        time_limit: steps after which an episode is cut.
        test: goals are the 9 cells of the room that has none of the 27 in training.

    Returns:
        The environment. `chances` of its parameters are those of cells, row by row; a lifetime has
        one goal.

    Raises:
        ValueError: the time limit is below 1.
    """
    limit = integer("time_limit", time_limit, 1)
    free = free_cells()
    cells, after = len(free), moves_in(free)

    def look(state: Walk) -> Array:
        return jnp.stack([state.place, state.goal])

    def init(key: Key, params: Goals) -> tuple[Walk, Array]:
        of_goal, of_place = jax.random.split(key)
        goal = _drawn(of_goal, params)
        place = jax.random.randint(of_place, (), 0, cells - 1, jnp.int32)
        state = Walk(place + (place >= goal), goal, jnp.int32(0))
        return state, look(state)

    def step(key: Key, params: Goals, state: Walk, action: Array) -> tuple[Walk, TimeStep]:
        moved = jnp.asarray(after, jnp.int32)[state.place, action]
        state = Walk(moved, state.goal, state.time + 1)
        return state, _timestep(look(state), moved == state.goal, state.time >= limit)

    blocks = TEST_BLOCKS if test else TRAIN_BLOCKS
    goals = [free.index((y + i, x + j)) for y, x in blocks for i in range(3) for j in range(3)]
    return Environment(
        name="four_rooms",
        observation=state_numbers(cells, cells),
        action=Discrete(len(MOVES)),
        time_limit=limit,
        params=_even(goals, cells),
        init=init,
        step=step,
        sample_task=_one_goal,
    )


class Ride(NamedTuple):
    """State of the taxi. place: its cell, aboard: whether the passenger is, goal, time: i32[]."""

    place: Array
    aboard: Array
    goal: Array
    time: Array


def taxi(time_limit: int = 100, test: bool = False) -> Environment:
    """Make a taxi on a board of 7 x 7 cells with walls and a landmark in each corner.

    A passenger waits at one landmark and gets in when the taxi enters it or starts there; at
    another landmark, its aim, it gets out, which pays 1 and ends the episode. An observation is
    i32[3]: the cell of the taxi, whether the passenger is aboard, and which of 12 pairs of
    landmarks it is. Actions are as in `four_rooms`; the taxi starts anywhere.

    Args:
        time_limit: steps after which an episode is cut.
        test: pairs are the 4 of neighbours clockwise; else the 8 others.

    Returns:
        The environment. `chances` of its parameters are those of `PAIRS`; a lifetime has one pair.

    Raises:
        ValueError: the time limit is below 1.
    """
    limit = integer("time_limit", time_limit, 1)
    cells = [(row, column) for row in range(SIZE) for column in range(SIZE)]
    after = moves_in(cells, WALLS)
    ends = np.array([[cells.index(LANDMARKS[i]) for i in pair] for pair in PAIRS])

    def look(state: Ride) -> Array:
        return jnp.stack([state.place, state.aboard, state.goal])

    def there(goal: Array, place: Array) -> Array:
        return jnp.asarray(ends, jnp.int32)[goal] == place

    def init(key: Key, params: Goals) -> tuple[Ride, Array]:
        of_goal, of_place = jax.random.split(key)
        goal = _drawn(of_goal, params)
        place = jax.random.randint(of_place, (), 0, len(cells), jnp.int32)
        aboard = there(goal, place)[0].astype(jnp.int32)
        state = Ride(place, aboard, goal, jnp.int32(0))
        return state, look(state)

    def step(key: Key, params: Goals, state: Ride, action: Array) -> tuple[Ride, TimeStep]:
        moved = jnp.asarray(after, jnp.int32)[state.place, action]
        source, aim = there(state.goal, moved)
        aboard = jnp.maximum(state.aboard, source.astype(jnp.int32))
        state = Ride(moved, aboard, state.goal, state.time + 1)
        return state, _timestep(look(state), aim & (aboard == 1), state.time >= limit)

    neighbours = [i for i, (a, b) in enumerate(PAIRS) if ((b - a) % len(LANDMARKS) == 1) is test]
    return Environment(
        name="taxi",
        observation=state_numbers(len(cells), 2, len(PAIRS)),
        action=Discrete(len(MOVES)),
        time_limit=limit,
        params=_even(neighbours, len(PAIRS)),
        init=init,
        step=step,
        sample_task=_one_goal,
    )


def free_cells() -> list[tuple[int, int]]:
    """List the free cells of four rooms as (row, column), row by row."""
    rows = ROOMS.strip().splitlines()
    return [(y, x) for y, row in enumerate(rows) for x, cell in enumerate(row) if cell == " "]


def moves_in(cells: list[tuple[int, int]], walls: tuple[tuple[int, int], ...] = ()) -> np.ndarray:
    """Tabulate where each action leads.

    Args:
        cells: those that can be entered, as (row, column).
        walls: cells of which the right side is a wall.

    Returns:
        i64[cells, 4], numbers of cells; those that cannot be left this way lead to themselves.
    """
    number = {cell: i for i, cell in enumerate(cells)}

    def lead(cell: tuple[int, int], move: tuple[int, int]) -> int:
        (y, x), (down, right) = cell, move
        closed = (right == 1 and cell in walls) or (right == -1 and (y, x - 1) in walls)
        return number[cell] if closed else number.get((y + down, x + right), number[cell])

    return np.array([[lead(cell, move) for move in MOVES] for cell in cells])


def _drawn(key: Key, params: Goals) -> Array:
    chances = jnp.asarray(params.chances, jnp.float32)
    return jax.random.choice(key, len(chances), p=chances).astype(jnp.int32)


def _one_goal(key: Key, params: Goals) -> Goals:
    count = jnp.shape(params.chances)[0]
    return Goals(jax.nn.one_hot(_drawn(key, params), count, dtype=jnp.float32))


def _even(goals: list[int], count: int) -> Goals:
    chances = np.zeros(count, np.float32)
    chances[goals] = 1.0 / len(goals)
    return Goals(chances)


def _timestep(obs: Array, reached: Array, late: Array) -> TimeStep:
    """Return a step that pays 1 and ends the episode if the goal is reached."""
    success = reached.astype(jnp.float32)
    return timestep(obs, success, reached, late & ~reached, {"success": success})
