"""MiniGrid's grid as one byte per cell, and the agent's views of it.

A cell is `kind + 16 * colour`. Kinds are MiniGrid's object ids
(minigrid.core.constants.OBJECT_TO_IDX), except that doors have one kind for each state and a box
with a key inside is a kind of its own, with the key's colour. Views follow minigrid 3
(Grid.process_vis, MiniGridEnv.gen_obs, FullyObsWrapper) and are pure integer functions of one
unbatched state.
"""

from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array

UNSEEN, EMPTY, WALL, DOOR, KEY, BALL, BOX, GOAL, LAVA, AGENT = 0, 1, 2, 4, 5, 6, 7, 8, 9, 10
OPEN, CLOSED, LOCKED, BOX_WITH_KEY = 11, 12, 13, 14
RED, GREEN, BLUE, PURPLE, YELLOW, GREY = range(6)

VIEW = 7  # side of the partial view; the agent stands in the middle of the last row and looks up
# (row, column) of one step east, south, west, north: MiniGrid's directions 0..3.
STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


def cell(kind: Any, colour: Any = 0) -> Any:
    """Compute the code of a cell: u8 for arrays, int for ints."""
    return kind + 16 * colour


WALL_CELL = cell(WALL, GREY)
GOAL_CELL = cell(GOAL, GREEN)


def encode(symbols: Array) -> Array:
    """Encode MiniGrid's (object, colour, state) triples u8[..., 3] as cells u8[...]."""
    objects, colours, states = symbols[..., 0], symbols[..., 1], symbols[..., 2]
    return cell(jnp.where(objects == DOOR, OPEN + states, objects), colours)


def decode(cells: Array) -> Array:
    """Decode cells u8[...] to MiniGrid's (object, colour, state) triples u8[..., 3]."""
    kinds, colours = cells & 15, cells >> 4
    doors = (kinds >= OPEN) & (kinds <= LOCKED)
    hiding = kinds == BOX_WITH_KEY
    objects = jnp.where(doors, DOOR, jnp.where(hiding, BOX, kinds))
    # Boxes hold keys only in ObstructedMaze, where every box is grey.
    colours = jnp.where(hiding, GREY, colours)
    states = jnp.where(doors, kinds - OPEN, 0)
    return jnp.stack([objects, colours, states], axis=-1).astype(jnp.uint8)


def full(cells: Array, position: Array, direction: Array) -> Array:
    """Return FullyObsWrapper's grid u8[height, width, 3], with the agent as (10, 0, direction)."""
    agent = jnp.stack([jnp.asarray(AGENT), jnp.asarray(RED), direction]).astype(jnp.uint8)
    return decode(cells).at[position[0], position[1]].set(agent)


def partial(
    cells: Array, position: Array, direction: Array, carrying: Array, see_through: bool
) -> Array:
    """Return the agent's view u8[7, 7, 3]: its cell is row 6, column 3; row 0 is furthest ahead.

    cells: u8[height, width]. position: i32[2]. direction: i32[]. carrying: u8[], the cell of the
    carried object or 0, shown in the agent's own cell. see_through: walls and doors hide nothing.
    Hidden cells are (0, 0, 0), cells outside the grid are walls. MiniGrid's `image` is indexed [x,
    y]: the transpose of ours.
    """
    view = crop(cells, position, direction, WALL_CELL)
    if not see_through:
        view = jnp.where(visible(view), view, UNSEEN)
    own = jnp.where(carrying == 0, EMPTY, carrying).astype(jnp.uint8)
    return decode(view.at[VIEW - 1, VIEW // 2].set(own))


def crop(cells: Array, position: Array, direction: Array, outside: Any) -> Array:
    """Cut out the cells [7, 7] ahead of the agent, turned so that it looks up.

    Cells beyond the grid are `outside`.
    """
    height, width = cells.shape
    steps = jnp.asarray(STEPS)
    ahead, right = steps[direction], steps[(direction + 1) % 4]
    forward = jnp.arange(VIEW - 1, -1, -1)[:, None]
    aside = (jnp.arange(VIEW) - VIEW // 2)[None, :]
    rows = position[0] + ahead[0] * forward + right[0] * aside
    columns = position[1] + ahead[1] * forward + right[1] * aside
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    found = cells.reshape(-1).at[rows * width + columns].get(mode="clip")
    return jnp.where(inside, found, outside).astype(cells.dtype)


def visible(view: Array) -> Array:
    """Mask the cells that process_vis leaves visible, bool[7, 7], from the agent's row upward.

    A row is 7 bits. Light enters it from below, spreads sideways through see-through cells, lights
    the cell at which it stops, and each see-through lit cell lights the three cells above it.
    """
    kinds = view & 15
    see_behind = (kinds != WALL) & (kinds != CLOSED) & (kinds != LOCKED)
    clear = jnp.sum(jnp.where(see_behind, 1 << jnp.arange(VIEW)[None, :], 0), axis=1)
    lit, low, high = jnp.asarray(1 << (VIEW // 2)), 0, 0
    for row in reversed(range(VIEW)):
        source = lit & clear[row]
        for _ in range(VIEW - 1):
            source = source | (clear[row] & (source << 1 | source >> 1))
        spread = source | source << 1 | source >> 1
        seen = (lit | spread) & (2**VIEW - 1)
        low = low | (seen << VIEW * row if row < 4 else 0)
        high = high | (seen << VIEW * (row - 4) if row >= 4 else 0)
        lit = spread
    # Without the barrier the compiler fuses the flood into its reader and floods once per cell:
    # 4 times slower on CPU.
    low, high = jax.lax.optimization_barrier((low, high))
    bits = jnp.concatenate([low >> jnp.arange(4 * VIEW), high >> jnp.arange(3 * VIEW)]) & 1
    return bits.reshape(VIEW, VIEW) != 0


def render(cells: Array, position: Array, direction: Array) -> Array:
    """Draw the grid with navix's tiles of 8 x 8 pixels: u8[8 height, 8 width, 3]."""
    # Importing navix makes arrays, which must not become tracers when this is traced.
    with jax.ensure_compile_time_eval():
        from navix.rendering.registry import SPRITES_REGISTRY as SPRITES

    symbols = decode(cells)
    objects, colours, states = (symbols[..., i].astype(jnp.int32) for i in range(3))
    tiles = jnp.broadcast_to(SPRITES["floor"], (*cells.shape, 8, 8, 3))
    layers = {
        WALL: SPRITES["wall"],
        GOAL: SPRITES["goal"],
        LAVA: SPRITES["lava"],
        KEY: SPRITES["key"][colours],
        BALL: SPRITES["ball"][colours],
        BOX: SPRITES["box"][colours],
        DOOR: SPRITES["door"][colours, jnp.asarray([1, 0, 2])[states]],
    }
    for kind, tile in layers.items():
        drawn = jnp.broadcast_to(tile, tiles.shape)
        tiles = jnp.where((objects == kind)[..., None, None, None], drawn, tiles)
    tiles = tiles.at[position[0], position[1]].set(SPRITES["player"][direction])
    height, width = cells.shape
    return tiles.swapaxes(1, 2).reshape(8 * height, 8 * width, 3).astype(jnp.uint8)
