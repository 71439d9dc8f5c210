"""Agents: one paper, one file; each is a function from an environment to an `Agent`."""
