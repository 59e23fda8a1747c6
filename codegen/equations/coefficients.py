"""Coefficients of the equations as Python text: hoisted once, unless they depend on a layer index."""

from __future__ import annotations

import sympy as sp
from dmft_sym.codegen.text.coefficient_text import number_text
from dmft_sym.codegen.text.names import python_name

from .ir import March


class CoefficientTable:
    """Names for the coefficients of a march.

    Coefficients that depend on parameters alone are evaluated once, before the first step, as ``c1, c2, ...``;
    those that depend on a layer index are written in place.
    """

    def __init__(self, march: March, exact: str = "") -> None:
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
