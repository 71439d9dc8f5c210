"""Families of tabular MDPs: random ones, chains, grids and layers.

The maze and the layers are those of Chelu et al. 2020, arXiv 2010.13685.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.argument import integer, number, wrong
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.mdps.mdp import MDP, tabular

MAZE_48 = ("......XG", "..X...X.", "S.X...X.", "..X.....", "....X...", "........")

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""Row and column of the actions of a grid: up, right, down, left."""


def random_mdp(key: Key, states: int, actions: int, gamma: Array | float = 0.9) -> MDP:
    """Draw a continuing MDP by the protocol of KSMe's experiments.

    Of each row of probabilities, uniform numbers, a number of entries drawn from 1 .. S - 1 is
    zero; rewards f[S, A] are normal with mean 0.5 and standard deviation 1, clipped to [0, 1].
    Castro et al. 2023, arXiv 2310.19804, and its code (ksme/random_mdps). Pure: draw many with
    `jax.vmap`, in float64 with `in_float64`.

    Args:
        key: for the draw.
        states: S, at least 2.
        actions: A.
        gamma: the discount.

    Returns:
        The MDP, in JAX's precision.

    Raises:
        ValueError: too few states or actions.

    Example:
        >>> from functools import partial
        >>> from purejaxrl_suite import mdps
        >>> draw = mdps.in_float64(jax.vmap(partial(mdps.random_mdp, states=5, actions=2)))
        >>> draw(jax.random.split(jax.random.key(0), 100)).transition.shape
        (100, 5, 2, 5)
    """
    integer("states", states, 2)
    integer("actions", actions, 1)
    of_weights, of_order, of_count, of_rewards = jax.random.split(key, 4)
    shape = states, actions, states
    weights = jax.random.uniform(of_weights, shape)
    order = jnp.argsort(jax.random.uniform(of_order, shape), axis=-1)
    zeros = jax.random.randint(of_count, (states, actions, 1), 1, states)
    weights = jnp.where(order < zeros, 0.0, weights)
    rewards = jnp.clip(0.5 + jax.random.normal(of_rewards, (states, actions)), 0.0, 1.0)
    return MDP(
        transition=weights / jnp.sum(weights, axis=-1, keepdims=True),
        reward=jnp.repeat(rewards[..., None], states, axis=-1),
        gamma=jnp.asarray(gamma, weights.dtype),
        start=jnp.full(states, 1.0 / states),
        terminal=jnp.zeros(states, bool),
    )


def random_policy(key: Key, states: int, actions: int) -> Array:
    """Draw a policy f[S, A], each row uniform among all distributions."""
    return jax.random.dirichlet(key, jnp.ones(actions), (states,))


def chain(length: int, gamma: float = 0.99) -> MDP:
    """Build a chain: from state 0 to the right, reward 1 on entering the terminal last state.

    Actions are left, which stays in state 0, and right. v*(s) = gamma^(length - 1 - s).

    Args:
        length: states before the last one.
        gamma: the discount.

    Returns:
        The MDP with length + 1 states.
    """
    states = integer("length", length, 1) + 1
    at, transition = np.arange(length), np.zeros((states, 2, states))
    transition[at, 0, np.maximum(at - 1, 0)] = 1.0
    transition[at, 1, at + 1] = 1.0
    reward = np.zeros((states, 2, states))
    reward[:, :, -1] = 1.0
    return tabular(transition, reward, gamma, start=np.eye(states)[0], terminal=_last(states, 1))


def grid(rows: Sequence[str], gamma: float = 0.99, slip: float = 0.0, paid: float = 1.0) -> MDP:
    """Build a grid world from a drawing: walls `X`, free cells `.`, starts `S`, goals `G`.

    Actions are up, right, down and left; into a wall or off the grid one stays. Entering a goal
    ends the episode with reward 1. States are the cells without walls, row by row.

    Args:
        rows: the drawing, rows of equal length.
        gamma: the discount.
        slip: probability that a direction drawn among all four takes the place of the action.
        paid: probability that a goal pays. Below 1 the last state is the end without reward.

    Returns:
        The MDP.

    Raises:
        ValueError: rows differ in length, have other letters, or no start or goal; a number is no
            probability.
    """
    cells = _cells(rows)
    number("slip", slip, low=0.0, high=1.0)
    number("paid", paid, low=0.0, high=1.0)
    index = {cell: i for i, (cell, _) in enumerate(cells)}
    letters = np.array([letter for _, letter in cells])
    moved = np.zeros((len(cells), 4, len(cells)))
    for (row, column), i in index.items():
        for action, (down, right) in enumerate(MOVES):
            moved[i, action, index.get((row + down, column + right), i)] = 1.0
    transition = (1.0 - slip) * moved + slip * moved.mean(axis=1, keepdims=True)
    goal, start = letters == "G", (letters == "S") / np.sum(letters == "S")
    if paid < 1.0:
        transition = _with_unpaid_end(transition, goal, paid)
        goal, start = np.append(goal, True), np.append(start, 0.0)
    pays = goal & (np.arange(len(goal)) < len(cells))
    reward = np.broadcast_to(pays.astype(float), transition.shape)
    return tabular(transition, reward, gamma, start=start, terminal=goal)


def cliff_world(gamma: float = 0.9) -> MDP:
    """Build the cliff world of functional mirror ascent: 4 columns of 5 cells, numbered upwards.

    From the start in the lower left corner, state 0, cells of the cliff (1, 2, 3) lie below the
    goal (4). Any action on the cliff costs 100 and leads back to the start; any action in the goal
    pays 1 and ends the episode in state 20. Actions are down, up, left and right; off the grid one
    stays. v* = gamma^6, beside the cliff; one column farther away a path is worth gamma^8. Vaswani
    et al. 2022, arXiv 2108.05828, and its code.
    """
    at, states = np.arange(20), 21
    transition, paid = np.zeros((states, 4, states)), np.zeros((states, 4))
    for action, (right, up) in enumerate(((0, -1), (0, 1), (-1, 0), (1, 0))):
        column, row = np.clip(at // 5 + right, 0, 3), np.clip(at % 5 + up, 0, 4)
        transition[at, action, 5 * column + row] = 1.0
    transition[1:4], paid[1:4] = np.eye(states)[0], -100.0
    transition[4], paid[4] = np.eye(states)[20], 1.0
    return tabular(
        transition, paid, gamma, start=np.eye(states)[0], terminal=np.arange(states) == 20
    )


def deep_sea_treasure(size: int = 5, gamma: float = 0.9) -> MDP:
    """Build the deep sea treasure of functional mirror ascent: a square in which one sinks.

    From the upper left corner every action, left or right, costs 0.01 / size and leads down a row,
    too; the bottom ends the episode. To enter its last cell by going right pays 1. Vaswani et al.
    2022, arXiv 2108.05828, and its code, after Osband et al. 2019, arXiv 1908.03568.

    Args:
        size: columns and rows; states are numbered upwards, column by column.
        gamma: the discount.
    """
    integer("size", size, 2)
    at = np.arange(size * size)
    column, row = at // size, at % size
    transition, paid = np.zeros((len(at), 2, len(at))), np.full((len(at), 2), -0.01 / size)
    for action, right in enumerate((-1, 1)):
        following = np.clip(column + right, 0, size - 1)
        transition[at, action, size * following + np.maximum(row - 1, 0)] = 1.0
    paid[(row == 1) & (column >= size - 2), 1] = 1.0
    return tabular(transition, paid, gamma, start=np.eye(len(at))[size - 1], terminal=row == 0)


def maze_48(gamma: float = 0.99, slip: float = 0.0, paid: float = 1.0) -> MDP:
    """Build the maze of 48 cells, 41 of them free, whose shortest path has 13 moves.

    v*(S) = gamma^12 paid without slips. Arguments as of `grid`; the paper's "dynamics probability"
    is 1 - slip.
    """
    return grid(MAZE_48, gamma=gamma, slip=slip, paid=paid)


def bipartite(key: Key, layers: Sequence[int] = (500, 5), gamma: float = 0.9) -> MDP:
    """Draw layers of states, each of which leads to a random one of the next layer.

    Probabilities of starts, all in the first layer, and of successors are normalised uniform
    numbers. Only entering the last layer, which is terminal, pays: normal, mean and standard
    deviation 10, fixed for each pair of states. Many causes of few effects, (500, 5), or few causes
    of many, (5, 500). Pure: draw many with `jax.vmap`.

    Args:
        key: for the draw.
        layers: how many states each layer has, two layers or more.
        gamma: the discount.

    Returns:
        The MDP with one action, in JAX's precision.

    Raises:
        ValueError: fewer than two layers, or one without states.
    """
    if len(layers) < 2:
        raise ValueError(f"layers: expected at least two, got {tuple(layers)}")
    sizes = [integer(f"layers[{i}]", size, 1) for i, size in enumerate(layers)]
    of_weights, of_start, of_rewards = jax.random.split(key, 3)
    layer = np.repeat(np.arange(len(sizes)), sizes)
    ends, states = layer == len(sizes) - 1, len(layer)
    allowed = layer[None, :] == layer[:, None] + 1
    weights = jnp.where(allowed, jax.random.uniform(of_weights, (states, states)), 0.0)
    weights = jnp.where(ends[:, None], np.eye(states), weights)
    first = jnp.where(layer == 0, jax.random.uniform(of_start, (states,)), 0.0)
    paid = 10.0 + 10.0 * jax.random.normal(of_rewards, (states, states))
    return MDP(
        transition=(weights / jnp.sum(weights, axis=1, keepdims=True))[:, None],
        reward=jnp.where(allowed & ends, paid, 0.0)[:, None],
        gamma=jnp.asarray(gamma, weights.dtype),
        start=first / jnp.sum(first),
        terminal=jnp.asarray(ends),
    )


def _with_unpaid_end(transition: np.ndarray, goal: np.ndarray, paid: float) -> np.ndarray:
    """Add a state that a goal's entries lead to when it does not pay, [S, A, S] -> one more."""
    lost = (1.0 - paid) * np.sum(transition[..., goal], axis=-1, keepdims=True)
    split = np.concatenate([np.where(goal, paid * transition, transition), lost], axis=-1)
    return np.pad(split, ((0, 1), (0, 0), (0, 0)))


def _cells(rows: Sequence[str]) -> list[tuple[tuple[int, int], str]]:
    """List ((row, column), letter) of the cells without walls."""
    text = "".join(rows)
    if len({len(row) for row in rows}) != 1 or set(text) - set("XSG."):
        raise wrong("rows", "texts of equal length of the letters X . S G", tuple(rows))
    if not {"S", "G"} <= set(text):
        raise wrong("rows", "a start S and a goal G", tuple(rows))
    drawn = [((i, j), letter) for i, row in enumerate(rows) for j, letter in enumerate(row)]
    return [(place, letter) for place, letter in drawn if letter != "X"]


def _last(states: int, count: int) -> np.ndarray:
    """Tell which are the last `count` states, bool[S]."""
    return np.arange(states) >= states - count
