"""Equations of two times on a grid: every term as a product of arrays, with sums or integrals over times.

Layers, outputs and classes of sites are put in as numbers, so that what is left of an order parameter are its times.
Equations of steps and those of continuous time are read by the same code.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import sympy as sp

from dmft_sym.derivation.arrays import OrderParameter
from dmft_sym.derivation.continuous import TIMES
from dmft_sym.derivation.equations import Equation
from dmft_sym.derivation.symbols import PAST_KERNEL, ReportedAt, TwoPoint
from dmft_sym.program import CLASS_INDEX, OUTPUT, OUTPUTS, TIME, LayerRange

Key: TypeAlias = tuple[str, tuple[int, ...]]
"""A name, and the numbers of all labels but times."""
EQUAL: Key = ("equal times", ())
PAST: Key = ("past times", ())
_TIMES = {*TIMES, *TIMES.values()}
Numbers: TypeAlias = Mapping[sp.Expr, Any]


@dataclass(frozen=True)
class Factor:
    """An order parameter at times: names of times, or ``"0"``."""

    key: Key
    times: tuple[str, ...]


@dataclass(frozen=True)
class Range:
    """What a time runs over: integrated from ``low`` to ``high``, or summed over steps from 0 to ``high``."""

    time: str
    low: str
    high: str
    summed: bool


@dataclass(frozen=True)
class Term:
    """``coefficient * product of factors``, summed or integrated over ranges."""

    coefficient: sp.Expr
    factors: tuple[Factor, ...]
    ranges: tuple[Range, ...] = ()


@dataclass(frozen=True)
class Row:
    """An equation at numbers of all labels but times."""

    left: Factor
    terms: tuple[Term, ...]
    label: str


def rows(equations: Iterable[Equation], values: Numbers) -> Iterator[Row]:
    """Equations at all their layers in order, for one output.

    Parameters
    ----------
    values
        Of parameters, depth included; with classes of sites their number, and what is known of each.
    """
    values = {symbol: sp.sympify(value, strict=True) for symbol, value in values.items()}
    integers = {symbol: int(value) for symbol, value in values.items() if symbol.is_integer} | {OUTPUTS: 1}
    for equation in equations:
        for layers in _layers(equation, integers):
            known = {**integers, **layers, OUTPUT.symbol: 0, OUTPUT.other: 0}
            if equation.where.holds({**integers, **layers}):
                (left,) = _factors(_at(equation.left, known))
                terms = [term for part in equation.terms for term in _terms(_at(part, known), values)]
                yield Row(left, tuple(terms), equation.label)


def place_of(array: OrderParameter, point: type[TwoPoint], labels: Sequence[int], integers: Numbers) -> tuple[int, ...]:
    """Where the class and the layers of an order parameter stand in its array of a march."""
    slots = [slot for slot in point.row.slots if slot != TIME.name]
    stored = ((array.row_layers, 0), (array.column_layers, len(slots)))
    layers = tuple(labels[at] - layers.at(dict(integers)).start for layers, at in stored if layers is not None)
    return layers if array.classes is None else (labels[slots.index(CLASS_INDEX)], *layers)


def _layers(equation: Equation, integers: Numbers) -> Iterator[dict[sp.Symbol, int]]:
    spans = []
    for label, layers in equation.where.ranges:
        span = list(layers.at(dict(integers)))
        spans.append([(label, number) for number in (span[::-1] if label in equation.where.descending else span)])
    yield from map(dict, itertools.product(*spans))


def _at(part: sp.Expr, known: Numbers) -> sp.Expr:
    """An expression at numbers of labels: conditions are decided, and sums over labels written out."""
    if isinstance(part, sp.Piecewise):
        value, condition = part.args[0]
        return _at(value, known) if condition.subs(known) == sp.true else sp.Integer(0)
    if isinstance(part, sp.Sum | sp.Integral):
        times = [limit for limit in part.limits if limit[0] in _TIMES]
        labels = [limit for limit in part.limits if limit[0] not in _TIMES]
        spans = [[(symbol, n) for n in LayerRange(low, high).at(dict(known))] for symbol, low, high in labels]
        inner = sp.Add(*(_at(part.function, {**known, **dict(put)}) for put in itertools.product(*spans)))
        return part.func(inner, *times) if times and inner != 0 else inner
    if part.is_Add or part.is_Mul:
        return part.func(*(_at(arg, known) for arg in part.args))
    return part.xreplace({symbol: sp.Integer(number) for symbol, number in known.items()})


def _terms(part: sp.Expr, values: Numbers, ranges: tuple[Range, ...] = ()) -> Iterator[Term]:
    """Products of arrays, out of sums."""
    for product in sp.Add.make_args(sp.expand_mul(part)):
        sums = [factor for factor in sp.Mul.make_args(product) if isinstance(factor, sp.Sum | sp.Integral)]
        if sums:
            rest = product / sums[0]
            inner = sp.expand_mul(rest * sums[0].function)
            yield from _terms(inner, values, (*ranges, *(_range(sums[0], limit) for limit in sums[0].limits)))
        elif product != 0:
            yield Term(_coefficient(product).xreplace(values), tuple(_factors(product)), ranges)


def _range(total: sp.Expr, limit: tuple[sp.Expr, ...]) -> Range:
    time, low, high = limit
    (end,) = (symbol for symbol in sp.sympify(high, strict=True).free_symbols)
    summed = isinstance(total, sp.Sum)
    return Range(str(time), str(low), str(end), summed)


def _is_array(factor: sp.Expr) -> bool:
    return isinstance(factor, TwoPoint | ReportedAt | sp.KroneckerDelta) or factor.func == PAST_KERNEL


def _coefficient(product: sp.Expr) -> sp.Expr:
    return sp.Mul(*(f for f in sp.Mul.make_args(product) if not _is_array(f.base if f.is_Pow else f)))


def _factors(product: sp.Expr) -> Iterator[Factor]:
    for part in sp.Mul.make_args(product):
        base, power = part.as_base_exp()
        for _ in range(int(power) if _is_array(base) else 0):
            if isinstance(base, sp.KroneckerDelta) or base.func == PAST_KERNEL:
                yield Factor(EQUAL if isinstance(base, sp.KroneckerDelta) else PAST, tuple(map(str, base.args)))
                continue
            slots = (*base.row.slots, *base.column.slots) if isinstance(base, TwoPoint) else base.slots
            values = list(zip(slots, base.args, strict=True))
            labels = tuple(int(value) for slot, value in values if slot != TIME.name)
            yield Factor((base.func.__name__, labels), tuple(str(v) for slot, v in values if slot == TIME.name))
