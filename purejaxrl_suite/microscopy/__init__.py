"""Learn how an electron beam moves atoms: rates from transitions, and controllers from rates."""

from purejaxrl_suite.microscopy import controllers, transitions
from purejaxrl_suite.microscopy.learning import (
    DistillationHypers,
    Inputs,
    RateConfig,
    RateHypers,
    RateState,
    distillation,
    fit,
    inputs_like,
    rate_learning,
    survival_loss,
)
from purejaxrl_suite.microscopy.problem import (
    Compared,
    HopRatesConfig,
    compared,
    hop_rates,
    observed,
)
from purejaxrl_suite.microscopy.rate_network import RateModel, canonical_rates, learned

__all__ = [
    "Compared",
    "DistillationHypers",
    "HopRatesConfig",
    "Inputs",
    "RateConfig",
    "RateHypers",
    "RateModel",
    "RateState",
    "canonical_rates",
    "compared",
    "controllers",
    "distillation",
    "fit",
    "hop_rates",
    "inputs_like",
    "learned",
    "observed",
    "rate_learning",
    "survival_loss",
    "transitions",
]
