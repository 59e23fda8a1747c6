"""Sums that go on from a field that is there already.

``h = h + W @ np.tanh(h)`` is recorded term by term, so that the third layer is ``h3 = W0 x + W1 phi1 + W2 phi2``. That
is ``h2 + W2 phi2`` with the ``h2`` which a function has read before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import sympy as sp

from dmft_sym.program import Assign, FieldRef, Linear, Product, Statement


def shorter(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """The statements with sums in terms of fields that were assigned before, wherever one is a part of another."""
    known: list[tuple[FieldRef, Linear]] = []
    found: list[Statement] = []
    for statement in statements:
        if isinstance(statement, Assign):
            whole = statement.value
            found.append(replace(statement, value=_shorter(statement.target, whole, known)))
            if len(whole.terms) > 1 or any(isinstance(atom, Product) for _, atom in whole.terms):
                known.append((statement.target, whole))
        else:
            found.append(statement)
    return tuple(found)


def _shorter(target: FieldRef, value: Linear, known: Sequence[tuple[FieldRef, Linear]]) -> Linear:
    """The sum that begins with the longest of the known ones that it contains."""
    best, factor, length = None, sp.Integer(1), 0
    terms: dict[object, sp.Expr] = {atom: coefficient for coefficient, atom in value.terms}
    for ref, part in known:
        ratio = _ratio(terms, part)
        if ratio is not None and ref.axes == target.axes and length <= len(part.terms) < len(terms):
            best, factor, length = (ref, part), ratio, len(part.terms)
    if best is None:
        return value
    inside = {atom for _, atom in best[1].terms}
    rest = tuple((coefficient, atom) for coefficient, atom in value.terms if atom not in inside)
    return Linear(((factor, best[0]), *rest))


def _ratio(terms: dict[object, sp.Expr], part: Linear) -> sp.Expr | None:
    """By what a sum is multiplied in another one; ``None`` if it is not in it."""
    if not all(atom in terms for _, atom in part.terms):
        return None
    ratios = {sp.cancel(terms[atom] / coefficient) for coefficient, atom in part.terms}
    return ratios.pop() if len(ratios) == 1 else None
