"""Which of a network's features are its representation, and their values at other observations."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.core.argument import one_of
from purejaxrl_suite.core.types import Array, Edge, Key, Network, Path, PyTree

Rows = dict[str, Array]
"""{layer: f32[B, D]}, flattened features."""

ACTOR, CRITIC = "actor", "critic"
"""Streams of a network, whose representation may be chosen by this name."""


def output_layers(network: Network) -> tuple[str, ...]:
    """Name the layers that are a network's representation.

    They are the last of the encoder, whose output bridge, trunk or heads read; where the encoder
    has no layers, as for vectors, the last of the trunk; those of its experts, if all units are
    theirs. Networks with streams have one for each.

    Raises:
        ValueError: the network has no hidden layer.
    """
    for namespace in ("encoder", "trunk", "bridge"):
        last = [edge for edge in network.wiring if _leaves(edge, namespace)]
        # What reads another of these layers, as behind the fractions of IQN, comes later.
        found = tuple(
            edge.layer
            for edge in last
            if not any(_reads(edge, other) for other in last if other is not edge)
        )
        if found:
            return found
    raise ValueError("network: expected a hidden layer, whose output is the representation")


def _part(edge: Edge) -> Path:
    """The path of the part of the network that a layer is in: `("trunk", "actor")`."""
    return tuple(edge.layer.split("/")[:-1])


def _reads(edge: Edge, other: Edge) -> bool:
    """Tell whether a layer's part of the network reads another layer."""
    part = _part(edge)
    return any(path[: len(part)] == part for path in other.outgoing)


def _leaves(edge: Edge, namespace: str) -> bool:
    """Tell whether a layer of that namespace is read outside of its own part."""
    part = _part(edge)
    outside = any(path[: len(part)] != part for path in edge.outgoing)
    return part[0] == namespace and outside


def chosen_layers(network: Network, layer: str | None) -> tuple[str, ...]:
    """Return the layer of that name, or those of `output_layers` in the actor or the critics.

    layer: the name of a layer; "actor" or "critic", which is the same where one network serves
    both; None is "critic".

    Raises:
        ValueError: the network has no such layer, or no actor.
    """
    if layer not in (None, ACTOR, CRITIC):
        known = [ACTOR, CRITIC, *(edge.layer for edge in network.wiring)]
        return (one_of("layer", layer, known),)
    found = output_layers(network)
    own = tuple(name for name in found if f"/{layer or CRITIC}" in name)
    if layer == ACTOR and not own and "policy" not in _heads(network):
        raise ValueError("layer='actor': expected a network with a policy, this has action values")
    return own or found


def _heads(network: Network) -> Mapping[str, Any]:
    """The shapes of the parameters of its heads."""
    params = jax.eval_shape(network.init, jax.eval_shape(jax.random.key, 0))
    return params.get("heads", {})


def rows(features: Mapping[str, Array], layers: tuple[str, ...], batch_axes: int = 1) -> Rows:
    """Select features, with so many leading axes of samples, and flatten them to vectors."""
    found = {layer: features[layer] for layer in layers}
    return {
        layer: jnp.reshape(x, (-1, math.prod(x.shape[batch_axes:]))) for layer, x in found.items()
    }


def features_at(
    network: Network,
    params: PyTree,
    obs: Array,
    layers: tuple[str, ...],
    action: Array | None = None,
) -> Rows:
    """Compute features of observations [B, ...], and of actions where the network reads them."""
    inputs: dict[str, Any] = {} if action is None else {"action": action}
    return rows(network.apply(params, obs, **inputs)[1].features, layers)


def reads_actions(layer: str) -> bool:
    """Tell whether a layer is one of critics that read actions, as those of SAC."""
    return "/critic_" in layer


def acted(network: Network, params: PyTree, obs: Array, key: Key) -> Array:
    """Sample a policy of continuous actions at obs[B, ...], f32[B, A], scaled to [-1, 1]."""
    policy = network.apply(params, obs)[0].policy
    if not isinstance(policy, nets.Gaussian):
        return jnp.tanh(policy)
    normal = jax.random.normal(key, policy.mean.shape)
    return jnp.tanh(policy.mean + jnp.exp(policy.log_std) * normal)
