"""Reverse mode: the backward pass of a traced network, in the same language.

The adjoint of every field is a linear combination; it is given a name where a matrix must act on it. A scan
is reversed into a scan over the same layers in descending order whose carry is the adjoint of the carry.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import sympy as sp

from dmft_sym.program import (
    Assign,
    Field,
    FieldRef,
    ForLayers,
    GaussianMatrix,
    LayerRange,
    Linear,
    MatrixRef,
    Outer,
    Product,
    ProgramError,
    RandomVector,
    Statement,
    VectorRef,
)

from .parametrization import Scalings
from .trace import Trace


@dataclass
class Backward:
    """The backward pass.

    Attributes
    ----------
    statements
        In execution order.
    input_adjoint
        Derivative of ``sum_j sqrt(N/N_j) w_j . h_j`` with respect to the input.
    gradients
        For every matrix and readout vector, the terms of its update (without the common coefficient).
    """

    statements: list[Statement]
    input_adjoint: Linear
    gradients: dict[GaussianMatrix | RandomVector, list[Outer]] = field(default_factory=dict)


def reverse(trace: Trace, scalings: Scalings) -> Backward:
    """Differentiate a traced forward pass.

    Parameters
    ----------
    scalings
        Gives the seed ``sqrt(N/N_j)`` of every readout.
    """
    pass_ = _Reverse(trace)
    for readout in trace.readouts:
        seed = readout.coefficient * scalings.readout(readout.vector.space.ratio)
        pass_.add_adjoint(readout.field, Linear.of(VectorRef(readout.vector), seed))
        pass_.gradients.setdefault(readout.vector, []).append(Outer(seed, readout.field))
    for statement in reversed(trace.statements):
        pass_.visit(statement)
    return Backward(pass_.blocks[0], pass_.adjoints.pop(trace.input, Linear()), pass_.gradients)


class _Reverse:
    def __init__(self, trace: Trace) -> None:
        self.adjoints: dict[FieldRef, Linear] = {}
        self.blocks: list[list[Statement]] = [[]]
        self.gradients: dict[GaussianMatrix | RandomVector, list[Outer]] = {}
        self.scan: ForLayers | None = None
        self.names = {"v"} | {statement.target.field.name for statement in _assigns(trace.statements)}

    def add_adjoint(self, ref: FieldRef, value: Linear) -> None:
        self.adjoints[ref] = self.adjoints.get(ref, Linear()) + value

    def visit(self, statement: Statement) -> None:
        if isinstance(statement, ForLayers):
            self.visit_scan(statement)
        elif isinstance(statement, Assign):
            self.visit_assign(statement)

    def visit_assign(self, statement: Assign) -> None:
        adjoint = self.adjoints.pop(statement.target, Linear())
        if not adjoint.terms:
            return
        for coefficient, atom in statement.value.terms:
            if isinstance(atom, FieldRef):
                self.add_adjoint(atom, adjoint.scaled(coefficient))
            elif isinstance(atom, Product):
                left = self.materialize(statement.target, adjoint)
                adjoint = Linear.of(left)
                self.add_adjoint(atom.operand, Linear.of(Product(atom.matrix, left, True), coefficient))
                self.add_gradient(atom.matrix, coefficient, left, atom.operand)

    def add_gradient(self, matrix: MatrixRef, coefficient: sp.Expr, left: FieldRef, right: FieldRef) -> None:
        index = layers = None
        if self.scan is not None:
            if matrix.layer is None:
                index, layers = self.scan.index, self.scan.layers
            elif matrix.layer != self.scan.index:
                raise ProgramError(
                    f"{matrix}: inside the scan over {self.scan.index} a family is indexed by {self.scan.index} itself"
                )
        elif matrix.layer is not None:
            raise ProgramError(f"{matrix}: a matrix family is used inside a scan over its layers")
        self.gradients.setdefault(matrix.matrix, []).append(Outer(coefficient, left, right, index, layers))

    def materialize(self, primal: FieldRef, adjoint: Linear) -> FieldRef:
        """The adjoint of ``primal`` as a named field."""
        if len(adjoint.terms) == 1 and adjoint.terms[0][0] == 1 and isinstance(adjoint.terms[0][1], FieldRef):
            return adjoint.terms[0][1]
        adjoint_field = Field(self.adjoint_name(primal.field.name), primal.space, primal.field.layers)
        ref = FieldRef(adjoint_field, primal.layer)
        self.blocks[-1].append(Assign(ref, adjoint))
        return ref

    def adjoint_name(self, name: str) -> str:
        """``h -> g``, ``h2 -> g2``, anything else gets the prefix ``g_``."""
        tail = name[1:]
        new = f"g{tail}" if name.startswith("h") and (not tail or tail.isdigit()) else f"g_{name}"
        while new in self.names:
            new += "_"
        self.names.add(new)
        return new

    def visit_scan(self, scan: ForLayers) -> None:
        carries = _carries(scan)
        top = scan.layers.stop + 1
        outside = {carry: self.adjoints.pop(FieldRef(carry, top), Linear()) for carry in carries}
        if not any(value.terms for value in outside.values()):
            return
        adjoints = {carry: Field(self.adjoint_name(carry.name), carry.space, carry.layers) for carry in carries}
        for carry, value in outside.items():
            self.blocks[-1].append(Assign(FieldRef(adjoints[carry], top), value))
        sums = {ref: self._start_sum(ref, scan) for ref in _captured(scan, carries)}
        body = self._reversed_body(scan, adjoints, sums)
        self.blocks[-1].append(ForLayers(scan.index, scan.layers, body, descending=True))
        first = scan.layers.start
        for carry in carries:
            self.add_adjoint(FieldRef(carry, first), Linear.of(FieldRef(adjoints[carry], first)))
        for ref, total in sums.items():
            self.add_adjoint(ref, Linear.of(FieldRef(total, first)))

    def _reversed_body(
        self, scan: ForLayers, adjoints: dict[Field, Field], sums: dict[FieldRef, Field]
    ) -> tuple[Statement, ...]:
        """One layer of the backward scan: adjoints at ``l`` from those at ``l + 1``."""
        held, self.adjoints = self.adjoints, {}
        self.scan = scan
        self.blocks.append([])
        for carry, adjoint in adjoints.items():
            self.add_adjoint(FieldRef(carry, scan.index + 1), Linear.of(FieldRef(adjoint, scan.index + 1)))
        for statement in reversed(scan.body):
            self.visit(statement)
        for carry, adjoint in adjoints.items():
            value = self.adjoints.pop(FieldRef(carry, scan.index), Linear())
            self.blocks[-1].append(Assign(FieldRef(adjoint, scan.index), value))
        for ref, total in sums.items():
            above = Linear.of(FieldRef(total, scan.index + 1))
            value = above + self.adjoints.pop(ref, Linear())
            self.blocks[-1].append(Assign(FieldRef(total, scan.index), value))
        self.scan = None
        self.adjoints = held
        return tuple(self.blocks.pop())

    def _start_sum(self, ref: FieldRef, scan: ForLayers) -> Field:
        """A family that adds up, layer by layer, the adjoint of a field captured by the scan."""
        name = f"sum_{self.adjoint_name(ref.field.name)}"
        total = Field(name, ref.space, LayerRange(scan.layers.start, scan.layers.stop + 1))
        self.blocks[-1].append(Assign(FieldRef(total, scan.layers.stop + 1), Linear()))
        return total


def _assigns(statements: tuple[Statement, ...]) -> list[Assign]:
    found: list[Assign] = []
    for statement in statements:
        if isinstance(statement, ForLayers):
            found += _assigns(statement.body)
        elif isinstance(statement, Assign):
            found.append(statement)
    return found


def _carries(scan: ForLayers) -> list[Field]:
    """Fields that a scan hands from one layer to the next: those its body assigns at the next layer."""
    return [s.target.field for s in _assigns(scan.body) if s.target.layer == scan.index + 1]


def _captured(scan: ForLayers, carries: list[Field]) -> list[FieldRef]:
    """Fields that the body reads but neither assigns nor carries."""
    own = {statement.target.field for statement in _assigns(scan.body)} | set(carries)
    found: dict[FieldRef, None] = {}
    for statement in _assigns(scan.body):
        for _, atom in statement.value.terms:
            ref = atom.operand if isinstance(atom, Product) else atom
            if isinstance(ref, FieldRef) and ref.field not in own:
                found[ref] = None
    return list(found)
