"""Write out labels whose sizes are numbers: a field for every one of their values, sums as sums.

Arithmetics that know samples and outputs alone take a program without further labels. What is written out is the same
network token by token.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import sympy as sp

from .declarations import Field, Scalar
from .expressions import (
    Argument,
    Atom,
    FieldRef,
    Initial,
    LayerSum,
    Linear,
    Product,
    Relabelled,
    ScalarRef,
    SiteFunction,
    VectorRef,
)
from .labels import OUTPUT, Axes, Label, joined_axes
from .program import Program
from .statements import Assign, Average, Compute, ForLayers, Learn, Outer, SiteMap, SquaredNorm, Statement
from .step import Step

Values = dict[Label, int]
_SOFTMAX = sp.Function("softmax")


def fixed_labels(axes: Axes) -> Axes:
    """Those whose number of values is known."""
    return tuple(label for label in axes if label.size.is_Integer)


def written_out(program: Step) -> Program:
    """The program with a field and a scalar for every value of labels whose sizes are numbers.

    Fields are called ``h_0_1`` at the values 0 and 1 of two labels; known numbers are put in.
    """
    writer = _Writer(program)
    return Program(tuple(writer.statements(program.statements)), program.optimizer, program.name)


def written_statements(program: Step, statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """Statements with the labels of a program written out."""
    return tuple(_Writer(program).statements(statements))


def members(thing: Field | Scalar) -> list[str]:
    """Names of what a field or scalar becomes, the last label fastest."""
    return [thing.name + _tail(thing.axes, values) for values in values_of(fixed_labels(thing.axes))]


def _tail(axes: Axes, values: Values) -> str:
    """What the values of labels add to a name."""
    return "".join(f"_{values[label]}" for label in fixed_labels(axes))


def _rest(ref: FieldRef | ScalarRef) -> Axes:
    """Labels that are not written out."""
    return tuple(label for label in ref.axes if not label.size.is_Integer)


def values_of(axes: Axes) -> Iterator[Values]:
    """All values of labels, the last one fastest."""
    for numbers in product(*(range(int(label.size)) for label in axes)):
        yield dict(zip(axes, numbers, strict=True))


@dataclass
class _Writer:
    program: Step

    def statements(self, statements: tuple[Statement, ...]) -> Iterator[Statement]:
        for statement in statements:
            if isinstance(statement, ForLayers):
                yield replace(statement, body=tuple(self.statements(statement.body)))
            elif isinstance(statement, Learn):
                yield self._learn(statement)
            elif isinstance(statement, SquaredNorm):
                yield replace(statement, updates=tuple(map(self._learn, statement.updates)))
            elif isinstance(statement, Assign | SiteMap | Average | Compute):
                for values in values_of(fixed_labels(statement.target.axes)):
                    yield self._at(statement, values)
            else:
                yield statement

    def _at(self, statement: Assign | SiteMap | Average | Compute, values: Values) -> Statement:
        """A statement at values of the labels of its target."""
        if isinstance(statement, Assign):
            terms = (part.scaled(c) for c, atom in statement.value.terms for part in self._atoms(atom, values))
            return Assign(self._field(statement.target, values), sum(terms, Linear()))
        if isinstance(statement, SiteMap):
            return SiteMap(self._field(statement.target, values), self._mapped(statement, values))
        if isinstance(statement, Average):
            terms_of = ((c, self._function(function, values)) for c, function in statement.terms)
            return Average(self._scalar(statement.target, values), tuple(terms_of))
        return self._compute(statement, values)

    def _atoms(self, atom: Atom, values: Values) -> Iterator[Linear]:
        if isinstance(atom, Relabelled):
            for more in values_of(atom.over):
                at = {label: {**values, **more}[atom.at(label)] for label in fixed_labels(atom.field.axes)}
                yield Linear.of(self._field(atom.field, at))
        elif isinstance(atom, Product):
            yield Linear.of(replace(atom, operand=self._field(atom.operand, values)))
        elif isinstance(atom, Initial | LayerSum):
            yield Linear.of(replace(atom, field=self._field(atom.field, values)))
        else:
            yield Linear.of(atom if isinstance(atom, VectorRef) else self._field(atom, values))

    def _field(self, ref: FieldRef, values: Values) -> FieldRef:
        """A field at values of its labels."""
        place = self._place(ref.field, values) if ref.field.data and fixed_labels(ref.axes) else None
        return replace(ref, field=replace(ref.field, name=self._name(ref.field, values), axes=_rest(ref), place=place))

    def _scalar(self, ref: ScalarRef, values: Values) -> ScalarRef:
        """A scalar at values of its labels."""
        return replace(ref, scalar=replace(ref.scalar, name=self._name(ref.scalar, values), axes=_rest(ref)))

    @staticmethod
    def _name(thing: Field | Scalar, values: Values) -> str:
        return thing.name + _tail(thing.axes, values)

    @staticmethod
    def _place(thing: Field | Scalar, values: Values) -> int:
        """Number of the values of its labels, the last label fastest."""
        place = 0
        for label in fixed_labels(thing.axes):
            place = place * int(label.size) + values[label]
        return place

    def _mapped(self, statement: SiteMap, values: Values) -> SiteFunction:
        """A function of sites, or a sum of such."""
        total: sp.Expr = sp.Integer(0)
        arguments: dict[sp.Symbol, Argument] = {}
        for more in values_of(statement.over):
            term = self._function(statement.function, {**values, **more})
            total, arguments = total + term.expression, {**arguments, **dict(term.arguments)}
        return SiteFunction(total, tuple(arguments.items()))

    def _function(self, function: SiteFunction, values: Values) -> SiteFunction:
        expression, arguments = self._with_arguments(function.expression, function.arguments, values)
        return SiteFunction(expression, tuple(arguments.items()))

    def _with_arguments(
        self, expression: sp.Expr, arguments: tuple[tuple[sp.Symbol, Argument], ...], values: Values
    ) -> tuple[sp.Expr, dict[sp.Symbol, Argument]]:
        """An expression, and what its symbols stand for, at values of labels; a symbol has the name of what it is."""
        found: dict[sp.Symbol, Argument] = {}
        names: dict[sp.Symbol, sp.Expr] = {}
        for symbol, ref in arguments:
            if isinstance(ref, ScalarRef) and ref.scalar.values is not None and not _rest(ref):
                names[symbol] = sp.Float(ref.scalar.values[self._place(ref.scalar, values)], 17)
                continue
            new = sp.Symbol(symbol.name + _tail(ref.axes, values), real=True)
            names[symbol], found[new] = new, self._argument(ref, values)
        made = expression.xreplace(names)
        return made, {symbol: ref for symbol, ref in found.items() if symbol in made.free_symbols}

    def _argument(self, ref: Argument, values: Values) -> Argument:
        if isinstance(ref, VectorRef):
            return ref
        return self._field(ref, values) if isinstance(ref, FieldRef) else self._scalar(ref, values)

    def _compute(self, statement: Compute, values: Values) -> Compute:
        total: sp.Expr = sp.Integer(0)
        arguments: dict[sp.Symbol, Argument] = {}
        for more in values_of(fixed_labels(statement.over)):
            made, found = self._computed(statement, {**values, **more})
            total, arguments = total + made, {**arguments, **found}
        target = self._scalar(statement.target, values)
        left = tuple(label for label in statement.over if not label.size.is_Integer)
        return Compute(target, total, tuple(arguments.items()), over=left)  # type: ignore[arg-type]

    def _computed(self, statement: Compute, values: Values) -> tuple[sp.Expr, dict[sp.Symbol, Argument]]:
        """One term; softmax along a label is one over a sum of differences, which does not overflow."""
        made, arguments = self._with_arguments(statement.expression, statement.arguments, values)
        if statement.along == OUTPUT or not made.has(_SOFTMAX):
            return made, arguments
        below = sp.Integer(0)
        for number in range(int(statement.along.size)):
            at = {**values, statement.along: number}
            other, found = self._with_arguments(statement.expression, statement.arguments, at)
            below, arguments = below + sp.exp(other.args[0] - made.args[0]), {**arguments, **found}
        return 1 / below, arguments

    def _learn(self, statement: Learn) -> Learn:
        terms = (part for term in statement.terms for part in self._outers(term))
        return replace(statement, terms=tuple(terms))

    def _outers(self, term: Outer) -> Iterator[Outer]:
        axes = joined_axes((factor.axes for factor in term.factors), self.program.labels)
        for values in values_of(fixed_labels(axes)):
            right = None if term.right is None else self._field(term.right, values)
            weight = None if term.weight is None else self._scalar(term.weight, values)
            yield replace(term, left=self._field(term.left, values), right=right, weight=weight)
