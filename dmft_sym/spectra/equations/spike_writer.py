"""Spike conditions as SymPy: overlaps and responses of level-two fields, functions of the past steps ``s < t``."""

from __future__ import annotations

from functools import cached_property

import sympy as sp

from dmft_sym.derivation.equations import Equation
from dmft_sym.derivation.single_site import Noise
from dmft_sym.derivation.site_equations import SiteWriter
from dmft_sym.derivation.symbols import (
    FIRST,
    KERNEL,
    THEN,
    Correlation,
    FieldAt,
    MemoryKernel,
    Place,
    Response,
    field_at,
)
from dmft_sym.program import OUTPUT, PAST_STEP, STEP, FieldRef, Optimizer

from .site_group import SiteGroups
from .spike_terms import SpikeEquation, SpikeTerm, TwoPoint

_KINDS = {"C": Correlation, "R": Response, "X": MemoryKernel}


class SpikeWriter:
    """Writes spike equations as expressions.

    Parameters
    ----------
    groups
        Fields of level two, and training.
    """

    def __init__(self, groups: SiteGroups) -> None:
        self.groups = groups
        self.theory = groups.theory
        self.sites = SiteWriter(groups.theory.site_builder)
        self.level_two = set(groups.joint.fields)
        self.per_output = groups.joint.matrix.per_output

    @property
    def optimizer(self) -> Optimizer:
        """Of the training program."""
        return self.theory.program.optimizer

    @cached_property
    def _past(self) -> sp.Expr:
        """What an increment of step ``s`` is worth at ``t``."""
        return sp.Integer(1) if self.optimizer.recursion.plain else KERNEL(STEP - PAST_STEP)

    def equation(self, equation: SpikeEquation) -> Equation:
        """One equation, the prefactor in every term."""
        prefactor = self.groups.at_present(equation.prefactor)
        terms = tuple(prefactor * self.term(term) for term in equation.terms)
        return Equation(self.point(equation.left), terms, equation.domain)

    def point(self, point: TwoPoint, row: Place = THEN, column: Place = THEN) -> sp.Expr:
        """An overlap or response of two things; those of level two belong to the step of the matrix."""
        return _KINDS[point.kind](self._field(point.row, row), self._column(point.column, column))

    def _column(self, column: FieldRef | tuple[Noise, sp.Expr | None], place: Place) -> sp.Expr:
        if isinstance(column, FieldRef):
            return self._field(column, place)
        noise, layer = column
        return self.sites.noise(noise, layer, *place)

    def _field(self, ref: FieldRef, place: Place) -> FieldAt:
        if ref.field in self.level_two:
            values = ((OUTPUT.name, OUTPUT.symbol),) if self.per_output else ()
            return FieldAt.of(ref.field.name, ref.layer, values)
        return field_at(ref, *place, self.sites.labels)

    def term(self, term: SpikeTerm) -> sp.Expr:
        """``coefficient * known * unknown``, summed over past steps and labels where there is a known matrix."""
        coefficient = self.groups.at_present(term.coefficient)
        limits: list[tuple[sp.Expr, ...]] = []
        if term.known is None:
            body = self.point(term.unknown)
            if term.past:
                body *= self._past
            if term.weight is not None:
                body *= self.sites.scalar(term.weight, *THEN)
            limits = [(label.other, sp.Integer(0), label.size - 1) for label in term.summed]
        else:
            ends = (FIRST, THEN) if term.transposed else (THEN, FIRST)
            body = self.point(term.known, *ends) * self.point(term.unknown, FIRST, FIRST)
            column = term.unknown.column
            axes = column.axes if isinstance(column, FieldRef) else column[0].axes
            limits = [(FIRST[0], *self._steps(term))]
            limits += [(FIRST[1](label), sp.Integer(0), label.size - 1) for label in axes]
        if term.index is not None and term.layers is not None:
            limits.append((term.index, term.layers.start, term.layers.stop))
            if term.index in coefficient.free_symbols:
                body, coefficient = coefficient * body, sp.Integer(1)
        return coefficient * (sp.Sum(body, *limits) if limits else body)

    def _steps(self, term: SpikeTerm) -> tuple[sp.Expr, sp.Expr]:
        """Past steps that a known matrix joins: responses are causal."""
        assert term.known is not None
        if term.known.kind == "C":
            return sp.Integer(0), STEP - 1
        noise = term.known.column[0]  # type: ignore[index]
        present = (term.known.row.field, noise) in self.theory.reactions
        if term.transposed:
            return PAST_STEP if present else PAST_STEP + 1, STEP - 1
        return sp.Integer(0), PAST_STEP if present else PAST_STEP - 1
