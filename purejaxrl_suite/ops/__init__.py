"""Formulas: pure functions of arrays, each with its source, tested by hand and by oracles."""

from purejaxrl_suite.ops import (
    descent,
    exploration,
    losses,
    minibatch,
    probe,
    returns,
    statistics,
    successors,
)

__all__ = [
    "descent",
    "exploration",
    "losses",
    "minibatch",
    "probe",
    "returns",
    "statistics",
    "successors",
]
