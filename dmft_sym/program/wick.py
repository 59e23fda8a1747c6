"""Wick's theorem: averages of products of Gaussian variables of mean zero, as sums over pairings."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TypeAlias

import sympy as sp

Pairs: TypeAlias = tuple[tuple[int, int], ...]
"""The variables of every pair, ``i <= j``, sorted."""


@cache
def pairings(powers: tuple[int, ...]) -> tuple[tuple[int, Pairs], ...]:
    """All ways to put ``x_0^powers[0] x_1^powers[1] ...`` into pairs, equal ones together with their number.

    Examples
    --------
    >>> pairings((4,))
    ((3, ((0, 0), (0, 0))),)
    >>> pairings((2, 2))
    ((1, ((0, 0), (1, 1))), (2, ((0, 1), (0, 1))))
    >>> pairings((1,))
    ()
    """
    first = next((place for place, power in enumerate(powers) if power), None)
    if first is None:
        return ((1, ()),)
    found: Counter[Pairs] = Counter()
    rest = _without(powers, first)
    for other, power in enumerate(rest):
        if power:
            for count, pairs in pairings(_without(rest, other)):
                found[tuple(sorted(((first, other), *pairs)))] += count * power
    return tuple((count, pairs) for pairs, count in sorted(found.items()))


def _without(powers: tuple[int, ...], place: int) -> tuple[int, ...]:
    return tuple(power - (number == place) for number, power in enumerate(powers))


def monomials(expression: sp.Expr, symbols: tuple[sp.Symbol, ...]) -> list[tuple[tuple[int, ...], sp.Expr]] | None:
    """Powers of the symbols with their coefficients; ``None`` if the expression is no polynomial in them."""
    if not symbols:
        return [((), expression)]
    if not expression.is_polynomial(*symbols):
        return None
    return [(tuple(map(int, powers)), coefficient) for powers, coefficient in sp.Poly(expression, *symbols).terms()]
