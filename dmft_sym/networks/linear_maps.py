"""Linear maps written as statements: put one behind another, transpose them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import sympy as sp

from dmft_sym.program import (
    Assign,
    Field,
    FieldRef,
    Linear,
    LinearMap,
    MatrixRef,
    Product,
    Space,
    VectorRef,
)

from .reverse import Adjoint, ReverseMode

Known = Mapping[FieldRef | VectorRef, Linear]
"""What stands for fields and vectors that a map reads."""


class MapWriter:
    """Writes a map down; its fields are numbered, so that maps that are put into it keep no names.

    Parameters
    ----------
    name
        How its fields begin.
    space
        Of its input.
    taken
        Names that its fields must not have.
    """

    def __init__(self, name: str, space: Space, taken: Collection[str] = ()) -> None:
        self.name = name
        while any(other.startswith(self.name) for other in taken):
            self.name += "_"
        self.statements: list[Assign] = []
        self.input = FieldRef(Field(self.name, space))
        self._known: dict[Linear, FieldRef] = {}

    def named(self, value: Linear, space: Space) -> FieldRef:
        """A field that has a value; the field itself, if the value is one."""
        if value.only is not None:
            return value.only
        if value not in self._known:
            ref = FieldRef(Field(f"{self.name}{len(self.statements) + 1}", space))
            self.statements.append(Assign(ref, value))
            self._known[value] = ref
        return self._known[value]

    def times(self, matrix: MatrixRef, value: Linear, transpose: bool = False) -> Linear:
        """A matrix, or its transpose, times a vector, which is a field then."""
        if not value.terms:
            return value
        factor = value.terms[0][0] if len(value.terms) == 1 else sp.Integer(1)
        operand = self.named(value.scaled(1 / factor), matrix.matrix.target if transpose else matrix.matrix.source)
        return Linear.of(Product(matrix, operand, transpose), factor)

    def carried_out(self, statements: Iterable[Assign], known: Known) -> dict[FieldRef | VectorRef, Linear]:
        """The values of all fields of some statements, given those that they read."""
        values = dict(known)
        for statement in statements:
            total = Linear()
            for coefficient, atom in statement.value.terms:
                if isinstance(atom, Product):
                    part = self.times(atom.matrix, values[atom.operand], atom.transpose)
                else:
                    assert isinstance(atom, FieldRef | VectorRef)
                    part = values[atom]
                total += part.scaled(coefficient)
            values[statement.target] = total
        return values

    def after(self, linear: LinearMap, value: Linear) -> Linear:
        """What a map makes of a vector."""
        return self.carried_out(linear.statements, {linear.input: value})[linear.output]

    def finished(self, value: Linear, space: Space) -> LinearMap:
        """The map whose output is this vector."""
        ref = FieldRef(Field(f"{self.name}_out", space))
        return LinearMap(tuple(_shared([*self.statements, Assign(ref, value)])), self.input, ref)


def _shared(statements: list[Assign]) -> Iterator[Assign]:
    """Products that are fields stand as these wherever they occur, so that every one is made once."""
    made = {_product(statement): statement for statement in statements[:-1] if _product(statement) is not None}
    waiting = dict(made)
    for statement in statements:
        own = _product(statement)
        if own in made and made[own] is statement:
            if own in waiting:
                yield waiting.pop(own)
            continue
        total = Linear()
        for coefficient, atom in statement.value.terms:
            if atom in waiting:
                yield waiting.pop(atom)
            total += Linear.of(made[atom].target if atom in made else atom, coefficient)
        yield Assign(statement.target, total)


def _product(statement: Assign) -> Any:
    """The product that a field is, if it is one."""
    (coefficient, atom), *others = statement.value.terms
    return atom if isinstance(atom, Product) and not others and coefficient == 1 else None


def transposed(linear: LinearMap, name: str) -> LinearMap:
    """The transposed map, by reverse mode; its fields are called by ``name`` and a number."""
    taken = {s.target.field.name for s in linear.statements} | {linear.input.field.name, name}
    backward = ReverseMode(linear.input.axes, taken, {}, trained=False)
    seed = FieldRef(Field(name, linear.output.space))
    backward.add_adjoint(linear.output, Linear.of(seed))
    for statement in reversed(linear.statements):
        backward.visit(statement)
    result = backward.adjoints.pop(linear.input, Adjoint()).linear
    writer = MapWriter(name, linear.output.space)
    blocks = [statement for statement in backward.blocks[0] if isinstance(statement, Assign)]
    values = writer.carried_out(blocks, {seed: Linear.of(writer.input)})
    last = Assign(FieldRef(Field(f"{name}_sum", linear.input.space)), result)
    total = writer.carried_out([last], values)[last.target]
    return writer.finished(total, linear.input.space)


def scaled(value: Linear, factor: sp.Expr) -> Linear:
    """A combination times a factor that is simplified in it."""
    return Linear(tuple((sp.powdenest(sp.cancel(sp.powsimp(factor * c)), force=True), a) for c, a in value.terms))
