"""Finite sets of items with families of densities on them: what preferences are about.

A cell of a grid, an arm of a bandit or a trajectory of a small world is an item.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from purejaxrl_suite.core.argument import integer, number, wrong
from purejaxrl_suite.core.types import Array, Key, PyTree
from purejaxrl_suite.ops import preferences
from purejaxrl_suite.ops.optimizers import adam

SPAN = 10.0
"""The grid covers [-10, 10]."""
PRIOR_SCALE = 5.0
PEAKS = ((-2.5, 0.25, 0.4), (2.5, 1.0, 0.6))
"""(mean, standard deviation, weight) of the two parts of the target."""
UNITS = (64, 64, 64, 64)


class Items(NamedTuple):
    """N items, the densities of the problem, and a family of densities.

    at: f[N], where items are, such as places on the grid or returns of trajectories.
    log_measure: f[N], of an item; 0 for probabilities.
    log_prior: f[N], log density of the prior.
    log_parts: f[K, N], log densities of the parts of the target.
    weights: f[K], of the parts.
    fresh: key -> parameters of a reward.
    start: key -> parameters whose density is the prior, or nearly so.
    log_weights: parameters -> f[N], log density up to a constant.
    """

    at: np.ndarray
    log_measure: np.ndarray
    log_prior: np.ndarray
    log_parts: np.ndarray
    weights: np.ndarray
    fresh: Callable[[Key], PyTree]
    start: Callable[[Key], PyTree]
    log_weights: Callable[[PyTree], Array]

    @property
    def log_target(self) -> np.ndarray:
        """Return the log density f[N] of the target, the mixture of its parts."""
        parts = self.log_parts + np.log(self.weights)[:, None]
        return np.logaddexp.reduce(parts, axis=0)


def _normalised(log_p: np.ndarray, log_measure: np.ndarray) -> np.ndarray:
    total = np.logaddexp.reduce(log_p + log_measure, axis=-1, keepdims=True)
    return (log_p - total).astype(np.float32)


def grid(cells: int = 512, pretraining: int = 4096) -> Items:
    """Make the line [-10, 10] in cells, with densities exp(-E(x)) of an energy E.

    The energy is a network 1-64-64-64-64-1 with tanh. The prior is N(0, 5) and the target is
    0.4 N(-2.5, 0.25) + 0.6 N(2.5, 1), all truncated to the line, as in the paper; it has 2^16
    points in place of cells.

    Args:
        cells: N.
        pretraining: steps in which the network learns the log density of the prior: Adam, with a
            rate that falls from 1e-3 to 0 like a cosine.

    Returns:
        The items.

    Raises:
        ValueError: there are fewer than 2 cells or 1 step.
    """
    integer("cells", cells, 2)
    integer("pretraining", pretraining, 1)
    edges = np.linspace(-SPAN, SPAN, cells + 1)
    x = ((edges[1:] + edges[:-1]) / 2).astype(np.float32)
    measure = np.full(cells, np.log(2 * SPAN / cells), np.float32)

    def normal(mean: float, scale: float) -> np.ndarray:
        return _normalised(-0.5 * ((x - mean) / scale) ** 2, measure)

    log_prior = normal(0.0, PRIOR_SCALE)

    def log_weights(params: PyTree) -> Array:
        return -energy(params, jnp.asarray(x))

    def start(key: Key) -> PyTree:
        def loss(params: PyTree) -> Array:
            return jnp.mean(jnp.square(log_weights(params) - log_prior))

        return _fitted(loss, energy_params(key), pretraining)

    return Items(
        at=x,
        log_measure=measure,
        log_prior=log_prior,
        log_parts=np.stack([normal(mean, scale) for mean, scale, _ in PEAKS]),
        weights=np.asarray([weight for *_, weight in PEAKS], np.float32),
        fresh=energy_params,
        start=start,
        log_weights=log_weights,
    )


def energy_params(key: Key) -> PyTree:
    """Draw the weights of the energy network; their variance is 1 / inputs, biases are 0."""
    sizes = (1, *UNITS, 1)
    keys = jax.random.split(key, len(sizes) - 1)
    params = {}
    for i, (inputs, outputs) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        kernel = jax.random.normal(keys[i], (inputs, outputs)) / np.sqrt(inputs)
        params[f"layer_{i}"] = {"kernel": kernel, "bias": jnp.zeros(outputs)}
    return params


def energy(params: PyTree, x: Array) -> Array:
    """Compute the energies f[N] of places f[N]."""
    hidden = x[:, None]
    for i in range(len(UNITS)):
        layer = params[f"layer_{i}"]
        hidden = jnp.tanh(hidden @ layer["kernel"] + layer["bias"][None])
    last = params[f"layer_{len(UNITS)}"]
    return (hidden @ last["kernel"])[:, 0] + last["bias"]


def _fitted(loss: Callable[[PyTree], Array], params: PyTree, steps: int) -> PyTree:
    """Descend on a loss by Adam, with a rate that falls from 1e-3 to 0 like a cosine."""
    state = adam(0.0).init(params)

    def step(i: Array, carry: tuple[PyTree, Any]) -> tuple[PyTree, Any]:
        params, state = carry
        rate = 5e-4 * (1.0 + jnp.cos(jnp.pi * i / steps))
        change, state = adam(rate).update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, change), state

    return jax.lax.fori_loop(0, steps, step, (params, state))[0]


def tabular(
    prior: Sequence[float], parts: Sequence[Sequence[float]], weights: Sequence[float] = (1.0,)
) -> Items:
    """Make N items, such as arms of a bandit, with densities softmax(logits).

    Args:
        prior: probabilities of N items.
        parts: probabilities of the parts of the target.
        weights: of the parts.

    Returns:
        The items; a place is the item's number.

    Raises:
        ValueError: numbers are no probabilities, or differ in their number.
    """
    log_prior, log_parts = _log("prior", [prior])[0], _log("parts", parts)
    if log_prior.shape != log_parts.shape[1:]:
        raise wrong("parts", f"probabilities of {len(log_prior)} items", np.shape(parts))
    of_parts = np.exp(_log("weights", [weights])[0])
    if len(of_parts) != len(log_parts):
        raise wrong("weights", f"one for each of {len(log_parts)} parts", weights)
    size = len(log_prior)
    return Items(
        at=np.arange(size, dtype=np.float32),
        log_measure=np.zeros(size, np.float32),
        log_prior=log_prior,
        log_parts=log_parts,
        weights=of_parts,
        fresh=lambda key: {"logits": jnp.zeros(size)},
        start=lambda key: {"logits": jnp.asarray(log_prior)},
        log_weights=lambda params: params["logits"],
    )


def _log(name: str, rows: Sequence[Sequence[float]]) -> np.ndarray:
    table = np.asarray(rows, np.float64)
    if table.ndim != 2 or not np.all(table > 0) or not np.allclose(table.sum(axis=1), 1.0):
        raise wrong(name, "probabilities above 0 that sum to 1", rows)
    return _normalised(np.log(table), np.zeros(table.shape[1]))


def bandit(arms: int = 64, temperature: float = 1.0) -> Items:
    """Make a bandit whose rewards are those of normal quantiles, and a policy of all of its arms.

    The target is proportional to exp(reward / temperature), the prior falls from the worst arm to
    the best: what is preferred is unlikely at first.

    Args:
        arms: N.
        temperature: of the target.

    Returns:
        The items.

    Raises:
        ValueError: there are fewer than 2 arms, or the temperature is not above 0.
    """
    integer("arms", arms, 2)
    number("temperature", temperature, above=0.0)
    rewards = np.linspace(-1.0, 1.0, arms)
    target, prior = np.exp(rewards / temperature), np.exp(-rewards)
    return tabular(prior / prior.sum(), [target / target.sum()])._replace(
        at=rewards.astype(np.float32)
    )


def trajectories(size: int = 3, horizon: int = 4, temperature: float = 1.0) -> Items:
    """Make all trajectories of a gridworld, with a policy that depends on time and cell.

    The world has size x size cells; the actions go up, right, down and left, and stay at walls. A
    trajectory starts in a corner, has `horizon` actions and a reward of 1 for each visit of the
    opposite corner or of a cell beside it. A density is the product of the policy's probabilities.
    The target, proportional to exp(return / temperature), is that of the best policy with a bonus
    for entropy, and so in the family. The prior is the policy of uniform actions.

    Args:
        size: cells of a side.
        horizon: actions; there are 4^horizon trajectories.
        temperature: of the target.

    Returns:
        The items, whose places are returns.

    Raises:
        ValueError: a number is out of range.
    """
    integer("size", size, 2)
    integer("horizon", horizon, 1, 5)
    number("temperature", temperature, above=0.0)
    count = 4**horizon
    visits = np.zeros((count, horizon, size * size, 4), np.float32)
    returns = np.zeros(count, np.float32)
    moves = ((-1, 0), (0, 1), (1, 0), (0, -1))
    for i, actions in enumerate(product(range(4), repeat=horizon)):
        row = column = 0
        for t, action in enumerate(actions):
            visits[i, t, row * size + column, action] = 1.0
            row = min(max(row + moves[action][0], 0), size - 1)
            column = min(max(column + moves[action][1], 0), size - 1)
            returns[i] += row + column >= 2 * size - 3
    flat = visits.reshape(count, -1)
    zeros, uniform = np.zeros(count, np.float32), np.full(count, -np.log(count), np.float32)

    def log_weights(params: PyTree) -> Array:
        return jnp.asarray(flat) @ jnp.ravel(jax.nn.log_softmax(params["logits"]))

    def even(key: Key) -> PyTree:
        return {"logits": jnp.zeros(visits.shape[1:])}

    return Items(
        at=returns,
        log_measure=zeros,
        log_prior=uniform,
        log_parts=_normalised(returns[None] / temperature, zeros),
        weights=np.ones(1, np.float32),
        fresh=even,
        start=even,
        log_weights=log_weights,
    )


def log_density(items: Items, params: PyTree) -> Array:
    """Compute the normalised log density f[N] of parameters."""
    return preferences.normalised(items.log_weights(params), jnp.asarray(items.log_measure))
