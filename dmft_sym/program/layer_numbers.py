"""Numbers of single layers in an expression, where no formula has them."""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.core.logic import fuzzy_and


class OfLayer(sp.Function):
    """``OfLayer(layer, first, *values)``: the value of a layer, of those from ``first`` on.

    Examples
    --------
    >>> layer = sp.Symbol("l", integer=True)
    >>> number = OfLayer(layer, 1, sp.Rational(1, 2), 3)
    >>> number, number.subs(layer, 2)
    ((1/2, 3)[l - 1], 3)
    """

    @classmethod
    def eval(cls, layer: sp.Expr, first: sp.Integer, *values: sp.Expr) -> sp.Expr | None:
        """The number, of a layer that is one."""
        if layer.is_Integer and 0 <= layer - first < len(values):
            return values[int(layer - first)]
        return None

    @property
    def place(self) -> sp.Expr:
        """Which of the values it is, counted from 0."""
        return sp.expand(self.args[0] - self.args[1])

    @property
    def values(self) -> tuple[sp.Expr, ...]:
        """Those of all layers."""
        return self.args[2:]

    def _eval_is_real(self) -> bool | None:
        return fuzzy_and(value.is_real for value in self.values)

    def _eval_is_nonnegative(self) -> bool | None:
        return fuzzy_and(value.is_nonnegative for value in self.values)

    def _eval_is_positive(self) -> bool | None:
        return fuzzy_and(value.is_positive for value in self.values)

    def _sympystr(self, printer: Any) -> str:
        return f"({', '.join(map(printer.doprint, self.values))})[{printer.doprint(self.place)}]"

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        numbers = ", ".join(map(printer.doprint, self.values))
        body = f"\\left({numbers}\\right)_{{{printer.doprint(self.args[0])}}}"
        return body if exp is None else f"{body}^{{{exp}}}"
