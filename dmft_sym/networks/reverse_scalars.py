"""Reverse mode for scalars: adjoints of averages over sites, and of functions of scalars.

The adjoint of a scalar is a sum of averages ``<dF/ds g>`` of the site-wise functions that it occurs in, and of
functions of the adjoints of the scalars that are computed from it. What carries labels that the scalar lacks is summed
over them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import sympy as sp

from dmft_sym.program import (
    Average,
    Axes,
    Compute,
    Scalar,
    ScalarRef,
    SiteFunction,
    Space,
    Statement,
    joined_axes,
)
from dmft_sym.program.site_derivatives import differentiate

SOFTMAX = sp.Function("softmax")


@dataclass(frozen=True)
class AveragedPart:
    """``n <function>``, a part of the adjoint of a scalar, and the space of its sites."""

    function: SiteFunction
    space: Space

    @property
    def axes(self) -> Axes:
        """Labels of the arguments."""
        return tuple(label for _, ref in self.function.arguments for label in ref.axes)


@dataclass(frozen=True)
class ComputedPart:
    """A function of scalars that is a part of the adjoint of another one."""

    expression: sp.Expr
    arguments: tuple[tuple[sp.Symbol, ScalarRef], ...]

    @property
    def axes(self) -> Axes:
        """Labels of the arguments."""
        return tuple(label for _, ref in self.arguments for label in ref.axes)


Part: TypeAlias = AveragedPart | ComputedPart


@dataclass(frozen=True)
class AdjointOfScalar:
    """The statements that make the adjoint of a scalar.

    Attributes
    ----------
    adjoint
        It, with all labels that it has.
    order
        Labels in their order.
    free_name
        A name for a part, from the one that is wanted.
    """

    adjoint: ScalarRef
    order: Axes
    free_name: Callable[[str], str]

    def statements(self, parts: Sequence[Part], factor: sp.Expr) -> Iterator[Statement]:
        """``factor`` times the sum of the parts."""
        plain = [part for part in parts if isinstance(part, AveragedPart) and not self._extra(part)]
        if len(plain) == len(parts):
            terms = tuple((sp.cancel(factor * part.space.ratio), part.function) for part in plain)
            yield Average(self.adjoint, terms)
            return
        if len(parts) == 1 and isinstance(part := parts[0], ComputedPart):
            yield Compute(self.adjoint, factor * part.expression, part.arguments, over=self._extra(part))
            return
        sums: list[ScalarRef] = []
        if plain:
            sums.append(self._scalar(self.adjoint.axes))
            yield Average(sums[-1], tuple((part.space.ratio, part.function) for part in plain))
        for part in parts:
            if part not in plain:
                yield from self._summed(part, sums)
        symbols = [sp.Symbol(ref.scalar.name, real=True) for ref in sums]
        yield Compute(self.adjoint, factor * sp.Add(*symbols), tuple(zip(symbols, sums, strict=True)))

    def _summed(self, part: Part, sums: list[ScalarRef]) -> Iterator[Statement]:
        """Statements that make a part, summed over labels that the adjoint does not have."""
        extra = self._extra(part)
        if isinstance(part, AveragedPart):
            whole = self._scalar((*self.adjoint.axes, *extra))
            yield Average(whole, ((part.space.ratio, part.function),))
            symbol = sp.Symbol(whole.scalar.name, real=True)
            part = ComputedPart(symbol, ((symbol, whole),))
        sums.append(self._scalar(self.adjoint.axes))
        yield Compute(sums[-1], part.expression, part.arguments, over=extra)

    def _extra(self, part: Part) -> Axes:
        return tuple(label for label in dict.fromkeys(part.axes) if label not in self.adjoint.axes)

    def _scalar(self, axes: Axes) -> ScalarRef:
        """A part of the adjoint."""
        name = self.free_name(self.adjoint.scalar.name)
        return ScalarRef(Scalar(name, joined_axes([axes], self.order), self.adjoint.scalar.layers), self.adjoint.layer)


def repeats(read: Axes, *known: Axes) -> sp.Expr:
    """How many equal terms a sum over the labels ``read`` has: the number of values of those that are not known."""
    return sp.Mul(*(label.size for label in dict.fromkeys(read) if not any(label in axes for axes in known)))


def parts_of_compute(
    statement: Compute, adjoint: ScalarRef, made: Callable[[str, Axes], ScalarRef]
) -> Iterator[Statement | tuple[ScalarRef, ComputedPart]]:
    """The adjoint of a function of scalars handed on to its arguments; statements on the way come first.

    Parameters
    ----------
    made
        A new scalar, from the name that is wanted and its labels.
    """
    outer = sp.Symbol(adjoint.scalar.name, real=True)
    given = (*statement.arguments, (outer, adjoint))
    if isinstance(statement.expression, SOFTMAX):
        yield from _softmax_parts(statement, adjoint, made)
        return
    for symbol, ref in statement.arguments:
        slope = differentiate(statement.expression, symbol)
        if slope != 0 and not ref.scalar.data:
            value = slope * outer
            own = tuple(label for s, r in given if s in value.free_symbols for label in r.axes)
            value *= repeats(statement.over, ref.axes, own)
            yield ref, ComputedPart(value, tuple((s, r) for s, r in given if s in value.free_symbols))


def _softmax_parts(
    statement: Compute, adjoint: ScalarRef, made: Callable[[str, Axes], ScalarRef]
) -> Iterator[Statement | tuple[ScalarRef, ComputedPart]]:
    """``ds_ij = a_ij (da_ij - sum_k a_ik da_ik)``."""
    ((_, scores),) = statement.arguments
    share, outer, mean = (sp.Symbol(name, real=True) for name in ("share", "outer", "mean"))
    along = tuple(label for label in adjoint.axes if label != statement.along)
    total = made(f"{adjoint.scalar.name}_mean", along)
    pairs = ((share, statement.target), (outer, adjoint))
    yield Compute(total, share * outer, pairs, over=(statement.along,))
    yield scores, ComputedPart(share * (outer - mean), (*pairs, (mean, total)))
