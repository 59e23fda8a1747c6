"""A program as a power series in the richness: the same training, written for every order of every field.

Every field is ``x = x_0 + gamma x_1 + gamma^2 x_2 + ...``, and so are scalars and what matrices and vectors have
learned: ``W = W_0 + gamma W_1 + ...`` with the initial weights as ``W_0`` and with ``W_k`` that start at zero. A
statement becomes one statement for every order, by the rules of products and of Taylor; what comes out is a program
again, without the richness, and the usual derivation follows. Orders that are zero by the program are not there.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import sympy as sp

from dmft_sym.networks.parameters import GAMMA
from dmft_sym.program import (
    OUTPUT,
    Assign,
    Average,
    Compute,
    FieldRef,
    ForLayers,
    Initial,
    LayerSum,
    Learn,
    Linear,
    Observe,
    Outer,
    Product,
    Program,
    ProgramError,
    Relabelled,
    SiteFunction,
    SiteMap,
    Statement,
    reads,
    walk,
)
from dmft_sym.program.expressions import Argument, Atom, Reference
from dmft_sym.program.site_derivatives import differentiate

Orders: TypeAlias = dict[int, Any]
"""Something for every order that it has."""
Arguments: TypeAlias = tuple[tuple[sp.Symbol, Argument], ...]
Moved: TypeAlias = tuple[sp.Symbol, int]
"""A symbol of an argument, and an order of its."""
_ORDER = 2
"""Of the correction of what is observed."""


@dataclass(frozen=True)
class Part:
    """Which order of what a declared thing of a series is."""

    whole: Any
    order: int


class Series:
    """The series of a program.

    Parameters
    ----------
    whole
        The program; weights do not decay.
    signs
        ``-1`` for scalars that have odd orders only; others have even ones.

    Attributes
    ----------
    program
        The program of all orders that the observed ones depend on.
    parts
        Which order of what fields, scalars, matrices and vectors of it are.

    Raises
    ------
    ProgramError
        If a coefficient is not made of integer powers of the richness, something grows without a limit, or a function
        has no derivatives.
    """

    def __init__(self, whole: Program, signs: Mapping[Any, int] | None = None) -> None:
        self.whole, self.signs = whole, {} if signs is None else signs
        self.names = {thing.name for things in (whole.fields, whole.matrices, whole.vectors, whole.scalars)
                      for thing in things}  # fmt: skip
        self.known: dict[tuple[Any, int], Any] = {}
        self.highest = _ORDER + max(0, *(-power for c in _coefficients(whole) for power in powers(c)))
        self.present: dict[Any, set[int]] = self._found()
        self.program = self._pruned()
        self.parts = {part: Part(*key) for key, part in self.known.items()}

    def _found(self) -> dict[Any, set[int]]:
        """Orders that things have: from those of what is random or given, as they are reached."""
        weights: list[Any] = [*self.whole.matrices, *self.whole.vectors]
        operands = [product.operand.field for *_, product in self.whole.products()]
        given: list[Any] = [*operands, *self.whole.scalars]
        self.present = {thing: {0} for thing in weights if thing.variance != 0}
        self.present |= {thing: {0} for thing in given if thing.data}
        while True:
            before = {thing: set(orders) for thing, orders in self.present.items()}
            for made in (made for _, s in self.whole.walk() for made in self._statements(s)):
                if not isinstance(made, Observe):
                    whole, order = self._whole(made.target.declared)
                    self.present.setdefault(whole, set()).add(order)
            if self.present == before:
                return before

    def _whole(self, part: Any) -> tuple[Any, int]:
        return next((key for key, known in self.known.items() if known == part), (part, 0))

    def _pruned(self) -> Program:
        """Without fields and updates that no scalar and nothing that is observed depends on."""
        statements = tuple(_scanned(self.whole.statements, self._statements))
        flat: list[Any] = [s for _, s in walk(statements)]
        roots = (Observe, Average, Compute)
        waiting = [thing for s in flat if isinstance(s, roots) for thing in _needs(s)]
        needed: set[Any] = set()
        while waiting:
            thing = waiting.pop()
            if thing not in needed:
                needed.add(thing)
                made = (s for s in flat if not isinstance(s, roots) and s.target.declared == thing)
                waiting += [other for s in made for other in _needs(s)]
        kept = {s for s in flat if isinstance(s, roots) or s.target.declared in needed}
        return replace(self.whole, statements=tuple(_scanned(statements, lambda s: [s] if s in kept else [])))

    # Things and their orders

    def part(self, whole: Any, order: int) -> Any:
        """A field, scalar, matrix or vector of an order; what weights have learned starts at zero."""
        if order == 0:
            return self.known.setdefault((whole, 0), whole)
        if (whole, order) not in self.known:
            name = f"{whole.name}_{order}"
            while name in self.names:
                name += "_"
            self.names.add(name)
            zero = {"variance": sp.Integer(0)} if hasattr(whole, "variance") else {}
            self.known[whole, order] = replace(whole, name=name, **zero)
        return self.known[whole, order]

    def of(self, ref: Any) -> Orders:
        """A reference for every order."""
        orders = sorted(self.present.get(ref.declared, ()))
        return {order: replace(ref, **{ref.kind: self.part(ref.declared, order)}) for order in orders}

    def _atom(self, atom: Atom) -> Iterator[tuple[int, Atom]]:
        if isinstance(atom, Reference):
            yield from self.of(atom).items()
        elif isinstance(atom, LayerSum | Initial | Relabelled):
            yield from ((order, replace(atom, field=ref)) for order, ref in self.of(atom.field).items())
        else:
            pairs = itertools.product(self.of(atom.matrix).items(), self.of(atom.operand).items())
            for (first, matrix), (second, operand) in pairs:
                yield first + second, replace(atom, matrix=matrix, operand=operand)

    # Statements

    def _statements(self, statement: Any) -> Iterable[Any]:
        """A statement for every order that is not zero."""
        if isinstance(statement, Assign):
            return self._assigned(statement)
        if isinstance(statement, SiteMap):
            return self._mapped(statement)
        if isinstance(statement, Average):
            return self._averaged(statement)
        if isinstance(statement, Compute):
            return self._computed(statement)
        if isinstance(statement, Learn):
            return self._learned(statement)
        if not isinstance(statement, Observe):
            raise ProgramError(f"{statement}: allowed are fields, averages and functions of them")
        return self._observed(statement)

    def _targets(self, target: Any, values: Mapping[int, Any], highest: int) -> Iterator[tuple[Any, Any]]:
        """What is assigned for every order up to the highest."""
        for order, value in sorted(values.items()):
            if order < 0:
                raise ProgramError(f"{target} diverges as 1/richness^{-order}")
            if order <= highest:
                yield replace(target, **{target.kind: self.part(target.declared, order)}), value

    def _assigned(self, statement: Assign) -> Iterator[Assign]:
        values: dict[int, Linear] = {}
        for coefficient, atom in statement.value.terms:
            for (power, factor), (order, part) in itertools.product(powers(coefficient).items(), self._atom(atom)):
                values[power + order] = values.get(power + order, Linear()) + Linear.of(part, factor)
        kept = {order: value for order, value in values.items() if value.terms}
        yield from (Assign(target, value) for target, value in self._targets(statement.target, kept, self.highest))

    def _mapped(self, statement: SiteMap) -> Iterator[SiteMap]:
        found = self.taylor(statement.function.expression, statement.function.arguments, self.highest)
        values = {order: SiteFunction(*value) for order, value in found.items()}
        for target, value in self._targets(statement.target, values, self.highest):
            yield SiteMap(target, value, statement.over)

    def _averaged(self, statement: Average) -> Iterator[Average]:
        values: dict[int, list[tuple[sp.Expr, SiteFunction]]] = {}
        for coefficient, function in statement.terms:
            found = self.taylor(function.expression, function.arguments, self.highest)
            for (power, factor), (order, value) in itertools.product(powers(coefficient).items(), found.items()):
                if (-1) ** (power + order) == self.signs.get(statement.target.scalar, 1):  # others vanish
                    values.setdefault(power + order, []).append((factor, SiteFunction(*value)))
        for target, terms in self._targets(statement.target, values, self.highest):
            yield Average(target, tuple(terms))

    def _computed(self, statement: Compute) -> Iterator[Compute]:
        if statement.over or statement.along != OUTPUT:
            raise ProgramError(f"{statement}: allowed are functions of scalars at one value of every label")
        found = self.taylor(statement.expression, statement.arguments, self.highest)
        for target, value in self._targets(statement.target, found, self.highest):
            if value[0].has(sp.Derivative, sp.Subs):
                raise ProgramError(f"{statement}: allowed are functions of one output at a time")
            yield replace(statement, target=target, expression=value[0], arguments=value[1])

    def _learned(self, statement: Learn) -> Iterator[Learn]:
        values: dict[int, list[Outer]] = {}
        for term in statement.terms:
            parts = [("left", term.left), ("right", term.right), ("weight", term.weight)]
            names = [name for name, ref in parts if ref is not None]
            choices = [self.of(ref).items() for _, ref in parts if ref is not None]
            for (power, factor), *chosen in itertools.product(powers(term.coefficient).items(), *choices):
                order = power + sum(k for k, _ in chosen)
                more = dict(zip(names, (ref for _, ref in chosen), strict=True))
                values.setdefault(order, []).append(replace(term, coefficient=factor, **more))
        for target, terms in self._targets(statement.target, values, self.highest):
            yield replace(statement, target=target, terms=tuple(terms))

    def _observed(self, statement: Observe) -> Iterator[Observe]:
        values: dict[int, list[tuple[sp.Expr, FieldRef, FieldRef]]] = {}
        for coefficient, *pair in statement.terms:
            for (power, factor), (i, a), (j, b) in itertools.product(
                powers(coefficient).items(), *(self.of(ref).items() for ref in pair)
            ):
                values.setdefault(power + i + j, []).append((factor, a, b))
        for order in range(_ORDER + 1):
            constant = powers(statement.constant).get(order, sp.Integer(0))
            name = statement.name if order == 0 else f"{statement.name}_{order}"
            yield Observe(name, tuple(values.get(order, ())), constant)

    def taylor(self, expression: sp.Expr, arguments: Arguments, highest: int) -> dict[int, tuple[sp.Expr, Arguments]]:
        """Coefficients of a function of series, with their arguments; those that are zero left out."""
        orders = {symbol: self.of(ref) for symbol, ref in arguments}
        zeros = {symbol: sp.Integer(0) for symbol, found in orders.items() if 0 not in found}
        refs = {_of_order(s, k): ref for s, found in orders.items() for k, ref in found.items()}
        moved = [(s, k) for s, found in orders.items() for k in found if 0 < k <= highest]
        found = {}
        for order in range(highest + 1):
            terms = (_taylor_term(expression, chosen, zeros) for chosen in _sums(moved, order))
            value = sp.Add(*terms)
            if value != 0:
                found[order] = value, tuple((s, ref) for s, ref in refs.items() if s in value.free_symbols)
        return found


def _of_order(symbol: sp.Symbol, order: int) -> sp.Symbol:
    return sp.Symbol(f"{symbol.name}_{order}", real=True) if order else symbol


def _sums(moved: list[Moved], order: int) -> Iterator[tuple[Moved, ...]]:
    """Choices of orders of arguments, each perhaps several times, that add up to an order."""
    for count in range(order + 1):
        for chosen in itertools.combinations_with_replacement(moved, count):
            if sum(k for _, k in chosen) == order:
                yield chosen


def _taylor_term(expression: sp.Expr, chosen: tuple[Moved, ...], zeros: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
    """A derivative times what arguments move by, over factorials."""
    for symbol, _ in chosen:
        expression = differentiate(expression, symbol)
    repeats = sp.Mul(*(sp.factorial(count) for count in Counter(chosen).values()))
    return expression.xreplace(dict(zeros)) * sp.Mul(*(_of_order(*one) for one in chosen)) / repeats


def powers(coefficient: Any) -> dict[int, sp.Expr]:
    """A coefficient as a sum of powers of the richness.

    Raises
    ------
    ProgramError
        If it is none.
    """
    found: dict[int, sp.Expr] = {}
    for term in sp.Add.make_args(sp.expand(sp.sympify(coefficient, strict=True))):
        factor, power = term.as_coeff_exponent(GAMMA)
        if GAMMA in factor.free_symbols or not power.is_Integer:
            raise ProgramError(f"{coefficient}: allowed are integer powers of {GAMMA}")
        found[int(power)] = found.get(int(power), sp.Integer(0)) + factor
    return {power: factor for power, factor in found.items() if factor != 0}


def _coefficients(program: Program) -> Iterator[Any]:
    for _, s in program.walk():
        if isinstance(s, Assign):
            yield from (coefficient for coefficient, _ in s.value.terms)
        elif isinstance(s, Average | Observe):
            yield from (term[0] for term in s.terms)
        elif isinstance(s, Learn):
            yield from (term.coefficient for term in s.terms)


def _needs(statement: Any) -> Iterator[Any]:
    """What a statement reads: fields, vectors, scalars and matrices."""
    yield from (ref.declared for ref in reads(statement))
    if isinstance(statement, Assign):
        yield from (atom.matrix.matrix for _, atom in statement.value.terms if isinstance(atom, Product))


def _scanned(statements: Iterable[Statement], change: Callable[[Any], Iterable[Statement]]) -> Iterator[Statement]:
    """Statements with others in their places, in scans too; scans that become empty are gone."""
    for statement in statements:
        if not isinstance(statement, ForLayers):
            yield from change(statement)
            continue
        body = tuple(_scanned(statement.body, change))
        if body:
            yield replace(statement, body=body)
