"""Give a field another name in statements that have already been recorded."""

from __future__ import annotations

import dataclasses
from typing import Any

from dmft_sym.program import FieldRef


def renamed(thing: Any, old: FieldRef, new: FieldRef) -> Any:
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
