"""What makes two sweeps the same: a hash of theories, grid, settings and code, and a description for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .axes import Grid

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem


def identity(grid: Grid, variables: Sequence[str]) -> dict[str, Any]:
    """What a sweep is, as JSON has it; ``hash`` covers the rest and all that it does not spell out."""
    from importlib.metadata import version

    from dmft_sym.cache.modules import compiler_fingerprint

    found: dict[str, Any] = {
        "what": grid.task.name,
        "over": {axis.name: [str(label) for label in axis.labels] for axis in grid.axes},
        "settings": {name: plain(value) for name, value in sorted(grid.settings.items())},
        "variables": list(variables),
        "version": version("dmft-sym"),
    }
    rest = {
        "points": [[point.theory, {k: plain(v) for k, v in sorted(point.settings.items())}] for point in grid.points],
        "theories": [_of_theory(theory) for theory in grid.theories],
        "code": compiler_fingerprint(),
    }
    text = json.dumps({**found, **rest}, sort_keys=True)
    return {**found, "hash": hashlib.sha256(text.encode()).hexdigest()}


def _of_theory(theory: Problem) -> list[Any]:
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
