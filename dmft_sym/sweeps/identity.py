"""What makes two sweeps the same: a hash of theories, grid, settings and code, and a description for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from dmft_sym.derivation.identity import of_theory, plain

from .axes import Grid


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
        "theories": [of_theory(theory) for theory in grid.theories],
        "code": compiler_fingerprint(),
    }
    text = json.dumps({**found, **rest}, sort_keys=True)
    return {**found, "hash": hashlib.sha256(text.encode()).hexdigest()}
