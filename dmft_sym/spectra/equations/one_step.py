"""The spike condition after one step of training, where two-time matrices are numbers: a determinant in symbols.

Which responses of training exist within the first step follows from the order of its statements: a field responds to a
Gaussian field of the same step if it is computed after it, directly or through a memory that reaches the present.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Protocol, TypeAlias

import sympy as sp
from sympy.polys.matrices import DomainMatrix

from dmft_sym.derivation.arrays import Entry
from dmft_sym.derivation.closure import ClosedEquations, RowEquations
from dmft_sym.derivation.single_site import Noise
from dmft_sym.program import Field, ProgramError
from dmft_sym.program.reachability import reached

from .site_group import OTHER_LAYER

if TYPE_CHECKING:
    from .spike_terms import SpikeEquation, SpikeTerm, TwoPoint

Responses: TypeAlias = frozenset[tuple[Field, Noise]]

_FACTORED = 200  # operations up to which a condition is factored: the time grows out of bounds


def responses_within_a_step(closed: ClosedEquations) -> Responses:
    """Families of a field and a Gaussian field with ``R(t, t) != 0`` at the first step, in the order of the program.

    The row ``t = 0`` of the march, with what is zero told from what is not: memories of earlier steps do not exist.
    """
    known: set[tuple[Field, object]] = set()
    for _, rows in groupby(closed.rows, key=lambda row: row.scans):  # layers of a scan follow each other
        known = reached(known, [rule for row in rows for rule in _first_row(row)])
    return frozenset(known)  # type: ignore[arg-type]


def _first_row(row: RowEquations) -> Iterator[tuple[list[tuple[Field, object]], tuple[Field, object]]]:
    """Which responses of the present a row is made of."""
    yield from (([], _pair(part.destination)) for part in row.direct if part.coefficient != 0)
    yield from (([_pair(part.source)], _pair(part.destination)) for part in row.local if part.source is not None)
    for kernel, transfers in row.kernels:
        for present in (_pair(term.entry) for term in kernel.terms if term.steps != "past" and term.entry is not None):
            for part in transfers:
                if part.source is not None:
                    yield [present, _pair(part.source)], _pair(part.destination)


def _pair(entry: Entry) -> tuple[Field, object]:
    return entry.array.row, entry.array.column


class SpikeCondition(Protocol):
    """Equations of the overlaps of one matrix, and of what they lead to."""

    @property
    def name(self) -> str:
        """The matrix."""

    @property
    def memories(self) -> tuple[SpikeEquation, ...]:
        """Equations that the trained part adds."""

    @property
    def equations(self) -> tuple[SpikeEquation, ...]:
        """Equations of the other unknowns."""


def one_step_condition(spikes: SpikeCondition, responses: Responses) -> sp.Expr:
    """``det(1 - J)`` for one past step, over the unknowns that the memories of the matrix lead to.

    Raises
    ------
    ProgramError
        If the unknowns of different layers depend on each other, whose number is not known.
    """
    rows: dict[TwoPoint, dict[TwoPoint, sp.Expr]] = {}
    expand = _Expansion(spikes, responses)
    waiting = [unknown for memory in spikes.memories for _, unknown in expand(memory)]
    while waiting:
        unknown = waiting.pop()
        if unknown in rows:
            continue
        row = rows[unknown] = {}
        equation = expand.equation_of(unknown)
        for coefficient, other in () if equation is None else expand(equation):
            row[other] = row.get(other, sp.Integer(0)) + equation.prefactor * coefficient  # type: ignore[union-attr]
            waiting.append(other)
    order = sorted(rows, key=str)
    matrix = sp.Matrix(len(order), len(order), lambda i, j: rows[order[i]].get(order[j], sp.Integer(0)) - int(i == j))
    # Over polynomials, without divisions: elimination on expressions takes minutes for matrices with several products.
    exact = DomainMatrix.from_Matrix(matrix)
    condition = exact.domain.to_sympy(exact.charpoly()[-1])
    return sp.factor(condition) if sp.count_ops(condition) <= _FACTORED else condition


class _Expansion:
    """Terms of an equation with memories inserted and matrices of training as symbols."""

    def __init__(self, spikes: SpikeCondition, responses: Responses) -> None:
        self.name = spikes.name
        self.responses = responses
        self.equations = {equation.left: equation for equation in (*spikes.memories, *spikes.equations)}
        self.families = {left.family for left in self.equations}

    def __call__(self, equation: SpikeEquation) -> Iterator[tuple[sp.Expr, TwoPoint]]:
        for term in equation.terms:
            if term.index is not None:
                raise self._coupled(str(term))
            known = self._known(term)
            if known == 0:
                continue
            if term.unknown.kind != "X":
                yield term.coefficient * known, term.unknown
                continue
            memory = self.equation_of(term.unknown)
            for inner, unknown in () if memory is None else self(memory):
                yield term.coefficient * known * inner, unknown

    def _known(self, term: SpikeTerm) -> sp.Expr:
        """A two-time matrix of training at its only entry; real, and positive where it is a square."""
        known = term.known
        if known is None:
            return sp.Integer(1)
        if known.kind == "R":
            assert isinstance(known.column, tuple)
            exists = (known.row.field, known.column[0]) in self.responses
            return sp.Symbol(str(known), real=True) if exists else sp.Integer(0)
        if known.row == known.column:
            return sp.Symbol(str(known), positive=True)
        # One entry is its own transpose: both orders of two fields have one symbol.
        first, second = sorted((str(known.row), str(known.column)))
        return sp.Symbol(f"C[{first}; {second}]", real=True)

    def equation_of(self, unknown: TwoPoint) -> SpikeEquation | None:
        """The equation of an unknown, at its layers; ``None`` if it is zero."""
        if unknown in self.equations:
            return self.equations[unknown]
        for left, equation in self.equations.items():
            layer = _layer_of_column(unknown)
            if _layer_of_column(left) == OTHER_LAYER and left.at(OTHER_LAYER, layer) == unknown:
                return equation.at(OTHER_LAYER, layer)
        if unknown.family in self.families:
            raise self._coupled(str(unknown))
        return None

    def _coupled(self, what: str) -> ProgramError:
        return ProgramError(
            f"one_step of {self.name}: {what} couples layers, whose number is a run-time argument; allowed are "
            "matrices whose condition stays at one layer, such as W0, W1 or W[l] of a deep network; "
            "ds.spectrum(..., at=[1]) has the numbers of any matrix"
        )


def _layer_of_column(point: TwoPoint) -> sp.Expr | None:
    return point.column[1] if isinstance(point.column, tuple) else point.column.layer
