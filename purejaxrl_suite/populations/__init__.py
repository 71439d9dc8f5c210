"""Populations: sweeps that drop, replace or change configurations during training."""
