"""Overlap of the sets of dormant units over time: do they stay dormant? (arXiv 2302.12902)"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import number
from purejaxrl_suite.core.types import (
    Array,
    Clock,
    Inspection,
    Intervention,
    Key,
    Learner,
    Network,
)
from purejaxrl_suite.plasticity import scores
from purejaxrl_suite.plasticity.names import by_layer

Units = dict[str, Array]


class Seen(NamedTuple):
    """Dormant units so far.

    tau: f32[]. last, ever: {layer: bool[H]}, dormant when last measured, and ever.
    """

    tau: Array
    last: Units
    ever: Units


def overlap(tau: float = 0.1) -> Intervention:
    """Record the overlap coefficient |A and B| / min(|A|, |B|) of sets of dormant units (D1).

    `overlap_last` is the overlap with the previous measurement, `overlap_ever` with all units that
    were ever dormant before; NaN if one of the sets is empty. It changes nothing; put it inside
    `every`.
    """
    number("tau", tau)

    def init(network: Network, learner: Learner) -> Seen:
        # Two trees, not one twice: a buffer that is in the state twice cannot be donated.
        return Seen(jnp.float32(tau), _none_of(network), _none_of(network))

    def apply(key: Key, clock: Clock, state: Seen, learner: Learner, inspection: Inspection):
        found = scores.activation(learner, inspection.probe(learner), inspection)
        now = scores.below(found, state.tau)
        metrics = _coefficients("overlap_last", now, state.last)
        metrics |= _coefficients("overlap_ever", now, state.ever)
        ever = jax.tree.map(jnp.logical_or, state.ever, now)
        return learner, Seen(state.tau, now, ever), metrics

    return Intervention(f"overlap({tau:g})", init, apply)


def _none_of(network: Network) -> Units:
    return {edge.layer: jnp.zeros(edge.units, bool) for edge in network.wiring}


def _coefficients(name: str, one: Units, other: Units) -> dict[str, Array]:
    """Compute the coefficient of each layer, and of the units of all layers together."""
    sizes = {
        layer: jnp.stack([jnp.sum(x & other[layer]), jnp.sum(x), jnp.sum(other[layer])])
        for layer, x in one.items()
    }
    total = sum(sizes.values(), jnp.zeros(3, jnp.int32))
    return by_layer(name, {layer: _ratio(x) for layer, x in sizes.items()}, _ratio(total))


def _ratio(sizes: Array) -> Array:
    both, one, other = sizes.astype(jnp.float32)
    return both / jnp.minimum(one, other)  # 0 / 0 = NaN: nothing to overlap with
