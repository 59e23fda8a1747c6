"""Coefficients: numbers and SymPy expressions."""

from __future__ import annotations

import numbers
from typing import TypeAlias

import sympy as sp

from dmft_sym.program import ProgramError

Number: TypeAlias = sp.Expr | int | float


def number(value: Number) -> sp.Expr:
    """A real coefficient as a SymPy expression.

    Raises
    ------
    ProgramError
        If it is not a finite real number or expression.
    """
    if isinstance(value, float):
        value = sp.nsimplify(value, rational=True)
    elif isinstance(value, numbers.Integral):
        value = sp.Integer(int(value))
    elif not isinstance(value, sp.Expr):
        raise ProgramError(f"a coefficient must be a number or a SymPy expression, got {type(value).__name__}")
    if value.has(sp.nan, sp.oo, -sp.oo, sp.zoo) or value.is_real is False:
        raise ProgramError(f"a coefficient must be real and finite, got {value}")
    return value
