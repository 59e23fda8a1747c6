"""Activations: a name, a formula in ``h`` or a SymPy expression becomes one function with its derivative."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef

from dmft_sym.formulas import FUNCTIONS, parse_formula
from dmft_sym.messages import show, suggestion
from dmft_sym.program import ProgramError
from dmft_sym.program.site_derivatives import differentiate
from dmft_sym.program.site_expressions import check, show_expression
from dmft_sym.program.site_functions import numpy_function

H = sp.Symbol("h", real=True)
_RULE = "allowed are functions that are finite, with a finite derivative, for every real h"
_ONE_SIDED = {  # finite for h >= 0 alone, or not differentiable: refused by the rule above, so not offered as names
    "log",
    "sqrt",
}
NAMES: dict[str, sp.Expr] = {
    **{name: function(H).doit() for name, function in FUNCTIONS.items() if name not in _ONE_SIDED},
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
        return _checked(name, parse_formula(name).doit())
    if callable(value) and not isinstance(value, sp.Expr):
        value = _of_symbol(value)
    if not isinstance(value, sp.Expr):
        raise ProgramError(f"activation {show(value)}: allowed are {', '.join(sorted(NAMES))}, or a formula in h")
    return _from_expression(value)


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
    chosen = Activation(name, expression)
    near = np.concatenate([np.linspace(-10.0, 10.0, 201), [-0.337, 1e-8]])
    for values in numpy_function([expression, chosen.derivative], [H])(near):
        bad = near[~np.isfinite(values)]
        if bad.size:
            raise ProgramError(f"activation {name}: not finite at h = {_nearest(bad):g}; {_RULE}")
    _check_signs(name, expression)
    return chosen


def _check_signs(name: str, expression: sp.Expr) -> None:
    """Denominators must not change sign between points of a grid, and logarithms and roots need positive arguments."""
    far = np.concatenate([-np.geomspace(1000.0, 10.0, 100), np.linspace(-10.0, 10.0, 401), np.geomspace(10, 1000, 100)])
    for part, positive in _critical(expression):
        (values,) = numpy_function([part], [H])(far)
        low, high = np.nanmin(values), np.nanmax(values)
        if low <= 0 <= high or (positive and low < 0):
            first = np.sign(values[0]) if not positive else 1.0
            where = _nearest(far[np.sign(values) != first])
            raise ProgramError(f"activation {name}: not finite near h = {where:.3g}; {_RULE}")


def _critical(expression: sp.Expr) -> Iterator[tuple[sp.Expr, bool]]:
    """Parts that must not vanish, and whether they must be positive; branches of a Piecewise are not looked into."""
    if isinstance(expression, sp.Piecewise):
        return
    if isinstance(expression, sp.log) and expression.free_symbols:
        yield expression.args[0], True
    elif isinstance(expression, sp.Pow) and expression.base.free_symbols:
        half = expression.exp.is_Rational and expression.exp.q == 2
        if half or expression.exp.is_negative:
            yield expression.base, bool(half)
    for argument in expression.args:
        if isinstance(argument, sp.Expr):
            yield from _critical(argument)


def _nearest(points: np.ndarray) -> float:
    return float(points[np.argmin(np.abs(points))])
