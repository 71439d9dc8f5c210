"""Environments: one family per file, wrappers as functions, and probes with known values.

gymnax and navix are imported when one of their environments is first made.
"""

from purejaxrl_suite.envs.catalog import ids, make

__all__ = ["ids", "make"]
