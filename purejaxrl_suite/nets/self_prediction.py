"""Action values with the self-predictive head of SPR (arXiv 2007.05929) and BBF (2305.19452).

The encoder's output, scaled to [0, 1] for each observation, is the latent state. A convolutional
model predicts the latents after each of K actions; the first dense layer of the trunk projects
them, without its activation, and a linear predictor follows. The targets are the target network's
projected latents of the true next observations. A pooling bridge comes before the projecting layer;
a bridge with parameters replaces that layer, so it is the projection.
"""

import itertools
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core.types import (
    Array,
    Box,
    Edge,
    Key,
    Network,
    PyTree,
    Space,
)
from purejaxrl_suite.nets import chain
from purejaxrl_suite.nets.bridges import Bridge, Site, flatten
from purejaxrl_suite.nets.builders import check, check_discrete
from purejaxrl_suite.nets.chain import Chain
from purejaxrl_suite.nets.conv import convolve
from purejaxrl_suite.nets.encoders import Encoder
from purejaxrl_suite.nets.heads import value_heads
from purejaxrl_suite.nets.impala import impala
from purejaxrl_suite.nets.layers import (
    READERS,
    Activation,
    Initializer,
    Part,
    Style,
    check_keeps_units,
)
from purejaxrl_suite.nets.matmul import multiply
from purejaxrl_suite.nets.network import Blueprint, Body, assemble

PROJECTION = ("trunk", "dense_0")
TRANSITION = ("aux", "transition")
PREDICTED = ("aux", "predictor", "kernel")


class SelfPredictive(NamedTuple):
    """A network of action values, and the functions of self-prediction.

    network: action values; `init` draws all parameters, those of self-prediction under `aux`.
    predict: (params, features, actions i32[B, K]) -> f32[B, K, D], predicted projections of the
        observations after each of the actions.
    project: (params, features) -> f32[B, D], the projection of the observations themselves.

    `features` are `Internals.features` of `network.apply` with the same parameters.
    """

    network: Network
    predict: Callable[[PyTree, Mapping[str, Array], Array], Array]
    project: Callable[[PyTree, Mapping[str, Array]], Array]


def self_predictive(
    observation: Box,
    action: Space,
    *,
    hidden: tuple[int, ...] = (512,),
    encoder: Encoder | None = None,
    bridge: Bridge | None = None,
    atoms: int = 51,
    dueling: bool = True,
    noisy: bool = False,
    activation: Activation = jax.nn.relu,
    kernel_init: Initializer | None = None,
    dtype: Any = jnp.float32,
) -> SelfPredictive:
    """Build BBF's network; `network.apply` returns f32[B, A, atoms], or f32[B, A] for 0 atoms.

    The units of the encoder's last layer are not recyclable: scaling a latent ties them together.
    A unit of the first dense layer that is dead after its activation is dead for the values but not
    for self-prediction, which reads it before the activation.

    Args:
        observation: space of shape (height, width, channels), without batch axes.
        action: Discrete.
        hidden: units of the dense layers; the first is the projection and has D units (if a bridge
            replaces it, D is the size of the bridge's output).
        encoder: with a convolutional output; None is `impala()`. BBF's is `impala(width=4)` with
            hidden (2048,).
        bridge: from the scaled latent to the heads; None is `flatten()`. A `big` one has no latent.
        atoms: numbers for each action.
        dueling: value and advantages, joined by `heads.combine`.
        noisy: dense layers and heads are `noisy.NoisyLinear`; self-prediction reads their means.
        activation: of dense layers and of the transition model.
        kernel_init: of all kernels; None is Xavier uniform.
        dtype: of matrix products; parameters and outputs are float32.

    Returns:
        The network with the functions of self-prediction.

    Raises:
        ValueError: a size is out of range, the encoder's output is not convolutional, or the bridge
            has no latent state.
    """
    check(observation, hidden, 0)
    check_keeps_units(activation)
    actions = check_discrete(action).n
    if not hidden or atoms < 0:
        raise ValueError(f"hidden={hidden}, atoms={atoms}: expected a layer, and 0 atoms or more")
    kernel_init = kernel_init or nn.initializers.xavier_uniform()
    style, encoder = Style(kernel_init, False, dtype, noisy), encoder or impala()
    last, channels = _latent(encoder(observation, style))
    span = (bridge or flatten())(Site(observation, encoder, style, hidden, activation=activation))
    if not span.parts:
        raise ValueError("bridge: experts that are whole networks have no latent state to predict")
    scaling = ("bridge",), Part(Scaled(), (), ())
    heads = value_heads(
        actions, atoms=atoms, dueling=dueling, noisy=noisy, kernel_init=kernel_init, dtype=dtype
    )
    body = Body((span.parts[0], scaling, *span.parts[1:]), tuple(heads.modules), span.ensemble)
    network = assemble(Blueprint(observation, (body,), heads.modules, heads.output, cell=None))
    between = _between(span.parts[1:])
    projects = any(part.edges for _, part in between)
    size = math.prod(between[-1][1].shape) if projects else hidden[0]

    def init(key: Key) -> PyTree:
        key_network, key_aux = jax.random.split(key)
        return network.init(key_network) | {
            "aux": _init_aux(key_aux, kernel_init, channels=channels, actions=actions, units=size)
        }

    def projected(params: PyTree, latent: Array) -> Array:
        x, _ = chain.run(between, params, jnp.reshape(latent, (latent.shape[0], -1)), {})
        return x if projects else _affine(chain.at(params, PROJECTION), x, dtype)

    def project(params: PyTree, features: Mapping[str, Array]) -> Array:
        return projected(params, scaled(features[last]))

    def predict(params: PyTree, features: Mapping[str, Array], actions: Array) -> Array:
        def step(latent: Array, action: Array) -> tuple[Array, Array]:
            latent = _transition(
                params["aux"]["transition"], latent, action, activation=activation, dtype=dtype
            )
            return latent, latent

        latents = jax.lax.scan(step, scaled(features[last]), actions.T)[1]
        rows = projected(params, jnp.reshape(latents, (actions.size, -1)))
        predicted = _affine(params["aux"]["predictor"], rows, dtype)
        return jnp.swapaxes(jnp.reshape(predicted, (*actions.T.shape, -1)), 0, 1)

    made = chain.wire(between, chain.Readers((PREDICTED,)))[0]
    ends = {edge.layer for edge in made if PREDICTED in edge.outgoing} or {"/".join(PROJECTION)}
    wiring = tuple(_with_aux(edge, last, ends) for edge in network.wiring)
    return SelfPredictive(network._replace(init=init, wiring=wiring), predict, project)


def _latent(encoder: Part) -> tuple[str, int]:
    """Return the layer whose output is the latent state, and its channels."""
    shape = encoder.shape
    if len(shape) != 3:
        raise ValueError(f"encoder: output shape {shape}, expected (height, width, channels)")
    end = next(edge for edge in encoder.edges if READERS in edge.outgoing)
    if end.units != shape[-1]:
        raise ValueError(f"encoder: {shape[-1]} outputs of {end.units} units, expected one of each")
    return f"encoder/{end.layer}", shape[-1]


def _between(parts: Chain) -> Chain:
    """Return the parts between the latent state and the trunk."""
    found = tuple(itertools.takewhile(lambda placed: placed[0][0] == "bridge", parts))
    if any(part.routes and not part.module.router.reads for _, part in found):
        raise ValueError("bridge: its router reads observations, expected one that reads tokens")
    return found


def _with_aux(edge: Edge, last: str, ends: Collection[str]) -> Edge:
    """Add to an edge the readers of its units under `aux`; `ends`: layers that are projected."""
    if edge.layer in ends:
        return edge._replace(outgoing=(*edge.outgoing, PREDICTED))
    if edge.layer == last:
        outgoing = (*edge.outgoing, (*TRANSITION, "conv_0", "kernel"))
        return edge._replace(outgoing=outgoing, recyclable=False)
    return edge


class Scaled(nn.Module):
    """Module of `scaled`, without parameters."""

    @nn.compact
    def __call__(self, x: Array, taps: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
        """Scale a batch."""
        return scaled(x), {}


def scaled(x: Array) -> Array:
    """Shift and scale every x[i] of a batch to [0, 1] (Schrittwieser et al. 2020, 1911.08265)."""
    axes = tuple(range(1, x.ndim))
    low, high = jnp.min(x, axes, keepdims=True), jnp.max(x, axes, keepdims=True)
    return (x - low) / (high - low + 1e-5)


def _init_aux(
    key: Key, kernel_init: Initializer, channels: int, actions: int, units: int
) -> dict[str, Any]:
    """Draw parameters under `aux`; kernel rows for actions are a leaf of their own: no units."""
    keys = jax.random.split(key, 3)
    first = kernel_init(keys[0], (3, 3, channels + actions, channels), jnp.float32)
    zeros = jnp.zeros(channels, jnp.float32)
    conv_0 = {"kernel": first[:, :, :channels], "action": first[:, :, channels:], "bias": zeros}
    second = kernel_init(keys[1], (3, 3, channels, channels), jnp.float32)
    predictor = kernel_init(keys[2], (units, units), jnp.float32)
    return {
        "transition": {"conv_0": conv_0, "conv_1": {"kernel": second, "bias": jnp.copy(zeros)}},
        "predictor": {"kernel": predictor, "bias": jnp.zeros(units, jnp.float32)},
    }


def _transition(
    params: PyTree, latent: Array, action: Array, activation: Activation, dtype: Any
) -> Array:
    """Predict the latent [B, height, width, C] after one action i32[B]."""
    first, second = params["conv_0"], params["conv_1"]
    one_hot = jax.nn.one_hot(action, first["action"].shape[2], dtype=latent.dtype)
    planes = jnp.broadcast_to(one_hot[:, None, None], (*latent.shape[:3], one_hot.shape[-1]))
    kernel = jnp.concatenate([first["kernel"], first["action"]], axis=2)
    x = jnp.concatenate([latent, planes], axis=-1)
    x = activation(_convolution(x, kernel, first["bias"], dtype))
    x = activation(_convolution(x, second["kernel"], second["bias"], dtype))
    return scaled(x)


def _convolution(x: Array, kernel: Array, bias: Array, dtype: Any) -> Array:
    y = convolve(x.astype(dtype), kernel.astype(dtype), (1, 1), "SAME")
    return y.astype(jnp.float32) + jnp.expand_dims(bias, (0, 1, 2))


def _affine(params: Mapping[str, Array], x: Array, dtype: Any) -> Array:
    y = multiply(x.astype(dtype), params["kernel"].astype(dtype))
    return y.astype(jnp.float32) + params["bias"][None]
