"""Other values of fields of a problem: of its network, its data, its training rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dmft_sym.program import ProgramError
from dmft_sym.support.messages import show, suggestion

PARTS = ("network", "data", "training")


def fields_of(parts: Mapping[str, Any]) -> dict[str, str]:
    """Names that can be replaced, and of which part they are; the first part that has a name owns it."""
    found = {name: name for name in parts}
    for part in PARTS:
        for name in _fields(parts[part]):
            found.setdefault(name, part)
    return found


def _fields(part: Any) -> list[str]:
    """What a part is made from: nothing of what it works out itself."""
    return [one.name for one in dataclasses.fields(part) if one.init] if dataclasses.is_dataclass(part) else []


def replaced(parts: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Network, data, training and probes of a problem with other values of some fields.

    Parameters
    ----------
    parts
        What the problem is made from, by name.
    changes
        Fields of these, or parts as a whole.

    Raises
    ------
    ProgramError
        If there is no such field, or if a part cannot have the value.
    """
    known, found = fields_of(parts), dict(parts)
    for name in changes:
        if name not in known:
            raise ProgramError(f"{name}: unknown field{suggestion(name, known)}; allowed are {', '.join(known)}")
    whole = {name: value for name, value in changes.items() if known[name] == name}
    found |= whole
    for part in PARTS:
        own = {name: value for name, value in changes.items() if known[name] == part and name not in whole}
        if own:
            found[part] = _with(part, found[part], own)
    return found


def _with(part: str, value: Any, changes: Mapping[str, Any]) -> Any:
    """A part with other values.

    Raises
    ------
    ProgramError
        If it has something that its fields do not say, such as further inputs of samples.
    """
    for one in dataclasses.fields(value):
        if not one.init and getattr(value, one.name):
            names = ", ".join(changes)
            raise ProgramError(f"{names}: the {part} have {one.name} that would be lost; replace {part} as a whole")
    try:
        return dataclasses.replace(value, **changes)
    except TypeError as error:
        said = ", ".join(f"{name} = {show(one)}" for name, one in changes.items())
        raise ProgramError(f"{said}: {error}") from error
