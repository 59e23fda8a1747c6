"""Coefficients, layer indices and ranges of layers as Python text."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp
from sympy.printing.pycode import PythonCodePrinter

from dmft_sym.program import ClassValue, OfLayer

from .names import python_name

Names = Mapping[sp.Symbol, str]


def class_name(name: str) -> str:
    """The run-time argument that has the numbers of that name, one for every class of sites."""
    return f"{name}_of_class"


class _Printer(PythonCodePrinter):
    """Symbols have the names that are given, or are layer indices and run-time arguments."""

    def __init__(self, names: Names) -> None:
        super().__init__()
        self._names = names

    def _print_Symbol(self, expr: sp.Symbol) -> str:
        if expr in self._names:
            return self._names[expr]
        return str(expr.name) if expr.is_integer and expr.name.startswith("l") else python_name(expr)

    def _print_OfLayer(self, expr: OfLayer) -> str:
        return f"({', '.join(map(self._number, expr.values))})[{self.doprint(expr.place)}]"

    def _number(self, value: sp.Expr) -> str:
        """One of several that have to be of one type."""
        return repr(float(value)) if value.is_number else f"float({self.doprint(value)})"

    def _print_AppliedUndef(self, expr: sp.Expr) -> str:
        assert isinstance(expr, ClassValue)
        return f"{class_name(expr.func.__name__)}[{self.doprint(expr.args[0])}]"


class _PowerPrinter(_Printer):
    """Square roots as powers, so that the text holds for floats, arrays and mpf alike."""

    def _print_Pow(self, expr: sp.Expr, rational: bool = False, sqrt: str = "") -> str:
        base, exponent = expr.args
        if exponent == -1:
            return f"1 / {self.parenthesize(base, sp.printing.precedence.PRECEDENCE['Pow'])}"
        level = sp.printing.precedence.PRECEDENCE["Pow"]
        return f"{self.parenthesize(base, level)}**{self._exponent(exponent, level)}"

    def _exponent(self, exponent: sp.Expr, level: int) -> str:
        """``2``, ``-0.5`` (which is exact), anything else as an operand."""
        if exponent.is_Rational and exponent.q in (1, 2):
            return str(exponent if exponent.q == 1 else float(exponent))
        return str(self.parenthesize(exponent, level))


class _ExactPrinter(_PowerPrinter):
    """Fractions as quotients that are not rounded to double precision."""

    def __init__(self, quotient: str) -> None:
        super().__init__({})
        self._quotient = quotient

    def _number(self, value: sp.Expr) -> str:
        return str(self.doprint(value))

    def _print_Rational(self, expr: sp.Rational) -> str:
        return self._quotient.format(p=expr.p, q=expr.q)


_QUOTIENTS = {"mpf": "(mp.mpf({p}) / {q})", "field": "QQ({p}, {q})"}


def number_text(value: sp.Expr, exact: str = "") -> str:
    """A coefficient as Python source; ``exact`` with fractions of ``"mpf"``, or of elements of a ``"field"``."""
    printer = _ExactPrinter(_QUOTIENTS[exact]) if exact else _PowerPrinter({})
    return str(printer.doprint(sp.sympify(value, strict=True)))


def float_text(value: sp.Expr, names: Names) -> str:
    """A coefficient of floats as Python source, which calls functions of ``math``."""
    return str(_Printer(names).doprint(value))


def integer_text(value: sp.Expr, names: Names | None = None) -> str:
    """A layer index or bound as Python source (``min`` and ``max`` for ends of ranges)."""
    return str(_PowerPrinter(names or {}).doprint(sp.expand(value)))


def length_text(start: sp.Expr, stop: sp.Expr, names: Names | None = None) -> str:
    """Number of layers of an inclusive range, which may be empty."""
    return f"max(0, {integer_text(stop - start + 1, names)})"


def range_text(start: sp.Expr, stop: sp.Expr, descending: bool = False, names: Names | None = None) -> str:
    """The ``range`` over an inclusive range of layers."""
    if descending:
        return f"range({integer_text(stop, names)}, {integer_text(start - 1, names)}, -1)"
    return f"range({integer_text(start, names)}, {integer_text(stop + 1, names)})"
