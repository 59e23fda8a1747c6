"""Stationarity of the action: conjugates eliminated, single-site coefficients read off.

The action is differentiated with SymPy with respect to every order parameter and conjugate. The results
say by what each conjugate is replaced; correlations' conjugates come out proportional to averages of two
conjugate fields, which vanish by causality (the generating functional is normalised, ``Z = 1``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import sympy as sp

from .action import MatrixAction, PairTerm, operand_overlap
from .symbols import ConjugateCorrelation, ConjugateResponse, Correlation, Gram, HatAt, Overlap, Response
from .uses import Use

_PLACE = sp.Dummy("x")  # stands for what is derived by


@dataclass(frozen=True)
class Stationarity:
    """``d(S/n)/d(variable) = derivative = 0`` and its solution."""

    variable: sp.Expr
    derivative: sp.Expr
    solved_for: sp.Expr
    solution: sp.Expr
    vanishes: bool = False


@dataclass(frozen=True)
class SaddlePoint:
    """The saddle point of the part of the action that belongs to one matrix.

    Attributes
    ----------
    equations
        One `Stationarity` per order parameter and conjugate.
    memory
        Coefficient ``k`` of ``k R g`` in the single-site equation of a product: from (use, partner).
    noise
        Coefficient ``k`` of the noise covariance ``k C`` between two products: from (use, sibling).
    site_action
        Summands of the single-site action with the conjugates eliminated.
    """

    equations: tuple[Stationarity, ...]
    memory: dict[tuple[Use, Use], sp.Expr]
    noise: dict[tuple[Use, Use], sp.Expr]
    site_action: tuple[PairTerm, ...]


def saddle_point(action: MatrixAction) -> SaddlePoint:
    """Differentiate, solve for the conjugates, and read the single-site action."""
    terms_of = _terms_of_parameters(action)
    equations: list[Stationarity] = []
    conjugates: dict[sp.Expr, sp.Expr] = {}
    for constraint in action.constraints:
        for variable in sorted(constraint.expression.atoms(Correlation, Response), key=str):
            found = _vary(terms_of[variable], variable)
            equations.append(found)
            conjugates[found.solved_for] = sp.Integer(0) if found.vanishes else found.solution
        for conjugate in constraint.expression.atoms(ConjugateCorrelation, ConjugateResponse):
            equations.append(_vary_conjugate(constraint, conjugate))
    site = tuple(_site_terms(action, conjugates))
    memory, noise = _coefficients(site)
    return SaddlePoint(tuple(equations), memory, noise, site)


def _terms_of_parameters(action: MatrixAction) -> dict[sp.Expr, list[sp.Expr]]:
    """The summands of the action that contain each order parameter."""
    found: dict[sp.Expr, list[sp.Expr]] = defaultdict(list)
    for term in (*action.substituted, *action.constraints):
        for parameter in term.expression.atoms(Correlation, Response):
            found[parameter].append(term.expression)
    return found


def _vary(terms: Iterable[sp.Expr], variable: sp.Expr) -> Stationarity:
    """Variation with respect to an order parameter, solved for its conjugate."""
    derivative = sp.Add(*(_derivative(term, variable) for term in terms))
    (conjugate,) = derivative.atoms(ConjugateCorrelation, ConjugateResponse)
    solution = sp.cancel(_root(derivative, conjugate))
    # An average of two conjugate fields is a derivative of Z = 1 with respect to two sources: zero.
    vanishes = isinstance(variable, Correlation)
    return Stationarity(variable, derivative, conjugate, solution, vanishes)


def _vary_conjugate(constraint: PairTerm, conjugate: sp.Expr) -> Stationarity:
    """Variation with respect to a conjugate: the order parameter is an average over the single site."""
    derivative = _derivative(constraint.expression, conjugate)
    (parameter,) = derivative.atoms(Correlation, Response)
    return Stationarity(conjugate, derivative, parameter, sp.expand(_root(derivative, parameter)))


def _derivative(expression: sp.Expr, by: sp.Expr) -> sp.Expr:
    """By an order parameter, an average or a conjugate, which stands nowhere but as a factor.

    SymPy derives by a symbol ten times as fast as by a function, for which it looks through all others.
    """
    return expression.xreplace({by: _PLACE}).diff(_PLACE).xreplace({_PLACE: by})


def _root(derivative: sp.Expr, unknown: sp.Expr) -> sp.Expr:
    """Where a derivative vanishes, which is linear in the unknown: the action is bilinear in such pairs."""
    derivative = sp.expand(derivative)
    slope = derivative.coeff(unknown)
    return -(derivative - slope * unknown) / slope


def _site_terms(action: MatrixAction, conjugates: dict[sp.Expr, sp.Expr]) -> list[PairTerm]:
    """Summands with a conjugate field left: the single-site action, per site of its own space.

    Terms without overlaps depend on order parameters only and leave the single site.
    """
    found = []
    for term in (*action.substituted, *action.constraints):
        for part in _summands(term.expression.xreplace(conjugates)):
            hats = {hat for overlap in part.atoms(Overlap) for hat in overlap.atoms(HatAt)}
            for place in (term.first, term.second):
                if place.hat in hats:
                    matrix = place.use.matrix
                    space = matrix.source if place.use.transpose else matrix.target
                    other = term.second if place is term.first else term.first
                    found.append(PairTerm(place, other, sp.cancel(part / space.ratio)))
                    break
    return found


def _summands(expression: sp.Expr) -> list[sp.Expr]:
    """The summands of an action, one for every product of overlaps and order parameters.

    A coefficient may be a sum itself, such as the variance of a matrix whose initial standard deviation is one.
    """
    found: dict[frozenset[sp.Expr], list[sp.Expr]] = defaultdict(list)
    for part in sp.Add.make_args(sp.expand(expression)):
        found[frozenset(part.atoms(Overlap, Correlation, Gram, Response))].append(part)
    return [parts[0] if len(parts) == 1 else sp.factor_terms(sp.Add(*parts)) for parts in found.values()]


def _coefficients(
    site: tuple[PairTerm, ...],
) -> tuple[dict[tuple[Use, Use], sp.Expr], dict[tuple[Use, Use], sp.Expr]]:
    """Read ``x = u + k R g`` and ``<u u'> = k' C`` off ``i xhat (x - k R g) - (k'/2) C xhat xhat'``."""
    memory: dict[tuple[Use, Use], sp.Expr] = {}
    noise: dict[tuple[Use, Use], sp.Expr] = {}
    for term in site:
        first, second = term.first, term.second
        key = (first.use, second.use)
        if first.use.transpose == second.use.transpose:
            quadratic = _derivative(term.expression, Overlap(first.hat, second.hat))
            noise[key] = sp.cancel(-2 * _derivative(quadratic, operand_overlap(first, second)))
        else:
            linear = _derivative(term.expression, Overlap(first.hat, second.operand))
            memory[key] = sp.cancel(sp.I * _derivative(linear, Response(first.operand, second.noise)))
    return memory, noise
