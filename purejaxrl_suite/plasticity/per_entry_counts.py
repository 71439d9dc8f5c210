"""Bias correction by the age of each parameter entry, for optimizers of Adam's family."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core.argument import instance, number
from purejaxrl_suite.core.types import Array, Network, PyTree


class Ages(NamedTuple):
    """Counts of optimizer steps.

    count: i32[], of the optimizer. ages: like the parameters, f32, of each entry. Ages are shaped
    like moments, so interventions that zero moments zero them, too. They stop at 2^24, where
    nothing is left to correct.
    """

    count: Array
    ages: PyTree
    inner: Any


def per_entry_counts(network: Network, b1: float = 0.9, b2: float = 0.999) -> Network:
    """Let Adam's bias correction use the age of each entry since its moments were zeroed.

    Adam corrects moments that began at zero by its count of steps. If moments were zeroed later, it
    corrects too little, and steps are up to 7 times too long. Here the updates of such entries are
    scaled by the corrections for their own age over those for the whole count. Entries that were
    never zeroed keep their updates to the last bit. The optimizer's epsilon is scaled as well, so
    it has more weight in young entries.

    Args:
        network: for an agent with an optimizer of Adam's family.
        b1: Adam's decay of the first moment.
        b2: Adam's decay of the second moment.

    Returns:
        The network with the corrected optimizer.

    Raises:
        ValueError: a decay is not in [0, 1).
    """
    instance("network", network, Network)
    number("b1", b1, 0, below=1)
    number("b2", b2, 0, below=1)

    def wrap(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
        def init(params: PyTree) -> Ages:
            return Ages(jnp.int32(0), jax.tree.map(jnp.zeros_like, params), optimizer.init(params))

        def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
            updates, inner = optimizer.update(updates, state.inner, params)
            count = jnp.asarray(optax.safe_increment(state.count))
            ages = jax.tree.map(lambda x: x + 1, state.ages)
            steps = count.astype(jnp.float32)

            def scale(update: Array, age: Array) -> Array:
                factor = _correction(age, b1, b2) / _correction(steps, b1, b2)
                return jnp.where(age == steps, update, factor * update)

            return jax.tree.map(scale, updates, ages), Ages(count, ages, inner)

        return optax.GradientTransformation(init, update)

    return network._replace(constrain=lambda optimizer: network.constrain(wrap(optimizer)))


def _correction(count: Array, b1: float, b2: float) -> Array:
    """Compute the factor of bias correction on the ratio of the moments after `count` steps."""
    return jnp.sqrt(1 - b2**count) / (1 - b1**count)
