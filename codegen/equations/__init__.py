"""Equations become an intermediate representation, and that Python modules of several kinds."""
