"""Sweeps: many members of one experiment, planned, trained, stored, resumed, read again."""
