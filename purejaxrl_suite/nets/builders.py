"""Build networks for agents: actor-critic and action values."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.core.types import Box, Discrete, Network, Space
from purejaxrl_suite.nets.bridges import Bridge, Scale, Site, flatten
from purejaxrl_suite.nets.encoders import Encoder, default_encoder
from purejaxrl_suite.nets.heads import ActorCritic, GaussianHead, Linear, value_heads
from purejaxrl_suite.nets.layers import Activation, Initializer, Style
from purejaxrl_suite.nets.network import Blueprint, Body, assemble
from purejaxrl_suite.nets.recurrent import Gru


def actor_critic(
    observation: Box,
    action: Space,
    *,
    hidden: tuple[int, ...] = (64, 64),
    activation: Activation = jnp.tanh,
    encoder: Encoder | None = None,
    bridge: Bridge | None = None,
    critic_bridge: Bridge | None = None,
    scale: Scale | None = None,
    critic_scale: Scale | None = None,
    shared: bool = False,
    memory_units: int = 0,
    values: int | None = None,
    layer_norm: bool = False,
    dtype: Any = jnp.float32,
) -> Network:
    """Build a policy and value network; its output is `ActorCritic(policy, value f32[B])`.

    Initialised as in PureJaxRL and CleanRL: orthogonal, gain sqrt(2) in hidden layers, 0.01 in the
    policy head, 1 in the value head; biases and the log standard deviation start at zero.

    Args:
        observation: space of the observations, without batch axes.
        action: Discrete gives logits f32[B, A], Box a `Gaussian` with state-independent standard
            deviation.
        hidden: units of the dense layers of the trunk.
        activation: of the trunk; encoders have their own.
        encoder: (observation, style) -> Part; None takes `default_encoder(observation)`.
        bridge: from the encoder to the heads; None is `flatten()`.
        critic_bridge: bridge of the critic, if it is not shared; None is that of the actor.
        scale: factors on the size of the network.
        critic_scale: factors on the size of the critic, if it is not shared; None is `scale`.
        shared: one encoder and trunk for both heads, instead of one each.
        memory_units: of a GRU between trunk and heads; 0 for none. A recurrent network is always
            shared: one memory serves both heads.
        values: numbers V of the value head, which makes the output's value f32[B, V]; None is a
            value.
        layer_norm: before each hidden activation.
        dtype: of matrix products; parameters and outputs are float32.

    Returns:
        The network.

    Raises:
        ValueError: an argument is out of range, or a convolution does not fit the observations.

    Example:
        >>> env = pjs.make("CartPole-v1")
        >>> network = pjs.nets.actor_critic(env.observation, env.action, hidden=(32, 32))
        >>> pjs.nets.parameter_count(network)[""]
        2531
    """
    check(observation, hidden, memory_units)
    units = 1 if values is None else integer("values", values, 1)
    style = Style(nn.initializers.orthogonal(math.sqrt(2)), layer_norm, dtype)
    encoder = encoder or default_encoder(observation)
    site = Site(observation, encoder, style=style, hidden=hidden, activation=activation)
    actor = bridge or flatten(), scale or Scale()
    critic = critic_bridge or actor[0], critic_scale or actor[1]
    if (shared or memory_units) and critic != actor:
        raise ValueError("critic_bridge, critic_scale: the critic is that of the actor here")
    if shared or memory_units:
        both = ("policy", "value")
        bodies = (_body(site, actor[0], actor[1], heads=both, memory_units=memory_units),)
    else:
        streams = (("actor", "policy", actor), ("critic", "value", critic))
        bodies = tuple(
            _body(site._replace(stream=(name,)), of[0], of[1], heads=(head,))
            for name, head, of in streams
        )
    heads = {
        "policy": policy_head(action, nn.initializers.orthogonal(0.01), dtype),
        "value": Linear(units, nn.initializers.orthogonal(1.0), dtype),
    }
    gru = Gru(memory_units, dtype) if memory_units else None
    output = _both if values is None else _all_values
    return assemble(
        Blueprint(observation=observation, bodies=bodies, heads=heads, output=output, gru=gru)
    )


def q_network(
    observation: Box,
    action: Space,
    *,
    hidden: tuple[int, ...] = (256, 256),
    activation: Activation = jax.nn.relu,
    encoder: Encoder | None = None,
    bridge: Bridge | None = None,
    scale: Scale | None = None,
    memory_units: int = 0,
    layer_norm: bool = True,
    atoms: int = 0,
    dueling: bool = False,
    noisy: bool = False,
    kernel_init: Initializer | None = None,
    dtype: Any = jnp.float32,
) -> Network:
    """Build a network of action values; its output is f32[B, A], or f32[B, A, atoms].

    Initialised as in purejaxql: He normal in hidden layers, LeCun normal in the head, zero biases.
    The network of Young and Tian for MinAtar is `encoder=minatar_cnn(), hidden=(128,),
    layer_norm=False`.

    Args:
        observation: space of the observations, without batch axes.
        action: Discrete.
        hidden: units of the dense layers of the trunk.
        activation: of the trunk; encoders have their own.
        encoder: (observation, style) -> Part; None takes `default_encoder(observation)`.
        bridge: from the encoder to the heads; None is `flatten()`.
        scale: factors on the size of the network.
        memory_units: of a GRU between trunk and heads; 0 for none.
        layer_norm: before each hidden activation.
        atoms: numbers for each action: logits of C51's atoms, or quantiles of QR-DQN. 0 is one
            value.
        dueling: a value and advantages from the same last layer, joined by `heads.combine`.
        noisy: dense layers and heads are `noisy.NoisyLinear`; see `nets.add_noise`.
        kernel_init: of all kernels that are not noisy, in place of the two above.
        dtype: of matrix products; parameters and outputs are float32.

    Returns:
        The network.

    Raises:
        ValueError: an argument is out of range, the action space is not Discrete, or a convolution
            does not fit the observations.

    Example:
        >>> env = pjs.make("CartPole-v1")
        >>> network = pjs.nets.q_network(env.observation, env.action, hidden=(32,), dueling=True)
        >>> print(*list(pjs.nets.parameter_count(network, depth=2))[1:4])
        heads heads/advantage heads/value
    """
    check(observation, hidden, memory_units)
    actions = check_discrete(action).n
    if atoms < 0:
        raise ValueError(f"atoms={atoms}: expected 0 for plain values, or more")
    style = Style(kernel_init or nn.initializers.he_normal(), layer_norm, dtype, noisy)
    encoder = encoder or default_encoder(observation)
    site = Site(observation, encoder, style=style, hidden=hidden, activation=activation)
    of_heads = kernel_init or nn.initializers.lecun_normal()
    heads = value_heads(
        actions, atoms=atoms, dueling=dueling, noisy=noisy, kernel_init=of_heads, dtype=dtype
    )
    names = tuple(heads.modules)
    body = _body(
        site, bridge or flatten(), scale or Scale(), heads=names, memory_units=memory_units
    )
    gru = Gru(memory_units, dtype) if memory_units else None
    return assemble(
        Blueprint(
            observation=observation,
            bodies=(body,),
            heads=heads.modules,
            output=heads.output,
            gru=gru,
        )
    )


def _both(outputs: Mapping[str, Any]) -> ActorCritic:
    return ActorCritic(outputs["policy"], outputs["value"][:, 0])


def _all_values(outputs: Mapping[str, Any]) -> ActorCritic:
    return ActorCritic(outputs["policy"], outputs["value"])


def _body(
    site: Site, bridge: Bridge, scale: Scale, heads: tuple[str, ...], memory_units: int = 0
) -> Body:
    span = bridge(site.scaled(scale))
    if memory_units and not span.parts:
        raise ValueError(f"memory_units={memory_units}: experts that are whole networks have none")
    return Body(span.parts, heads, span.ensemble)


def policy_head(action: Space, kernel_init: Initializer, dtype: Any) -> nn.Module:
    """Make the head of a policy; ValueError for actions of a kind that has none."""
    if isinstance(action, Discrete):
        return Linear(action.n, kernel_init, dtype)
    if isinstance(action, Box) and len(action.shape) == 1:
        return GaussianHead(action.shape[0], kernel_init, dtype)
    raise ValueError(f"action={action}: expected Discrete, or Box with one axis")


def check(observation: Box, hidden: tuple[int, ...], memory_units: int) -> None:
    """Raise ValueError for arguments that no network can be built from."""
    if not isinstance(observation, Box):
        raise ValueError(f"observation={observation}: expected a Box")
    if any(units < 1 for units in hidden):
        raise ValueError(f"hidden={hidden}: expected positive numbers of units")
    if memory_units < 0:
        raise ValueError(f"memory_units={memory_units}: expected 0 for none, or more")


def check_discrete(action: Space) -> Discrete:
    """Return the action space if it is Discrete; raise ValueError for any other."""
    if not isinstance(action, Discrete):
        raise ValueError(f"action={action}: expected Discrete")
    return action
