"""A flat matrix program with numbers in it: the linear equations of its eigenproblem, one for every unknown.

Statements without a matrix are substituted; what remains are the inputs and the fields that a product makes. Every
equation is kept as its coefficients, forward products ``A x`` as such and transposed ones with the factor ``tau``, as
they act on coordinates (`dmft_sym.execution.coordinates`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy as sp

from dmft_sym.execution.evaluate import Evaluator
from dmft_sym.execution.plan import MatrixKey, Plan
from dmft_sym.program import Assign, FieldRef, Product, ProgramError, class_values
from dmft_sym.spectra.matrices.coefficients import Coefficients, Correlate
from dmft_sym.spectra.matrices.matrix_program import FlatMatrix

Node = tuple[FieldRef, int]
"""A level-two field and its output (0 if fields carry no output)."""


@dataclass(frozen=True)
class Atom:
    """What stands between a coefficient and an unknown: nothing, ``z``, or a matrix."""

    matrix: int | None = None
    transpose: bool = False
    eigenvalue: bool = False

    @property
    def mirrored(self) -> Atom:
        """The transpose."""
        return self if self.matrix is None else Atom(self.matrix, not self.transpose)


IDENTITY, EIGENVALUE = Atom(), Atom(eigenvalue=True)
Terms = dict[tuple[Node, Atom], float]


@dataclass
class LinearSystem:
    """``sum terms = 0`` for every equation.

    Attributes
    ----------
    equations : dict
        The terms of every equation, by the unknown that it defines.
    inputs : dict
        For every input of the matrix program its name; their equations contain the eigenvalue.
    """

    equations: dict[Node, Terms] = field(default_factory=dict)
    inputs: dict[Node, str] = field(default_factory=dict)


def linear_system(flat: FlatMatrix, plan: Plan, number: Evaluator, correlate: Correlate) -> LinearSystem:
    """Write out the eigenproblem of a matrix.

    Parameters
    ----------
    plan
        Of the training program; gives matrices and the number of outputs.
    number
        Evaluates coefficients.
    correlate
        Evaluates correlations of the training run.

    Raises
    ------
    ProgramError
        If a coefficient is not linear in correlations, or depends on the class of sites.
    ValueError
        If a coefficient has no finite value.
    """
    if any(class_values(c) for s in (*flat.statements, *flat.transposed) for c, _ in s.value.terms):
        raise ProgramError(
            f"matrix {flat.name} depends on the classes of sites: allowed on coordinates are matrices of weights; use "
            "ds.spectrum(..., method='equations')"
        )
    return _SystemWriter(flat, plan, number, correlate).system()


class _SystemWriter:
    def __init__(self, flat: FlatMatrix, plan: Plan, number: Evaluator, correlate: Correlate) -> None:
        self.flat = flat
        self.outputs = plan.outputs if flat.per_output else 1
        self.coefficients = Coefficients(number, correlate, self.outputs)
        self.matrices: Mapping[MatrixKey, int] = {spec.key: k for k, spec in enumerate(plan.matrices)}
        self.values: dict[Node, Terms] = {}
        self.products: dict[tuple[object, int], tuple[Node, float]] = {}

    def system(self) -> LinearSystem:
        found = LinearSystem()
        flat = self.flat
        results = {right for _, right in flat.pairs}
        for left, _ in flat.pairs:
            for c in range(self.outputs):
                self.values[left, c] = {((left, c), IDENTITY): 1.0}
                found.inputs[left, c] = left.field.name
        for statement in (*flat.statements, *flat.transposed):
            for c in range(self.outputs):
                self._assign(statement, c, results, found)
        for left, right in flat.pairs:
            for c in range(self.outputs):
                terms = {key: -value for key, value in self.values[right, c].items()}
                terms[(left, c), EIGENVALUE] = 1.0
                found.equations[left, c] = terms
        return found

    def _assign(self, statement: Assign, c: int, results: set[FieldRef], found: LinearSystem) -> None:
        """Keep a field that a product makes as an unknown; substitute others, and the results."""
        node = (statement.target, c)
        terms = self._terms(statement, c)
        if statement.target in results or all(atom.matrix is None for _, atom in terms):
            self.values[node] = terms
            return
        self.values[node] = {(node, IDENTITY): 1.0}
        (_, atom), *others = statement.value.terms
        if isinstance(atom, Product) and not others and len(terms) == 1:
            (known, _), value = next(iter(terms.items()))
            if known[1] == c:
                self.products[atom, c] = node, value / self.values[atom.operand, c][known, IDENTITY]
        found.equations[node] = {key: -value for key, value in terms.items()} | {(node, IDENTITY): 1.0}

    def _terms(self, statement: Assign, c: int) -> Terms:
        terms: Terms = {}
        for coefficient, atom in statement.value.terms:
            if isinstance(atom, Product):
                operand, kind = atom.operand, self._kind(atom)
                factor = atom.matrix.matrix.aspect if atom.transpose else sp.Integer(1)
                coefficient = sp.powsimp(sp.cancel(coefficient * factor), force=True)
            elif isinstance(atom, FieldRef):
                operand, kind = atom, IDENTITY
            else:
                raise ProgramError(f"{statement}: a matrix is linear, and {atom} is not a level-two field")
            for d, weight in enumerate(self.coefficients.matrix(coefficient, statement)[c]):
                if not weight:
                    continue
                if (atom, d) in self.products:
                    # A product that has a name already is its field: equations that share it can be paired.
                    node, unit = self.products[atom, d]
                    self._add(terms, {(node, IDENTITY): 1 / unit}, IDENTITY, float(weight), statement)
                else:
                    self._add(terms, self.values[operand, d], kind, float(weight), statement)
        return terms

    def _kind(self, product: Product) -> Atom:
        ref = product.matrix
        if ref.key not in self.matrices:
            raise ProgramError(f"matrix = {self.flat.name!r}: the network does not use {ref} at this depth")
        return Atom(self.matrices[ref.key], product.transpose)

    @staticmethod
    def _add(terms: Terms, value: Terms, kind: Atom, weight: float, statement: Assign) -> None:
        for (node, inner), factor in value.items():
            if kind.matrix is not None and inner.matrix is not None:
                raise ProgramError(f"{statement}: {node[0]} is a result and cannot be used again")
            key = (node, inner if kind.matrix is None else kind)
            terms[key] = terms.get(key, 0.0) + weight * factor
