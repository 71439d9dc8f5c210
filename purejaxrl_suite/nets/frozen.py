"""Networks whose representation is not learnt: only their heads are."""

from typing import Any

import jax
import optax

from purejaxrl_suite.core.argument import instance
from purejaxrl_suite.core.types import Network, PyTree

HEADS = "heads"


def frozen(network: Network) -> Network:
    """Keep all parameters of a network but those of its heads as they are.

    Agents then learn linear functions of fixed features, those that the network begins with.
    Gradients are still taken, and clipped, as if all were learnt; those of the features are dropped
    before the optimizer.

    Raises:
        ValueError: it is no network, or has no heads.
    """
    instance("network", network, Network)
    shapes = jax.eval_shape(network.init, jax.eval_shape(jax.random.key, 0))
    if HEADS not in shapes:
        raise ValueError(f"network: expected one with heads, got {', '.join(shapes)}")

    def labels(params: PyTree) -> PyTree:
        return jax.tree.map_with_path(lambda path, x: path[0].key == HEADS, params)

    def constrain(optimizer: Any) -> Any:
        parts: dict[Any, Any] = {True: network.constrain(optimizer), False: optax.set_to_zero()}
        return optax.partition(parts, labels)

    return network._replace(constrain=constrain)
