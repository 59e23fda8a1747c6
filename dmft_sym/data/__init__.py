"""Samples out of files and named sets."""
