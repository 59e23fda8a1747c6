"""Finite networks whose updates have extensive rank: matrices are stored, and updates are polynomials of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from dmft_sym.program import Assign, FieldRef, Increment, LinearMap, MatrixRef, Product, Program, VectorRef
from dmft_sym.support.errors import ExecutionError
from dmft_sym.support.outcomes import DIVERGENCE

from .evaluate import Evaluator
from .finite import FiniteNetwork
from .interface import Array
from .result import ExecutionResult
from .track import Watch, result_of

Stored = Mapping[str, Array]
"""Matrices by name, shape (..., target, source); the axes before are those of independent networks."""


class MapEvaluator:
    """Evaluates maps at given matrices.

    Parameters
    ----------
    number
        Evaluates coefficients.
    """

    def __init__(self, number: Evaluator) -> None:
        self._number = number

    def matrix(self, linear: LinearMap, matrices: Stored) -> Array:
        """The matrix of a map, shape (..., target, source)."""
        return np.swapaxes(self.fields(linear.statements, linear.input, matrices)[linear.output], -1, -2)

    def fields(self, statements: Iterable[Assign], start: FieldRef, matrices: Stored) -> dict[FieldRef, Array]:
        """The images of all unit vectors in every field, shape (..., source, space)."""
        values: dict[FieldRef, Array | None] = {start: None}  # the identity, by which nothing need be multiplied
        for statement in statements:
            parts = [
                self._number(coefficient, statement) * self._part(atom, values, matrices)
                for coefficient, atom in statement.value.terms
            ]
            values[statement.target] = sum(parts[1:], parts[0])
        return {ref: value for ref, value in values.items() if value is not None}

    @staticmethod
    def _part(atom: object, values: Mapping[FieldRef, Array | None], matrices: Stored) -> Array:
        if isinstance(atom, Product):
            matrix = matrices[atom.matrix.matrix.name]
            turned = matrix if atom.transpose else np.swapaxes(matrix, -1, -2)
            operand = values[atom.operand]
            return turned if operand is None else operand @ turned
        assert isinstance(atom, FieldRef)
        value = values[atom]
        if value is None:
            raise ExecutionError(f"{atom}: allowed in an update of extensive rank are products with matrices")
        return value


def updated(increments: Sequence[Increment], evaluator: MapEvaluator, matrices: Stored) -> dict[str, Array]:
    """Matrices after one step."""
    added = {rule.matrix.name: evaluator.matrix(rule.forward, matrices) for rule in increments}
    return {name: matrix + added[name] if name in added else matrix for name, matrix in matrices.items()}


def run_polynomial(program: Program, number: Evaluator, network: FiniteNetwork, watch: Watch) -> ExecutionResult:
    """Train a finite network; what is observed is its mean over inputs, and not that of an input."""
    evaluator = MapEvaluator(number)
    names = [_name(spec.key) for spec in network.plan.matrices]
    table = {observed.name: np.zeros((watch.steps, 1)) for observed in program.observables}
    ranks = np.tile(network.ranks(), (watch.steps, 1))
    done, limit = 0, np.inf
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(watch.steps):
            stored = dict(zip(names, network.matrices, strict=True))
            losses = _observed(program, evaluator, number, stored)
            largest = max(map(abs, losses.values()), default=0.0)
            limit = DIVERGENCE * (largest or 1.0) if step == 0 else limit
            if not largest <= limit:
                break
            for name, value in losses.items():
                table[name][step] = value
            done += 1
            watch.look(network, step)
            after = updated(program.increments, evaluator, stored)
            network.matrices = [cast(Any, after[name]) for name in names]
            if watch.progress is not None:
                watch.progress(step + 1)
    return result_of(network, watch, done, table, {}, ranks)


def _name(key: tuple[str, int | None]) -> str:
    return key[0]


def _observed(program: Program, evaluator: MapEvaluator, number: Evaluator, matrices: Stored) -> dict[str, float]:
    """Averages over inputs."""
    fields = fields_of_inputs(program, evaluator, matrices)
    found = {}
    for observed in program.observables:
        total = number(observed.constant, observed)
        for coefficient, a, b in observed.terms:
            total += number(coefficient, observed) * float((fields[a] * fields[b]).sum()) / fields[a].shape[-1]
        found[observed.name] = total
    return found


def fields_of_inputs(program: Program, evaluator: MapEvaluator, matrices: Stored) -> dict[FieldRef, Array]:
    """Fields of all unit vectors, instead of those of the random vector that the program begins with."""
    first, *rest = (statement for statement in program.statements if isinstance(statement, Assign))
    assert isinstance(first.value.terms[0][1], VectorRef)
    return evaluator.fields(rest, first.target, matrices)


def scalar_directions(
    program: Program, number: Evaluator, matrices: Mapping[MatrixRef, Array], steps: int
) -> list[dict[str, Array]]:
    """Matrices of small networks, all of them at once, before the update of every step.

    Parameters
    ----------
    matrices
        At the first step, shape (networks, target, source).
    """
    evaluator = MapEvaluator(number)
    track = [{ref.matrix.name: value for ref, value in matrices.items()}]
    for _ in range(steps):
        track.append(updated(program.increments, evaluator, track[-1]))
    return track
