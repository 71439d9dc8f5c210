"""Data sets of experience, to learn from without acting."""

from purejaxrl_suite.ops.episodes import next_actions, returns_to_go

__all__ = ["next_actions", "returns_to_go"]
