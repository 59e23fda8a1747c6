"""Unknowns of spike conditions and the equations they stand in, as data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

import sympy as sp

from dmft_sym.derivation.domain import Domain
from dmft_sym.derivation.single_site import Noise
from dmft_sym.program import Axes, FieldRef, LayerRange, ScalarRef

from .site_group import shifted

Column: TypeAlias = FieldRef | tuple[Noise, sp.Expr | None]


@dataclass(frozen=True)
class TwoPoint:
    """``C[row; column]`` (a field) or ``R[row; column]`` (a Gaussian field); ``X`` for a strength of memory."""

    kind: str
    row: FieldRef
    column: Column

    @property
    def family(self) -> tuple[object, ...]:
        """The same at any layer."""
        column = self.column.field if isinstance(self.column, FieldRef) else self.column[0]
        return self.kind, self.row.field, column

    def at(self, index: sp.Symbol, value: sp.Expr) -> TwoPoint:
        """With one value of a layer label."""
        if isinstance(self.column, FieldRef):
            return TwoPoint(self.kind, shifted(self.row, index, value), shifted(self.column, index, value))
        noise, layer = self.column
        return TwoPoint(
            self.kind, shifted(self.row, index, value), (noise, None if layer is None else layer.subs(index, value))
        )


@dataclass(frozen=True)
class SpikeTerm:
    """``coefficient * known * unknown``, summed over ``index`` if given; ``past`` puts ``kappa(t-s)`` on the steps.

    Where samples are given, increments have the ``weight`` of an error, and are ``summed`` over labels.
    """

    coefficient: sp.Expr
    unknown: TwoPoint
    known: TwoPoint | None = None
    transposed: bool = False
    past: bool = False
    index: sp.Symbol | None = None
    layers: LayerRange | None = None
    weight: ScalarRef | None = None
    summed: Axes = ()

    def at(self, index: sp.Symbol, value: sp.Expr) -> SpikeTerm:
        """With one value of a layer label."""
        known = None if self.known is None else self.known.at(index, value)
        return replace(
            self, coefficient=self.coefficient.subs(index, value), unknown=self.unknown.at(index, value), known=known
        )


@dataclass(frozen=True)
class SpikeEquation:
    """``left = prefactor * (sum of terms)``."""

    left: TwoPoint
    terms: tuple[SpikeTerm, ...]
    prefactor: sp.Expr = sp.Integer(1)
    domain: Domain = field(default_factory=Domain)

    def at(self, index: sp.Symbol, value: sp.Expr) -> SpikeEquation:
        """With one value of a layer label."""
        terms = tuple(term.at(index, value) for term in self.terms)
        domain = self.domain.at(index, value)
        return SpikeEquation(self.left.at(index, value), terms, self.prefactor.subs(index, value), domain)
