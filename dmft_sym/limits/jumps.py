"""Whether functions of fields that move have jumps: then corrections of small movements are of the first order."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import sympy as sp

from dmft_sym.program import FieldRef, SiteFunction, SiteMap
from dmft_sym.program.site_derivatives import differentiate

from .series import Series

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem


def jumps(problem: Problem) -> bool:
    """Whether a field jumps as another one moves with training, as gradients of ``relu`` do.

    Sites that cross a jump at ``h = 0`` are of order ``gamma`` in number, and with them the average of
    ``|w|^3 Theta(w)``, which is no odd function of the readout: outputs have a correction ``|gamma|``.
    """
    moving = _moving(problem)
    return any(
        _jumps(equation.function.expression, _symbols(equation.function, moving))
        for equation in problem.site_equations
        if equation.function is not None
    )


def _moving(problem: Problem) -> set[object]:
    """Fields that are not what they were at the first step, in the order of the program."""
    moving: set[object] = set()
    for equation in problem.site_equations:
        arguments = {ref.declared for ref in equation.arguments} | {term.field.declared for term in equation.locals}
        if equation.memories or arguments & moving:
            moving.add(equation.target.declared)
    return moving


def _symbols(function: SiteFunction, moving: set[object]) -> set[sp.Symbol]:
    return {
        symbol
        for symbol, argument in function.arguments
        if isinstance(argument, FieldRef) and argument.declared in moving
    }


def _jumps(expression: sp.Expr, moving: set[sp.Symbol]) -> bool:
    gaps = itertools.chain(_gaps_of_steps(expression, moving), _gaps_of_branches(expression, moving))
    return any(sp.simplify(gap) != 0 for gap in gaps)


def _gaps_of_steps(expression: sp.Expr, moving: set[sp.Symbol]) -> Iterator[sp.Expr]:
    """By how much an expression jumps with one of its steps."""
    for step in expression.atoms(sp.Heaviside, sp.sign):
        below = 0 if isinstance(step, sp.Heaviside) else -1
        gap = expression.xreplace({step: sp.Integer(1)}) - expression.xreplace({step: sp.Integer(below)})
        yield from _at_zeros(gap, step.args[0], moving)


def _gaps_of_branches(expression: sp.Expr, moving: set[sp.Symbol]) -> Iterator[sp.Expr]:
    """By how much neighbouring branches differ where a condition changes."""
    for branches in expression.atoms(sp.Piecewise):
        for (before, condition), (after, _) in itertools.pairwise(branches.args):
            for relation in condition.atoms(sp.core.relational.Relational):
                yield from _at_zeros(before - after, relation.lhs - relation.rhs, moving)


def _at_zeros(gap: sp.Expr, argument: sp.Expr, moving: set[sp.Symbol]) -> Iterator[sp.Expr]:
    for symbol in argument.free_symbols & moving:
        for place in sp.solve(argument, symbol):
            yield gap.subs(symbol, place)


def sharp(series: Series) -> SiteFunction | None:
    """A function of which a derivative jumps, so that the next one, which some order has, has point masses."""
    fields = set(series.program.fields)
    for _, statement in series.whole.walk():
        if isinstance(statement, SiteMap):
            target, function = statement.target.field, statement.function
            highest = max((k for (x, k), part in series.known.items() if x == target and part in fields), default=0)
            moving = {s for s, ref in function.arguments if max(series.present.get(ref.declared, {0}), default=0) > 0}
            if any(_jumps(slope, moving) for slope in _derivatives(function.expression, moving, highest - 1)):
                return function
    return None


def _derivatives(expression: sp.Expr, symbols: set[sp.Symbol], highest: int) -> Iterator[sp.Expr]:
    """All up to an order."""
    for count in range(1, highest + 1):
        for chosen in itertools.combinations_with_replacement(sorted(symbols, key=str), count):
            yield functools.reduce(differentiate, chosen, expression)
