"""Powers of ``eps``: of coefficients, and of order parameters by the equations that they solve.

Every equation says that an order parameter is as large as the largest of its terms, and a term is the product of its
factors. The powers are the least solution of these equations, found by iteration from zero order parameters, as a march
would find it; terms of one power are taken not to cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import sympy as sp

from dmft_sym.derivation.equations import Equation
from dmft_sym.derivation.symbols import TwoPoint
from dmft_sym.program import ProgramError

from .limit import EPS

Powers = dict[type[TwoPoint], sp.Expr]
_MOST = 200
"""Rounds after which powers that still fall are taken to fall without end."""


@lru_cache(maxsize=4096)
def leading(coefficient: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """The lowest power of ``eps`` in a coefficient, and what it is multiplied by.

    Raises
    ------
    ProgramError
        If the coefficient is not made of powers of ``eps``.
    """
    root = sp.Symbol("eps_root", positive=True)  # eps = root^2, so that roots of eps are powers
    numerator, denominator = sp.fraction(
        sp.together(sp.powdenest(sp.expand_power_base(coefficient.subs(EPS, root**2))))
    )
    try:
        above, below = sp.Poly(numerator, root), sp.Poly(denominator, root)
    except sp.PolynomialError as error:
        raise ProgramError(f"{coefficient}: allowed are powers of {EPS}") from error
    if above.is_zero:
        return sp.oo, sp.Integer(0)
    (low,), (base,) = min(above.monoms()), min(below.monoms())
    value = above.coeff_monomial(root**low) / below.coeff_monomial(root**base)
    return sp.Rational(low - base, 2), sp.simplify(value) if value.is_Add else value


def parts(term: sp.Expr) -> tuple[sp.Expr, list[TwoPoint]]:
    """A coefficient in parameters, and the order parameters that it is multiplied by, each as often as it is."""
    coefficient: sp.Expr = sp.Integer(1)
    points: list[TwoPoint] = []
    for factor in sp.Mul.make_args(term):
        if isinstance(factor, sp.Sum | sp.Piecewise):
            inner, more = parts(factor.function if isinstance(factor, sp.Sum) else factor.args[0][0])
            coefficient, points = coefficient * inner, points + more
        elif isinstance(factor, TwoPoint):
            points.append(factor)
        elif factor.is_Pow and isinstance(factor.base, TwoPoint):
            points += [factor.base] * int(factor.exp)
        elif factor.free_symbols and not factor.has(sp.KroneckerDelta):
            coefficient *= factor
    return coefficient, points


def needed(
    equations: Iterable[Equation], observables: Iterable[Equation], terms: Callable[[Equation], Iterable[sp.Expr]]
) -> set[type]:
    """What observables depend on, through the terms of equations that count."""
    listed = list(equations)
    found = {equation.left.func for equation in observables}
    waiting = list(found)
    while waiting:
        func = waiting.pop()
        for equation in (equation for equation in listed if equation.left.func == func):
            new = {point.func for term in terms(equation) for point in parts(term)[1]} - found
            found |= new
            waiting += new
    return found


class Orders:
    """Powers of ``eps`` in a system of equations.

    Parameters
    ----------
    equations
        The closed equations.
    values
        What parameters become, expressions in ``eps``.
    """

    def __init__(self, equations: Iterable[Equation], values: Mapping[sp.Symbol, sp.Expr]) -> None:
        self.values = dict(values)
        self.terms: dict[type, list[tuple[sp.Expr, list[type[TwoPoint]]]]] = {}
        for equation in equations:
            found = self.terms.setdefault(equation.left.func, [])
            for term in equation.terms:
                coefficient, points = parts(term)
                power, _ = leading(self.scaled(coefficient))
                found.append((power, [point.func for point in points]))
        self.powers = self._solved()

    def scaled(self, coefficient: sp.Expr) -> sp.Expr:
        """A coefficient with parameters as functions of ``eps``."""
        return coefficient.xreplace(self.values)

    def of(self, term: sp.Expr) -> sp.Expr:
        """The power of a term."""
        coefficient, points = parts(term)
        return leading(self.scaled(coefficient))[0] + sum(self.powers.get(point.func, 0) for point in points)

    def _solved(self) -> dict[type, sp.Expr]:
        powers: dict[type, sp.Expr] = dict.fromkeys(self.terms, sp.oo)
        for _ in range(_MOST):
            before = dict(powers)
            for left, terms in self.terms.items():
                found = [power + sum(powers.get(func, 0) for func in factors) for power, factors in terms]
                powers[left] = min(found, default=sp.oo)
            if powers == before:
                return powers
        falling = next(left for left in powers if powers[left] != before[left])
        raise ProgramError(f"{falling.__name__} grows by powers of 1/{EPS} from step to step: there is no limit")
