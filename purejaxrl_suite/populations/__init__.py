"""Populations: sweeps that drop, replace or change configurations while they train."""
