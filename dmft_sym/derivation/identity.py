"""What a theory and its settings are, as JSON has them: for hashes that say whether two runs are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from .problem import Problem


def of_theory(theory: Problem) -> list[Any]:
    """Program, numbers that it is given, and defaults of its parts."""
    given = {name: plain(value) for name, value in sorted(theory.data.given.items())}
    network = theory.network
    parts = [network.name, network.depth, network.outputs, str(network.parametrization), dict(network.defaults)]
    return [str(theory.program), given, [plain(part) for part in parts], repr(theory.data), repr(theory.training)]


def plain(value: Any) -> Any:
    """A value as JSON has it: numbers exactly, arrays by their content, anything else by what it prints."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, np.ndarray | np.generic):
        array = np.ascontiguousarray(value)
        return [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | range | set | frozenset):
        return [plain(one) for one in value]
    program = getattr(value, "program", None)
    return [type(value).__name__, getattr(value, "name", ""), str(value if program is None else program)]
