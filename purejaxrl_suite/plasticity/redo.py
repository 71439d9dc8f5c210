"""ReDo: recycling dormant neurons (Sokar et al. 2023, arXiv 2302.12902), and its random control.

Of the released code three things are done otherwise: fresh weights are drawn as the network draws
its own (`draw=xavier` draws as the code does), rows behind a flattened feature map are those of
the dormant channels, and the moments of biases become zero with those of kernels.
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
    """
    rule = threshold(tau)
    return recycle_by("redo", scores.activation, rule, draw=draw, reset_count=reset_count)


def random_recycling(
    tau: float = 0.1, *, draw: Draw = surgery.own_initializer, reset_count: bool = False
) -> Intervention:
    """Recycle as many units of each layer as ReDo would, but any of them."""
    rule = at_random(threshold(tau))
    return recycle_by("random", scores.activation, rule, draw=draw, reset_count=reset_count)
