"""The module that carries out plans in growing coordinates: one for all networks, compiled once.

A network is a table of numbers to it (`execution.instructions`): what depends on the network are a few dozen lines,
each a product of a matrix with short vectors, so that reading them costs nothing beside the arithmetic, and a new
network waits for no compiler.
"""

from __future__ import annotations

from dmft_sym.codegen.library.library_text import file_text

_FILES = ("coordinate_tables", "coordinate_rows", "coordinate_matrices", "coordinate_scalars", "coordinate_steps")
_HEAD = '''\
"""Infinite linear networks in growing coordinates: the steps of any of them, by lines of numbers.

Put together by dmft_sym.codegen from its library; not meant to be edited. ``advance`` is what is called.
"""

import math
from enum import IntEnum, auto

import numpy as np
from numba import njit, types'''


def write() -> str:
    """The module's source."""
    return "\n\n\n".join([_HEAD, *(file_text(name) for name in _FILES)]) + "\n"
