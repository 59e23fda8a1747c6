"""Coefficients of the equations as Python text: hoisted once, unless they depend on a layer index."""

from __future__ import annotations

import sympy as sp
from dmft_sym.codegen.text.names import python_name
from sympy.printing.pycode import PythonCodePrinter

from .ir import March


class _Printer(PythonCodePrinter):
    """Elementary arithmetic; square roots as powers so that it holds for floats, arrays and mpf alike."""

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

    def _print_Symbol(self, expr: sp.Symbol) -> str:
        return str(expr.name) if expr.is_integer and expr.name.startswith("l") else python_name(expr)


class _ExactPrinter(_Printer):
    """Fractions as quotients of ``mpf``, so that no constant is rounded to double precision."""

    def _print_Rational(self, expr: sp.Rational) -> str:
        return f"(mp.mpf({expr.p}) / {expr.q})"


def number_text(value: sp.Expr, exact: bool = False) -> str:
    """A coefficient as Python source; ``exact`` for any precision."""
    printer = _ExactPrinter if exact else _Printer
    return str(printer({"fully_qualified_modules": False}).doprint(sp.sympify(value, strict=True)))


def integer_text(value: sp.Expr) -> str:
    """A layer index or bound as Python source (``min`` and ``max`` for ends of ranges)."""
    return str(_Printer({"fully_qualified_modules": False}).doprint(sp.expand(value)))


class CoefficientTable:
    """Names for the coefficients of a march.

    Coefficients that depend on parameters alone are evaluated once, before the first step, as ``c1, c2, ...``;
    those that depend on a layer index are written in place.
    """

    def __init__(self, march: March, exact: bool = False) -> None:
        self._exact = exact
        self._constants = set(march.parameters) | set(march.integers)
        self._real = set(march.parameters)
        self._names: dict[sp.Expr, str] = {}
        self._bare: dict[sp.Symbol, None] = {}

    def text(self, value: sp.Expr, retained: bool = False) -> str:
        """The coefficient where it is used; ``retained`` multiplies by ``rho[t]``."""
        value = sp.sympify(value, strict=True)
        self._bare.update(dict.fromkeys(_bare_symbols(value, self._constants) & self._real))
        if value.is_Integer or value.is_Symbol:
            text = number_text(value, self._exact)
            text = f"({text})" if text.startswith("-") else text
        elif value.free_symbols <= self._constants:
            text = self._names.setdefault(value, f"c{len(self._names) + 1}")
        else:
            text = f"({number_text(value, self._exact)})"
        return f"{text} * rho[t]" if retained else text

    def factor(self, value: sp.Expr, retained: bool = False) -> str:
        """The coefficient as a prefix ``"c1 * "``, empty for one."""
        if value == 1:
            return "rho[t] * " if retained else ""
        return self.text(value, retained) + " * "

    def names(self) -> list[str]:
        """Names of the hoisted coefficients."""
        return list(self._names.values())

    def symbols(self) -> list[str]:
        """Parameters that stand in lines by themselves."""
        return [python_name(symbol) for symbol in self._bare]

    def definitions(self) -> list[str]:
        """One assignment per hoisted coefficient."""
        return [f"{name} = {number_text(value, self._exact)}" for value, name in self._names.items()]


def _bare_symbols(value: sp.Expr, constants: set[sp.Symbol]) -> set[sp.Symbol]:
    """Symbols that a line itself mentions: a parameter alone, or all of a coefficient with a layer index."""
    hoisted = not value.is_Symbol and value.free_symbols <= constants
    return set() if hoisted else set(value.free_symbols)
