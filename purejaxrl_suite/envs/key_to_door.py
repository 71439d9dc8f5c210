"""Key-to-Door: a key opens a door after a phase of apples (Hung et al. 2019, arXiv 1810.06721).

Boards, colours and orders are those of the authors' pycolab code; the phases are 15, 60 and 10
steps in the setting of synthetic returns, 15, 90 and 15 in the original one.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Array, Box, Discrete, Environment, Key, PyTree, TimeStep
from purejaxrl_suite.envs.common import timestep

BACKGROUND, WALL, KEY, DOOR, APPLE, INDICATOR, PLAYER = range(7)
COLOURS = np.array(
    [
        [204, 204, 204],
        [25, 25, 25],
        [159, 81, 44],
        [134, 206, 235],
        [140, 178, 0],
        [255, 255, 255],
        [228, 148, 109],
    ],
    np.uint8,
)
ROOMS = (
    (
        "..#######..",
        "..#     #..",
        "..#     #..",
        "..##   ##..",
        "..#     #..",
        "..#     #..",
        "..#######..",
    ),
    (
        "###########",
        "#a a a a a#",
        "# a a a a #",
        "#a a a a a#",
        "# a a a a #",
        "#a a   a a#",
        "###########",
    ),
    (
        "...........",
        "...##d##...",
        "...#   #...",
        "...#   #...",
        "...#   #...",
        "...#####...",
        "...........",
    ),
)
HEIGHT, WIDTH = len(ROOMS[0]), len(ROOMS[0][0])
VIEW = 5
"""Rows and columns of the view, with the player in its middle."""
WALLS = np.array([[[row[i] == "#" for i in range(WIDTH)] for row in room] for room in ROOMS])
TREES = np.argwhere([[x == "a" for x in row] for row in ROOMS[1]]).astype(np.int32)
"""i32[22, 2], where apples may be."""
AT_DOOR = np.array([1, 5], np.int32)
AT_INDICATOR = np.array([0, 5], np.int32)
STARTS = np.array([[0, 0], [5, 5], [3, 5]], np.int32)
"""Where the phases start; the first one somewhere in its lower block."""
MOVES = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]], np.int32)
RESPAWN = 20
"""Steps that an apple is gone for."""
APPLES = 10


class State(NamedTuple):
    """State of an episode.

    player, key: i32[2], row and column. taken: bool[], the key was. holds: bool[], it is in hand.
    opened: bool[], the door was. indicated: bool[], the indicator is shown. trees: bool[22], which
    bear apples. gone: i32[22], steps until an apple is there again, 0 where it is. worth: f32[], of
    an apple. eaten: i32[], apples. time: i32[].
    """

    player: Array
    key: Array
    taken: Array
    holds: Array
    opened: Array
    indicated: Array
    trees: Array
    gone: Array
    worth: Array
    eaten: Array
    time: Array


def key_to_door() -> Environment:
    """Make Key-to-Door as in the experiments with synthetic returns (arXiv 2102.12425).

    15 steps with a key in a room, 60 with apples worth 1 each, 10 before a door that opens to who
    has the key, for 5, once. Actions are north, south, west, east. Observations u8[5, 5, 3] are
    colours around the player, who does not see whether the key is in hand. `info` has `key`, `door`
    (whether it was taken, and opened) and `apples`.
    """
    return _key_to_door((15, 60, 10), worths=(1.0, 1.0), prize=5.0)


def key_to_door_tvt() -> Environment:
    """Make the original Key-to-Door: phases of 15, 90 and 15 steps, and a prize of 10.

    All apples of an episode are worth 1, or all 10, by a coin. The rest is as in `key_to_door`.
    """
    return _key_to_door((15, 90, 15), worths=(1.0, 10.0), prize=10.0)


def _key_to_door(
    phases: tuple[int, int, int], worths: tuple[float, float], prize: float
) -> Environment:
    ends = np.cumsum(phases)

    def phase_of(time: Array) -> Array:
        return jnp.minimum(jnp.sum(time >= ends), 2)

    def init(key: Key, params: PyTree) -> tuple[State, Array]:
        player, at_key, trees, worth = jax.random.split(key, 4)
        state = State(
            player=_in_block(player) + jnp.array([4, 3], jnp.int32),
            key=_in_block(at_key) + jnp.array([1, 3], jnp.int32),
            taken=jnp.zeros((), bool),
            holds=jnp.zeros((), bool),
            opened=jnp.zeros((), bool),
            indicated=jnp.zeros((), bool),
            trees=jax.random.permutation(trees, jnp.arange(len(TREES))) < APPLES,
            gone=jnp.zeros(len(TREES), jnp.int32),
            worth=jnp.where(jax.random.bernoulli(worth), *worths).astype(jnp.float32),
            eaten=jnp.int32(0),
            time=jnp.int32(0),
        )
        return state, _look(state, phase_of(state.time))

    def step(key: Key, params: PyTree, state: State, action: Array) -> tuple[State, TimeStep]:
        phase, time = phase_of(state.time), state.time + 1
        player = _moved(state, phase, action)
        picks = (phase == 0) & ~state.taken & jnp.all(player == state.key)
        opens = (phase == 2) & state.holds & jnp.all(player == AT_DOOR)
        here = jnp.all(player[None] == TREES, axis=1) & state.trees & (phase == 1)
        eats = here & (state.gone == 0)
        gone = jnp.where(eats, RESPAWN + 1, state.gone)
        gone = jnp.maximum(gone - ((phase == 1) & ~eats), 0)
        reward = jnp.sum(eats) * state.worth + jnp.where(opens, prize, 0.0)
        following = phase_of(time)
        after = state._replace(
            player=jnp.where(following == phase, player, jnp.asarray(STARTS)[following]),
            taken=state.taken | picks,
            holds=(state.holds | picks) & ~opens,
            opened=state.opened | opens,
            indicated=picks,
            gone=gone,
            eaten=state.eaten + jnp.sum(eats),
            time=time,
        )
        info = {"key": after.taken, "door": after.opened, "apples": after.eaten}
        info = {name: x.astype(jnp.float32) for name, x in info.items()}
        return after, timestep(_look(after, following), reward, time >= ends[-1], info=info)

    return Environment(
        name="key_to_door",
        observation=Box((VIEW, VIEW, 3), "uint8", 0, 255),
        action=Discrete(4),
        time_limit=int(ends[-1]),
        params=(),
        init=init,
        step=step,
        render=lambda params, state: jnp.asarray(COLOURS)[_board(state, phase_of(state.time))],
    )


def _in_block(key: Key) -> Array:
    """Draw a cell of two rows and five columns, i32[2]."""
    return jnp.stack(jnp.divmod(jax.random.randint(key, (), 0, 10), 5)).astype(jnp.int32)


def _moved(state: State, phase: Array, action: Array) -> Array:
    """Move the player, unless a wall, a locked door or the edge of the board is in the way."""
    to = state.player + jnp.asarray(MOVES)[action]
    inside = jnp.all((to >= 0) & (to < jnp.array([HEIGHT, WIDTH])))
    at = jnp.clip(to, 0, jnp.array([HEIGHT - 1, WIDTH - 1]))
    locked = (phase == 2) & ~(state.holds | state.opened) & jnp.all(to == AT_DOOR)
    blocked = ~inside | jnp.asarray(WALLS)[phase, at[0], at[1]] | locked
    return jnp.where(blocked, state.player, to)


def _board(state: State, phase: Array) -> Array:
    """Draw the board of a phase, codes u8[7, 11]; what is drawn later hides what is below."""
    board = jnp.asarray(WALLS)[phase].astype(jnp.uint8)

    def put(board: Array, at: Array, code: int, where: Array) -> Array:
        return board.at[at[0], at[1]].set(jnp.where(where, code, board[at[0], at[1]]))

    board = put(board, state.key, KEY, (phase == 0) & ~state.taken)
    board = put(board, jnp.asarray(AT_INDICATOR), INDICATOR, (phase == 0) & state.indicated)
    board = put(board, jnp.asarray(AT_DOOR), DOOR, phase == 2)
    rows, columns = TREES.T
    ripe = (phase == 1) & state.trees & (state.gone == 0)
    board = board.at[rows, columns].set(jnp.where(ripe, APPLE, board[rows, columns]))
    return put(board, state.player, PLAYER, jnp.ones((), bool))


def _look(state: State, phase: Array) -> Array:
    """Look at the colours around the player, u8[5, 5, 3]; beyond the board is background."""
    around = jnp.pad(_board(state, phase), VIEW // 2)
    seen = jax.lax.dynamic_slice(around, tuple(state.player), (VIEW, VIEW))
    return jnp.asarray(COLOURS)[seen]
