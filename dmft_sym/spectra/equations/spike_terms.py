"""Unknowns of spike conditions and the equations they stand in, as data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

import sympy as sp

from dmft_sym.derivation.single_site import Noise
from dmft_sym.derivation.stage import Line, signed
from dmft_sym.program import FieldRef, LayerRange
from dmft_sym.program.printing import latex_name

from .domain import Domain
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

    @property
    def latex(self) -> str:
        """``C^{a;h}``, a matrix (or a column) over steps."""
        if isinstance(self.column, FieldRef):
            second = _name(self.column.field.name, self.column.layer)
        else:
            noise, layer = self.column
            second = _name(noise.name, layer, "" if noise.scale == 1 else "bar")
        letter = {"X": "x"}.get(self.kind, self.kind)
        return f"{letter}^{{{_name(self.row.field.name, self.row.layer)};\\,{second}}}"

    def at(self, index: sp.Symbol, value: sp.Expr) -> TwoPoint:
        """With one value of a layer label."""
        if isinstance(self.column, FieldRef):
            return TwoPoint(self.kind, shifted(self.row, index, value), shifted(self.column, index, value))
        noise, layer = self.column
        return TwoPoint(
            self.kind, shifted(self.row, index, value), (noise, None if layer is None else layer.subs(index, value))
        )

    def __str__(self) -> str:
        if isinstance(self.column, FieldRef):
            second = str(self.column)
        else:
            noise, layer = self.column
            second = noise.name + ("" if layer is None else f"[{layer}]")
        return f"{self.kind.lower() if self.kind == 'X' else self.kind}[{self.row}; {second}]"


@dataclass(frozen=True)
class SpikeTerm:
    """``coefficient * known * unknown``, summed over ``index`` if given; ``past`` puts ``kappa(t-s)`` on the steps."""

    coefficient: sp.Expr
    unknown: TwoPoint
    known: TwoPoint | None = None
    transposed: bool = False
    past: bool = False
    index: sp.Symbol | None = None
    layers: LayerRange | None = None

    @property
    def latex(self) -> str:
        """With its sign."""
        body = self.unknown.latex
        if self.past:
            body = f"\\kappa\\circ {body}"
        if self.known is not None:
            matrix = self.known.latex
            body = (f"\\big({matrix}\\big)^{{\\!\\top}}" if self.transposed else matrix) + f"\\, {body}"
        if self.index is None or self.layers is None:
            return signed(self.coefficient, body)
        first, last = sp.latex(self.layers.start), sp.latex(self.layers.stop)
        summed = f"\\sum_{{{sp.latex(self.index)}={first}}}^{{{last}}}"
        if self.index in self.coefficient.free_symbols:
            return f"+ {summed} {signed(self.coefficient, body).removeprefix('+ ')}"
        return signed(self.coefficient, f"{summed} {body}")

    def __str__(self) -> str:
        body = f"kappa {self.unknown}" if self.past else str(self.unknown)
        if self.known is not None:
            body = f"{self.known}{'^T' if self.transposed else ''} {body}"
        body = body if self.coefficient == 1 else f"({self.coefficient}) {body}"
        return body if self.index is None else f"sum_{{{self.index}={self.layers}}} {body}"

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

    @property
    def line(self) -> Line:
        """For printing."""
        terms = tuple(term.latex for term in self.terms) or ("0",)
        if self.prefactor != 1:
            inner = [f"+ {sp.latex(self.prefactor)} \\big[ {terms[0].removeprefix('+ ')}", *terms[1:]]
            inner[-1] += " \\big]"
            terms = tuple(inner)
        return Line(self.left.latex, terms, self.domain.latex)

    def at(self, index: sp.Symbol, value: sp.Expr) -> SpikeEquation:
        """With one value of a layer label."""
        terms = tuple(term.at(index, value) for term in self.terms)
        return SpikeEquation(self.left.at(index, value), terms, self.prefactor.subs(index, value))

    def __str__(self) -> str:
        body = " + ".join(str(term) for term in self.terms) or "0"
        body = body if self.prefactor == 1 else f"{self.prefactor} [ {body} ]"
        return f"{self.left} = {body}{self.domain}"


def _name(name: str, layer: sp.Expr | None, accent: str = "") -> str:
    return latex_name(name, accent=accent) + ("" if layer is None else f"[{sp.latex(layer)}]")
