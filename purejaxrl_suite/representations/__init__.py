"""Representations of agents: losses that shape them, and measures of what they encode."""

from purejaxrl_suite.representations.auxiliary import Auxiliary, AuxiliaryHypers, auxiliary
from purejaxrl_suite.representations.behavioural import ksme, mico
from purejaxrl_suite.representations.layers import output_layers
from purejaxrl_suite.representations.metrics import (
    METRICS,
    effective_dimension,
    information,
    value_alignment,
)

__all__ = [
    "METRICS",
    "Auxiliary",
    "AuxiliaryHypers",
    "auxiliary",
    "effective_dimension",
    "information",
    "ksme",
    "mico",
    "output_layers",
    "value_alignment",
]
