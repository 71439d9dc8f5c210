"""ReDo: recycling dormant neurons (Sokar et al. 2023, arXiv 2302.12902), and its random control.

It differs from the released code in three ways: fresh weights are drawn by the network's own
initializer (`draw=xavier` is the code's), rows behind a flattened feature map are those of the
dormant channels, and the moments of biases become zero with those of kernels.
"""

from purejaxrl_suite.core.types import Intervention
from purejaxrl_suite.plasticity import scores, surgery
from purejaxrl_suite.plasticity.recycling import recycle_by
from purejaxrl_suite.plasticity.select import at_random, threshold
from purejaxrl_suite.plasticity.surgery import Draw


def redo(
    tau: float = 0.1, *, draw: Draw = surgery.own_initializer, reset_count: bool = False
) -> Intervention:
    """Recycle units whose mean activation is at most tau times their layer's mean.

    The paper's thresholds are 0, 0.025 and 0.1, its period is 1,000 gradient steps: put it inside
    `every`. With tau = 0 and ReLU, without norms, outputs on the probed batch stay the same. A
    negative tau changes nothing.

    Args:
        tau: threshold of the score.
        draw: fresh parameters.
        reset_count: set the optimizer's count of steps to zero when a unit was recycled.

    Returns:
        The intervention, which records `redo_recycled`.

    Example:
        >>> pjs.plasticity.every(1000, pjs.plasticity.redo(0.025)).name
        'every(1000, redo(tau=0.025))'
    """
    rule = threshold(tau)
    return recycle_by("redo", scores.activation, rule, draw=draw, reset_count=reset_count)


def random_recycling(
    tau: float = 0.1, *, draw: Draw = surgery.own_initializer, reset_count: bool = False
) -> Intervention:
    """Recycle as many units of each layer as ReDo would, but chosen at random: its control.

    The arguments are those of `redo`.
    """
    rule = at_random(threshold(tau))
    return recycle_by("random", scores.activation, rule, draw=draw, reset_count=reset_count)
