"""Decide relations between symbolic layer indices, given the ranges that the indices run over."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from dmft_sym.program import LayerRange

Ranges = Mapping[sp.Symbol, LayerRange]


def nonnegative(value: sp.Expr, ranges: Ranges) -> bool | None:
    """Whether ``value >= 0`` for all (True), for no (False), or for some indices (None).

    Every index is replaced once by ``start + p`` and once by ``stop - p`` with ``p >= 0``; SymPy's
    assumptions decide.
    """
    answers = set()
    for form in _substitutions(sp.expand(value), ranges):
        if form.is_nonnegative:
            answers.add(True)
        elif form.is_negative:
            answers.add(False)
    return answers.pop() if len(answers) == 1 else None


def equal(a: sp.Expr, b: sp.Expr, ranges: Ranges) -> bool | None:
    """Whether two layer expressions are always, never or sometimes equal."""
    difference = sp.expand(a - b)
    if difference == 0:
        return True
    for form in _substitutions(difference, ranges):
        if form.is_positive or form.is_negative:
            return False
    return None


def within(layer: sp.Expr, layers: LayerRange, ranges: Ranges) -> sp.Basic:
    """Condition for ``layer`` to lie in ``layers``: ``true``, ``false`` or a SymPy relation to test."""
    conditions = []
    for slack in (layer - layers.start, layers.stop - layer):
        known = nonnegative(slack, ranges)
        if known is False:
            return sp.false
        if known is None:
            conditions.append(sp.Ge(sp.expand(slack), 0, evaluate=False))
    return sp.And(*conditions) if conditions else sp.true


def same(a: sp.Expr, b: sp.Expr, ranges: Ranges) -> sp.Basic:
    """Condition ``a == b``: ``true``, ``false`` or a SymPy relation to test."""
    known = equal(a, b, ranges)
    if known is not None:
        return sp.true if known else sp.false
    return sp.Eq(sp.expand(a), sp.expand(b), evaluate=False)


def intersection(a: LayerRange, b: LayerRange) -> LayerRange:
    """Layers in both ranges; ends whose order is unknown stay ``Max`` / ``Min``."""
    return LayerRange(_extreme(a.start, b.start, largest=True), _extreme(a.stop, b.stop, largest=False))


def _extreme(a: sp.Expr, b: sp.Expr, largest: bool) -> sp.Expr:
    difference = sp.expand(a - b)
    if difference.is_nonnegative:
        return a if largest else b
    if difference.is_nonpositive:
        return b if largest else a
    return sp.Max(a, b) if largest else sp.Min(a, b)


def _substitutions(value: sp.Expr, ranges: Ranges) -> list[sp.Expr]:
    forms = [value]
    for index, layers in ranges.items():
        if index not in value.free_symbols:
            continue
        step = sp.Symbol(f"p_{index.name}", integer=True, nonnegative=True)
        forms = [
            sp.expand(form.subs(index, end)) for form in forms for end in (layers.start + step, layers.stop - step)
        ]
    return forms
