"""The JSON schema of specs: what editors complete and check them with."""

from __future__ import annotations

import inspect
import math
import textwrap
from collections.abc import Mapping
from typing import Any

from dmft_sym.regimes import REGIMES

from .sections import model

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """One alternative for every regime, whose word ``[data] regime`` tells them apart."""
    return {
        "$schema": DIALECT,
        "title": "Spec of dmft-sym",
        "description": "A network, its data and its training: docs/specs.md. A key of one regime is refused in others.",
        "oneOf": [_of_regime(word, regime.sections) for word, regime in REGIMES.items()],
    }


def _of_regime(word: str, sections: Mapping[str, type]) -> dict[str, Any]:
    properties = {name: section_schema(keys) for name, keys in sections.items()}
    return {
        "title": f'regime = "{word}"',
        "type": "object",
        "properties": properties,
        "required": [name for name, section in properties.items() if section.get("required")],
        "additionalProperties": False,
    }


def section_schema(keys: type) -> dict[str, Any]:
    """The schema of a section, every key with what its docstring says."""
    from pydantic import TypeAdapter

    found = TypeAdapter(model(keys)).json_schema()
    meanings = descriptions(keys)
    summary = inspect.cleandoc(keys.__doc__ or "").splitlines()[0]
    properties = {
        key: {**_plain(value), "description": meanings[key]} for key, value in found.get("properties", {}).items()
    }
    return {**found, "title": keys.__name__, "description": summary, "properties": properties}


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """A key without null and infinite bounds, which files do not have; entries of lists are different."""
    choices = [choice for choice in value.pop("anyOf", []) if choice != {"type": "null"}]
    found = {**value, **(choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {})}
    if found.get("type") == "array":
        found["uniqueItems"] = True
    if found.get("default") is None:
        found.pop("default", None)
    found.pop("title", None)
    return {key: entry for key, entry in found.items() if not (isinstance(entry, float) and math.isinf(entry))}


def descriptions(keys: type) -> dict[str, str]:
    """What the docstrings of a section and of those that it narrows say of every key."""
    found: dict[str, str] = {}
    for cls in reversed(keys.__mro__):
        text = inspect.cleandoc(cls.__dict__.get("__doc__") or "").partition("Parameters\n----------\n")[2]
        names: list[str] = []
        parts: dict[str, list[str]] = {}
        for line in text.splitlines():
            if line[:1].strip():
                names = line.split(", ")
            for name in names:
                parts.setdefault(name, []).extend([line] if not line[:1].strip() else [])
        found |= {name: " ".join(textwrap.dedent("\n".join(lines)).split()) for name, lines in parts.items()}
    return found
