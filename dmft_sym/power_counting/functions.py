"""Exponents of site-wise functions: what a function makes of the parts of its arguments.

An expression is walked from its symbols up. Sums and products are those of `Powers`. A function of one variable is
expanded around what is of order one in its argument, where it is odd, even or neither; around zero where all is small;
and where something blows up it grows with its own power, as ``tanh`` stays of order one and ``Abs`` grows as its
argument. What the walk does not see, such as that ``1/(1 + e^h) - 1/2`` is odd, is found by putting in numbers.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import sympy as sp

from .powers import BLOWN_UP, CHANGED, ONE, UNIT, ZERO, Part, Powers, exponent_of, products, total

OneVariable: TypeAlias = Any
"""A function of SymPy, or a power as a `sympy.Lambda`."""
ODD, EVEN, NEITHER = -1, 1, 0
_PARITY: Mapping[type, int] = {
    sp.tanh: ODD,
    sp.erf: ODD,
    sp.sin: ODD,
    sp.atan: ODD,
    sp.sinh: ODD,
    sp.sign: ODD,
    sp.cos: EVEN,
    sp.cosh: EVEN,
    sp.Abs: EVEN,
}
_GROWTH: Mapping[type, int] = {
    sp.Abs: 1,
    **dict.fromkeys((sp.tanh, sp.erf, sp.sin, sp.cos, sp.atan, sp.sign, sp.log), 0),
}
_HOMOGENEOUS = (sp.Abs, sp.sign)
_EXPONENTIAL = (sp.exp, sp.sinh, sp.cosh)
_ORDERS = 3
"""How many derivatives at zero are looked at."""
_FEW = 12
"""Of how many parts all pairs are taken; of a third of them triples."""


def function_powers(expression: sp.Expr, arguments: Mapping[sp.Symbol, Powers]) -> Powers:
    """The parts of a function of independent arguments; symbols without parts are parameters, of order one."""
    used = {symbol: arguments[symbol] for symbol in expression.free_symbols if symbol in arguments}
    large = {symbol for symbol, powers in used.items() if powers.size is not None and powers.size > 0}
    if any(large & part.free_symbols for part in expression.atoms(*_EXPONENTIAL)):
        return _grown(expression, used)
    return _symmetric(expression, used, _walk(expression, used))


def _walk(expression: sp.Expr, arguments: Mapping[sp.Symbol, Powers]) -> Powers:
    if expression in arguments:
        return arguments[expression]
    if not expression.free_symbols & set(arguments):
        return ZERO if expression == 0 else ONE
    inner = [_walk(part, arguments) for part in _operands(expression)]
    if isinstance(expression, sp.Add):
        return total(inner)
    if isinstance(expression, sp.Mul):
        return functools.reduce(lambda a, b: a * b, inner, ONE)
    if isinstance(expression, sp.Pow) and expression.exp.is_Integer and 0 < expression.exp <= 4:
        return functools.reduce(lambda a, b: a * b, inner[:1] * int(expression.exp))
    if isinstance(expression, sp.Heaviside):
        return ONE | composed(sp.sign, inner[0])
    if isinstance(expression, sp.Max | sp.Min):
        return total([*inner, composed(sp.Abs, total(inner))])
    if isinstance(expression, sp.Piecewise):
        return total(inner) * (ONE | composed(sp.sign, total([p for p in arguments.values() if p])))
    if isinstance(expression, sp.Pow) and not expression.exp.free_symbols:
        return composed(_power(expression.exp), inner[0])
    return composed(expression.func, total(inner))


def _operands(expression: sp.Expr) -> Sequence[sp.Expr]:
    if isinstance(expression, sp.Piecewise):
        return [branch.expr for branch in expression.args]
    if isinstance(expression, sp.Pow) and expression.base is sp.E:
        return [expression.exp]
    return expression.args[:1] if isinstance(expression, sp.Pow | sp.Heaviside) else expression.args


@functools.cache
def _power(exponent: sp.Expr) -> sp.Lambda:
    x = sp.Symbol("x")
    return sp.Lambda(x, x**exponent)


def composed(function: OneVariable, argument: Powers) -> Powers:
    """A function of one variable."""
    degree = _degree(function)
    if argument.size is None or (argument.size > 0 and degree is None):
        return _at_zero(function, argument) if argument.size is None else argument.times(BLOWN_UP)
    if argument.size > 0 or (degree is not None and _scales(function)):
        assert degree is not None
        return _around(function, argument.normalised).times(int(degree * argument.size))
    return _around(function, argument) if argument.size == 0 else _at_zero(function, argument)


def _degree(function: OneVariable) -> Fraction | None:
    """The power with which a function grows; ``None`` if it may grow faster than any."""
    if isinstance(function, sp.Lambda):
        return Fraction(str(function.expr.exp))
    return Fraction(_GROWTH[function]) if function in _GROWTH else None


def _scales(function: OneVariable) -> bool:
    """Whether ``f(k x)`` is a power of ``k`` times ``f(x)``."""
    return isinstance(function, sp.Lambda) or function in _HOMOGENEOUS


def _parity(function: OneVariable) -> int:
    return NEITHER if isinstance(function, sp.Lambda) else _PARITY.get(function, NEITHER)


def _around(function: OneVariable, argument: Powers) -> Powers:
    """A function around the parts of order one: its derivatives there times products of the smaller parts."""
    parity, starts = _parity(function), _series(function)
    large = [part for part, exponent in argument.parts.items() if exponent == 0]
    small = [(part, exponent) for part, exponent in argument.parts.items() if exponent < 0]
    values = [_spanned(parity * (-1) ** order, large, starts[order]) for order in (0, 1, 2)]
    found = [values[0], values[1] * Powers(dict(small))]
    for (one, e), (other, f) in itertools.combinations(small, 2) if len(small) <= _FEW else ():
        found.append(values[2] * (Powers({one: e}) * Powers({other: f})))
    return total(found)


def _spanned(parity: int, parts: Sequence[Part], starts: bool) -> Powers:
    """Products of parts of order one: an odd number of them, an even one, or any.

    ``starts`` says whether the function is there where all parts vanish.
    """
    found: dict[Part, int] = {}
    if parity != ODD:
        new = not starts and all(marks & CHANGED for _, marks in parts)
        found[0, CHANGED if new else 0] = 0
        alike = dict.fromkeys(parts, 0)
        found |= products(alike, alike)
    for count in (1, 3) if len(parts) <= _FEW // 3 else (1,):
        if parity == NEITHER or count % 2 == (parity == ODD):
            for chosen in itertools.combinations(parts, count):
                signs = functools.reduce(lambda a, b: a ^ b, (odd for odd, _ in chosen))
                found[signs, functools.reduce(lambda a, b: a | b, (marks for _, marks in chosen))] = 0
    return Powers(found)


@functools.cache
def _series(function: OneVariable) -> tuple[bool, ...]:
    """Which of the value and the first derivatives at zero are there."""
    x = sp.Symbol("x", real=True)
    expression, found = function(x), []
    for _ in range(_ORDERS + 1):
        value = expression.subs(x, 0)
        found.append(not value.is_finite or value != 0)  # what is singular is taken as generic
        expression = sp.diff(expression, x)
    return tuple(found)


def _at_zero(function: OneVariable, argument: Powers) -> Powers:
    """A function around zero: the powers of a small argument that its series has."""
    if isinstance(function, sp.Lambda):  # a negative power of nothing at all blows up
        return ZERO if _degree(function) > 0 else Powers.of(BLOWN_UP)  # type: ignore[operator]
    power, found = ONE, []
    for there in _series(function):
        if there:
            found.append(power)
        power = power * argument
    return total(found)


def _grown(expression: sp.Expr, arguments: Mapping[sp.Symbol, Powers]) -> Powers:
    """A function with exponentials of something that blows up: its growth in numbers, signs unknown."""
    symbols = sorted(expression.free_symbols, key=str)
    compiled = sp.lambdify(symbols, expression, "numpy")
    draws, widths = np.random.default_rng(0).standard_normal((64, len(symbols))), np.array([1e4, 1e6])
    exponents = [exponent_of(arguments[s].size) if s in arguments else 0 for s in symbols]
    values = []
    for width in widths:
        scale = [min(width ** float(e), 1e30) for e in exponents]
        with np.errstate(all="ignore"):
            value = np.abs(compiled(*(draws * scale).T) * np.ones(len(draws)))
        values.append(float(np.max(np.nan_to_num(value, nan=0.0, posinf=1e300))))
    if values[1] == 0:
        return ZERO
    slope = np.log(values[1] / max(values[0], 1e-300)) / np.log(widths[1] / widths[0])
    size = BLOWN_UP if slope > 6 else round(12 * slope) * UNIT // 12
    signs = {(0, 0)} | {part for powers in arguments.values() for part in powers.parts}
    return Powers(dict.fromkeys(signs, size))


def _symmetric(expression: sp.Expr, arguments: Mapping[sp.Symbol, Powers], powers: Powers) -> Powers:
    """The parts that agree with the symmetries of the whole function under changes of sign of its arguments."""
    bits = 0
    for argument in arguments.values():
        for signs, _ in argument.parts:
            bits |= signs
    singles = [1 << n for n in range(bits.bit_length()) if bits >> n & 1]
    for flipped in (*singles, *(a | b for a, b in itertools.combinations(singles, 2)), bits):
        odd = _flipped(arguments, flipped)
        if odd is None or not flipped:
            continue
        parity = symmetry(expression, frozenset(odd))
        if parity != NEITHER:
            kept = {
                (signs, marks): e
                for (signs, marks), e in powers.parts.items()
                if (signs & flipped).bit_count() % 2 == (parity == ODD)
            }
            powers = Powers(kept)
    return powers


def _flipped(arguments: Mapping[sp.Symbol, Powers], flipped: int) -> list[sp.Symbol] | None:
    """The arguments that change their sign with these Gaussian fields; ``None`` if one changes in part only."""
    found = []
    for symbol, powers in arguments.items():
        parities = {(signs & flipped).bit_count() % 2 for signs, _ in powers.parts}
        if len(parities) > 1:
            return None
        if parities == {1}:
            found.append(symbol)
    return found


@functools.lru_cache(maxsize=4096)
def symmetry(expression: sp.Expr, flipped: frozenset[sp.Symbol]) -> int:
    """Whether a function is odd, even or neither in some of its arguments together, in numbers."""
    symbols = sorted(expression.free_symbols, key=str)
    if not flipped or expression.has(sp.Function("softmax")):
        return NEITHER
    compiled = sp.lambdify(symbols, expression, ["scipy", "numpy"])
    draws = np.random.default_rng(0).uniform(0.2, 1.7, (len(symbols), 5))
    signs = np.array([[-1.0 if s in flipped else 1.0] for s in symbols])
    with np.errstate(all="ignore"):
        here, there = np.asarray(compiled(*draws)), np.asarray(compiled(*(signs * draws)))
    for parity in (ODD, EVEN):
        if np.allclose(there, parity * here, rtol=1e-10, atol=1e-12):
            return parity
    return NEITHER
