"""Replay buffers on the device: pure functions of rings of arrays."""

from purejaxrl_suite.buffers.prioritised import Prioritised, PrioritisedState, prioritised
from purejaxrl_suite.buffers.ring import Layout, Ring
from purejaxrl_suite.buffers.uniform import Drawn, Uniform, uniform
from purejaxrl_suite.buffers.windows import Batch, Sequence

__all__ = [
    "Batch",
    "Drawn",
    "Layout",
    "Prioritised",
    "PrioritisedState",
    "Ring",
    "Sequence",
    "Uniform",
    "prioritised",
    "uniform",
]
