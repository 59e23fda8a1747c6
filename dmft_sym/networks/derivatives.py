"""Derivatives of site-wise functions, and which functions there are.

At a kink the derivative is the one from the side on which the function is constant, or the mean of both sides:
``relu'(0) = 0`` and ``|h|'(0) = 0`` (the usual subgradients). It is a set of measure zero for Gaussian fields.
"""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp
from sympy.core.function import AppliedUndef

from dmft_sym.program import ProgramError
from dmft_sym.program.site_derivatives import differentiate

ALLOWED = (
    sp.tanh, sp.erf, sp.exp, sp.log, sp.sin, sp.cos, sp.sinh, sp.cosh, sp.atan, sp.Abs, sp.sign, sp.Heaviside,
    sp.Max, sp.Min, sp.Piecewise,
)  # fmt: skip
"""Functions of SymPy that programs may contain (besides arithmetic and powers)."""


def derivative(expression: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """``d expression / d symbol`` almost everywhere, with the convention above at kinks."""
    return differentiate(expression, symbol)


def has_jump(expression: sp.Expr, symbol: sp.Symbol) -> bool:
    """Whether the function jumps somewhere in ``symbol``, so that its derivative has a point mass.

    A step whose place is not a number, and a jump that cannot be shown to vanish, count as jumps.
    """
    return any(_jumps_at(expression, symbol, step) for step in _steps(expression) if symbol in step.free_symbols)


def _steps(expression: sp.Expr) -> set[sp.Expr]:
    """What changes its sign where a part of the function has a step."""
    found = {part.args[0] for part in expression.atoms(sp.Heaviside, sp.sign)}
    for piecewise in expression.atoms(sp.Piecewise):
        for _, condition in piecewise.args:
            found |= {relation.lhs - relation.rhs for relation in condition.atoms(sp.Rel)}
    return found


def _jumps_at(expression: sp.Expr, symbol: sp.Symbol, step: sp.Expr) -> bool:
    """Whether the limits from both sides differ where ``step`` is zero."""
    slope = sp.diff(step, symbol)
    if not slope.is_number or not sp.simplify(step - slope * symbol).is_number:
        return True
    place = sp.solve(step, symbol)[0]
    distance = sp.Dummy("distance", positive=True)
    above, below = (expression.subs(symbol, place + side * distance).subs(distance, 0) for side in (1, -1))
    return bool(sp.simplify(above - below) != 0)


def checked_expression(expression: sp.Expr, symbols: Iterable[sp.Symbol]) -> sp.Expr:
    """The expression, if only allowed functions occur in it and it depends on one of ``symbols``.

    Raises
    ------
    ProgramError
        Naming what is not allowed.
    """
    for part in expression.atoms(sp.Function, sp.Max, sp.Min):
        if not isinstance(part, (*ALLOWED, AppliedUndef)):
            names = ", ".join(sorted(function.__name__ for function in ALLOWED))
            raise ProgramError(f"site-wise function {expression}: {part.func} is not known; allowed are {names}")
    if not expression.free_symbols & set(symbols):
        raise ProgramError(f"site-wise function {expression}: it does not depend on its arguments")
    if expression.has(sp.nan, sp.oo, -sp.oo, sp.zoo, sp.I):
        raise ProgramError(f"site-wise function {expression}: allowed are real, finite functions")
    return expression
