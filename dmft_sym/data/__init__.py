"""Samples out of files and named sets."""

from .datasets import digits, from_csv, from_files, from_npz, named_set

__all__ = ["digits", "from_csv", "from_files", "from_npz", "named_set"]
