"""Recycle units of hidden layers, chosen by any score; ReDo and ReGraMa are settings of this.

Units of layers that are wired as recyclable are chosen by a score, layer by layer. Their incoming
parameters are redrawn, norms included, their outgoing weights become zero, and so do the moments of
all changed entries. Output layers only change in the rows that read such units. The random numbers
do not depend on the choice.
"""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import function, instance
from purejaxrl_suite.core.types import (
    Array,
    Clock,
    Edge,
    Inspection,
    Intervention,
    Key,
    Learner,
    Network,
)
from purejaxrl_suite.plasticity import surgery
from purejaxrl_suite.plasticity.names import check_scores, sums
from purejaxrl_suite.plasticity.scores import Score
from purejaxrl_suite.plasticity.select import Selection, Settings
from purejaxrl_suite.plasticity.surgery import Draw


def recycle_by(
    name: str,
    score: Score,
    selection: Selection,
    *,
    draw: Draw = surgery.own_initializer,
    reset_count: bool = False,
) -> Intervention:
    """Make the intervention that recycles the units of each layer that a selection takes.

    It records `NAME_recycled`, the number of units. If a norm follows a layer, the output of the
    network changes, as the norm's statistics are of all units. Incoming parameters of a fresh unit
    have no gradient until its outgoing weights have moved.

    Args:
        name: of the intervention.
        score: (learner, probe, inspection) -> {layer: f32[H]}.
        selection: which units to take by their scores.
        draw: fresh parameters.
        reset_count: set the optimizer's count of steps to zero when a unit was recycled.

    Returns:
        The intervention; put it inside `every`.

    Raises:
        ValueError: an argument has another type, or (when first traced) a score is not f32[H].

    Example:
        >>> from purejaxrl_suite.plasticity import every, lowest, recycle_by, scores
        >>> every(10, recycle_by("weakest", scores.variance, lowest(0.01))).name
        'every(10, weakest(fraction=0.01))'
    """
    instance("name", name, str)
    function("score", score, 3, "(learner, probe, inspection) -> {layer: f32[H]}")
    instance("selection", selection, Selection)
    surgery.check_draw(draw, reset_count)
    counter = f"{name}_recycled"

    def init(network: Network, learner: Learner) -> Settings:
        return {key: jnp.float32(value) for key, value in selection.settings.items()}

    def apply(key: Key, clock: Clock, state: Settings, learner: Learner, inspection: Inspection):
        draw_key, choose_key = jax.random.split(key)
        edges = recyclable(inspection.network)
        scores = score(learner, inspection.probe(learner), inspection)
        keys = dict(zip(edges, jax.random.split(choose_key, len(edges) + 1)[1:], strict=True))
        units = {
            layer: selection.choose(
                keys[layer], state, check_scores(name, layer, scores[layer], edge.units)
            )
            for layer, edge in edges.items()
        }
        fresh = draw(draw_key, inspection.network)
        learner = replace(learner, edges, units, fresh, reset_count=reset_count)
        return learner, state, sums(counter, counts(units))

    drawn = "" if draw is surgery.own_initializer else f", draw={draw.__qualname__}"
    count = ", reset_count" if reset_count else ""
    return Intervention(f"{name}({selection.name}{drawn}{count})", init, apply, (counter,))


def recyclable(network: Network) -> dict[str, Edge]:
    """Return the layers whose units may be replaced one by one."""
    return {edge.layer: edge for edge in network.wiring if edge.recyclable and edge.outgoing}


def replace(
    learner: Learner,
    edges: dict[str, Edge],
    units: dict[str, Array],
    fresh: object,
    *,
    reset_count: bool = False,
) -> Learner:
    """Redraw the incoming parameters of units bool[H] of each layer and silence them."""
    into = {}
    for layer, mask in units.items():
        into |= surgery.incoming(edges[layer], mask)
    out = surgery.outgoing(edges, units, learner.params)
    return surgery.recycle(learner, fresh, into, out, reset_count=reset_count)


def counts(units: dict[str, Array]) -> dict[str, Array]:
    """Count the True entries of bool[H], f32[] of each layer."""
    return {layer: jnp.sum(mask).astype(jnp.float32) for layer, mask in units.items()}
