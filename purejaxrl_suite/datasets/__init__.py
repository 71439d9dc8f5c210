"""Data sets of experience, to learn from without acting: collected, from replay, or imported."""

from purejaxrl_suite.datasets.collecting import collect, random
from purejaxrl_suite.datasets.experience import (
    Episodes,
    Experience,
    Record,
    concatenate,
    episodes,
    load,
)
from purejaxrl_suite.datasets.graded import graded
from purejaxrl_suite.datasets.minari_format import from_minari, to_minari
from purejaxrl_suite.datasets.replayed import from_replay
from purejaxrl_suite.ops.episodes import next_actions, returns_to_go

__all__ = [
    "Episodes",
    "Experience",
    "Record",
    "collect",
    "concatenate",
    "episodes",
    "from_minari",
    "from_replay",
    "graded",
    "load",
    "next_actions",
    "random",
    "returns_to_go",
    "to_minari",
]
