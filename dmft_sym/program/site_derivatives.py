"""Derivatives of site functions, with a value at kinks: no DiracDelta, no Derivative of a known function.

At a kink the derivative is a convention: ``Heaviside(0) = 0`` (so relu'(0) = 0), ``sign(0) = 0`` (so |x|' = 0 at 0), a
Piecewise takes the branch that it is in, and the derivatives of ``Heaviside``, ``sign`` and of conditions vanish.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import sympy as sp

from .expressions import Argument, SiteFunction

_STEP_AT_ZERO = sp.Integer(0)


def differentiate(expression: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """The derivative of a site function with respect to one of its symbols.

    ``Max(a, b)' = b' + Heaviside(a - b, 0) (a' - b')``, ``Min(a, b)' = b' + Heaviside(b - a, 0) (a' - b')``,
    ``Abs(a)' = sign(a) a'``, and a Piecewise is differentiated branch by branch. A function that is left free
    (``phi(h)``) has the derivative ``Derivative(phi(h), h)``.
    """
    if symbol not in expression.free_symbols:
        return sp.Integer(0)
    if expression == symbol:
        return sp.Integer(1)
    if isinstance(expression, sp.Add):
        return sp.Add(*(differentiate(term, symbol) for term in expression.args))
    if isinstance(expression, sp.Mul):
        return _product(expression, symbol)
    if isinstance(expression, sp.Pow) and symbol not in expression.exp.free_symbols:
        base, exponent = expression.args
        return exponent * base ** (exponent - 1) * differentiate(base, symbol)
    if isinstance(expression, sp.Piecewise):
        return sp.Piecewise(*((differentiate(value, symbol), condition) for value, condition in expression.args))
    if isinstance(expression, (sp.Max, sp.Min)):
        return _extremum(expression, symbol)
    if isinstance(expression, (sp.Heaviside, sp.sign)):
        return sp.Integer(0)
    if isinstance(expression, sp.Abs):
        return sp.sign(expression.args[0]) * differentiate(expression.args[0], symbol)
    return _function(expression, symbol)


def _product(product: sp.Mul, symbol: sp.Symbol) -> sp.Expr:
    factors = product.args
    terms = [sp.Mul(*factors[:k], differentiate(factor, symbol), *factors[k + 1 :]) for k, factor in enumerate(factors)]
    return sp.Add(*terms)


def _extremum(expression: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    # Where the arguments meet, the last one gives the derivative: a number, if there is one.
    arguments = sorted(expression.args, key=lambda a: (not a.free_symbols, sp.default_sort_key(a)))
    sign = 1 if isinstance(expression, sp.Max) else -1

    def join(b: tuple[sp.Expr, sp.Expr], a: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        value, slope = b
        step = sp.Heaviside(sign * (a - value), _STEP_AT_ZERO)
        return expression.func(a, value), slope + step * (differentiate(a, symbol) - slope)

    last = arguments.pop()
    return functools.reduce(join, reversed(arguments), (last, differentiate(last, symbol)))[1]


def _function(expression: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    if len(expression.args) == 1 and isinstance(expression, sp.Function):
        argument = expression.args[0]
        if argument == symbol:
            return expression.diff(symbol)
        inner = sp.Dummy("u", real=True)
        outer = expression.func(inner).diff(inner)
        if outer.has(sp.Derivative):  # a free function at another argument
            return expression.diff(symbol)
        return outer.xreplace({inner: argument}) * differentiate(argument, symbol)
    return expression.diff(symbol)


def slopes(function: SiteFunction) -> Iterator[tuple[Argument, SiteFunction]]:
    """The chain rule: arguments with the derivatives in them, functions of the same arguments; zeros are left out."""
    for symbol, argument in function.arguments:
        slope = differentiate(function.expression, symbol)
        if slope != 0:
            yield argument, SiteFunction(slope, tuple((s, a) for s, a in function.arguments if s in slope.free_symbols))


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
