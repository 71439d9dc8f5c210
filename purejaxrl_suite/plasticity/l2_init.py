"""L2 regularisation towards the initial parameters: regenerative regularisation (2308.11958)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core.argument import instance, number
from purejaxrl_suite.core.types import Array, Network


class Initial(NamedTuple):
    """Leaves of the initial parameters.

    They are a tuple, not a tree like the parameters: such a tree would be taken for moments.
    """

    leaves: tuple[Array, ...]


def l2_init(network: Network, strength: float = 1e-4) -> Network:
    """Add strength * |parameters - initial parameters|^2 to every loss of a network.

    Its gradient is added to that of the loss at every gradient step, before clipping.

    Raises:
        ValueError: the strength is negative.
    """
    instance("network", network, Network)
    number("strength", strength, 0)

    def init(params: Any) -> Initial:
        return Initial(tuple(map(jnp.copy, jax.tree.leaves(params))))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        start = jax.tree.unflatten(jax.tree.structure(params), state.leaves)
        pull = jax.tree.map(lambda g, x, x0: g + 2 * strength * (x - x0), updates, params, start)
        return pull, state

    towards = optax.GradientTransformation(init, update)
    return network._replace(
        constrain=lambda optimizer: network.constrain(optax.chain(towards, optimizer))
    )
