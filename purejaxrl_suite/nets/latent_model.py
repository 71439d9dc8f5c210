"""A policy with a model of latent states: Muesli's network (arXiv 2104.06159, section 4.4).

The policy may have an LSTM between trunk and heads, as in the paper. A dense layer takes its last
features to a latent state; a GRU, whose inputs are actions, takes that on, one step each. Linear
heads predict the reward of the step, and the value and the policy after it, from the latent state
alone. The paper's model is an LSTM, too; the GRU, whose state is bounded as that of the dense layer
is, is our setting.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core.types import Array, Box, Edge, Key, Network, Path, PyTree, Space
from purejaxrl_suite.nets import lstm, recurrent
from purejaxrl_suite.nets.bridges import Site, flatten
from purejaxrl_suite.nets.builders import check, check_discrete
from purejaxrl_suite.nets.encoders import Encoder, default_encoder
from purejaxrl_suite.nets.heads import Linear
from purejaxrl_suite.nets.layers import Activation, Style
from purejaxrl_suite.nets.matmul import multiply
from purejaxrl_suite.nets.network import Blueprint, Body, assemble
from purejaxrl_suite.nets.recurrent import Gru

START: Path = ("aux", "start", "kernel")
POLICY: Path = ("heads", "policy", "kernel")


class Predicted(NamedTuple):
    """Predictions for K steps, leaves [K, B, ...], all of them logits.

    policy: f32[K, B, A], after each step. reward: f32[K, B, M], of the step. value: f32[K, B, M],
    after it.
    """

    policy: Array
    reward: Array
    value: Array


class LatentModel(NamedTuple):
    """A policy network, and the functions of its model.

    network: its output is logits f32[B, A]; `init` draws all parameters, the model's under `aux`.
    start: (params, features) -> latent states f32[..., D]; `features` are `Internals.features` of
        `network.apply` or `network.unroll` with the same parameters.
    predict: (params, latent f32[B, D], actions i32[K, B]) -> Predicted.
    ahead: (params, latent f32[..., D]) -> Predicted one step ahead with every action, leaves
        [..., A, ...].
    """

    network: Network
    start: Callable[[PyTree, Mapping[str, Array]], Array]
    predict: Callable[[PyTree, Array, Array], Predicted]
    ahead: Callable[[PyTree, Array], Predicted]


def latent_model(
    observation: Box,
    action: Space,
    *,
    hidden: tuple[int, ...] = (256,),
    activation: Activation = jax.nn.relu,
    encoder: Encoder | None = None,
    memory_units: int = 0,
    model_units: int = 256,
    atoms: int = 61,
    dtype: Any = jnp.float32,
) -> LatentModel:
    """Build a policy network with a model.

    Hidden layers are orthogonal with gain sqrt(2), heads with gain 0.01; biases are zero.

    Args:
        observation: space of the observations, without batch axes.
        action: Discrete.
        hidden: units of the dense layers of the trunk, at least one.
        activation: of the trunk; encoders have their own.
        encoder: (observation, style) -> Part; None takes `default_encoder(observation)`.
        memory_units: of an LSTM between trunk and heads; 0 for none.
        model_units: of the latent state (D).
        atoms: of predicted rewards and values (M).
        dtype: of matrix products; parameters and outputs are float32.

    Returns:
        The network and its model.

    Raises:
        ValueError: a size is out of range, the action space is not Discrete, or a convolution does
            not fit the observations.

    Example:
        >>> env = pjs.make("CartPole-v1")
        >>> model = pjs.nets.latent_model(env.observation, env.action, hidden=(8,), model_units=4)
        >>> pjs.nets.parameter_count(model.network, depth=1)["heads"]
        18
    """
    check(observation, hidden, memory_units)
    actions = check_discrete(action).n
    if not hidden or model_units < 1 or atoms < 2:
        raise ValueError(
            f"hidden={hidden}, model_units={model_units}, atoms={atoms}: expected a layer, a unit "
            f"and two atoms or more"
        )
    style = Style(nn.initializers.orthogonal(math.sqrt(2)), False, dtype)
    encoder = encoder or default_encoder(observation)
    site = Site(observation, encoder, style=style, hidden=hidden, activation=activation)
    heads = {"policy": Linear(actions, nn.initializers.orthogonal(0.01), dtype)}
    body = Body(flatten()(site).parts, ("policy",))
    cell = lstm.cell(memory_units, dtype) if memory_units else None
    network = assemble(Blueprint(observation, (body,), heads, lambda out: out["policy"], cell=cell))
    (last,) = (edge.layer for edge in network.wiring if POLICY in edge.outgoing)
    gru = Gru(model_units, dtype)
    sizes = {"policy": actions, "reward": atoms, "value": atoms}

    def init(key: Key) -> PyTree:
        key_network, key_aux = jax.random.split(key)
        aux = _init_aux(
            key_aux, gru, inputs=memory_units or hidden[-1], actions=actions, heads=sizes
        )
        return network.init(key_network) | {"aux": aux}

    def start(params: PyTree, features: Mapping[str, Array]) -> Array:
        return jnp.tanh(_affine(params["aux"]["start"], features[last], dtype))

    def predict(params: PyTree, latent: Array, actions_taken: Array) -> Predicted:
        aux = params["aux"]
        joined = recurrent.join(gru, aux["dynamics"])
        one_hot = jax.nn.one_hot(jnp.ravel(actions_taken), actions)
        projected = recurrent.project(joined, one_hot)
        inputs = jnp.reshape(projected, (*actions_taken.shape, -1))

        def step(latent: Array, inputs: Array) -> tuple[Array, Array]:
            latent = recurrent.step(joined, inputs, latent)
            return latent, latent

        return heads_of(aux, jax.lax.scan(step, latent, inputs)[1])

    def heads_of(aux: PyTree, latents: Array) -> Predicted:
        return Predicted(*(_affine(aux[name], latents, dtype) for name in Predicted._fields))

    def ahead(params: PyTree, latent: Array) -> Predicted:
        aux, rows = params["aux"], jnp.reshape(latent, (-1, latent.shape[-1]))
        joined = recurrent.join(gru, aux["dynamics"])
        inputs = recurrent.project(joined, jnp.eye(actions))
        # The product with the state is the same for all actions: once, not for each.
        after = recurrent.each(joined, inputs, rows)
        return heads_of(aux, jnp.reshape(after, (*latent.shape[:-1], actions, -1)))

    wiring = tuple(_with_model(edge, last) for edge in network.wiring)
    return LatentModel(network._replace(init=init, wiring=wiring), start, predict, ahead)


def _with_model(edge: Edge, last: str) -> Edge:
    """Add to the edge of the last layer its reader under `aux`."""
    return edge._replace(outgoing=(*edge.outgoing, START)) if edge.layer == last else edge


def _init_aux(
    key: Key, gru: Gru, *, inputs: int, actions: int, heads: Mapping[str, int]
) -> dict[str, Any]:
    """Draw parameters under `aux`."""
    key_start, key_dynamics, *keys = jax.random.split(key, 2 + len(heads))
    small = nn.initializers.orthogonal(0.01)
    made: dict[str, Any] = {
        name: _layer(key, small, gru.units, units)
        for key, (name, units) in zip(keys, heads.items(), strict=True)
    }
    made["start"] = _layer(key_start, nn.initializers.lecun_normal(), inputs, gru.units)
    made["dynamics"] = recurrent.init(gru, key_dynamics, actions)
    return made


def _layer(key: Key, kernel_init: Any, inputs: int, units: int) -> dict[str, Array]:
    kernel = kernel_init(key, (inputs, units), jnp.float32)
    return {"kernel": kernel, "bias": jnp.zeros(units, jnp.float32)}


def _affine(params: Mapping[str, Array], x: Array, dtype: Any) -> Array:
    flat = jnp.reshape(x, (-1, x.shape[-1]))
    y = multiply(flat.astype(dtype), params["kernel"].astype(dtype)).astype(jnp.float32)
    return jnp.reshape(y + params["bias"][None], (*x.shape[:-1], -1))
