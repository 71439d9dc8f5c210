"""Sparse training of every agent: which weights are kept, when, where, and how many.

`sparse` makes sparse agents of any builder. An updater is a method as a value; `initial_masks` and
`next_masks` compute what it says. It is a package of its own, and no part of `plasticity`: masks
are part of an agent's state and of its gradient steps, where interventions act between updates.
"""

from purejaxrl_suite.sparsity.distributions import (
    Distribution,
    check_target,
    erk,
    per_leaf,
    uniform,
)
from purejaxrl_suite.sparsity.layers import Layer, kernels, prunable
from purejaxrl_suite.sparsity.masks import check, initial_masks, next_masks
from purejaxrl_suite.sparsity.metrics import (
    METRICS,
    gradient_signal_to_noise,
    layer_sparsity,
    mask_overlap,
)
from purejaxrl_suite.sparsity.optimizer import masked_optimizer, masks_of
from purejaxrl_suite.sparsity.schedules import (
    Drop,
    Schedule,
    constant,
    constant_drop,
    cosine_drop,
    cubic,
    cubic_as_released,
    cycles,
    one_shot,
)
from purejaxrl_suite.sparsity.scores import Score, Seen, globally
from purejaxrl_suite.sparsity.sparse import SparseBuilder, sparse
from purejaxrl_suite.sparsity.structures import Structure, block, channel, n_of_m, unstructured
from purejaxrl_suite.sparsity.updaters import (
    Updater,
    ac_dc,
    adam_fisher,
    global_magnitude,
    global_saliency,
    magnitude,
    magnitude_ste,
    no_prune,
    random,
    random_ste,
    rigl,
    saliency,
    sparse_evolutionary,
    static,
)

__all__ = [
    "METRICS",
    "Distribution",
    "Drop",
    "Layer",
    "Schedule",
    "Score",
    "Seen",
    "SparseBuilder",
    "Structure",
    "Updater",
    "ac_dc",
    "adam_fisher",
    "block",
    "channel",
    "check",
    "check_target",
    "constant",
    "constant_drop",
    "cosine_drop",
    "cubic",
    "cubic_as_released",
    "cycles",
    "erk",
    "global_magnitude",
    "global_saliency",
    "globally",
    "gradient_signal_to_noise",
    "initial_masks",
    "kernels",
    "layer_sparsity",
    "magnitude",
    "magnitude_ste",
    "mask_overlap",
    "masked_optimizer",
    "masks_of",
    "n_of_m",
    "next_masks",
    "no_prune",
    "one_shot",
    "per_leaf",
    "prunable",
    "random",
    "random_ste",
    "rigl",
    "saliency",
    "sparse",
    "sparse_evolutionary",
    "static",
    "uniform",
    "unstructured",
]
