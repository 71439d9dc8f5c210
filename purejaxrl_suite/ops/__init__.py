"""Formulas: pure functions of arrays, each with its source, tested by hand and by oracles."""

from purejaxrl_suite.ops import (
    augmentation,
    descent,
    distributional,
    episodes,
    exploration,
    losses,
    minibatch,
    perturb,
    probe,
    rank,
    returns,
    schedules,
    self_prediction,
    statistics,
    successors,
    value,
)

__all__ = [
    "augmentation",
    "descent",
    "distributional",
    "episodes",
    "exploration",
    "losses",
    "minibatch",
    "perturb",
    "probe",
    "rank",
    "returns",
    "schedules",
    "self_prediction",
    "statistics",
    "successors",
    "value",
]
