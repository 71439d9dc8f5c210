"""Networks with a state-associative model beside them (arXiv 2102.12425).

Three small perceptrons read the embedding of a state, a layer of the network: the contribution c
that it makes to all rewards after it, and the gate g and bias b of the reward that follows it.
Their parameters are `params["aux"]["associative"]`.
"""

from collections.abc import Sequence

import jax

from purejaxrl_suite.core.types import Array, Key, Network, PyTree
from purejaxrl_suite.nets import perceptron

NAME = "associative"
OWN = 0xA550C
"""Of the key of these parameters: a number beyond those of any split, which has the same keys."""


def embedding_layer(network: Network) -> str:
    """Name the layer that is the embedding: the last hidden one before a memory.

    Of two trunks it is that of the critic.

    Raises:
        ValueError: the network has no hidden layer.
    """
    layers = [edge.layer for edge in network.wiring if edge.recyclable]
    if not layers:
        raise ValueError("network: expected one with a hidden layer, which embeds states")
    return layers[-1]


def with_associations(
    network: Network, units: int, hidden: Sequence[int], *, gated: bool, biased: bool
) -> Network:
    """Add the parameters of a state-associative model to those of a network; outputs are the same.

    Args:
        network: of the agent.
        units: of the embedding.
        hidden: units of the hidden layers of each perceptron.
        gated: whether there is a gate; without one it is 1.
        biased: whether there is a bias; without one it is 0.

    Returns:
        The network.
    """
    parts = ("contribution", *("gate",) * gated, *("bias",) * biased)
    sizes = (units, *hidden, 1)

    def init(key: Key) -> PyTree:
        params = network.init(key)
        own = jax.random.split(jax.random.fold_in(key, OWN), len(parts))
        model = {part: perceptron.draw(k, sizes) for part, k in zip(parts, own, strict=True)}
        return {**params, "aux": {**params.get("aux", {}), NAME: model}}

    return network._replace(init=init)


def contributions(params: PyTree, embedding: Array) -> Array:
    """Compute c of embeddings [..., D]: f32[...]."""
    return perceptron.apply(params["aux"][NAME]["contribution"], embedding)


def predictions(params: PyTree, embedding: Array, sums: Array) -> Array:
    """Predict rewards f32[...] from embeddings [..., D] of their states and sums of c before."""
    model = params["aux"][NAME]
    if "gate" in model:
        sums = jax.nn.sigmoid(perceptron.apply(model["gate"], embedding)) * sums
    return sums + perceptron.apply(model["bias"], embedding) if "bias" in model else sums
