"""Spectra of finite networks: the matrix program is carried out on stored matrices, SciPy does the rest.

The statements are those from which the theory is made; here their products are products with the matrices of a network
of finite size. Only the largest values are computed unless all are asked for (ARPACK on a linear operator).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from scipy.sparse.linalg import LinearOperator, eigsh, svds

from dmft_sym.execution.evaluate import Evaluator
from dmft_sym.execution.finite import FiniteNetwork
from dmft_sym.execution.interface import Arithmetic
from dmft_sym.execution.plan import MatrixKey
from dmft_sym.program import OUTPUTS, Assign, FieldRef, Product, Program, ProgramError, class_values
from dmft_sym.spectra.matrices.catalogue import flat_matrices
from dmft_sym.spectra.matrices.class_numbers import ClassNumbers
from dmft_sym.spectra.matrices.coefficients import Coefficients
from dmft_sym.spectra.matrices.equal_time import EqualTime
from dmft_sym.spectra.matrices.matrix_program import FlatMatrix, MatrixProgram
from dmft_sym.spectra.pencil.coordinates import steps_of
from dmft_sym.support.array_types import Floats


class FiniteMatrix:
    """A matrix of a finite network at its present step, as what it does to vectors.

    Parameters
    ----------
    flat
        The matrix, at the depth of the network.
    network
        A network whose fields of this step are computed.
    number
        Evaluates coefficients.
    program
        The training program.
    classes
        Numbers of the classes of sites.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns; vectors of several outputs are put one after the other.
    """

    def __init__(
        self, flat: FlatMatrix, network: FiniteNetwork, number: Evaluator, program: Program, classes: ClassNumbers
    ) -> None:
        self._flat, self._network, self._program, self._classes = flat, network, program, classes
        plan = network.plan
        self._outputs = plan.outputs if flat.per_output else 1
        self._coefficients = Coefficients(number, self._correlation, self._outputs)
        self._matrices: Mapping[MatrixKey, int] = {spec.key: k for k, spec in enumerate(plan.matrices)}
        self._class_of = {sector.space: network.class_of.get(k) for k, sector in enumerate(plan.sectors)}
        self._sizes = {sector.space: size for sector, size in zip(plan.sectors, network.sizes, strict=True)}
        self.shape = (self._length(flat.output), self._length(flat.input))

    def _length(self, ref: FieldRef) -> int:
        return self._outputs * self._sizes[ref.space.name]

    @property
    def symmetric(self) -> bool:
        """Whether eigenvalues are meant, and not singular values."""
        return self._flat.symmetric

    def times(self, vectors: Floats) -> Floats:
        """The matrix times the columns of ``vectors``, shape (columns, k)."""
        return self._run(self._flat.statements, self._flat.input, self._flat.output, vectors)

    def transposed_times(self, vectors: Floats) -> Floats:
        """The transpose times the columns of ``vectors``, shape (rows, k)."""
        flat = self._flat
        if flat.transposed_input is None or flat.transposed_output is None:
            return self.times(vectors)
        return self._run(flat.transposed, flat.transposed_input, flat.transposed_output, vectors)

    def dense(self) -> Floats:
        """The matrix itself."""
        return self.times(np.eye(self.shape[1]))

    def operator(self) -> LinearOperator:
        """For SciPy."""
        return LinearOperator(
            self.shape, self.times, self.transposed_times, self.times, np.dtype(float), self.transposed_times
        )

    def _run(self, statements: Sequence[Assign], start: FieldRef, end: FieldRef, vectors: Floats) -> Floats:
        columns = vectors.reshape(len(vectors), -1)
        values = {start: columns.T.reshape(columns.shape[1], self._outputs, -1)}
        for statement in statements:
            values[statement.target] = sum(
                (self._term(coefficient, atom, values, statement) for coefficient, atom in statement.value.terms),
                np.zeros((columns.shape[1], self._outputs, self._sizes[statement.target.space.name])),
            )
        return values[end].reshape(columns.shape[1], -1).T

    def _term(self, coefficient: sp.Expr, atom: object, values: dict[FieldRef, Floats], statement: Assign) -> Floats:
        if isinstance(atom, Product):
            if atom.matrix.key not in self._matrices:
                raise ProgramError(
                    f"matrix = {self._flat.name!r}: the network does not use {atom.matrix} at this depth"
                )
            matrix = self._network.matrices[self._matrices[atom.matrix.key]]
            value: Floats = values[atom.operand] @ (matrix if atom.transpose else matrix.T)
        else:
            assert isinstance(atom, FieldRef)
            value = values[atom]
        if class_values(coefficient):
            return self._by_class(coefficient, value, statement)
        return self._coefficients.matrix(coefficient, statement) @ value

    def _by_class(self, coefficient: sp.Expr, value: Floats, statement: Assign) -> Floats:
        """``value``, shape (columns, outputs, sites), times a coefficient that depends on the class of the site."""
        space = statement.target.space
        factors = [
            self._coefficients.matrix(self._classes.at(coefficient, kind), statement)
            for kind, _ in self._classes.kinds(space)
        ]
        at_sites = np.array(factors)[self._class_of[space.name]]
        return np.asarray(np.einsum("scd,kds->kcs", at_sites, value))

    def _correlation(self, found: EqualTime) -> Floats:
        network = self._network
        a, b = (network.plan.fields[ref] for ref in found.fields(self._program))
        overlaps: Floats = network.values[a] @ network.values[b].T * network.overlap(network.plan.slots[a])
        return overlaps


@dataclass(frozen=True, eq=False)
class MeasuredSpectrum:
    """The spectrum of a matrix of one finite network at one step.

    Attributes
    ----------
    values : ndarray, shape (n,)
        Singular values (eigenvalues, if the matrix is symmetric), descending: the largest ones, or all.
    overlaps : dict
        ``|cos|`` between the vectors of the largest values and the fields of the program, for every pair of an input
        of the matrix program and a field; shape (count, C).
    """

    values: Floats
    overlaps: dict[tuple[str, str], Floats]


class Measurement:
    """Measures spectra of a network in training: give its `inspect` to `run_finite`.

    Parameters
    ----------
    program, values, outputs, steps, matrices, at
        As for `coordinate_spectra`; ratios must be finite.
    count
        Number of largest values, with overlaps of their vectors.
    full
        Compute all values (for histograms), which takes the time of a dense decomposition.
    seed
        Of starting vectors; the same seed gives the same numbers.
    data
        What was given to the network, numbers of classes of sites among it.

    Attributes
    ----------
    tracks : dict
        By name of the matrix and by step.
    """

    def __init__(
        self,
        program: Program,
        values: Mapping[sp.Symbol, float],
        outputs: int,
        steps: int,
        matrices: Sequence[str | MatrixProgram],
        at: Iterable[int],
        *,
        count: int = 3,
        full: bool = False,
        seed: int = 0,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        self._wanted = steps_of(at, steps)
        if isinstance(count, bool) or count != int(count) or count < 1:
            raise ValueError(f"count = {count!r}: allowed is an integer >= 1")
        self._flats = flat_matrices(program, values, matrices)
        self._number = Evaluator({**values, OUTPUTS: outputs})
        self._classes = ClassNumbers({name: (data or {})[name] for name in program.class_values})
        self._program, self._count, self._full, self._seed = program, count, full, seed
        self.tracks: dict[str, dict[int, MeasuredSpectrum]] = {flat.name: {} for flat in self._flats}

    def inspect(self, step: int, arithmetic: Arithmetic) -> None:
        """Measure, if this step is one of those asked for."""
        if step not in self._wanted:
            return
        assert isinstance(arithmetic, FiniteNetwork)
        for flat in self._flats:
            matrix = FiniteMatrix(flat, arithmetic, self._number, self._program, self._classes)
            found = _measure(matrix, flat, arithmetic, self._count, self._full, self._seed)
            self.tracks[flat.name][step] = found


def _measure(
    matrix: FiniteMatrix, flat: FlatMatrix, network: FiniteNetwork, count: int, full: bool, seed: int
) -> MeasuredSpectrum:
    if full or 4 * count >= min(matrix.shape):
        values, sides = _all_values(matrix, count)
        values = values if full else values[:count]
    else:
        values, sides = _largest(matrix, count, seed)
    inputs = [flat.input] + ([flat.transposed_input] if flat.transposed_input is not None else [])
    overlaps: dict[tuple[str, str], Floats] = {}
    for ref, vectors in zip(inputs, sides, strict=True):
        for label, rows in _fields(network, ref).items():
            unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            parts = vectors.T.reshape(vectors.shape[1], -1, rows.shape[1])
            per_output = parts.shape[1] == len(rows)
            subscripts = "kcn,cn->kc" if per_output else "kdn,cn->kc"
            overlaps[ref.field.name, label] = np.abs(np.einsum(subscripts, parts, unit))
    return MeasuredSpectrum(values, overlaps)


def _largest(matrix: FiniteMatrix, count: int, seed: int) -> tuple[Floats, list[Floats]]:
    """The largest values and their vectors by ARPACK, from a starting vector that the seed fixes."""
    start = np.random.default_rng([seed, 1]).standard_normal(min(matrix.shape))
    if not matrix.times(np.random.default_rng([seed, 2]).standard_normal((matrix.shape[1], 1))).any():
        return np.zeros(count), [np.zeros((length, count)) for length in matrix.shape[::-1]]
    if matrix.symmetric:
        values, vectors = eigsh(matrix.operator(), count, which="LA", v0=start)
        order = np.argsort(-values)
        return values[order], [vectors[:, order]]
    left, values, right = svds(matrix.operator(), count, v0=start)
    order = np.argsort(-values)
    return values[order], [right[order].T, left[:, order]]


def _all_values(matrix: FiniteMatrix, count: int) -> tuple[Floats, list[Floats]]:
    dense = matrix.dense()
    if matrix.symmetric:
        values, vectors = np.linalg.eigh(0.5 * (dense + dense.T))
        return values[::-1], [vectors[:, ::-1][:, :count]]
    left, values, right = np.linalg.svd(dense, full_matrices=False)
    return values, [right[:count].T, left[:, :count]]


def _fields(network: FiniteNetwork, ref: FieldRef) -> dict[str, Floats]:
    """Fields and random vectors of the space of ``ref``."""
    plan = network.plan
    return {
        name: network.values[slot]
        for name, slot in plan.named_slots.items()
        if plan.sectors[plan.slots[slot]].space == ref.space.name and np.all(np.any(network.values[slot], axis=1))
    }
