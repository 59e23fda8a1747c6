"""Sweeps: many runs of a theory over a grid of values, as one result."""
