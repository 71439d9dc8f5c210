"""Representations of agents: losses that shape them, and measures of what they encode."""

from purejaxrl_suite.representations.auxiliary import Auxiliary, AuxiliaryHypers, auxiliary
from purejaxrl_suite.representations.behavioural import ksme, mico
from purejaxrl_suite.representations.dynamics import dynamics
from purejaxrl_suite.representations.layers import output_layers
from purejaxrl_suite.representations.metrics import (
    METRICS,
    effective_dimension,
    information,
    value_alignment,
)
from purejaxrl_suite.representations.on_levels import on_levels
from purejaxrl_suite.representations.rollouts import Encoded, information_of_rollout
from purejaxrl_suite.representations.transfer import begin_with_features

__all__ = [
    "METRICS",
    "Auxiliary",
    "AuxiliaryHypers",
    "Encoded",
    "auxiliary",
    "begin_with_features",
    "dynamics",
    "effective_dimension",
    "information",
    "information_of_rollout",
    "ksme",
    "mico",
    "on_levels",
    "output_layers",
    "value_alignment",
]
