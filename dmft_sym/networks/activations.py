"""Activations: a name, a formula in ``h`` or a SymPy expression becomes one function with its derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import sympy as sp
from sympy.core.function import AppliedUndef

from dmft_sym.program import ProgramError
from dmft_sym.program.formulas import FUNCTIONS, OF_TWO, parse_formula
from dmft_sym.program.site_derivatives import differentiate
from dmft_sym.program.site_expressions import check, show_expression
from dmft_sym.support.messages import InputError, show, suggestion

from .finite_values import RULE, check_one

H = sp.Symbol("h", real=True)
_PARTS_OF_FORMULAS = {  # not finite for all h, without a slope, or of two arguments
    "log",
    "sqrt",
    "heaviside",
    "sign",
    *OF_TWO,
}
NAMES: dict[str, sp.Expr] = {
    **{name: function(H).doit() for name, function in FUNCTIONS.items() if name not in _PARTS_OF_FORMULAS},
    "elu": sp.Piecewise((H, H > 0), (sp.exp(H) - 1, True)),
    "leaky_relu": sp.Piecewise((H, H > 0), (H / 100, True)),
    "linear": H,
    "quadratic": H**2,
    "silu": H / (1 + sp.exp(-H)),
    "softsign": H / (1 + sp.Abs(H)),
    "swish": H / (1 + sp.exp(-H)),
}
"""Activations with a name."""

Chosen: TypeAlias = "Activation | str | sp.Expr | Callable[[sp.Symbol], Any] | None"


@dataclass(frozen=True)
class Activation:
    """A function ``expression`` of the real symbol ``h``; ``phi(h)`` if it is left free."""

    name: str
    expression: sp.Expr

    @property
    def symbol(self) -> sp.Symbol:
        """The argument ``h``."""
        return H

    @property
    def free(self) -> bool:
        """Whether the function is a symbol."""
        return bool(self.expression.atoms(AppliedUndef))

    @cached_property
    def derivative(self) -> sp.Expr:
        """``phi'(h)``. At kinks relu'(0) = 0 and |h|'(0) = 0; see `differentiate`."""
        return differentiate(self.expression, H)

    def __str__(self) -> str:
        return self.name


def activation(value: Chosen) -> Activation:
    """The activation that ``value`` means.

    Parameters
    ----------
    value
        A name of `NAMES`; a formula in ``h`` as text (``"tanh(2*h)"``, see `parse_formula`); a SymPy expression in one
        symbol; a function of a symbol, such as ``sympy.tanh``; ``None`` for a function ``phi`` that is left free.

    Raises
    ------
    FormulaError, ProgramError
        If it is not known, depends on anything but ``h``, does not depend on ``h``, or is not finite for every real
        ``h``.

    Examples
    --------
    >>> activation("relu").derivative
    Heaviside(h, 0)
    """
    if isinstance(value, Activation):
        return value
    if value is None:
        return Activation("phi", sp.Function("phi")(H))
    if isinstance(value, str):
        name = value.strip()
        if name in NAMES:
            return Activation(name, NAMES[name])
        if name.isidentifier() and name != H.name:
            known = ", ".join(sorted(NAMES))
            raise ProgramError(
                f"activation {show(name)}{suggestion(name, NAMES)}: allowed are {known}, or a formula in h"
            )
        return _checked(name, _evaluated(name))
    if callable(value) and not isinstance(value, sp.Expr):
        value = _of_symbol(value)
    if not isinstance(value, sp.Expr):
        raise ProgramError(f"activation {show(value)}: allowed are {', '.join(sorted(NAMES))}, or a formula in h")
    return _from_expression(value)


def _evaluated(formula: str) -> sp.Expr:
    """The expression of a formula; SymPy stumbles over what has no value, such as ``max(1/(h - h), 0)``."""
    try:
        return parse_formula(formula).doit()
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise ProgramError(f"activation {show(formula)}: not a finite real number; {RULE} h") from error


def _of_symbol(function: Callable[[sp.Symbol], object]) -> object:
    """What a function makes of the symbol ``h``; one of NumPy or with branches fails in its own way."""
    try:
        return function(H)
    except Exception as error:
        raise ProgramError(
            f"activation {show(function)}: {type(error).__name__} on the symbol h; allowed are functions of SymPy, "
            "such as lambda h: h * sympy.tanh(h), and formulas in h"
        ) from error


def _from_expression(expression: sp.Expr) -> Activation:
    symbols = sorted(expression.free_symbols, key=str)
    if len(symbols) != 1:
        names = f"; this one has {', '.join(map(str, symbols))}" if symbols else ""
        raise ProgramError(f"activation {show_expression(expression)}: allowed are functions of one symbol{names}")
    # Rules for real numbers apply to the symbol h alone.
    expression = expression.xreplace({symbols[0]: H})
    return _checked(show_expression(expression), expression)


def _checked(name: str, expression: sp.Expr) -> Activation:
    check(expression, [H])
    if H not in expression.free_symbols:
        raise ProgramError(f"activation {name}: allowed are functions that depend on h")
    check_one(f"activation {name}", expression, H)
    return Activation(name, expression)
