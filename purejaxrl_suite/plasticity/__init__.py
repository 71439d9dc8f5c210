"""Plasticity of every agent: metrics that measure it, and methods that keep or restore it.

Metrics are functions of a learner and its probe. Interventions act between updates; methods that
act at every gradient step are functions from a network to a network.
"""

from purejaxrl_suite.core.interventions import chain, every, observed, once, record, when
from purejaxrl_suite.plasticity.continual_backprop import continual_backprop
from purejaxrl_suite.plasticity.injection import inject, injectable
from purejaxrl_suite.plasticity.kernels import COSTLY, nullspace_ratio, tangent_kernel
from purejaxrl_suite.plasticity.l2_init import l2_init
from purejaxrl_suite.plasticity.metrics import (
    CHEAP,
    dead,
    dormant,
    dormant_of_sum,
    feature_norm,
    gradient_covariance,
    gradient_snr,
    inactive,
    inactive_as_released,
    low_variance,
    policy_churn,
    ranks,
    raw_gradient_norm,
    weight_norm,
)
from purejaxrl_suite.plasticity.overlap import overlap
from purejaxrl_suite.plasticity.per_entry_counts import per_entry_counts
from purejaxrl_suite.plasticity.recycling import recycle_by
from purejaxrl_suite.plasticity.redo import random_recycling, redo
from purejaxrl_suite.plasticity.regrama import regrama, regrama_as_released
from purejaxrl_suite.plasticity.resets import reset_layers, shrink_and_perturb
from purejaxrl_suite.plasticity.routing import parameters, routing
from purejaxrl_suite.plasticity.select import Selection, at_random, capped, lowest, threshold
from purejaxrl_suite.plasticity.spectral import spectral_normalization
from purejaxrl_suite.plasticity.surgery import he_uniform, own_initializer, xavier, zeros
from purejaxrl_suite.plasticity.weight_clipping import weight_clipping

__all__ = [
    "CHEAP",
    "COSTLY",
    "Selection",
    "at_random",
    "capped",
    "chain",
    "continual_backprop",
    "dead",
    "dormant",
    "dormant_of_sum",
    "every",
    "feature_norm",
    "gradient_covariance",
    "gradient_snr",
    "he_uniform",
    "inactive",
    "inactive_as_released",
    "inject",
    "injectable",
    "l2_init",
    "low_variance",
    "lowest",
    "nullspace_ratio",
    "observed",
    "once",
    "overlap",
    "own_initializer",
    "parameters",
    "per_entry_counts",
    "policy_churn",
    "random_recycling",
    "ranks",
    "raw_gradient_norm",
    "record",
    "recycle_by",
    "redo",
    "regrama",
    "regrama_as_released",
    "reset_layers",
    "routing",
    "shrink_and_perturb",
    "spectral_normalization",
    "tangent_kernel",
    "threshold",
    "weight_clipping",
    "weight_norm",
    "when",
    "xavier",
    "zeros",
]
