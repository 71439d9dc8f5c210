"""Units that start anew, whatever they are chosen by: ReDo and its like are settings of this.

Units of layers that are wired as recyclable are chosen by a score, layer by layer. What comes into
them is redrawn, norms included, what goes out of them becomes zero, and so do the moments of every
entry that was touched. Output layers are never touched but for the rows that read such units. The
random numbers do not depend on the choice.
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
    """Recycle the units of each layer that `selection` takes by their score.

    draw: fresh parameters. reset_count: the optimizer's count of steps starts again when a unit
    was recycled. Records `NAME_recycled`, how many units were.

    With a norm behind a layer the output of the network changes: statistics are of all units. What
    comes into a fresh unit has no gradient until its outgoing weights have moved.

    A score that is not f32[H] raises ValueError when it is first traced.
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
    """The layers whose units may be replaced one by one."""
    return {edge.layer: edge for edge in network.wiring if edge.recyclable and edge.outgoing}


def replace(
    learner: Learner,
    edges: dict[str, Edge],
    units: dict[str, Array],
    fresh: object,
    *,
    reset_count: bool = False,
) -> Learner:
    """The learner with these units bool[H] of each layer redrawn and silenced."""
    into = {}
    for layer, mask in units.items():
        into |= surgery.incoming(edges[layer], mask)
    out = surgery.outgoing(edges, units, learner.params)
    return surgery.recycle(learner, fresh, into, out, reset_count=reset_count)


def counts(units: dict[str, Array]) -> dict[str, Array]:
    """How many of bool[H] hold, f32[] of each layer."""
    return {layer: jnp.sum(mask).astype(jnp.float32) for layer, mask in units.items()}
