"""Start states of the MiniGrid environments.

They come from navix if it draws them as minigrid 3 does. If not (docs/minigrid_parity.md), the
generator is written here after minigrid's `_gen_grid`: the same distribution, not the same random
numbers. A start function is `key -> Start`, unbatched, without rejection loops.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.envs import minigrid_view as view
from purejaxrl_suite.envs import navix


class Start(NamedTuple):
    """A start state.

    cells: u8[height, width] (minigrid_view). position: i32[2], row, column. direction: i32[].
    """

    cells: Array
    position: Array
    direction: Array


StartFunction = Callable[[Key], Start]


def from_navix(env_id: str) -> StartFunction:
    """Draw the starts of a navix environment."""
    engine = navix.make_engine(env_id)

    def start(key: Key) -> Start:
        state = navix.reset(engine, key)
        player = state.get_player()
        # A player off the grid is not drawn: cells are what lies beneath the agent.
        hidden = state.entities["player"].replace(position=jnp.full((1, 2), -1))
        bare = state.replace(entities=dict(state.entities, player=hidden))
        cells = view.encode(_symbolic(bare))
        return Start(cells, player.position.astype(jnp.int32), player.direction.astype(jnp.int32))

    return start


def _symbolic(state: Any) -> Array:
    import navix as engine

    return engine.observations.symbolic(state)


def multi_room(env_id: str) -> StartFunction:
    """Draw navix's MultiRoom, but with floor between the rooms, where navix has walls."""
    inner = from_navix(env_id)

    def start(key: Key) -> Start:
        cells, position, direction = inner(key)
        room = jnp.pad(cells != view.WALL_CELL, 1)
        height, width = cells.shape
        shifts = [room[i : i + height, j : j + width] for i in range(3) for j in range(3)]
        beside_room = functools.reduce(jnp.logical_or, shifts)
        return Start(jnp.where(beside_room, cells, jnp.uint8(view.EMPTY)), position, direction)

    return start


def empty_random(size: int) -> StartFunction:
    """EmptyEnv with agent_start_pos=None: goal in the corner, agent on any other cell."""

    def start(key: Key) -> Start:
        cells = _put(_room_grid(size, 1, 1), (size - 2, size - 2), view.GOAL_CELL)
        return _place_agent(key, cells, _everywhere(cells))

    return start


def four_rooms(key: Key) -> Start:
    """FourRoomsEnv: 19 x 19, one gap in each of the four inner walls."""
    key_gaps, key_goal, key_agent = jax.random.split(key, 3)
    gaps = jax.random.randint(
        key_gaps, (4,), 1, 9
    )  # 1..8 steps from the outer wall or from the centre
    cells = _room_grid(10, 2, 2)
    for row, column in ((gaps[0], 9), (9 + gaps[1], 9), (9, gaps[2]), (9, 9 + gaps[3])):
        cells = _put(cells, (row, column), view.EMPTY)
    cells = _place(key_goal, cells, view.GOAL_CELL, _everywhere(cells))
    return _place_agent(key_agent, cells, _everywhere(cells))


def door_key(size: int) -> StartFunction:
    """DoorKeyEnv: a wall with a locked door between agent and key, and the goal in the corner."""

    def start(key: Key) -> Start:
        key_wall, key_door, key_agent, key_key = jax.random.split(key, 4)
        cells = _put(_room_grid(size, 1, 1), (size - 2, size - 2), view.GOAL_CELL)
        split = jax.random.randint(key_wall, (), 2, size - 2)
        cells = cells.at[:, split].set(view.WALL_CELL)
        # MiniGrid never puts the door into the last row.
        row = jax.random.randint(key_door, (), 1, size - 2)
        cells = _put(cells, (row, split), view.cell(view.LOCKED, view.YELLOW))
        left = _rectangle(cells, top=0, bottom=size, left=0, right=split)
        cells = _place(key_key, cells, view.cell(view.KEY, view.YELLOW), left)
        return _place_agent(key_agent, cells, left)

    return start


def red_blue_doors(size: int) -> StartFunction:
    """RedBlueDoorEnv: a square room in a grid twice as wide, red door left, blue door right."""

    def start(key: Key) -> Start:
        key_rows, key_agent = jax.random.split(key)
        left, right = size // 2, size // 2 + size - 1
        cells = jnp.full((size, 2 * size), view.EMPTY, jnp.uint8)
        cells = cells.at[jnp.asarray([0, size - 1]), :].set(view.WALL_CELL)
        cells = cells.at[:, jnp.asarray([0, left, right, 2 * size - 1])].set(view.WALL_CELL)
        rows = jax.random.randint(key_rows, (2,), 1, size - 1)
        cells = _put(cells, (rows[0], left), view.cell(view.CLOSED, view.RED))
        cells = _put(cells, (rows[1], right), view.cell(view.CLOSED, view.BLUE))
        return _place_agent(
            key_agent, cells, _rectangle(cells, top=0, bottom=size, left=left, right=left + size)
        )

    return start


def two_rooms(
    target: int | None, *, blocked: bool = False, key_in_box: bool = False, maze: bool = False
) -> StartFunction:
    """UnlockEnv (no target), UnlockPickupEnv, BlockedUnlockPickupEnv, ObstructedMaze_1Dlhb (maze).

    target: kind of the object in the right-hand room. blocked: a ball is in front of the door.
    key_in_box: the key is hidden. maze: ball colours are the fixed ones of ObstructedMaze;
    otherwise they are drawn.
    """
    size = 6

    def start(key: Key) -> Start:
        key_door, key_colours, key_target, key_key, key_agent = jax.random.split(key, 5)
        cells = _room_grid(size, 1, 2)
        door, colours = 1 + jax.random.randint(key_door, (), 0, 4), _colours(key_colours, 3)
        cells = _put(cells, (door, 5), view.cell(view.LOCKED, colours[0]))
        if target is not None:
            # Room (1, 0) has RoomGrid's provisional agent position (3, 8): nothing is put on or
            # beside that cell.
            code = view.cell(target, view.BLUE if maze else colours[1])
            rows, columns = jnp.indices(cells.shape)
            apart = jnp.abs(rows - 3) + jnp.abs(columns - 8) >= 2
            cells = _place(key_target, cells, code, apart & _room(cells, size, 0, 1))
        if blocked:
            colour = view.GREEN if maze else colours[2]
            cells = _put(cells, (door, 4), view.cell(view.BALL, colour))
        left = _room(cells, size, 0, 0)
        kind = view.BOX_WITH_KEY if key_in_box else view.KEY
        cells = _place(key_key, cells, view.cell(kind, colours[0]), left)
        return _place_agent(key_agent, cells, left, clear_front=True)

    return start


def key_corridor(size: int, rows: int) -> StartFunction:
    """KeyCorridorEnv: three columns of rooms, a corridor in the middle, a ball behind a lock."""
    # Walls that may get a door: (row, column, side) with side 0 to the right, 1 below.
    walls = [(j, i, 0) for j in range(rows) for i in (0, 1)]
    walls += [(j, i, 1) for j in range(rows - 1) for i in (0, 2)]
    ends = [(3 * j + i, 3 * j + i + (3 if side else 1)) for j, i, side in walls]
    step = size - 1

    def start(key: Key) -> Start:
        key_rows, key_doors, key_order, key_colours, key_ball, key_key, key_agent = (
            jax.random.split(key, 7)
        )
        ball_row, key_row = jax.random.randint(key_rows, (2,), 0, rows)
        *colours, ball_colour, lock_colour = _colours(key_colours, len(walls) + 2)
        offsets = 1 + jax.random.randint(key_doors, (len(walls),), 0, size - 2)
        doors = [_door(size, *wall, offset) for wall, offset in zip(walls, offsets, strict=True)]

        cells = _room_grid(size, rows, 3)
        for j in range(1, rows):
            cells = cells.at[step * j, step + 1 : 2 * step].set(view.EMPTY)
        is_locked = jnp.arange(len(walls)) == 2 * ball_row + 1
        cells = _put_some(cells, doors, [view.cell(view.LOCKED, lock_colour)], is_locked)
        ball_room, key_room = _room(cells, size, ball_row, 2), _room(cells, size, key_row, 0)
        cells = _place(key_ball, cells, view.cell(view.BALL, ball_colour), ball_room)
        cells = _place(key_key, cells, view.cell(view.KEY, lock_colour), key_room)
        # The corridor has no walls: the agent may also start where one was removed.
        middle = step * (rows // 2)
        corridor = _rectangle(
            cells, top=middle, bottom=middle + size, left=step, right=2 * step + 1
        )
        agent = _place_agent(key_agent, cells, corridor, clear_front=True)

        added = _connect(key_order, rows, ball_row, jnp.asarray(ends))
        closed = [view.cell(view.CLOSED, colour) for colour in colours]
        return agent._replace(cells=_put_some(agent.cells, doors, closed, added))

    return start


def _connect(key: Key, rows: int, ball_row: Array, ends: Array) -> Array:
    """Choose walls that get a door, bool[walls], so that every room is reached.

    RoomGrid.connect_all tries random walls, so doors are added in a random order of the walls. The
    locked room gets no other door: its locked door already leads to the corridor.
    """
    locked_room = 3 * ball_row + 2
    groups = jnp.arange(3 * rows)
    corridor = (groups % 3 == 1) | (groups == locked_room)
    groups = jnp.where(corridor, 1, groups)
    eligible = jnp.all(ends != locked_room, axis=1)

    def add(groups: Array, wall: Array) -> tuple[Array, Array]:
        a, b = groups[ends[wall, 0]], groups[ends[wall, 1]]
        added = eligible[wall] & jnp.any(groups != groups[0])
        return jnp.where(added & (groups == b), a, groups), added

    order = jax.random.permutation(key, len(ends))
    _, added = jax.lax.scan(add, groups, order)
    return jnp.zeros(len(ends), bool).at[order].set(added)


def obstructed_maze(
    quarters: int, agent_room: tuple[int, int], *, key_in_box: bool, blocked: bool
) -> StartFunction:
    """ObstructedMaze_Full_V1: side rooms with two locked doors each, a blue ball in a corner room.

    agent_room: (row, column) of the room in which the agent starts.
    """
    size = 6
    sides = ((1, 2), (2, 1), (1, 0), (0, 1))[:quarters]
    corners = jnp.asarray(((0, 2), (2, 2), (2, 0), (0, 0))[:quarters])
    kind = view.BOX_WITH_KEY if key_in_box else view.KEY

    def start(key: Key) -> Start:
        key_colours, key_doors, key_keys, key_corner, key_ball, key_agent = jax.random.split(key, 6)
        colours = jax.random.permutation(key_colours, 6)
        offsets = 1 + jax.random.randint(key_doors, (quarters, 3), 0, size - 2)
        keys = jax.random.split(key_keys, (quarters, 2))
        cells = _room_grid(size, 3, 3)
        for i, (row, column) in enumerate(sides):
            middle = view.cell(view.CLOSED, colours[i])
            cells = _put(cells, _door(size, row=1, column=1, side=i, offset=offsets[i, 0]), middle)
            for n, k in enumerate((-1, 1)):
                side, colour = (i + k) % 4, colours[(i + k) % 6]
                door = _door(size, row=row, column=column, side=side, offset=offsets[i, n + 1])
                cells = _put(cells, door, view.cell(view.LOCKED, colour))
                if blocked:
                    before = [at - by for at, by in zip(door, view.STEPS[side], strict=True)]
                    cells = _put(cells, before, view.cell(view.BALL, view.GREEN))
            room = _room(cells, size, row, column)
            for n, k in enumerate((-1, 1)):
                hidden = view.cell(kind, colours[(i + k) % 6])
                cells = _place(keys[i, n], cells, hidden, room)
        row, column = corners[jax.random.randint(key_corner, (), 0, quarters)]
        ball = view.cell(view.BALL, view.BLUE)
        cells = _place(key_ball, cells, ball, _room(cells, size, row, column))
        return _place_agent(key_agent, cells, _room(cells, size, *agent_room), clear_front=True)

    return start


def _room_grid(size: int, rows: int, columns: int) -> Array:
    """Draw square rooms of `size` cells with shared walls."""
    row, column = jnp.indices(((size - 1) * rows + 1, (size - 1) * columns + 1))
    wall = (row % (size - 1) == 0) | (column % (size - 1) == 0)
    return jnp.where(wall, view.WALL_CELL, view.EMPTY).astype(jnp.uint8)


def _door(size: int, row: int, column: int, side: int, offset: Any) -> tuple[Any, Any]:
    """Return the cell of a door in a room's wall: side 0 right, 1 below, 2 left, 3 above."""
    top, left, step = (size - 1) * row, (size - 1) * column, size - 1
    if side in (0, 2):
        return top + offset, left + (step if side == 0 else 0)
    return top + (step if side == 1 else 0), left + offset


def _rectangle(cells: Array, top: Any, bottom: Any, left: Any, right: Any) -> Array:
    """Mask rows top..bottom-1, columns left..right-1: bool[height, width]."""
    row, column = jnp.indices(cells.shape)
    return (row >= top) & (row < bottom) & (column >= left) & (column < right)


def _everywhere(cells: Array) -> Array:
    return jnp.ones(cells.shape, bool)


def _room(cells: Array, size: int, row: Any, column: Any) -> Array:
    """Mask the inside of a room of a room grid."""
    top, left = (size - 1) * row, (size - 1) * column
    return _rectangle(
        cells, top=top + 1, bottom=top + size - 1, left=left + 1, right=left + size - 1
    )


def _colours(key: Key, n: int) -> Array:
    return jax.random.randint(key, (n,), 0, 6)


def _put(cells: Array, at: Any, code: Any) -> Array:
    return cells.at[at[0], at[1]].set(jnp.asarray(code).astype(jnp.uint8))


def _put_some(cells: Array, places: Any, codes: Any, mask: Array) -> Array:
    """Put n codes at n places, where the mask bool[n] is True."""
    rows, columns = (jnp.stack([jnp.asarray(at[axis]) for at in places]) for axis in (0, 1))
    new = jnp.where(mask, jnp.stack(codes), cells[rows, columns])
    return cells.at[rows, columns].set(new.astype(jnp.uint8))


def _draw(key: Key, mask: Array) -> Array:
    """Draw the index i32[ndim] of one True entry, uniformly."""
    flat = jax.random.categorical(key, jnp.where(mask.reshape(-1), 0.0, -jnp.inf))
    return jnp.stack(jnp.unravel_index(flat, mask.shape)).astype(jnp.int32)


def _place(key: Key, cells: Array, code: Any, region: Array) -> Array:
    """Put an object on an empty cell of the region."""
    return _put(cells, _draw(key, region & (cells == view.EMPTY)), code)


def _place_agent(key: Key, cells: Array, region: Array, *, clear_front: bool = False) -> Start:
    """Start on an empty cell of the region in any direction.

    clear_front: never facing an object or a door (RoomGrid.place_agent).
    """
    allowed = jnp.broadcast_to(region & (cells == view.EMPTY), (4, *cells.shape))
    if clear_front:
        fronts = jnp.stack(
            [jnp.roll(cells, (-row, -column), axis=(0, 1)) for row, column in view.STEPS]
        )
        allowed = allowed & ((fronts == view.EMPTY) | (fronts == view.WALL_CELL))
    drawn = _draw(key, allowed)
    return Start(cells, drawn[1:], drawn[0])
