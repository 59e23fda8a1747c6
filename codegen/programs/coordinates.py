"""The module that carries out plans in growing coordinates: one for all networks, compiled once.

A network is a table of numbers to it (`execution.instructions`): what depends on the network are a few dozen lines,
each a product of a matrix with short vectors, so that reading them costs nothing beside the arithmetic, and a new
network waits for no compiler.
"""

from __future__ import annotations

import ast
from importlib import resources

_FILES = (
    "common",
    "coordinate_tables",
    "coordinate_rows",
    "coordinate_matrices",
    "coordinate_scalars",
    "coordinate_steps",
)
_HEAD = '''\
"""Infinite linear networks in growing coordinates: the steps of any of them, by lines of numbers.

Put together by dmft_sym.codegen from its library; not meant to be edited. ``advance`` is what is called.
"""

import math
from enum import IntEnum, auto
from typing import Any, TypeAlias

import numpy as np
from numba import njit, types'''


def write() -> str:
    """The module's source."""
    return "\n\n\n".join([_HEAD, *(file_text(name) for name in _FILES)]) + "\n"


def file_text(name: str) -> str:
    """What a file of the library has after its imports."""
    source = resources.files("dmft_sym.codegen.library").joinpath(f"{name}.py").read_text(encoding="utf-8")
    body = iter(ast.parse(source).body[1:])  # after the docstring
    first = next(node for node in body if not isinstance(node, (ast.Import, ast.ImportFrom)))
    line = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", ()))])
    return "\n".join(source.splitlines()[line - 1 :]).strip("\n")
