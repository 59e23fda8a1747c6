"""Order parameters that are zero, and those that are the same at all steps: of weights that are not trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import sympy as sp

from dmft_sym.derivation.continuous import Flat, flat_term, steps_of
from dmft_sym.derivation.equations import Equation
from dmft_sym.derivation.symbols import KEPT, KERNEL, PAST_KERNEL, STEPS, Correlation, TwoPoint
from dmft_sym.program import STEP

_STEPS = {STEP, *STEPS}


def unchanging(equations: Iterable[Equation]) -> set[type]:
    """Order parameters that do not depend on the step, and responses that are there at equal steps alone.

    The largest set of them whose terms are made of nothing else: it is found from all by striking out.
    """
    listed = [equation for equation in equations if isinstance(equation.left, TwoPoint)]
    terms = {equation: [flat_term(term) for term in equation.terms] for equation in listed}
    found: set[type] = {equation.left.func for equation in listed}
    while True:
        moving = {e.left.func for e in listed if not all(_stays(e.left, term, found) for term in terms[e])}
        if not moving & found:
            return found
        found -= moving


def without_zeros(equations: Iterable[Equation]) -> list[Equation]:
    """Equations without terms that are zero."""
    listed = list(equations)
    zero = zeros(listed)
    return [replace(e, terms=tuple(term for term in e.terms if not _has(term, zero))) for e in listed]


def zeros(equations: Iterable[Equation], counts: Callable[[sp.Expr], bool] = lambda term: True) -> set[type]:
    """Order parameters all of whose terms have one that is zero, or do not count."""
    listed = [equation for equation in equations if isinstance(equation.left, TwoPoint)]
    found: set[type] = {equation.left.func for equation in listed}
    while True:
        there = {e.left.func for e in listed if any(counts(term) and not _has(term, found) for term in e.terms)}
        if not there & found:
            return found
        found -= there


def _has(term: sp.Expr, functions: set[type]) -> bool:
    return any(point.func in functions for point in term.atoms(TwoPoint))


def _stays(left: TwoPoint, term: Flat, known: set[type]) -> bool:
    """Whether a term is a product of such order parameters, with all steps of its sums equal to those of the left."""
    same = {step: step for step in _STEPS}
    for factor in term.factors:
        if factor.func in (KEPT, KERNEL, PAST_KERNEL) or (isinstance(factor, TwoPoint) and factor.func not in known):
            return False
        equal = set(factor.args) & _STEPS if isinstance(factor, sp.KroneckerDelta) else _equal(factor)
        if len(equal) == 2:
            one, other = (same[step] for step in equal)
            same = {step: one if value == other else value for step, value in same.items()}
    own = {same[step] for step in left.args if step in _STEPS}
    one_step = not _equal(left) or len(own) == 1
    return one_step and all(same[step] in own for step, _ in term.steps)


def _equal(factor: sp.Expr) -> set[sp.Symbol]:
    """The steps of a response or kernel of two, which are equal if it does not remember."""
    if not isinstance(factor, TwoPoint) or isinstance(factor, Correlation) or None in steps_of(factor):
        return set()
    return set(steps_of(factor)) & _STEPS
