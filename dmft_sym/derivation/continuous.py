"""Closed equations in continuous time: steps ``eta0`` become infinitesimal, and sums over steps integrals.

A response or memory kernel has a part at equal times, a part that remembers the first step alone (of centered training,
``X_first(t) delta(s)``, seldom there), and one that remembers all steps,
``X(t, s) -> X_now(t) delta(t - s) + X(t, s)`` for ``s < t``: the first one is what it is within a step, the second one
a density, as large as the learning rate for every step. Correlations and responses to what is drawn once are functions
of time. Terms that are smaller by powers of the learning rate vanish.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sympy as sp

from dmft_sym.networks.parameters import ETA
from dmft_sym.program import LAYER, STEP, TIME, ProgramError

from .equations import Equation
from .symbols import (
    KEPT,
    KERNEL,
    PAST_KERNEL,
    STEPS,
    Correlation,
    Labelled,
    NoiseAt,
    Response,
    SiteAverage,
    TwoPoint,
    family,
)

if TYPE_CHECKING:
    from dmft_sym.program.optimizer import Optimizer

    from .closure import ClosedEquations

TIMES = {step: sp.Symbol(step.name, real=True, nonnegative=True) for step in (STEP, *STEPS)}
"""Times in the place of steps, in units of ``1/eta0`` steps."""
NOW, FIRST = "_now", "_first"
"""What the names of parts at equal times, and of parts that remember the first step, end with."""
_POWERS = {NOW: 0, FIRST: 0, "past": 1, "whole": 0}
"""Of the learning rate, by the part of a left-hand side."""


_OBJECTS = (Labelled, TwoPoint, SiteAverage, sp.KroneckerDelta)
CONTINUOUS = "Time is $\\eta_0$ times the step. Responses and kernels are $\\bar X(t) \\delta(t - s) + X(t, s)$."
"""How equations in continuous time are read (LaTeX text mode)."""


@dataclass(frozen=True)
class Part:
    """What a factor of a term may be.

    Attributes
    ----------
    value
        The expression.
    equal
        Pairs of steps that are the same.
    later
        Pairs of steps, of which the first one is later.
    power
        Of the learning rate.
    """

    value: sp.Expr
    equal: tuple[tuple[sp.Expr, sp.Expr], ...] = ()
    later: tuple[tuple[sp.Expr, sp.Expr], ...] = ()
    power: int = 0


@dataclass(frozen=True)
class Flat:
    """A term as factors, with all sums over steps, sums over other labels, and conditions on layers."""

    factors: tuple[sp.Expr, ...]
    steps: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()
    sums: tuple[tuple[sp.Expr, ...], ...] = ()
    conditions: tuple[sp.Basic, ...] = ()


class ContinuousTime:
    """Closed equations in the limit of small learning rates at a fixed product of rate and steps.

    Parameters
    ----------
    closed
        The closed equations of steps.

    Raises
    ------
    ProgramError
        If the optimizer is not plain gradient descent, or a term diverges: naming it.
    """

    def __init__(self, closed: ClosedEquations) -> None:
        _check_plain(closed.program.optimizer)
        whole = [equation for equation in closed.equations if isinstance(equation.left, TwoPoint) or
                 equation in closed.observables]  # fmt: skip
        self.flat = [(equation, [flat_term(term) for term in equation.terms]) for equation in whole]
        self.parts: dict[str, set[type]] = {kind: set() for kind in _POWERS}
        self._find_parts()

    @property
    def equations(self) -> tuple[Equation, ...]:
        """Of every part that is not zero, in marching order: what is at equal times, then what remembers."""
        found = []
        for equation, terms in self.flat:
            for kind in self._kinds(equation.left):
                right = tuple(made for term in terms for made in self._terms(equation, term, kind))
                if right:
                    found.append(Equation(self._left(equation.left, kind), right, equation.where, equation.note))
        return tuple(found)

    def _find_parts(self) -> None:
        """The least set of parts that are not zero, as a march would find them."""
        while True:
            before = sum(map(len, self.parts.values()))
            for equation, terms in self.flat:
                for kind in self._kinds(equation.left):
                    if any(True for term in terms for _ in self._terms(equation, term, kind)):
                        self.parts[kind].add(equation.left.func)
            if sum(map(len, self.parts.values())) == before:
                return

    def _kinds(self, left: sp.Expr) -> tuple[str, ...]:
        return (NOW, FIRST, "past") if _splits(left) else ("whole",)

    def _left(self, left: sp.Expr, kind: str) -> sp.Expr:
        return _in_time(of_one_time(left, kind) if kind in (NOW, FIRST) else left)

    @property
    def vanished(self) -> Iterator[tuple[Equation, sp.Expr, int]]:
        """Terms of higher powers of the learning rate, with their powers in units of what is left."""
        for equation, terms in self.flat:
            for kind in self._kinds(equation.left):
                for made in (made for term in terms for made in self._products(equation, term, kind)):
                    if made.power > _POWERS[kind]:
                        yield equation, made.expression, made.power - _POWERS[kind]

    def _terms(self, equation: Equation, term: Flat, kind: str) -> Iterator[sp.Expr]:
        """What a term gives for a part of the left-hand side, in the leading power of the learning rate."""
        for made in self._products(equation, term, kind):
            power = made.power - _POWERS[kind]
            if power < 0:
                raise ProgramError(f"{equation.label} diverges as 1/eta0^{-power} in continuous time")
            if power == 0:
                yield made.expression

    def _products(self, equation: Equation, term: Flat, kind: str) -> Iterator[_Product]:
        for choice in itertools.product(*(tuple(self._parts(factor)) for factor in term.factors)):
            made = _Product(choice, term)
            if not made.empty and made.kind(equation.left) == kind:
                yield made

    def _parts(self, factor: sp.Expr) -> Iterator[Part]:
        """What a factor may be."""
        if _splits(factor):
            row, column = steps_of(factor)
            if factor.func in self.parts[NOW]:
                yield Part(of_one_time(factor, NOW), equal=((row, column),))
            if factor.func in self.parts[FIRST]:
                yield Part(of_one_time(factor, FIRST), equal=((column, sp.Integer(0)),))
            if factor.func in self.parts["past"]:
                yield Part(factor, later=((row, column),), power=1)
        elif isinstance(factor, TwoPoint):
            if factor.func in self.parts["whole"]:
                yield Part(factor)
        elif isinstance(factor, sp.KroneckerDelta) and set(factor.args) & set(TIMES):
            yield Part(sp.Integer(1), equal=(factor.args,))
        elif factor.func == PAST_KERNEL:
            yield Part(sp.Integer(1), later=(factor.args,))
        elif factor.func == KEPT:
            yield Part(sp.Integer(1))
        else:
            power = int(factor.as_coeff_exponent(ETA)[1])
            yield Part(factor / ETA**power, power=power)


def in_continuous_time(equation: Equation, first: Collection[type] = ()) -> Equation:
    """A single-site equation with integrals over the past.

    A memory of updates has the learning rate as its measure, a response is a density, and where the present step counts
    it has a part at equal times.

    Parameters
    ----------
    first
        Responses that have a part of the first step.
    """
    terms = tuple(made for term in equation.terms for made in _of_past(term, first))
    return replace(equation, left=_in_time(equation.left), terms=terms)


def _of_past(term: sp.Expr, first: Collection[type]) -> Iterator[sp.Expr]:
    flat = flat_term(term)
    factors = [factor for factor in flat.factors if factor.func not in (KEPT, KERNEL, PAST_KERNEL)]
    coefficient = sp.Mul(*(factor for factor in factors if not factor.has(*_OBJECTS)))
    body = sp.Mul(*(factor for factor in factors if factor.has(*_OBJECTS)))
    found = [body]
    for symbol, last in flat.steps:
        response = next((factor for factor in factors if isinstance(factor, Response)), None)
        found = [sp.Integral(body, (symbol, 0, STEP))]
        if response is None:
            coefficient /= ETA
        elif last == STEP:
            found.insert(0, body.xreplace({response: of_one_time(response, NOW)}).xreplace({symbol: STEP}))
        if response is not None and response.func in first:
            once = body.xreplace({response: of_one_time(response, FIRST)})
            found.insert(0, once.xreplace({symbol: sp.Integer(0)}))
    yield from (_product(coefficient, value, flat) for value in found)


def _product(coefficient: sp.Expr, value: sp.Expr, flat: Flat) -> sp.Expr:
    """With sums over labels and conditions again, in time."""
    outside, inside = sp.sympify(coefficient, strict=True).as_independent(*(limits[0] for limits in flat.sums))
    value = outside * (sp.Sum(inside * value, *flat.sums) if flat.sums else value)
    for condition in flat.conditions:
        value = sp.Piecewise((value, condition), (0, True), evaluate=False)
    return _in_time(value)


class _Product:
    """One choice of a part for every factor of a term: equal steps are put in, others integrated over.

    Attributes
    ----------
    empty
        Whether the conditions exclude each other.
    power
        Of the learning rate, integrals included.
    """

    def __init__(self, choice: Iterable[Part], term: Flat) -> None:
        self.choice, self.term = tuple(choice), term
        self.bounds = dict(term.steps)
        self.same: dict[sp.Expr, sp.Expr] = {}
        self.empty = not all(self._identify(a, b) for part in self.choice for a, b in part.equal)
        self.later = {tuple(map(self._of, pair)) for part in self.choice for pair in part.later}
        self.empty = self.empty or any(a in (b, 0) or (b, a) in self.later for a, b in self.later)
        self.empty = self.empty or any(
            self._of(symbol) == last + 1 for symbol, last in term.steps if symbol in self.same
        )
        self.free = [symbol for symbol in self.bounds if symbol not in self.same]
        self.power = sum(part.power for part in self.choice) - len(self.free)

    def _identify(self, a: sp.Expr, b: sp.Expr) -> bool:
        """Take note that two steps are one: the one that is summed over goes, or else the earlier one.

        Steps ``t`` and 0 are not one: parts are compared where they differ.
        """
        a, b = self._of(a), self._of(b)
        if a == b:
            return True
        if {a, b} == {STEP, sp.Integer(0)}:
            return False
        order = [*self.bounds, STEPS[0], STEP, sp.Integer(0)]
        gone, stays = (a, b) if order.index(a) < order.index(b) else (b, a)
        self.same = {symbol: stays if value == gone else value for symbol, value in self.same.items()}
        self.same[gone] = stays
        return True

    def _of(self, step: sp.Expr) -> sp.Expr:
        return self.same.get(step, step)

    def kind(self, left: sp.Expr) -> str:
        """Whether it is there at ``s = t`` alone, at ``s = 0``, or everywhere."""
        if not _splits(left):
            return "whole"
        return {STEP: NOW, sp.Integer(0): FIRST}.get(self._of(STEPS[0]), "past")

    @property
    def expression(self) -> sp.Expr:
        """With integrals, sums and conditions."""
        values = [part.value.xreplace(self.same) for part in self.choice]
        coefficient = sp.Mul(*(value for value in values if not value.has(TwoPoint, sp.KroneckerDelta)))
        value = sp.Mul(*(value for value in values if value.has(TwoPoint, sp.KroneckerDelta)))
        for symbol in self.free:
            below = [b for a, b in self.later if a == symbol and b not in self.free]
            end = next(step for step in (STEP, *STEPS) if self.bounds[symbol].has(step))
            value = sp.Integral(value, (symbol, below[0] if below else 0, end))
        return _product(coefficient, value, self.term)


def flat_term(term: sp.Expr) -> Flat:
    """Factors of a term, out of its sums and conditions."""
    factors: list[sp.Expr] = []
    steps: list[tuple[sp.Symbol, sp.Expr]] = []
    sums: list[tuple[sp.Expr, ...]] = []
    conditions: list[sp.Basic] = []

    def collect(part: sp.Expr) -> None:
        if isinstance(part, sp.Sum):
            for symbol, *limits in part.limits:
                if symbol in TIMES:
                    steps.append((symbol, limits[1]))
                else:
                    sums.append((symbol, *limits))
            collect(part.function)
        elif isinstance(part, sp.Piecewise):
            conditions.append(part.args[0][1])
            collect(part.args[0][0])
        elif part.is_Mul:
            for factor in part.args:
                collect(factor)
        elif part.is_Pow and isinstance(part.base, TwoPoint) and part.exp.is_Integer:
            factors.extend([part.base] * int(part.exp))
        else:
            factors.append(part)

    collect(term)
    return Flat(tuple(factors), tuple(steps), tuple(sums), tuple(conditions))


def _splits(expression: sp.Expr) -> bool:
    """Whether it has a part at equal times and one that remembers: responses and memory kernels of two steps."""
    if not isinstance(expression, TwoPoint) or isinstance(expression, Correlation):
        return False
    return None not in steps_of(expression)


def steps_of(point: TwoPoint) -> tuple[sp.Expr | None, sp.Expr | None]:
    """Steps of row and column; ``None`` for what is drawn once."""
    row, column = point.ends
    return row.step, column.step


def of_one_time(point: TwoPoint, kind: str) -> TwoPoint:
    """The part at equal times, or that remembers the first step: a function of the time of the row."""
    row, column = point.ends
    values = tuple((slot, value) for slot, value in column.labels.items() if slot not in (LAYER.name, TIME.name))
    what = {"bar": column.bar, "initial": column.initial} if isinstance(column, NoiseAt) else {}
    end: Labelled = _kind(column).of(str(column.name), column.layer, values, **what)
    made = family(
        _kind(point),
        f"{point.func.__name__}{kind}",
        row=row.func,
        column=end.func,
        letter=point.letter,
        accent={NOW: "bar", FIRST: "tilde"}[kind],
    )
    return made(*row.args, *end.args)


def _kind(thing: sp.Expr) -> Any:
    """The class of an object of which every name makes one of its own."""
    return type(thing).mro()[1]


def _in_time(expression: sp.Expr) -> sp.Expr:
    return expression.xreplace(TIMES)


def _check_plain(optimizer: Optimizer) -> None:
    """Raise `ProgramError` if the optimizer has a memory, or weights decay."""
    recursion = optimizer.recursion
    if not recursion.plain:
        kept = "weight decay" if recursion.decays else "momentum"
        raise ProgramError(f"{kept} acts step by step, and infinitely many steps fit into any time; {kept} = 0")
