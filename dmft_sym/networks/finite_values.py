"""Whether a site-wise function and its derivatives are finite for all real arguments; found out on points."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.program import ProgramError
from dmft_sym.program.site_derivatives import differentiate
from dmft_sym.program.site_expressions import show_expression
from dmft_sym.program.site_functions import numpy_function

RULE = "allowed are functions that are finite, with a finite derivative, for every real"
_NEAR = np.concatenate([np.linspace(-10.0, 10.0, 201), [-0.337, 1e-8]])
_FAR = np.concatenate([-np.geomspace(1000.0, 10.0, 100), np.linspace(-10.0, 10.0, 401), np.geomspace(10, 1000, 100)])
_MOST_POINTS = 20_000
_MOST_MINIMA = 20
_TOUCH = 1e-12  # of the size beside a minimum that a part is taken to vanish at
_BLOW_UP = 10.0  # a derivative that grows by more between distances 1e-4 and 1e-8 from a zero has no limit


def check_one(what: str, expression: sp.Expr, symbol: sp.Symbol) -> None:
    """Check a function of one argument.

    Denominators must not change sign between points of a grid, and logarithms and roots need positive arguments.

    Raises
    ------
    ProgramError
        If it is not finite somewhere; ``what`` names it.
    """
    rule = f"{RULE} {symbol}"
    for values in numpy_function([expression, differentiate(expression, symbol)], [symbol])(_NEAR):
        bad = _NEAR[~np.isfinite(values)]
        if bad.size:
            raise ProgramError(f"{what}: not finite at {symbol} = {_nearest(bad):g}; {rule}")
    for part, positive in _critical(expression):
        (values,) = numpy_function([part], [symbol])(_FAR)
        low, high = np.nanmin(values), np.nanmax(values)
        if low <= 0 <= high or (positive and low < 0):
            first = np.sign(values[0]) if not positive else 1.0
            where = _nearest(_FAR[np.sign(values) != first])
            raise ProgramError(f"{what}: not finite near {symbol} = {where:.3g}; {rule}")
        for where in _touching(part, symbol, np.abs(values)):
            raise ProgramError(f"{what}: not finite near {symbol} = {where:.3g}; {rule}")


def _touching(part: sp.Expr, symbol: sp.Symbol, sizes: NDArray[np.float64]) -> Iterator[float]:
    """Where a part touches zero without a change of sign: minima of its size, from the smallest ones of the grid."""
    from scipy.optimize import minimize_scalar  # costs more than all else that a cached run imports

    size = numpy_function([sp.Abs(part)], [symbol])
    finite = np.isfinite(sizes[:-2]) & np.isfinite(sizes[2:])
    inner = np.flatnonzero(finite & (sizes[1:-1] <= sizes[:-2]) & (sizes[1:-1] <= sizes[2:])) + 1
    for place in inner[np.argsort(sizes[inner])][:_MOST_MINIMA]:
        bounds = (_FAR[place - 1], _FAR[place + 1])
        found = minimize_scalar(lambda x: float(size(x)[0]), bounds=bounds, method="bounded", options={"xatol": 1e-12})
        if found.fun <= _TOUCH * max(sizes[place - 1], sizes[place + 1]):
            yield float(found.x)


def check_several(expression: sp.Expr, symbols: Sequence[sp.Symbol]) -> None:
    """Check a function of several fields, and maybe of other things, whose values are not known.

    Single points where a derivative has no value are allowed, such as the origin for ``sqrt(a**2 + b**2)``.

    Raises
    ------
    ProgramError
        If it is not finite somewhere.
    """
    what = f"site function {show_expression(expression)}"
    rule = f"{RULE} {', '.join(map(str, symbols))}"
    grid = _points([-10.0, -3.0, -1.0, -0.337, 0.337, 1.0, 3.0, 10.0], len(symbols))
    for part, positive in _critical(expression):
        if part.free_symbols <= set(symbols):
            (values,) = numpy_function([part], symbols)(*grid)
            if np.nanmin(values) <= 0 and (positive or np.nanmax(values) >= 0):
                where = "zero or negative" if positive else "zero"
                raise ProgramError(f"{what}: not finite where {show_expression(part)} is {where}; {rule}")
    if expression.free_symbols <= set(symbols):
        slopes = numpy_function([differentiate(expression, symbol) for symbol in symbols], symbols)
        sizes = [
            max(np.nanmax(np.abs(s)) for s in slopes(*_points([-e, e, -1, 1], len(symbols)))) for e in (1e-4, 1e-8)
        ]
        if not sizes[1] <= _BLOW_UP * max(1.0, sizes[0]):
            raise ProgramError(f"{what}: a derivative is not finite near zero; {rule}")


def _points(values: Sequence[float], count: int) -> tuple[NDArray[np.float64], ...]:
    """All combinations of values of the arguments, or some of them if they are too many."""
    if len(values) ** count <= _MOST_POINTS:
        return tuple(np.array(list(itertools.product(values, repeat=count))).T)
    return tuple(np.random.default_rng(0).choice(values, (count, _MOST_POINTS)))


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


def _nearest(points: NDArray[np.float64]) -> float:
    return float(points[np.argmin(np.abs(points))])
