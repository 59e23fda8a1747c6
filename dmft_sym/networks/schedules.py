"""Schedules: a factor of the learning rate at every step, as a formula in the step ``t`` and their number ``T``."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.program import STEP, TIME, ProgramError
from dmft_sym.program.formulas import parse_formula
from dmft_sym.program.site_expressions import show_expression
from dmft_sym.program.site_functions import numpy_function
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import InputError, show

NUMBER = TIME.size
NAMES = {"cosine": (1 + sp.cos(sp.pi * STEP / NUMBER)) / 2}
"""Schedules by name, beside ``warmup(k)``."""
ALLOWED = 'a formula in t and T such as "1/(1 + t/10)", "cosine", "warmup(10)", or an expression of SymPy in t and T'
_WARMUP = re.compile(r"warmup\(\s*([1-9]\d{0,8})\s*\)")


def schedule(value: object) -> sp.Expr:
    """The factor at step ``t`` of ``T`` that a text or an expression means.

    Parameters
    ----------
    value
        ``"cosine"`` is ``(1 + cos(pi t/T))/2``, ``"warmup(k)"`` is ``min(1, (t + 1)/k)``; other text is a formula, see
        `parse_formula`. Symbols of a SymPy expression are known by their names; it may have any powers, such as
        ``2**(-t)``.

    Raises
    ------
    ProgramError
        If it is something else; the message says what is allowed.

    Examples
    --------
    >>> schedule("1/(1 + t/10)")
    1/(t/10 + 1)
    """
    if isinstance(value, str):
        expression = _of_text(value.strip())
    elif isinstance(value, sp.Expr):
        expression = value
    else:
        raise ProgramError(f"schedule = {show(value)}: allowed is {ALLOWED}")
    known = {STEP.name: STEP, NUMBER.name: NUMBER}
    names = {symbol: known.get(symbol.name, symbol) for symbol in expression.free_symbols}
    if not set(names.values()) <= set(known.values()):
        raise ProgramError(f"schedule = {show_expression(expression)}: allowed is {ALLOWED}")
    made = sp.sympify(expression.xreplace(names), strict=True)
    try:
        _values(made, np.zeros(1), 1.0)
    except ProgramError as error:
        raise ProgramError(f"schedule = {show_expression(expression)}: {error}") from error
    return made


def _of_text(text: str) -> sp.Expr:
    if text in NAMES:
        return NAMES[text]
    warmup = _WARMUP.fullmatch(text)
    if warmup is not None:
        return sp.Min(1, (STEP + 1) / sp.Integer(warmup[1]))
    if re.match(r"warmup\b", text):
        raise ProgramError(f'schedule = {show(text)}: allowed is "warmup(k)" with a number of steps, an integer k >= 1')
    try:
        return parse_formula(text, (STEP.name, NUMBER.name)).doit()
    except InputError as error:
        raise ProgramError(f"schedule: {error}; allowed is {ALLOWED}") from error


def _values(expression: sp.Expr, step: NDArray[np.float64], steps: float) -> NDArray[np.float64]:
    """The factor at these steps; powers that functions of sites do not have, ``2**(-t)``, go by logarithms."""
    symbols: list[sp.Symbol] = [STEP, NUMBER]
    values: list[Any] = [step, steps]

    def evaluated(part: sp.Expr) -> NDArray[np.float64]:
        return numpy_function([part], symbols)(*values)[0]

    def exponential(part: sp.Pow) -> sp.Expr:
        logarithm = sp.Dummy("logarithm", real=True)
        values.append(np.log(evaluated(part.base)))
        symbols.append(logarithm)
        return sp.exp(part.exp * logarithm)

    def other_power(part: sp.Basic) -> bool:
        return bool(part.is_Pow and not (2 * part.exp).is_Integer)

    with np.errstate(divide="ignore", invalid="ignore"):  # what is not finite is refused with its step
        return np.array(evaluated(expression.replace(other_power, exponential)), dtype=np.float64)


def factors(expression: sp.Expr, steps: int) -> NDArray[np.float64]:
    """The factors of all steps, shape (steps,).

    Raises
    ------
    ArgumentError
        If one of them is negative or not finite.
    """
    found = _values(expression, np.arange(steps, dtype=float), float(steps))
    bad = np.flatnonzero(~(np.isfinite(found) & (found >= 0)))
    if len(bad):
        raise ArgumentError(
            f"schedule = {expression} is {found[bad[0]]:.3g} at step {bad[0]} of {steps}: allowed is a finite number "
            ">= 0 at every step"
        )
    return found
