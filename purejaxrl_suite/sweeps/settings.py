"""How a sweep is carried out, and who is told: what decides none of its numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.sweeps.layout import Group
from purejaxrl_suite.sweeps.memory import parse_bytes


@dataclass(frozen=True)
class Settings:
    """Settings of execution, which change no result; ValueError for invalid ones.

    accept_changes: whether a sweep may resume with other versions, or on another kind of device,
    which can change bits and is recorded.
    """

    segments: int = 1
    checkpoint_every: int = 1
    keep: int = 2
    memory: str | int | float | None = None
    accept_changes: bool = False

    def __post_init__(self):
        """Raise ValueError naming an invalid setting."""
        for name in ("segments", "checkpoint_every", "keep"):
            integer(name, getattr(self, name), 1)
        if self.memory is not None:
            parse_bytes(self.memory)


class Progress(NamedTuple):
    """Progress of training, for `on_segment` after each segment.

    group, chunk: what is being trained, of `groups` and `chunks`.
    update, step: done by each of its members, of `updates` and `steps`.
    done: share of the whole sweep, in environment steps.
    seconds: since training started.
    steps_per_second: in this segment, of all its members together.
    left: predicted seconds to the end.
    diverged: members of this chunk with non-finite parameters.
    history: {metric: f32[B, rows of this segment]}.
    """

    group: int
    groups: int
    chunk: int
    chunks: int
    update: int
    updates: int
    step: int
    steps: int
    done: float
    seconds: float
    steps_per_second: float
    left: float
    diverged: int
    history: dict[str, np.ndarray]

    def __str__(self) -> str:
        """Write progress on one line."""
        return (
            f"{self.done:.0%}: group {self.group + 1} of {self.groups}, "
            f"chunk {self.chunk + 1} of {self.chunks}, step {self.step:,} of {self.steps:,}; "
            f"{self.steps_per_second:,.0f} steps/s, {self.left:.0f} s left, "
            f"{self.diverged} diverged"
        )

    __repr__ = __str__


class Watch(NamedTuple):
    """Callbacks of training a layout; by default they do nothing.

    compiling: called with a group before its programs are compiled. announce: with the Plan before
    training, or a text if all is finished already. on_segment: with progress after each segment.
    """

    compiling: Callable[[Group], None] = lambda group: None
    announce: Callable[[object], None] = lambda what: None
    on_segment: Callable[[Progress], None] = lambda progress: None


NOBODY = Watch()
