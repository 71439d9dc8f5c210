"""L2 towards the initial parameters, or regenerative regularisation (arXiv 2308.11958)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core.argument import instance, number
from purejaxrl_suite.core.types import Array, Network


class Initial(NamedTuple):
    """leaves: of the parameters at the start.

    A tuple and not a tree like the parameters: what is shaped like these counts as moments.
    """

    leaves: tuple[Array, ...]


def l2_init(network: Network, strength: float = 1e-4) -> Network:
    """The network with strength * |parameters - initial ones|^2 added to every loss of it.

    Its gradient is added to those of the loss at every gradient step, before they are clipped.
    Raises ValueError for a negative strength.
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
