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
from purejaxrl_suite.microscopy.rate_network import RateModel, canonical_rates, learned

__all__ = [
    "DistillationHypers",
    "Inputs",
    "RateConfig",
    "RateHypers",
    "RateModel",
    "RateState",
    "canonical_rates",
    "controllers",
    "distillation",
    "fit",
    "inputs_like",
    "learned",
    "rate_learning",
    "survival_loss",
    "transitions",
]
