"""Equations of observables of the user's own: of Gaussian fields sums over pairings of correlations at equal times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import sympy as sp

from dmft_sym.program import LAYER, Assign, Average, Compute, FieldRef, Scalar, SiteFunction, SiteMap, walk
from dmft_sym.program.wick import monomials, pairings

from .domain import Domain
from .equations import Equation
from .site_equations import SiteWriter
from .symbols import NOW, ReportedAt, SiteAverage

if TYPE_CHECKING:
    from .closure import Closure
    from .pipeline import Pipeline


def observed_equations(derivation: Pipeline) -> Iterator[Equation]:
    """What every observable is, in the order in which they are declared; sums of fields that they need come first.

    An average of Gaussian fields is a polynomial of correlations by Wick's theorem where it is one of fields, and the
    program closes in correlations; any other is an average over the sites of sampled or finite networks.
    """
    sites = SiteWriter(derivation.site_builder)
    closure = None if derivation.program.averaged else derivation.closure
    made: dict[sp.Expr, sp.Expr] = {}
    found: dict[Scalar, Equation] = {}
    for scans, statement in walk(derivation.observations.statements):
        where = Domain.of(scans)
        if isinstance(statement, Average | Compute):
            left = sites.scalar(statement.target)
            right = (
                _average(statement, closure, sites) if isinstance(statement, Average) else sites.statement(statement)
            )
            made[left] = right.xreplace(made)
            found[statement.target.scalar] = Equation(left, (made[left],), where)
        elif isinstance(statement, SiteMap | Assign):
            yield Equation(sites.field(statement.target), (sites.statement(statement).xreplace(made),), where)
    for name, scalar in derivation.observations.targets:
        equation = found[scalar]
        values = tuple((slot, value) for slot, value in equation.left.labels.items() if slot != LAYER.name)
        yield replace(equation, left=ReportedAt.of(name, equation.left.layer, values))


def _average(statement: Average, closure: Closure | None, sites: SiteWriter) -> sp.Expr:
    """An average, in correlations where there are these."""
    parts = []
    for coefficient, function in statement.terms:
        gaussian = None if closure is None else _gaussian(function, closure, sites)
        parts.append(coefficient * (SiteAverage(sites.function(function)) if gaussian is None else gaussian))
    return sp.Add(*parts)


def _gaussian(function: SiteFunction, closure: Closure, sites: SiteWriter) -> sp.Expr | None:
    """The average in correlations of the same step; of classes of sites the sum with their shares."""
    found = monomials(function.expression, tuple(symbol for symbol, _ in function.fields))
    if found is None:
        return None
    refs = [ref for _, ref in function.fields]
    total: sp.Expr = sp.Integer(0)
    for powers, coefficient in found:
        for count, pairs in pairings(powers):
            total += coefficient * count * sp.Mul(*(_correlation(refs[i], refs[j], closure) for i, j in pairs))
    total = total.xreplace({symbol: sites.scalar(ref) for symbol, ref in function.scalars})
    classes = next((ref.space.classes for ref in refs if ref.space.classes is not None), None)
    return total if classes is None else classes.average(total)


def _correlation(a: object, b: object, closure: Closure) -> sp.Expr:
    """``<a b>`` of one step and label; zero between fields of different processes."""
    assert isinstance(a, FieldRef) and isinstance(b, FieldRef)
    entry = closure.table.entry("C", a, b.field, b.layer, {})
    return sp.Integer(0) if entry is None else closure.table.point(entry, NOW, NOW)
