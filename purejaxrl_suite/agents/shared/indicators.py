"""Indicator tasks of proto-value networks: sets of observations, each with a share p of all.

Random networks: r_i(s) = 1 where z_i(s) = g_i(s) + b_i > 0. g_i is an output, after a ReLU, of a
random network that is never learnt; b_i is a quantile of it, fitted to the data by pinball
regression. An output that is 0 for all data has no quantile: such a dead task is drawn anew.

Hashes: r_i(s) = 1 where a random hash of the observation's numbers is 0; nothing is fitted.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.core import types
from purejaxrl_suite.core.types import Array, Box, Key, Network, PyTree

PRIME = 2**13 - 1
"""Modulus of hashes, as in the paper's code."""


class Indicators(NamedTuple):
    """State of the tasks.

    params: of random networks, leaves [modules, ...], or coefficients of hashes. bias: f32[tasks].
    opt_state: of its optimizer. live: bool[tasks], whether an output has been above 0 since it was
    drawn. redrawn: f32[], tasks drawn anew so far.
    """

    params: PyTree
    bias: Array
    opt_state: Any
    live: Array
    redrawn: Array


class Tasks(NamedTuple):
    """Functions of tasks.

    init: key -> params. outputs: (params, obs[B, ...]) -> g f32[B, tasks]. count: tasks. fitted:
    whether a bias is. redraw: (key, params, dead bool[tasks]) -> params.
    """

    init: Any
    outputs: Any
    count: int
    fitted: bool
    redraw: Any


def random_networks(network: Network, tasks: int, per_network: int) -> Tasks:
    """Make tasks of random networks with `per_network` outputs each, before their ReLU.

    Raises:
        ValueError: `per_network` does not divide the tasks.
    """
    if tasks % per_network:
        text = f"expected a divisor of the {tasks} tasks"
        raise ValueError(f"tasks_per_network: {text}, got {per_network}")
    modules = tasks // per_network

    def init(key: Key) -> PyTree:
        return jax.vmap(network.init)(jax.random.split(key, modules))

    def outputs(params: PyTree, obs: Array) -> Array:
        found = jax.vmap(lambda one: network.apply(one, obs)[0])(params)
        return jnp.reshape(jnp.moveaxis(jax.nn.relu(found), 0, 1), (len(obs), tasks))

    def redraw(key: Key, params: PyTree, dead: Array) -> PyTree:
        """Draw the heads of dead tasks anew, and the whole network where all of its tasks are."""
        fresh, dead = init(key), jnp.reshape(dead, (modules, per_network))
        whole = jnp.all(dead, axis=1)

        def leaf(path: Any, old: Array, new: Array) -> Array:
            axes = tuple(range(1, old.ndim))
            mask = jnp.expand_dims(whole, axes)
            if path[0].key == "heads":  # whose last axis are the tasks
                mask = jnp.expand_dims(dead, tuple(range(1, old.ndim - 1)))
            return jnp.where(mask, new, old)

        return jax.tree.map_with_path(leaf, params, fresh)

    return Tasks(init, outputs, tasks, True, redraw)


def hashes(observation: Box, tasks: int, buckets: int) -> Tasks:
    """Make tasks of hashes of observations of integers, 1 where the hash is 0 modulo `buckets`.

    Raises:
        ValueError: observations are not integers or bools.
    """
    if observation.dtype.startswith("float"):
        text = f"expected 0 for observations that are no integers, got {buckets}"
        raise ValueError(f"hash_buckets: {text} for {observation.dtype}")
    size = math.prod(observation.shape)

    def init(key: Key) -> Array:
        return jax.random.randint(key, (size + 1, tasks), 0, PRIME)

    def outputs(params: Array, obs: Array) -> Array:
        x = jnp.reshape(obs, (len(obs), size)).astype(jnp.int32)

        def one(coefficients: Array) -> Array:
            # Each product is reduced, so that a sum of them fits into 32 bits.
            terms = (x * coefficients[None, 1:]) % PRIME
            value = (coefficients[0] + jnp.sum(terms, axis=1)) % PRIME
            return jnp.where(value % buckets == 0, 1.0, 0.0)

        return jax.lax.map(one, params.T).T

    return Tasks(init, outputs, tasks, False, lambda key, params, dead: params)


def rewards(state: Indicators, outputs: Array) -> Array:
    """Compute r f32[B, tasks] of outputs f32[B, tasks], without a gradient."""
    return jax.lax.stop_gradient((outputs + state.bias[None] > 0.0).astype(jnp.float32))


def quantile_gradient(bias: Array, outputs: Array, activation: Array | float) -> Array:
    """Compute the gradient f32[tasks] of the pinball loss, mean of z ((1 - p) - 1[z < 0]).

    It is 0 where a share p of z = outputs + bias is not below 0.
    """
    below = jnp.mean((outputs + bias[None] < 0.0).astype(jnp.float32), axis=0)
    return (1.0 - activation) - below


def initial(key: Key, tasks: Tasks, optimizer: optax.GradientTransformation) -> Indicators:
    """Draw tasks; no bias is fitted yet."""
    bias = jnp.zeros(tasks.count)
    live = jnp.full(tasks.count, not tasks.fitted)
    return Indicators(tasks.init(key), bias, optimizer.init(bias), live, jnp.zeros(()))


def quantiles(outputs: Array, activation: Array | float) -> Array:
    """Compute the bias f32[tasks] with which a share p of outputs f32[B, tasks] is above 0."""
    return -jnp.quantile(outputs, 1.0 - activation, axis=0)


def fitted(
    tasks: Tasks,
    optimizer: optax.GradientTransformation,
    state: Indicators,
    outputs: Array,
    activation: Array | float,
) -> Indicators:
    """Move biases towards the quantiles of outputs f32[B, tasks], where tasks have some."""
    if not tasks.fitted:
        return state
    gradient = quantile_gradient(state.bias, outputs, activation)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.bias)
    bias = jnp.asarray(optax.apply_updates(state.bias, updates))
    return state._replace(bias=bias, opt_state=opt_state)


def renewed(
    key: Key,
    tasks: Tasks,
    state: Indicators,
    obs: Array,
    activation: Array | float,
    *,
    warm: Array,
    first: Array,
) -> Indicators:
    """Draw dead tasks anew while biases are fitted (warm); their biases begin at quantiles.

    first: whether nothing has been learnt yet, so all biases begin there.
    """
    if not tasks.fitted:
        return state
    seen = jnp.any(tasks.outputs(state.params, obs) > 0.0, axis=0)
    dead = warm & ~(state.live | seen)
    params = tasks.redraw(key, state.params, dead)
    outputs = tasks.outputs(params, obs)
    return state._replace(
        params=params,
        bias=jnp.where(dead | first, quantiles(outputs, activation), state.bias),
        live=state.live | jnp.any(outputs > 0.0, axis=0),
        redrawn=state.redrawn + jnp.sum(dead).astype(jnp.float32),
    )


def measured(state: Indicators, outputs: Array, wanted: Array | float) -> dict[str, Array]:
    """Measure how tasks do on outputs f32[B, tasks]; wanted: the share of reward 1."""
    share = jnp.mean(rewards(state, outputs), axis=0)
    near = (share >= 0.5 * wanted) & (share <= 2.0 * wanted)
    return {
        "activation": jnp.mean(share),
        "activated": jnp.mean(near.astype(jnp.float32)),
        "dead_tasks": jnp.sum(~state.live).astype(jnp.float32),
        "redrawn_tasks": state.redrawn,
    }


def default_network(env: types.Environment, per_network: int) -> Network:
    """Make the random network of tasks: the default encoder and one hidden layer (ours)."""
    outputs = types.Discrete(per_network)
    return nets.q_network(env.observation, outputs, hidden=(64,), layer_norm=False)


def made(
    env: types.Environment,
    tasks: int,
    per_network: int,
    *,
    hash_buckets: int,
    network: Network | None,
) -> Tasks:
    """Make tasks of hashes, or with 0 buckets of random networks.

    Raises:
        ValueError: as in `hashes` and `random_networks`.
    """
    if hash_buckets:
        return hashes(env.observation, tasks, hash_buckets)
    network = network or default_network(env, per_network)
    return random_networks(network, tasks, per_network)
