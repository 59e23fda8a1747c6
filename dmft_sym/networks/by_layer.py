"""Numbers of single layers as one expression in the layer."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from dmft_sym.program import OfLayer


def by_layer(values: Sequence[sp.Expr], layer: sp.Symbol, first: int) -> sp.Expr:
    """The expression in ``layer`` that has these values from the layer ``first`` on.

    It is a constant, linear, the inverse of a linear one, or the list of the values if none of these is.

    Examples
    --------
    >>> layer = sp.Symbol("l", integer=True, positive=True)
    >>> by_layer([sp.Rational(1, n + 1) for n in (1, 2, 3)], layer, 1)
    1/(l + 1)
    >>> by_layer([sp.Integer(n) for n in (1, 1, 2)], layer, 1)
    (1, 1, 2)[l - 1]
    """
    if all(value == values[0] for value in values[1:]):
        return values[0]
    numbers, rest = zip(*(value.as_coeff_Mul() for value in values), strict=True)
    if rest[0] != 1 and len(set(rest)) == 1:
        return rest[0] * by_layer(numbers, layer, first)
    found = _linear(values, layer, first)
    if found is None and all(value.is_nonzero for value in values):
        inverse = _linear([1 / value for value in values], layer, first)
        found = None if inverse is None else 1 / inverse
    return OfLayer(layer, sp.Integer(first), *values) if found is None else found


def _linear(values: Sequence[sp.Expr], layer: sp.Symbol, first: int) -> sp.Expr | None:
    slope = values[1] - values[0]
    line = sp.factor_terms(sp.expand(values[0] + slope * (layer - first)))
    fits = all(sp.expand(line.subs(layer, first + number) - value) == 0 for number, value in enumerate(values))
    return line if fits else None
