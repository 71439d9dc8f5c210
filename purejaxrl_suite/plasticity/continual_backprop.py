"""Continual backpropagation: Dohare et al. 2024, "Loss of plasticity in deep continual learning".

Nature 632. A small share of the units that are old enough and of low utility is continually
re-initialised. The paper replaces after every gradient step, this code after every update: rate,
maturity and the decay of utilities count updates. Utilities are compared after bias correction,
since units differ in age. The paper's code also adds the mean activation of a replaced unit, times
its outgoing weights, to the bias of the next layer; here outgoing weights become zero, and biases
stay.
"""

from typing import NamedTuple

import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import number
from purejaxrl_suite.core.types import (
    Array,
    Clock,
    Edge,
    Inspection,
    Intervention,
    Key,
    Learner,
    Network,
    Probe,
)
from purejaxrl_suite.plasticity import surgery
from purejaxrl_suite.plasticity.names import sums
from purejaxrl_suite.plasticity.recycling import counts, recyclable, replace
from purejaxrl_suite.plasticity.surgery import Draw, check_draw

Units = dict[str, Array]
COUNTER = "continual_backprop_recycled"


class Utilities(NamedTuple):
    """State of continual backpropagation.

    rate, maturity, decay: f32[].
    utility: {layer: f32[H]}, running mean of |h| times the sum of |outgoing weights|, initially 0.
    age: {layer: i32[H]}, updates since the unit was initialised.
    due: {layer: f32[]}, the fractional number of units to be replaced.
    """

    rate: Array
    maturity: Array
    decay: Array
    utility: Units
    age: Units
    due: Units


def continual_backprop(
    rate: float = 1e-4,
    maturity: float = 100.0,
    decay: float = 0.99,
    *,
    draw: Draw = surgery.own_initializer,
) -> Intervention:
    """Replace, after each update, the mature units of lowest utility in each layer.

    Defaults are the paper's, where they count gradient steps.

    Args:
        rate: share of mature units that is replaced in an update; fractions of a unit add up.
        maturity: updates before a unit may be replaced.
        decay: of the running means of utilities.
        draw: fresh parameters.

    Returns:
        The intervention, which records `continual_backprop_recycled`.

    Raises:
        ValueError: a number is out of range.
    """
    number("rate", rate, 0, high=1)
    number("maturity", maturity, 0)
    number("decay", decay, 0, below=1)
    check_draw(draw)

    def init(network: Network, learner: Learner) -> Utilities:
        edges = recyclable(network)
        utility = {name: jnp.zeros(edge.units) for name, edge in edges.items()}
        age = {name: jnp.zeros(edge.units, jnp.int32) for name, edge in edges.items()}
        return Utilities(
            rate=jnp.float32(rate),
            maturity=jnp.float32(maturity),
            decay=jnp.float32(decay),
            utility=utility,
            age=age,
            due={name: jnp.zeros(()) for name in edges},
        )

    def apply(key: Key, clock: Clock, state: Utilities, learner: Learner, inspection: Inspection):
        edges, probe = recyclable(inspection.network), inspection.probe(learner)
        now = {name: contribution(edge, learner, probe) for name, edge in edges.items()}
        decay, old = state.decay, state.utility
        utility = {name: decay * old[name] + (1 - decay) * x for name, x in now.items()}
        state = state._replace(utility=utility, age={n: x + 1 for n, x in state.age.items()})
        units, due = {}, {}
        for name in edges:
            units[name], due[name] = chosen(state, name)
        learner = replace(learner, edges, units, draw(key, inspection.network))
        utility, age = (
            {name: jnp.where(units[name], 0, x) for name, x in values.items()}
            for values in (state.utility, state.age)
        )
        state = state._replace(utility=utility, age=age, due=due)
        return learner, state, sums(COUNTER, counts(units))

    name = f"continual_backprop(rate={rate:g}, maturity={maturity:g}, decay={decay:g})"
    return Intervention(name, init, apply, (COUNTER,))


def contribution(edge: Edge, learner: Learner, probe: Probe) -> Array:
    """Compute mean |h| times the sum of |outgoing weights|, f32[H]."""
    h = jnp.abs(probe.features[edge.layer])
    activity = jnp.mean(h, axis=tuple(range(h.ndim - 1)))
    weights = jnp.zeros(edge.units)
    for path in edge.outgoing:
        kernel = jnp.abs(tree.at(learner.params, path))
        rows = jnp.sum(jnp.moveaxis(kernel, -2, 0), axis=tuple(range(1, kernel.ndim)))
        weights += jnp.sum(jnp.reshape(rows, (-1, edge.units)), axis=0)
    return activity * weights


def corrected(state: Utilities, name: str) -> Array:
    """Correct the bias of a running mean that began at 0, f32[H].

    utility / (1 - decay^age), as Adam corrects its moments: otherwise young units look useless.
    """
    return state.utility[name] / -jnp.expm1(state.age[name] * jnp.log(state.decay))


def chosen(state: Utilities, name: str) -> tuple[Array, Array]:
    """Choose units bool[H] of a layer to replace now; also return what stays due, f32[]."""
    mature = state.age[name] > state.maturity
    due = state.due[name] + state.rate * jnp.sum(mature)
    count = jnp.floor(due)
    utility = jnp.where(mature, corrected(state, name), jnp.inf)
    place = jnp.argsort(jnp.argsort(utility))
    return (place < count) & mature, due - count
