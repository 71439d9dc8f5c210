"""Networks with a classifier of transitions beside them (arXiv 2210.11057, 2503.06343).

A perceptron reads a layer of the network at two observations, and the action between them: did one
step lead from the first to the second? The layer learns, too, to tell. Parameters are in
`params["aux"]`, under the stream of the layer, "actor" or "critic", if it is in one.
"""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import spaces
from purejaxrl_suite.core.types import Array, Box, Discrete, Key, Network, Path, PyTree
from purejaxrl_suite.nets import chain, perceptron

NAME = "transition_classifier"
OWN = 0xD1A5
"""Of the key of these parameters: a number beyond those of any split, which has the same keys."""


def with_transition_classifier(
    network: Network, layer: str, observation: Box, action: Discrete, hidden: Sequence[int]
) -> Network:
    """Add the parameters of a classifier to those of a network; its outputs are the same.

    Args:
        network: of the agent.
        layer: that the classifier reads, flattened.
        observation: its space.
        action: its space; actions are read as one-hot vectors.
        hidden: units of the hidden layers of the classifier.

    Returns:
        The network; the same one if it has this classifier already.

    Raises:
        ValueError: it has one of other sizes.
    """
    key, obs = jax.eval_shape(jax.random.key, 0), spaces.abstract(observation, 1)
    known = jax.eval_shape(network.init, key)
    features = jax.eval_shape(network.apply, known, obs)[1].features
    sizes = (2 * math.prod(features[layer].shape) + action.n, *hidden, 1)
    if has := chain.at(known.get("aux", {}), _path(layer)):
        found = tuple(x["kernel"].shape for x in has.values())
        if found != tuple(itertools.pairwise(sizes)):
            raise ValueError(f"hidden={tuple(hidden)}: the network has a classifier of {found}")
        return network

    def init(key: Key) -> PyTree:
        params = network.init(key)
        aux = jax.tree.map(lambda x: x, params.get("aux", {}))  # its dictionaries are copied
        chain.put(aux, _path(layer), perceptron.draw(jax.random.fold_in(key, OWN), sizes))
        return {**params, "aux": aux}

    return network._replace(init=init)


def transition_logits(
    params: PyTree, layer: str, features: Array, action: Array, following: Array
) -> Array:
    """Compute the logits f32[B] that a step led from features to those that follow.

    Args:
        params: of the network with its classifier.
        layer: whose features they are.
        features: f32[B, D].
        action: f32[B, A], one-hot.
        following: f32[B, D].

    Returns:
        The logits.
    """
    x = jnp.concatenate([features, action, following], axis=1)
    return perceptron.apply(chain.at(params["aux"], _path(layer)), x)


def classifier_inputs(params: PyTree, layer: str) -> int:
    """Tell how many numbers the classifier of a layer reads: of both features, and the action."""
    return chain.at(params["aux"], _path(layer))["dense_0"]["kernel"].shape[0]


def _path(layer: str) -> Path:
    return (*layer.split("/")[1:-1], NAME)
