"""Give a field another name in statements that have already been recorded."""

from __future__ import annotations

import dataclasses
from typing import Any

import sympy as sp

from dmft_sym.program import FieldRef
from dmft_sym.program.declarations import Declared


def renamed(thing: Any, old: FieldRef | Declared, new: FieldRef | Declared) -> Any:
    """A copy of a statement or an expression of the language in which ``new`` stands for ``old``."""
    if thing == old:
        return new
    if isinstance(thing, tuple):
        return tuple(renamed(part, old, new) for part in thing)
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        parts = {entry.name: getattr(thing, entry.name) for entry in dataclasses.fields(thing)}
        changed = {key: renamed(value, old, new) for key, value in parts.items()}
        return thing if changed == parts else dataclasses.replace(thing, **changed)
    return thing


def reindexed(thing: Any, index: sp.Symbol, value: sp.Expr) -> Any:
    """A copy of statements in which ``value`` stands for the index of the scan that they were written for."""
    if isinstance(thing, sp.Basic):
        return thing.subs(index, value)
    if isinstance(thing, tuple):
        return tuple(reindexed(part, index, value) for part in thing)
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type | Declared):
        parts = {entry.name: getattr(thing, entry.name) for entry in dataclasses.fields(thing)}
        changed = {key: reindexed(part, index, value) for key, part in parts.items()}
        return thing if changed == parts else dataclasses.replace(thing, **changed)
    return thing
