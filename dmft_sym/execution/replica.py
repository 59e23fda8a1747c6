"""One replica of a sampled network: what is asked for, what it measures, and the plain arithmetic that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.program import Program, ScalarRef

from .half_streams import Seed
from .interface import Arithmetic
from .plan import Given, MatrixKey
from .runner import run_sampled
from .sampled import SampledSites
from .sampled_view import Inspect

OnStep: TypeAlias = Callable[[int], None]
"""Called with the number of finished steps after each."""


@dataclass(frozen=True)
class ReplicaTask:
    """What every replica of a run does.

    Attributes
    ----------
    program, values, outputs, steps, sites, tol, antithetic, data
        As `run_sampled`.
    pauses : frozenset of int
        Steps at which the replica is shown, when its fields are computed and before its updates.
    """

    program: Program
    values: Mapping[sp.Symbol, float]
    outputs: int
    steps: int
    sites: int
    tol: float
    antithetic: bool
    data: Given
    pauses: frozenset[int]


@dataclass(frozen=True)
class ReplicaResult:
    """What one replica measured.

    Attributes
    ----------
    steps : int
        Number of steps whose results are kept; fewer than asked for if the run diverged.
    scalars : mapping to ndarray, shape (steps, [layers,] [samples,] [outputs])
        The scalars that the program computes, by name; families have an axis of layers after that of the steps.
    directions : mapping to ndarray, shape (steps, 2)
        Number of directions on which every matrix, and its transpose, is known.
    """

    steps: int
    scalars: Mapping[str, NDArray[np.float64]]
    directions: Mapping[MatrixKey, NDArray[np.int64]]


def plain_replica(task: ReplicaTask, seed: Seed, inspect: Inspect | None, progress: OnStep) -> ReplicaResult:
    """Run `SampledSites`."""
    counts: list[dict[MatrixKey, tuple[int, int]]] = []

    def look(step: int, network: Arithmetic) -> None:
        sites = cast(SampledSites, network)
        counts.append({m.spec.key: (m.forward.count, m.backward.count) for m in sites.matrices.values()})
        if inspect is not None and step in task.pauses:
            inspect(sites.view(step, seed))

    result = run_sampled(
        task.program,
        task.values,
        task.outputs,
        task.steps,
        task.sites,
        seed,
        task.tol,
        task.antithetic,
        progress=progress,
        inspect=look,
        data=task.data,
    )
    keys = [matrix.spec.key for matrix in cast(SampledSites, result.arithmetic).matrices.values()]
    directions = {key: np.array([row[key] for row in counts], np.int64).reshape(-1, 2) for key in keys}
    return ReplicaResult(result.steps, _by_name(result.scalars), directions)


def _by_name(scalars: Mapping[ScalarRef, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Families put together along an axis of layers."""
    families: dict[str, dict[int, NDArray[np.float64]]] = {}
    found: dict[str, NDArray[np.float64]] = {}
    for ref, rows in scalars.items():
        name, layer = ref.key
        if layer is None:
            found[name] = rows
        else:
            families.setdefault(name, {})[layer] = rows
    for name, layers in families.items():
        found[name] = np.stack([layers[layer] for layer in sorted(layers)], axis=1)
    return found
