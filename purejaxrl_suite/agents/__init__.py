"""Agents: one paper, one file; each a function from an environment to an `Agent`."""
