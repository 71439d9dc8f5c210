"""Weight clipping to a multiple of the initial range of weights (arXiv 2407.01704)."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core.argument import instance, number
from purejaxrl_suite.core.types import Array, Network, PyTree


def weight_clipping(network: Network, factor: float = 2.0) -> Network:
    """Clip a network's kernels and biases to factor / sqrt(inputs) at each gradient step.

    1 / sqrt(inputs of the unit) is the range of the uniform initialisation that the paper uses.
    Norms and other modules without a kernel are not clipped.

    Raises:
        ValueError: the factor is not positive.
    """
    instance("network", network, Network)
    number("factor", factor, above=0)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        def clip(step: Array, x: Array, bound: float) -> Array:
            after = x + step
            return jnp.where(jnp.abs(after) > bound, jnp.clip(after, -bound, bound) - x, step)

        return jax.tree.map(clip, updates, params, bounds(params, factor)), state

    project = optax.GradientTransformation(lambda params: optax.EmptyState(), update)
    return network._replace(
        constrain=lambda optimizer: network.constrain(optax.chain(optimizer, project))
    )


def bounds(params: PyTree, factor: float) -> PyTree:
    """Return the bound of each leaf; infinite for those without a kernel beside them."""
    if not isinstance(params, Mapping):
        return jnp.inf
    if "kernel" not in params:
        return {name: bounds(child, factor) for name, child in params.items()}
    kernel = params["kernel"]
    return dict.fromkeys(params, factor * (kernel.size // kernel.shape[-1]) ** -0.5)
