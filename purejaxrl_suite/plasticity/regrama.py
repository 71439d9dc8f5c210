"""ReGraMa: recycling by gradient magnitude (arXiv 2505.24061), as in the paper and as released."""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import instance
from purejaxrl_suite.core.types import Clock, Inspection, Intervention, Key, Learner, Network
from purejaxrl_suite.plasticity import scores, surgery
from purejaxrl_suite.plasticity.names import sums
from purejaxrl_suite.plasticity.recycling import counts, recyclable, recycle_by
from purejaxrl_suite.plasticity.select import Selection, Settings, threshold
from purejaxrl_suite.plasticity.surgery import Draw

AS_RELEASED = "regrama_as_released_recycled"


def regrama(
    selection: Selection | None = None,
    *,
    draw: Draw = surgery.own_initializer,
    reset_count: bool = False,
) -> Intervention:
    """Recycle units by the mean magnitude of dL/dh over that of their layer, as in the paper.

    The paper's period is 1,000 gradient steps: put it inside `every`.

    Args:
        selection: None is `threshold(0.01)`; `lowest` takes a share, `capped` (0.05 in the paper's
            Humanoid) combines both.
        draw: fresh parameters.
        reset_count: set the optimizer's count of steps to zero when a unit was recycled.

    Returns:
        The intervention, which records `regrama_recycled`.
    """
    rule = threshold(0.01) if selection is None else selection
    score = scores.feature_gradient
    return recycle_by("regrama", score, rule, draw=draw, reset_count=reset_count)


def regrama_as_released(selection: Selection | None = None) -> Intervention:
    """Recycle units as ReGraMa's released code does, which differs from the paper.

    Scores are gradients of incoming weights; kernels with their biases, and norms, are modules that
    are chosen and redrawn separately; draws are `he_uniform`, and for norms scale 1 and bias 0;
    outgoing weights and the optimizer's moments are kept. Unlike the code, this leaves output
    layers alone and has no pending gradient step to undo.
    """
    rule = threshold(0.01) if selection is None else selection
    instance("selection", rule, Selection)

    def init(network: Network, learner: Learner) -> Settings:
        return {key: jnp.float32(value) for key, value in rule.settings.items()}

    def apply(key: Key, clock: Clock, state: Settings, learner: Learner, inspection: Inspection):
        draw_key, choose_key = jax.random.split(key)
        found = scores.weight_gradient(learner, inspection.probe(learner), inspection)
        into, units = {}, {}
        for edge in recyclable(inspection.network).values():
            for module, leaves in scores.modules(edge).items():
                name = "/".join(module)
                module_key = jax.random.fold_in(choose_key, len(units))
                units[name] = rule.choose(module_key, state, found[name])
                into |= dict.fromkeys(leaves, units[name])
        fresh = surgery.he_uniform(draw_key, inspection.network)
        params = surgery.recycle(learner, fresh, into, {}, reset_count=False).params
        return (
            learner._replace(params=params),
            state,
            sums(AS_RELEASED, counts(units)),
        )

    return Intervention(f"regrama_as_released({rule.name})", init, apply, (AS_RELEASED,))
