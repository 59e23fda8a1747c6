"""Numbers for symbolic coefficients, once per run; ratios may be infinite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import permutations

import sympy as sp

from dmft_sym.support.errors import ExecutionError


class Evaluator:
    """Evaluates coefficients at given parameter values, with ``inf`` understood as a limit.

    Parameters
    ----------
    values
        Value of every symbol. Infinite values (of ``nu`` or ``alpha``) are taken as limits of the whole
        coefficient, so that ``1/(gamma*nu) * nu`` is ``1/gamma`` and not ``0 * inf``.
    """

    def __init__(self, values: Mapping[sp.Symbol, float]) -> None:
        self._finite: dict[sp.Symbol, sp.Expr] = {}
        self._infinite: list[sp.Symbol] = []
        for symbol, value in values.items():
            if math.isnan(value) or value == -math.inf:
                raise ExecutionError(
                    f"{symbol} = {value!r}: allowed is a number" + ("" if value != value else " > -inf")
                )
            if math.isinf(value):
                self._infinite.append(symbol)
            elif symbol.is_integer:
                self._finite[symbol] = sp.Integer(int(value))
            else:
                self._finite[symbol] = sp.Float(float(value), 17)
        self._cache: dict[sp.Expr, float] = {}

    @property
    def infinite(self) -> tuple[sp.Symbol, ...]:
        """Symbols whose value is infinite."""
        return tuple(self._infinite)

    def __call__(self, expression: sp.Expr, where: object) -> float:
        """The value of ``expression``; ``where`` names the statement in error messages.

        Raises
        ------
        ExecutionError
            If a symbol has no value, or if the coefficient has no finite limit.
        """
        expression = sp.sympify(expression, strict=True)
        if expression not in self._cache:
            number = self._evaluate(expression, where)
            if not math.isfinite(number):
                raise ExecutionError(f"{where}: the coefficient {expression} is not finite{self._remedy()}")
            self._cache[expression] = number
        return self._cache[expression]

    def _evaluate(self, expression: sp.Expr, where: object) -> float:
        reduced = expression.subs(self._finite)
        missing = reduced.free_symbols - set(self._infinite)
        if missing:
            names = ", ".join(sorted(symbol.name for symbol in missing))
            raise ExecutionError(f"{where}: no value given for {names} in the coefficient {expression}")
        unbounded = [symbol for symbol in self._infinite if symbol in reduced.free_symbols]
        limits = {_limit(reduced, order) for order in permutations(unbounded)}
        if len(limits) > 1:
            raise ExecutionError(
                f"{where}: the limit of the coefficient {expression} depends on the order in which "
                f"{', '.join(s.name for s in unbounded)} become infinite; give one of them a finite value"
            )
        number = limits.pop()
        return float(number) if number.is_number and number.is_real else math.nan

    def _remedy(self) -> str:
        if not self._infinite:
            return ""
        names = ", ".join(symbol.name for symbol in self._infinite)
        return f" for {names} = inf; this network needs a finite value there"


def _limit(expression: sp.Expr, symbols: tuple[sp.Symbol, ...]) -> sp.Expr:
    for symbol in symbols:
        expression = sp.limit(expression, symbol, sp.oo)
    return sp.sympify(expression, strict=True)
