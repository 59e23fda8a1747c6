"""Numbers of `sympy.Eq` that define functions of integers, by recursion: it knows no network and no generator.

An equation ``f(l + 1, t) = ...`` is looked up by matching numbers to the arguments of its left-hand side within the
ranges that are said of it; sums are summed, averages over sites are means over the last axis.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef

sys.setrecursionlimit(20_000)
Environment = dict[sp.Symbol, Any]
Value = Callable[[Environment], Any]


class CircularError(Exception):
    """A number that is needed for itself."""


class Evaluator:
    """Values of everything that equations define.

    Parameters
    ----------
    equations
        Any with ``eq`` and ``where``.
    numbers
        Values of parameters and sizes.
    given
        Values that no equation defines, as functions of the numbers that are arguments, by name.
    """

    def __init__(
        self, equations, numbers: Mapping[sp.Symbol, Any], given: Mapping[str, Callable[..., Any]] = {}
    ) -> None:
        self.numbers = dict(numbers)
        self.given = dict(given)
        self.rules: dict[str, list] = {}
        for item in equations:
            self.rules.setdefault(name_of(item.eq.lhs), []).append(
                (item.eq.lhs, item.where, self.compiled(item.eq.rhs))
            )
        self.known: dict[tuple, Any] = {}
        self.active: set[tuple] = set()

    def __call__(self, name: str, *arguments: int):
        """A function at numbers."""
        return self._once((name, *arguments), lambda: self._defined(name, arguments))

    def _once(self, key: tuple, made: Callable[[], Any]):
        if key in self.active:
            raise CircularError(key)
        if key not in self.known:
            self.active.add(key)
            try:
                self.known[key] = made()
            finally:
                self.active.discard(key)
        return self.known[key]

    def _defined(self, name: str, arguments: tuple[int, ...]):
        if name in self.given:
            return self.given[name](*arguments)
        for left, where, right in self.rules.get(name, []):
            bound = matched(left.args, arguments, self.numbers)
            if bound is not None and where.holds({**self.integers, **bound}):
                return right({**self.numbers, **bound})
        if name not in self.rules:
            raise KeyError(name)
        return 0.0  # outside of all layers for which there is an equation

    @property
    def integers(self) -> dict[sp.Symbol, int]:
        return {symbol: value for symbol, value in self.numbers.items() if symbol.is_integer}

    def compiled(self, e: sp.Expr) -> Value:
        """A function of values of symbols."""
        if e.is_Number or e.is_NumberSymbol:
            number = int(e) if e.is_Integer else float(e)
            return lambda env: number
        if e.is_Symbol:
            return lambda env: env[e]
        if isinstance(e, sp.Add):
            parts = [self.compiled(a) for a in e.args]
            return lambda env: sum(part(env) for part in parts)
        if isinstance(e, sp.Mul):
            return self._product([self.compiled(a) for a in e.args])
        if isinstance(e, sp.Sum):
            return self._sum(e)
        if isinstance(e, sp.Piecewise):
            return self._cases([(self.compiled(value), condition) for value, condition in e.args])
        if isinstance(e, sp.KroneckerDelta):
            a, b = map(self.compiled, e.args)
            return lambda env: int(a(env) == b(env))
        arguments = [self.compiled(a) for a in e.args]
        if type(e).__name__ == "SiteAverage":
            return lambda env: averaged(arguments[0](env))
        if isinstance(e, AppliedUndef):
            name = name_of(e)
            return lambda env: self(name, *(int(a(env)) for a in arguments))
        if type(e).__name__ == "Tangent":
            return self._tangent(*e.args)
        symbols = sp.symbols(f"x:{len(arguments)}", real=True)
        function = sp.lambdify(symbols, e.func(*symbols), "numpy")
        return lambda env: function(*(a(env) for a in arguments))

    @staticmethod
    def _product(parts: list[Value]) -> Value:
        """Of which a factor may be zero, and the others then refer to what does not exist yet."""

        def value(env: Environment):
            total: Any = 1
            waiting: CircularError | None = None
            for part in parts:
                try:
                    total = total * part(env)
                except CircularError as circular:
                    waiting = circular
                if np.ndim(total) == 0 and total == 0:
                    return total
            if waiting is not None:
                raise waiting
            return total

        return value

    def _sum(self, e: sp.Sum) -> Value:
        """The innermost sum is the first."""
        body = self.compiled(e.function)
        for symbol, low, high in e.limits:
            body = self._summed(body, symbol, self.compiled(low), self.compiled(high))
        return body

    @staticmethod
    def _summed(body: Value, symbol: sp.Symbol, low: Value, high: Value) -> Value:
        return lambda env: sum((body({**env, symbol: n}) for n in range(low(env), high(env) + 1)), 0.0)

    def _cases(self, cases: list[tuple[Value, sp.Basic]]) -> Value:
        def value(env: Environment):
            for case, condition in cases:
                if condition.subs({s: env[s] for s in condition.free_symbols}) == sp.true:
                    return case(env)
            return 0.0

        return value

    def _tangent(self, a: sp.Expr, b: sp.Expr) -> Value:
        """``d a / d b``; the column of the equations is one symbol, for which ``b`` stands."""
        name, arguments = f"d {name_of(a)}", [self.compiled(x) for x in a.args]
        if b.is_Symbol:
            return lambda env: self.tangent(name, env[b], [int(x(env)) for x in arguments])
        inner, column = [self.compiled(x) for x in b.args], name_of(b)
        return lambda env: self.tangent(name, (column, *(int(x(env)) for x in inner)), [int(x(env)) for x in arguments])

    def tangent(self, name: str, column: tuple, arguments: list[int]):
        """The derivative of a thing by one Gaussian field at its labels."""
        return self._once((name, column, *arguments), lambda: self._tangent_at(name, column, arguments))

    def _tangent_at(self, name: str, column: tuple, arguments: list[int]):
        if name == f"d {column[0]}":
            return float(tuple(arguments) == column[1:])
        for left, where, right in self.rules.get(name, []):
            bound = matched(left.args[0].args, arguments, self.numbers)
            if bound is not None and where.holds({**self.integers, **bound}):
                return right({**self.numbers, **bound, left.args[1]: column})
        return 0.0


def name_of(e: sp.Expr) -> str:
    """Of a function; of a tangent that of its field, marked."""
    return f"d {name_of(e.args[0])}" if type(e).__name__ == "Tangent" else str(e.func.__name__)


def matched(patterns, arguments, numbers) -> dict[sp.Symbol, int] | None:
    """Values of the free symbols of patterns such as ``l + 1`` for which they are these numbers."""
    bound: dict[sp.Symbol, int] = {}
    sizes = {symbol: sp.Integer(n) for symbol, n in numbers.items() if symbol.is_integer}
    for pattern, argument in zip(patterns, arguments, strict=True):
        pattern = pattern.xreplace({**sizes, **{symbol: sp.Integer(n) for symbol, n in bound.items()}})
        free = pattern.free_symbols
        if not free:
            if int(pattern) != argument:
                return None
            continue
        (symbol,) = free
        slope = int(pattern.coeff(symbol))  # such as l + 1, or T - t
        value, left = divmod(argument - int(pattern - slope * symbol), slope)
        if left or (symbol.is_nonnegative and value < 0) or (symbol.is_positive and value < 1):
            return None  # none that the symbol may have
        bound[symbol] = value
    return bound


def averaged(values):
    """Over sites, the last axis; a number is the same at all of them."""
    return np.mean(values, axis=-1) if np.ndim(values) else values
