"""Formulas: pure functions of arrays, each with its source, tested by hand and by oracles."""

from purejaxrl_suite.ops import exploration, losses, minibatch, probe, returns, statistics

__all__ = ["exploration", "losses", "minibatch", "probe", "returns", "statistics"]
