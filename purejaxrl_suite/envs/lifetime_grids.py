"""Grids with objects: distributions of small tasks that learned update rules are learnt on.

Oh et al. 2020, "Discovering reinforcement learning algorithms" (arXiv 2007.08794). An agent walks
over a grid and collects whatever object it stands on: an object pays its reward, may end the
episode, and may appear again at its cell. Rewards and probabilities of the named families are the
paper's as others have published them; where walls have their gaps, that objects have other cells
in each lifetime, and five actions in place of eighteen are our setting. `Meta-Grids` draws all of
it, as Jackson et al. 2023 (arXiv 2310.02782) do.

Observations are numbers, expanded inside of the network: the cell of the agent and which objects
are there, as one number of a state, or, where objects move in each episode, one cell for each.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.argument import integer, wrong
from purejaxrl_suite.core.types import Array, Box, Discrete, Environment, Key, TimeStep
from purejaxrl_suite.envs.common import state_numbers, timestep

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1), (0, 0))
"""Row and column of the actions: up, right, down, left, none."""
MOST_STATES = 2**24


class GridTask(NamedTuple):
    """Parameters of a task on a grid of C cells with M objects.

    walls: bool[C], also of the cells that a smaller grid does not have. cells: i32[M], of the
    objects; C is nowhere. rewards: f32[M]. ends: f32[M], the probability that to collect it ends
    the episode. returns: f32[M], that it is there again, in each step. limit: i32[], steps.
    """

    walls: Any
    cells: Any
    rewards: Any
    ends: Any
    returns: Any
    limit: Any


class GridState(NamedTuple):
    """State of a grid. place: i32[], of the agent. cells: i32[M]. there: bool[M]. time: i32[]."""

    place: Array
    cells: Array
    there: Array
    time: Array


class Family(NamedTuple):
    """A family of tasks. objects: (reward, probability to end, probability to return) each.

    moving: whether objects have other cells in each episode. walls: rows of text, # is a wall.
    """

    side: int
    objects: tuple[tuple[float, float, float], ...]
    limit: int
    moving: bool = False
    walls: tuple[str, ...] = ()


_DENSE = (*[(1.0, 0.0, 0.05)] * 2, (-1.0, 0.5, 0.1), (-1.0, 0.0, 0.5))
_LONG = (*[(1.0, 0.0, 0.01)] * 2, *[(-1.0, 0.5, 1.0)] * 2)
_BAR = (*["." * 9] * 4, "##.###.##", *["." * 9] * 4)
_CROSS = (*[".....#....."] * 2, "...........", *[".....#....."] * 2, "##.#####.##",
          *[".....#....."] * 2, "...........", *[".....#....."] * 2)  # fmt: skip
_SMALL = (".......", "..#....", ".......", "....#..", *["......."] * 3)
FAMILIES = {
    "Meta-GridDense": Family(11, _DENSE, 500),
    "Meta-GridSparse": Family(13, ((1.0, 1.0, 0.0), (-1.0, 1.0, 0.0)), 50),
    "Meta-GridLong": Family(11, _LONG, 1000),
    "Meta-GridLonger": Family(
        9, (*[(1.0, 0.1, 0.01)] * 2, *[(-1.0, 0.8, 1.0)] * 5), 2000, walls=_BAR
    ),
    "Meta-GridLongDense": Family(11, ((1.0, 0.0, 0.005),) * 4, 2000, walls=_CROSS),
    "Meta-RandomGridDense": Family(11, _DENSE, 500, moving=True),
    "Meta-RandomGridLong": Family(11, _LONG, 1000, moving=True),
    "Meta-RandomGridSmall": Family(
        7, (*[(1.0, 0.0, 0.05)] * 2, *[(-1.0, 0.5, 0.1)] * 2), 500, True, _SMALL
    ),
    "Meta-RandomGridSparse": Family(7, ((1.0, 1.0, 1.0), *[(-1.0, 1.0, 1.0)] * 2), 50, True),
    "Meta-RandomGridVeryDense": Family(11, ((1.0, 0.0, 1.0),), 2000, moving=True),
}
"""{id: family}."""


def makers() -> dict[str, Callable[..., Environment]]:
    """Return what makes each environment, by id."""
    return {**{id: partial(family, id) for id in FAMILIES}, "Meta-Grids": grids}


def family(id: str) -> Environment:
    """Make a named family; a task draws the cells of its objects.

    Args:
        id: one of `FAMILIES`.

    Returns:
        The environment; by default objects are spread evenly.

    Raises:
        ValueError: the id is unknown.
    """
    if id not in FAMILIES:
        raise wrong("id", f"one of {', '.join(FAMILIES)}", id)
    known = FAMILIES[id]
    walls = np.array([[x == "#" for x in row] for row in known.walls], bool).ravel()
    walls = walls if known.walls else np.zeros(known.side**2, bool)
    free = np.flatnonzero(~walls)
    spread = np.linspace(0, len(free) - 1, len(known.objects) + 2).astype(int)[1:-1]
    rewards, ends, returns = np.array(known.objects, np.float32).T
    params = GridTask(
        walls, free[spread].astype(np.int32), rewards, ends, returns, np.int32(known.limit)
    )

    def sample_task(key: Key, params: GridTask) -> GridTask:
        walls = jnp.asarray(params.walls)
        return params._replace(cells=scattered(key, walls, len(known.objects)))

    return _environment(id, known.side, params, known.moving, known.limit, sample_task)


def grids(
    sides: Sequence[int] = (4, 10),
    walls: int = 15,
    objects: Sequence[int] = (1, 5),
    time_limits: Sequence[int] = (20, 750),
    moving: bool = False,
) -> Environment:
    """Make grids of which a task draws size, walls, objects and time limit.

    The side is uniform, the number of walls uniform up to `walls` and at most a third of the cells.
    Rewards are U(-1, 1), that of the first object U(0, 1); probabilities to end are log-uniform in
    0.01 .. 1, to return in 0.001 .. 0.1; the time limit is log-uniform.

    Args:
        sides: the smallest and the largest side; a smaller grid is one with walls around it.
        walls: the most walls.
        objects: the fewest and the most objects.
        time_limits: the shortest and the longest, in steps.
        moving: whether objects have other cells in each episode.

    Returns:
        The environment; by default the largest grid without walls, where one object pays 1 and
        ends the episode.

    Raises:
        ValueError: a number is out of range, or a table of that many states is not sensible.
    """
    smallest, side = _pair("sides", sides, 2)
    fewest, most = _pair("objects", objects, 1, smallest**2 - smallest**2 // 3 - 1)
    shortest, longest = _pair("time_limits", time_limits, 1)
    integer("walls", walls, 0)
    if not moving and side**2 * 2**most > MOST_STATES:
        raise wrong("objects", f"at most {MOST_STATES} states of {side}x{side} cells", objects)
    count = side**2
    place = np.stack(np.divmod(np.arange(count), side))
    first = np.arange(most) == 0
    params = GridTask(
        walls=np.zeros(count, bool),
        cells=np.where(first, count - 1, count).astype(np.int32),
        rewards=first.astype(np.float32),
        ends=first.astype(np.float32),
        returns=np.zeros(most, np.float32),
        limit=np.int32(longest),
    )

    def sample_task(key: Key, params: GridTask) -> GridTask:
        keys = jax.random.split(key, 9)
        own = jax.random.randint(keys[0], (), smallest, side + 1)
        outside = jnp.any(jnp.asarray(place) >= own, axis=0)
        built = jnp.minimum(jax.random.randint(keys[1], (), 0, walls + 1), own**2 // 3)
        order = jnp.argsort(jax.random.uniform(keys[2], (count,)) + 2.0 * outside)
        solid = outside | (jnp.argsort(order) < built)
        known = jnp.arange(most) < jax.random.randint(keys[3], (), fewest, most + 1)
        rewards = jax.random.uniform(keys[5], (most,), jnp.float32, -1.0, 1.0)
        rewards = jnp.where(jnp.arange(most) == 0, jnp.abs(rewards), rewards)
        returns = _log_uniform(keys[7], (most,), 1e-3, 0.1)
        limit = jnp.round(_log_uniform(keys[8], (), shortest, longest)).astype(jnp.int32)
        return GridTask(
            walls=solid,
            cells=jnp.where(known, scattered(keys[4], solid, most), count),
            rewards=jnp.where(known, rewards, 0.0),
            ends=_log_uniform(keys[6], (most,), 1e-2, 1.0),
            returns=jnp.where(known, returns, 0.0),
            limit=limit,
        )

    return _environment("Meta-Grids", side, params, moving, longest, sample_task)


def scattered(key: Key, taken: Array, count: int) -> Array:
    """Draw different cells that are not taken.

    Args:
        key: of the draw.
        taken: bool[C].
        count: M, at most the number of free cells.

    Returns:
        i32[M].
    """
    scores = jax.random.uniform(key, taken.shape) - 2.0 * taken
    return jax.lax.top_k(scores, count)[1].astype(jnp.int32)


def optimal_return(task: GridTask, time_limit: int) -> Array:
    """Compute the return of the best policy, which knows the time, in the mean over starts, f32[].

    By dynamic programming over cells, objects and steps: what scores are fractions of. Objects stay
    at the cells of the task.

    Args:
        task: its parameters.
        time_limit: steps, at least the limit of the task.

    Returns:
        The undiscounted return.
    """
    walls, cells = jnp.asarray(task.walls), jnp.asarray(task.cells)
    count, objects = walls.shape[0], cells.shape[0]
    numbers = jnp.arange(2**objects)
    bits = (numbers[:, None] >> jnp.arange(objects)[None]) & 1 == 1
    found = bits[None] & (cells[None, None] == jnp.arange(count)[:, None, None])  # [C, B, M]
    reward = jnp.sum(jnp.where(found, jnp.asarray(task.rewards)[None, None], 0.0), axis=-1)
    ends = jnp.sum(jnp.where(found, jnp.asarray(task.ends)[None, None], 0.0), axis=-1)
    left = bits[None] & ~found
    back = jnp.where(bits, 0.0, jnp.asarray(task.returns)[None])  # [B, M]
    chance = jnp.where(left, 1.0, back[None])[:, :, None]  # that an object is there next
    moves = jnp.prod(jnp.where(bits[None, None], chance, 1.0 - chance), axis=-1)  # [C, B, B]
    places = jax.vmap(jax.vmap(partial(_moved, walls), (0, None)), (None, 0))(
        jnp.arange(count), jnp.arange(len(MOVES))
    )

    def back_up(value: Array, step: Array) -> tuple[Array, None]:
        q = reward + (1.0 - ends) * jnp.einsum("cbn,cn->cb", moves, value)
        best = jnp.max(q[places], axis=0)
        return jnp.where(step < task.limit, best, value), None

    start = jnp.zeros((count, 2**objects), jnp.float32)
    value, _ = jax.lax.scan(back_up, start, jnp.arange(time_limit))
    free = ~walls & jnp.all(cells[None] != jnp.arange(count)[:, None], axis=-1)
    whole = value[:, jnp.sum(jnp.where(cells < count, 1 << jnp.arange(objects), 0))]
    return jnp.sum(jnp.where(free, whole, 0.0)) / jnp.sum(free)


def _pair(name: str, value: Any, low: int, high: int | None = None) -> tuple[int, int]:
    """Return two integers, of which the second is not below the first."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise wrong(name, "the smallest and the largest", value)
    first = integer(f"{name}[0]", value[0], low, high)
    return first, integer(f"{name}[1]", value[1], first, high)


def _log_uniform(key: Key, shape: tuple[int, ...], low: float, high: float) -> Array:
    ends = math.log(low), math.log(high)
    return jnp.exp(jax.random.uniform(key, shape, jnp.float32, *ends))


def _moved(walls: Array, place: Array, action: Array) -> Array:
    """Move to the next cell, or stay where there is a wall or the edge, i32[]."""
    side = math.isqrt(walls.shape[0])
    there = jnp.stack([place // side, place % side]) + jnp.asarray(MOVES, jnp.int32)[action]
    inside = jnp.all((there >= 0) & (there < side))
    cell = jnp.where(inside, there[0] * side + there[1], place)
    return jnp.where(walls[cell], place, cell).astype(jnp.int32)


def look(state: GridState, count: int, moving: bool = False) -> Array:
    """Make the observation of a state.

    Args:
        state: of the episode.
        count: C, of cells.
        moving: whether objects have other cells in each episode.

    Returns:
        i32[1], the number of cell and objects that are there; if they move i32[1 + M], the cells of
        the agent and of each object, C for those that are not there.
    """
    if moving:
        return jnp.concatenate([state.place[None], jnp.where(state.there, state.cells, count)])
    objects = state.there.shape[0]
    present = jnp.sum(jnp.where(state.there, 1 << jnp.arange(objects, dtype=jnp.int32), 0))
    return (state.place * 2**objects + present)[None].astype(jnp.int32)


def _observation(count: int, objects: int, moving: bool) -> Box:
    if moving:
        return state_numbers(count, *[count + 1] * objects)
    states = count * 2**objects
    return state_numbers(states)


def _environment(
    name: str,
    side: int,
    params: GridTask,
    moving: bool,
    time_limit: int,
    sample_task: Callable[[Key, GridTask], GridTask],
) -> Environment:
    count, objects = side**2, len(params.cells)

    def init(key: Key, params: GridTask) -> tuple[GridState, Array]:
        walls, cells = jnp.asarray(params.walls), jnp.asarray(params.cells, jnp.int32)
        there = cells < count
        if moving:
            place, *drawn = jnp.unstack(scattered(key, walls, 1 + objects))
            cells = jnp.where(there, jnp.stack(drawn), count)
        else:
            place = scattered(key, walls.at[cells].set(True, mode="drop"), 1)[0]
        state = GridState(place, cells, there, jnp.int32(0))
        return state, look(state, count, moving)

    def step(
        key: Key, params: GridTask, state: GridState, action: Array
    ) -> tuple[GridState, TimeStep]:
        rewards, ends, returns = (
            jnp.asarray(x, jnp.float32) for x in (params.rewards, params.ends, params.returns)
        )
        place = _moved(jnp.asarray(params.walls), state.place, action)
        found = state.there & (state.cells == place)
        of_end, of_return = jax.random.uniform(key, (2, objects))
        ended = jnp.any(found & (of_end < ends))
        there = (state.there & ~found) | (~state.there & (of_return < returns))
        after = GridState(place, state.cells, there, state.time + 1)
        reward = jnp.sum(jnp.where(found, rewards, 0.0))
        late = ~ended & (after.time >= params.limit)
        return after, timestep(look(after, count, moving), reward, ended, late)

    return Environment(
        name=name,
        observation=_observation(count, objects, moving),
        action=Discrete(len(MOVES)),
        time_limit=time_limit,
        params=params,
        init=init,
        step=step,
        limit=lambda params: params.limit,
        sample_task=sample_task,
    )
