"""Sweeps: plan, train, store, resume and load many members of one experiment."""
