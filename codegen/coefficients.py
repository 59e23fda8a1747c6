"""Coefficients of the equations as Python text: hoisted once, unless they depend on a layer index."""

from __future__ import annotations

import sympy as sp
from sympy.printing.pycode import PythonCodePrinter

from .ir import March


class _Printer(PythonCodePrinter):
    """Elementary arithmetic; square roots as powers so that it holds for floats, arrays and mpf alike."""

    def _print_Pow(self, expr: sp.Expr, rational: bool = False, sqrt: str = "") -> str:
        base, exponent = expr.args
        if exponent == -1:
            return f"1 / {self.parenthesize(base, sp.printing.precedence.PRECEDENCE['Pow'])}"
        return f"{self.parenthesize(base, 1000)} ** {self.parenthesize(exponent, 1000)}"

    def _print_Symbol(self, expr: sp.Symbol) -> str:
        return "lambda_" if expr.name == "lambda" else str(expr.name)


def number_text(value: sp.Expr) -> str:
    """A coefficient as Python source."""
    return str(_Printer({"fully_qualified_modules": False}).doprint(sp.sympify(value)))


def integer_text(value: sp.Expr) -> str:
    """A layer index or bound as Python source (``min`` and ``max`` for ends of ranges)."""
    return str(_Printer({"fully_qualified_modules": False}).doprint(sp.expand(value)))


class CoefficientTable:
    """Names for the coefficients of a march.

    Coefficients that depend on parameters alone are evaluated once, before the first step, as ``c1, c2, ...``;
    those that depend on a layer index are written in place.
    """

    def __init__(self, march: March) -> None:
        self._constants = set(march.parameters) | set(march.integers)
        self._names: dict[sp.Expr, str] = {}

    def text(self, value: sp.Expr, retained: bool = False) -> str:
        """The coefficient where it is used; ``retained`` multiplies by ``rho[t]``."""
        value = sp.sympify(value)
        if value.is_Integer or value.is_Symbol:
            text = number_text(value)
            text = f"({text})" if text.startswith("-") else text
        elif value.free_symbols <= self._constants:
            text = self._names.setdefault(value, f"c{len(self._names) + 1}")
        else:
            text = f"({number_text(value)})"
        return f"{text} * rho[t]" if retained else text

    def definitions(self) -> list[str]:
        """One assignment per hoisted coefficient."""
        return [f"{name} = {number_text(value)}" for value, name in self._names.items()]
