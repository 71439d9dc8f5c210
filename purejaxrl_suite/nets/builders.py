"""The networks that agents are given: actor-critic and action values."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core.types import Array, Box, Discrete, Network, Space
from purejaxrl_suite.nets.encoders import Encoder, default_encoder
from purejaxrl_suite.nets.heads import ActorCritic, GaussianHead, Linear
from purejaxrl_suite.nets.layers import Activation, DenseLayer, Style, stack
from purejaxrl_suite.nets.network import Blueprint, Body, assemble
from purejaxrl_suite.nets.recurrent import Gru


def actor_critic(
    observation: Box,
    action: Space,
    *,
    hidden: tuple[int, ...] = (64, 64),
    activation: Activation = jnp.tanh,
    encoder: Encoder | None = None,
    shared: bool = False,
    memory_units: int = 0,
    layer_norm: bool = False,
    dtype: Any = jnp.float32,
) -> Network:
    """Policy and value network; `apply` puts out `ActorCritic(policy, value f32[B])`.

    Initialised as in PureJaxRL and CleanRL: orthogonal, gain sqrt(2) in hidden layers, 0.01 in the
    policy head, 1 in the value head; biases and the log standard deviation start at zero.

    Args:
        observation: what the network reads, without batch axes.
        action: Discrete gives logits f32[B, A], Box a `Gaussian` with state-independent deviation.
        hidden: units of the dense layers of the trunk.
        activation: of the trunk; encoders have their own.
        encoder: (observation, style) -> Part; None takes `default_encoder(observation)`.
        shared: one encoder and trunk for both heads, instead of one each.
        memory_units: of a GRU between trunk and heads; 0 for none. A recurrent network is always
            shared: one memory serves both heads.
        layer_norm: before each hidden activation.
        dtype: of matrix products; parameters and outputs are float32.
    """
    _check(observation, hidden, memory_units)
    style = Style(nn.initializers.orthogonal(math.sqrt(2)), layer_norm, dtype)
    build = encoder or default_encoder(observation)

    def body(stream: tuple[str, ...], heads: tuple[str, ...]) -> Body:
        return _body(observation, build, hidden, activation, style, stream, heads)

    if shared or memory_units:
        bodies = (body((), ("policy", "value")),)
    else:
        bodies = (body(("actor",), ("policy",)), body(("critic",), ("value",)))
    heads = {
        "policy": _policy_head(action, nn.initializers.orthogonal(0.01), dtype),
        "value": Linear(1, nn.initializers.orthogonal(1.0), dtype),
    }
    return assemble(
        Blueprint(
            observation,
            bodies,
            heads,
            lambda outputs: ActorCritic(outputs["policy"], outputs["value"][:, 0]),
            Gru(memory_units, dtype) if memory_units else None,
        )
    )


def q_network(
    observation: Box,
    action: Space,
    *,
    hidden: tuple[int, ...] = (256, 256),
    activation: Activation = jax.nn.relu,
    encoder: Encoder | None = None,
    memory_units: int = 0,
    layer_norm: bool = True,
    dtype: Any = jnp.float32,
) -> Network:
    """Action values; `apply` puts out f32[B, A].

    Initialised as in purejaxql: He normal in hidden layers, LeCun normal in the head, zero biases.
    The arguments are those of `actor_critic`; the action space must be Discrete.
    """
    _check(observation, hidden, memory_units)
    if not isinstance(action, Discrete):
        raise ValueError(f"action={action}: expected Discrete")
    style = Style(nn.initializers.he_normal(), layer_norm, dtype)
    build = encoder or default_encoder(observation)
    return assemble(
        Blueprint(
            observation,
            (_body(observation, build, hidden, activation, style, (), ("q",)),),
            {"q": Linear(action.n, nn.initializers.lecun_normal(), dtype)},
            lambda outputs: outputs["q"],
            Gru(memory_units, dtype) if memory_units else None,
        )
    )


def _body(
    observation: Box,
    encoder: Encoder,
    hidden: tuple[int, ...],
    activation: Activation,
    style: Style,
    stream: tuple[str, ...],
    heads: tuple[str, ...],
) -> Body:
    # The trunk reads the encoder's flat output, whatever its size, and its wiring does not need it.
    layers = tuple(DenseLayer(units) for units in hidden)
    trunk = stack(lambda x: x, (), layers, activation, style)
    parts = ((("encoder", *stream), encoder(observation, style)), (("trunk", *stream), trunk))
    return Body(parts, heads)


def _policy_head(action: Space, kernel_init: Callable[..., Array], dtype: Any) -> nn.Module:
    if isinstance(action, Discrete):
        return Linear(action.n, kernel_init, dtype)
    if isinstance(action, Box) and len(action.shape) == 1:
        return GaussianHead(action.shape[0], kernel_init, dtype)
    raise ValueError(f"action={action}: expected Discrete, or Box with one axis")


def _check(observation: Box, hidden: tuple[int, ...], memory_units: int) -> None:
    if not isinstance(observation, Box):
        raise ValueError(f"observation={observation}: expected a Box")
    if any(units < 1 for units in hidden):
        raise ValueError(f"hidden={hidden}: expected positive numbers of units")
    if memory_units < 0:
        raise ValueError(f"memory_units={memory_units}: expected 0 for none, or more")
