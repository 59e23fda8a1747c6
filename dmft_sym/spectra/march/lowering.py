"""Spike equations at integer layers: from SymPy expressions to terms ``coefficient * known * unknown``.

An equation is read once; its layers are then put in as numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import sympy as sp

from dmft_sym.derivation.equations import Equation
from dmft_sym.derivation.symbols import KERNEL, Correlation, MemoryKernel, ScalarAt, TwoPoint
from dmft_sym.program import LAYER, PAST_STEP, STEP, TIME
from dmft_sym.spectra.equations.bulk_equations import BulkResponse
from dmft_sym.spectra.equations.joint import EIGEN, SINGULAR

Layers: TypeAlias = tuple[int, ...]
Thing: TypeAlias = tuple[Any, int | None]
"""A field or a Gaussian field, as a function of its labels, with its layer."""
Labels: TypeAlias = tuple[tuple[str, sp.Symbol], ...]
"""Names of labels other than layers, with the symbols that run over them."""


@dataclass(frozen=True)
class Place:
    """A two-point function at integer layers.

    Attributes
    ----------
    function
        ``C_h_g``: a function of the labels of ``h`` and of ``g``.
    layers
        Of its two things, as far as they have them.
    written
        Layers as they are written, of memories: two of them may meet at a layer.
    """

    function: Any
    layers: Layers
    written: tuple[sp.Expr, ...] = ()

    @property
    def ends(self) -> tuple[Thing, Thing]:
        """The two things, functions of their labels, with their layers."""
        first = LAYER.name in self.function.row.slots
        layers = list(self.layers)
        row = layers.pop(0) if first else None
        return (self.function.row, row), (self.function.column, layers[0] if layers else None)

    @property
    def is_memory(self) -> bool:
        """Whether it is the strength of a memory."""
        return issubclass(self.function, MemoryKernel)


_NONE = Place(None, ())


@dataclass(frozen=True)
class Factor:
    """What a term multiplies an unknown with, pointwise: a scalar, or what an increment is worth.

    Attributes
    ----------
    place
        The scalar; ``None`` for ``kappa(t - s)``.
    labels
        Its axes.
    """

    place: Place | None
    labels: Labels


@dataclass(frozen=True)
class Term:
    """``coefficient * factors * unknown`` in a memory, ``coefficient * known * unknown`` elsewhere.

    The coefficient is a number at the step of the matrix.

    Attributes
    ----------
    rows, columns
        Labels of the left-hand side and of the unknown; those of level-two fields are left out.
    known, known_labels
        A two-time average, and its labels.
    """

    coefficient: sp.Expr
    unknown: Place
    rows: Labels
    columns: Labels
    factors: tuple[Factor, ...] = ()
    known: Place = _NONE
    known_labels: Labels = ()

    @property
    def partner(self) -> Thing:
        """What stands next to the unknown in the known average: the other thing is that of the left-hand side."""
        first, second = self.known.ends
        return first if self.known_labels[: len(self.columns)] == self.columns else second


_WORTH = Factor(None, ((TIME.name, PAST_STEP),))


@dataclass
class _Written:
    """A term as it is written, with the layers that it is summed over."""

    coefficient: sp.Expr = sp.S.One
    unknown: Any = None
    known: Any = None
    factors: list[Any] = field(default_factory=list)
    sums: list[tuple[sp.Symbol, sp.Expr, sp.Expr]] = field(default_factory=list)


class Lowering:
    """Reads spike equations at integer layers.

    Parameters
    ----------
    items
        The equations of a matrix; their left-hand sides are the unknowns.
    integers
        Values of the symbols of layers: the depth.
    """

    def __init__(self, items: Iterable[Equation], integers: Mapping[sp.Symbol, int]) -> None:
        self.items = tuple(items)
        self.integers = dict(integers)
        self.unknowns = {item.left.func for item in self.items}
        self._numbers: dict[tuple[sp.Expr, Layers], sp.Expr] = {}

    def terms(self, items: Iterable[Equation] | None = None) -> Iterator[tuple[Place, list[Term]]]:
        """Left-hand sides with what training drives them with; level-two fields at the same sites are left out."""
        for item in self.items if items is None else items:
            written = [part for part in (self._read(item.left, term) for term in item.terms) if part]
            for bound in self._instances(item):
                yield (
                    self._place(item.left, bound),
                    [term for part in written for term in self._summed(item.left, part, bound)],
                )

    def _instances(self, item: Equation) -> Iterator[dict[sp.Symbol, int]]:
        """Layers where an equation holds."""
        ranges = [layers.at(self.integers) for _, layers in item.where.ranges]
        for layers in itertools.product(*ranges):
            bound = {**self.integers, **dict(zip((index for index, _ in item.where.ranges), layers, strict=True))}
            if item.where.holds(bound):
                yield bound

    def _read(self, left: sp.Expr, term: sp.Expr) -> _Written | None:
        """The factors of a term by what they are; bulk responses are those of the field itself, and put in later."""
        made = _Written()
        factors: list[sp.Expr] = []
        for factor in sp.Mul.make_args(term):
            if isinstance(factor, sp.Sum) and factor.has(TwoPoint):
                made.sums += [limit for limit in factor.limits if _is_layer(limit[0], factor.function)]
                factors += sp.Mul.make_args(factor.function)
            else:
                factors.append(factor)
        for factor in factors:
            if isinstance(factor, TwoPoint) and factor.func in self.unknowns:
                made.unknown = factor
            elif isinstance(factor, TwoPoint) and STEP not in factor.args:
                made.known = factor
            elif isinstance(factor, ScalarAt):
                made.factors.append(factor)
            elif factor.func == KERNEL:
                made.factors.append(None)
            elif not (factor.has(BulkResponse) or factor.free_symbols & {EIGEN, SINGULAR}):
                made.coefficient *= factor
        if not isinstance(left, MemoryKernel):
            return None if made.known is None else made
        if isinstance(made.unknown, Correlation) and None not in made.factors:
            made.factors.append(None)  # plain steps: increments are worth one, after they were made
        return made

    def _summed(self, left: sp.Expr, part: _Written, bound: dict[sp.Symbol, int]) -> Iterator[Term]:
        """A term at every layer that it is summed over."""
        ranges = [range(self._int(low, bound), self._int(high, bound) + 1) for _, low, high in part.sums]
        for layers in itertools.product(*ranges):
            here = {**bound, **dict(zip((symbol for symbol, *_ in part.sums), layers, strict=True))}
            term = Term(
                self._at(part.coefficient, here),
                self._place(part.unknown, here),
                _labels(left)[1],
                _labels(part.unknown)[1],
                tuple(_WORTH if one is None else self._factor(one, here) for one in part.factors),
            )
            if part.known is None:
                yield term
            else:
                first, second = _labels(part.known)
                yield replace(term, known=self._place(part.known, here), known_labels=(*first, *second))

    def _factor(self, one: ScalarAt, bound: dict[sp.Symbol, int]) -> Factor:
        labels = tuple((slot, value) for slot, value in one.labels.items() if slot != LAYER.name)
        layer = () if one.layer is None else (self._int(one.layer, bound),)
        return Factor(Place(one.func, layer), labels)

    def _place(self, point: Any, bound: dict[sp.Symbol, int]) -> Place:
        written = tuple(end.layer for end in point.ends if end.layer is not None)
        layers = tuple(self._int(layer, bound) for layer in written)
        return Place(point.func, layers, written if isinstance(point, MemoryKernel) else ())

    def _int(self, layer: sp.Expr, bound: dict[sp.Symbol, int]) -> int:
        return int(layer) if layer.is_Integer else int(self._at(layer, bound))

    def _at(self, expression: sp.Expr, bound: dict[sp.Symbol, int]) -> sp.Expr:
        """An expression at integer layers, made once."""
        symbols = sorted(expression.free_symbols & bound.keys(), key=str)
        if not symbols:
            return expression
        key = expression, tuple(bound[symbol] for symbol in symbols)
        if key not in self._numbers:
            self._numbers[key] = expression.subs({symbol: bound[symbol] for symbol in symbols})
        return self._numbers[key]


def _labels(point: Any) -> tuple[Labels, Labels]:
    """Labels of the two things of a two-point function, without layers."""
    first, second = (
        tuple((slot, value) for slot, value in end.labels.items() if slot != LAYER.name) for end in point.ends
    )
    return first, second


def _is_layer(symbol: sp.Symbol, body: sp.Expr) -> bool:
    """Whether a sum over a symbol is one over layers."""
    layers = (end.layer for point in body.atoms(TwoPoint) for end in point.ends if end.layer is not None)
    return any(symbol in layer.free_symbols for layer in layers)
