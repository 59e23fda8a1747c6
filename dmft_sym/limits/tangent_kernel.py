"""The neural tangent kernel as an expression: overlaps of what a program's updates are made of, at one step."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import sympy as sp

from dmft_sym.derivation.site_equations import SiteWriter
from dmft_sym.networks.parameters import ETA, GAMMA
from dmft_sym.program import LAYER, SAMPLES, STEP, Axes, FieldRef, Learn, MatrixRef, Outer, Program
from dmft_sym.program.labels import elsewhere, here

_LAYER = sp.Symbol("k", integer=True, positive=True)


class TangentKernel:
    """Every trained array adds ``<left left> <right right>`` of its updates (arXiv:2205.09653).

    Parameters
    ----------
    program
        Whose updates are read.
    sites
        Writes its fields.
    labels
        Those of outputs, which the kernel has twice; updates are sums over the others.
    """

    def __init__(self, program: Program, sites: SiteWriter, labels: Axes) -> None:
        self.program, self.sites, self.labels = program, sites, labels

    @property
    def here(self) -> tuple[sp.Symbol, ...]:
        """Labels of the output that moves."""
        return tuple(label.symbol for label in self.labels)

    @property
    def there(self) -> tuple[sp.Symbol, ...]:
        """Labels of the output whose error moves it."""
        return tuple(label.other for label in self.labels)

    @cached_property
    def terms(self) -> tuple[sp.Expr, ...]:
        """Summands, with overlaps at the same step; a gradient that is a sum adds all pairs of its terms."""
        learns = (statement for _, statement in self.program.walk() if isinstance(statement, Learn))
        return tuple(term for learn in learns for term in self._of(learn))

    def _of(self, learn: Learn) -> Iterator[sp.Expr]:
        target = learn.target
        ratio = target.matrix.target.ratio if isinstance(target, MatrixRef) else target.space.ratio
        layers = target.matrix.layers if isinstance(target, MatrixRef) else None
        for first, second in itertools.product(learn.terms, repeat=2):
            strength = ratio * learn.rate * _strength(first, learn) * _strength(second, learn)
            second = _renamed(second)
            body = strength * self._overlap(first.left, second.left)
            if first.right is not None and second.right is not None:
                body *= self._overlap(first.right, second.right)
            else:
                body *= sp.Mul(*(sp.KroneckerDelta(label.symbol, label.other) for label in _axes(target)))
            sums = [
                (o.index, o.layers.start, o.layers.stop) for o in (first, second) if o.index is not None and o.layers
            ]
            sums += [(LAYER.symbol, layers.start, layers.stop)] if layers is not None else []
            sums += [(label.symbol, 0, label.size - 1) for label in self._summed(first)]
            sums += [(label.other, 0, label.size - 1) for label in self._summed(second)]
            yield sp.Sum(body, *sums) if sums else body

    def _summed(self, term: Outer) -> Axes:
        """Labels of an update's fields that outputs do not have."""
        axes = {label for ref in (term.left, term.right) if ref is not None for label in ref.axes}
        return tuple(label for label in self.program.labels if label in axes and label not in self.labels)

    def _overlap(self, a: FieldRef, b: FieldRef) -> sp.Expr:
        return self.sites.overlap(a, b, (STEP, here), (STEP, elsewhere))


def _strength(term: Outer, learn: Learn) -> sp.Expr:
    """Of an update, in units of ``eta0 gamma/P`` and of the learning rate of its array."""
    return sp.cancel(term.coefficient * SAMPLES / (ETA * GAMMA * learn.rate))


def _renamed(term: Outer) -> Outer:
    """A term that is summed over layers with another index."""
    if term.index is None:
        return term
    moved = {term.index: _LAYER}
    left, right = (None if ref is None else FieldRef(ref.field, None if ref.layer is None else ref.layer.subs(moved))
                   for ref in (term.left, term.right))  # fmt: skip
    assert left is not None
    return replace(term, left=left, right=right, index=_LAYER, coefficient=term.coefficient.subs(moved))


def _axes(target: Any) -> tuple[Any, ...]:
    return () if isinstance(target, MatrixRef) else target.axes
