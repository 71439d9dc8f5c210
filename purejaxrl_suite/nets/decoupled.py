"""Actor and critic with encoders of their own or a shared one, of PPG, DCPG and DAAC."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core.types import Array, Box, Network, Space
from purejaxrl_suite.nets.bridges import Site, flatten
from purejaxrl_suite.nets.builders import actor_critic, check, policy_head
from purejaxrl_suite.nets.encoders import Encoder, default_encoder
from purejaxrl_suite.nets.heads import Gaussian, Linear
from purejaxrl_suite.nets.layers import Activation, Style
from purejaxrl_suite.nets.network import Blueprint, Body, assemble


class DecoupledOutput(NamedTuple):
    """Output of `decoupled_actor_critic`.

    policy: logits f32[B, A] or Gaussian. value: f32[B], of the critic. auxiliary: f32[B, units], of
    the actor.
    """

    policy: Array | Gaussian
    value: Array
    auxiliary: Array


def decoupled_actor_critic(
    observation: Box,
    action: Space,
    *,
    hidden: tuple[int, ...] = (256,),
    activation: Activation = jax.nn.relu,
    encoder: Encoder | None = None,
    units: int = 1,
    shared: bool = False,
    layer_norm: bool = False,
    dtype: Any = jnp.float32,
) -> Network:
    """Build a policy and a value network that share nothing; the output is `DecoupledOutput`.

    The actor has one more linear head, on the same features as the policy: the value of PPG and
    DCPG, or advantages in DAAC. Initialised as `actor_critic`. With `shared` it is the shared
    `actor_critic`, for PPG and DCPG: the critic's features are the actor's, and the critic's head
    takes the place of the actor's second one.

    Args:
        observation: space of the observations, without batch axes.
        action: Discrete, or a Box with one axis.
        hidden: units of the dense layers of each trunk.
        activation: of the trunks; encoders have their own.
        encoder: (observation, style) -> Part; None takes `default_encoder(observation)`.
        units: outputs of the auxiliary head.
        shared: one encoder and trunk for policy and value; the output is `ActorCritic`.
        layer_norm: before each hidden activation.
        dtype: of matrix products; parameters and outputs are float32.

    Returns:
        The network, with the streams `actor` and `critic`, or without any if it is shared.

    Raises:
        ValueError: an argument is out of range, or a convolution does not fit the observations.

    Example:
        >>> env = pjs.make("CartPole-v1")
        >>> network = pjs.nets.decoupled_actor_critic(env.observation, env.action, hidden=(32,))
        >>> print(*list(pjs.nets.parameter_count(network, depth=2))[1:4])
        heads heads/auxiliary heads/policy
    """
    check(observation, hidden, 0)
    if units < 1:
        raise ValueError(f"units={units}: expected 1 or more")
    if shared and units != 1:
        raise ValueError(f"units={units}: expected 1 where the critic's head serves the actor, too")
    if shared:
        return actor_critic(
            observation,
            action,
            hidden=hidden,
            activation=activation,
            encoder=encoder,
            shared=True,
            layer_norm=layer_norm,
            dtype=dtype,
        )
    style = Style(nn.initializers.orthogonal(math.sqrt(2)), layer_norm, dtype)
    encoder = encoder or default_encoder(observation)
    site = Site(observation, encoder, style=style, hidden=hidden, activation=activation)
    streams = ("actor", ("policy", "auxiliary")), ("critic", ("value",))
    bodies = []
    for name, of_stream in streams:
        span = flatten()(site._replace(stream=(name,)))
        bodies.append(Body(span.parts, of_stream, span.ensemble))
    one = nn.initializers.orthogonal(1.0)
    heads = {
        "policy": policy_head(action, nn.initializers.orthogonal(0.01), dtype),
        "auxiliary": Linear(units, one, dtype),
        "value": Linear(1, one, dtype),
    }
    return assemble(Blueprint(observation, tuple(bodies), heads, _output, cell=None))


def _output(outputs: Mapping[str, Any]) -> DecoupledOutput:
    return DecoupledOutput(outputs["policy"], outputs["value"][:, 0], outputs["auxiliary"])
