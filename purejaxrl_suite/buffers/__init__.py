"""Replay buffers on the device: pure functions of rings of arrays."""

from purejaxrl_suite.buffers.mixed import Mixed, mixed
from purejaxrl_suite.buffers.prioritised import (
    MakesPrioritised,
    Prioritised,
    PrioritisedState,
    prioritised,
    unprioritised,
)
from purejaxrl_suite.buffers.ring import Layout, Ring
from purejaxrl_suite.buffers.uniform import Drawn, MakesReplay, Uniform, frozen, uniform
from purejaxrl_suite.buffers.windows import Batch, Sequence

__all__ = [
    "Batch",
    "Drawn",
    "Layout",
    "MakesPrioritised",
    "MakesReplay",
    "Mixed",
    "Prioritised",
    "PrioritisedState",
    "Ring",
    "Sequence",
    "Uniform",
    "frozen",
    "mixed",
    "prioritised",
    "uniform",
    "unprioritised",
]
