"""The engine: sources of experience, the training loop and evaluation, for one member."""

from purejaxrl_suite.engine.evaluate import Evaluating, make_evaluate
from purejaxrl_suite.engine.problem import (
    Examples,
    Problem,
    collected,
    fitting,
    generated,
    minibatches,
    whole,
)
from purejaxrl_suite.engine.sebulba import sebulba
from purejaxrl_suite.engine.source import Source, dataset, idle, online
from purejaxrl_suite.engine.train import Train, make_train, training

__all__ = [
    "Evaluating",
    "Examples",
    "Problem",
    "Source",
    "Train",
    "collected",
    "dataset",
    "fitting",
    "generated",
    "idle",
    "make_evaluate",
    "make_train",
    "minibatches",
    "online",
    "sebulba",
    "training",
    "whole",
]
