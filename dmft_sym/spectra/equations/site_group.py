"""Which level-two fields share sites, at symbolic layers, and what their equations have of each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import sympy as sp

from dmft_sym.derivation.processes import Process, find_processes, process_of
from dmft_sym.derivation.single_site import Noise, ResponseMemory, SiteEquation
from dmft_sym.derivation.symbols import KEPT, Correlation, field_at
from dmft_sym.derivation.uses import Use
from dmft_sym.program import STEP, Field, FieldRef, LayerRange
from dmft_sym.program.labels import here
from dmft_sym.spectra.matrices.equal_time import EqualTime

from .joint import JointDerivation

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

OTHER_LAYER = sp.Symbol("k", integer=True, positive=True)
RETENTION = KEPT(STEP)
"""What is left of the initial weights at the step of the matrix."""
_AMONG = sp.Symbol("l_d", integer=True, positive=True)


@dataclass(frozen=True)
class Driven:
    """An equation that a Gaussian field of level two enters: its field, with the coefficient.

    A Gaussian field without layers may enter the equation of every layer ``among``.
    """

    ref: FieldRef
    coefficient: sp.Expr
    among: LayerRange | None = None


@dataclass(frozen=True)
class OwnTerm:
    """``coefficient * field`` in a level-two equation, or ``coefficient * G[loop] * field``: a self-energy.

    Summed over ``index`` if given, and over the layers ``among`` of the source of the loop.
    """

    coefficient: sp.Expr
    field: FieldRef
    loop: tuple[FieldRef, FieldRef] | None = None
    index: sp.Symbol | None = None
    layers: LayerRange | None = None
    among: LayerRange | None = None

    def over_sources(self, value: sp.Expr) -> sp.Expr:
        """A value, summed over the layers of the source of the loop."""
        return value if self.among is None else sp.Sum(value, (_AMONG, self.among.start, self.among.stop))

    def instances(self, bound: dict[sp.Symbol, int]) -> Iterator[OwnTerm]:
        """The terms of the sums at integer layers."""
        for outer in self._values(self.index, self.layers, bound):
            for values in self._values(_AMONG, self.among, outer):
                loop = None if self.loop is None else (self.loop[0].at(values), self.loop[1].at(values))
                yield OwnTerm(self.coefficient.subs(values), self.field.at(values), loop)

    @staticmethod
    def _values(
        index: sp.Symbol | None, layers: LayerRange | None, bound: dict[sp.Symbol, int]
    ) -> Iterator[dict[sp.Symbol, int]]:
        yield from [bound] if index is None or layers is None else ({**bound, index: n} for n in layers.at(bound))


class SiteGroups:
    """Level-two fields and their equations, with the relations between their layers.

    Parameters
    ----------
    theory
        Training.
    joint
        The derivation on the joint program.
    """

    def __init__(self, theory: Problem, joint: JointDerivation) -> None:
        self.theory = theory
        self.joint = joint
        self.eigen = {left.field for left, _ in joint.matrix.pairs}

    @cached_property
    def processes(self) -> list[Process]:
        """Single-site processes of both levels."""
        equations = [*self.theory.site_equations, *self.joint.site_equations]
        noises = list(dict.fromkeys(term.noise for e in equations for term in e.noises))
        return find_processes(equations, self.joint.uses, noises)

    def equations_of(self, field: Field) -> list[SiteEquation]:
        """Equations that assign a level-two field (one, or a boundary and a scan)."""
        return [e for e in self.joint.site_equations if e.target.field == field]

    def factor(self, field: Field) -> sp.Expr:
        """``zeta``: the eigenvalue in an eigen-equation, else one."""
        return self.joint.eigenvalue if field in self.eigen else sp.Integer(1)

    def driven_by(self, noise: Noise, layer: sp.Expr | None) -> list[Driven]:
        """Equations that contain a Gaussian field of level two."""
        found = []
        for equation in self.joint.site_equations:
            for term in equation.noises:
                if term.noise != noise:
                    continue
                target, among = equation.target, None
                weight = term.coefficient * self.factor(target.field) * (RETENTION if term.retained else 1)
                if equation.scans:
                    (scan,) = equation.scans
                    among = scan.layers if term.layer is None else None
                    source = _AMONG if term.layer is None else layer
                    target, weight = shifted(target, scan.index, source), weight.subs(scan.index, source)
                found.append(Driven(target, tidy(weight), among))
        return found

    def own_terms(self, equation: SiteEquation) -> Iterator[OwnTerm]:
        """Level-two fields at the same sites in an equation times ``zeta``: local terms and self-energies."""
        factor = self.factor(equation.target.field)
        for local in equation.locals:
            yield OwnTerm(tidy(factor * local.coefficient), local.field, None, local.index, local.layers)
        for memory in equation.memories:
            if isinstance(memory, ResponseMemory) and level_two(memory.noise):
                strength = factor * memory.coefficient * (RETENTION if memory.retained else 1)
                for driven in self.driven_by(memory.noise, memory.noise_layer):
                    weight, loop = tidy(strength * driven.coefficient), (memory.row, driven.ref)
                    yield OwnTerm(weight, memory.field, loop, memory.index, memory.layers, driven.among)

    def at_present(self, value: sp.Expr) -> sp.Expr:
        """A coefficient with correlations at the step of the matrix as functions of that step."""

        def correlation(part: EqualTime) -> sp.Expr:
            first, second = part.fields(self.theory.program)
            return Correlation(*(field_at(ref, STEP, here, ref.axes) for ref in (first, second)))

        return value.replace(lambda part: isinstance(part, EqualTime), correlation)

    def partner(self, ref: FieldRef, field: Field) -> tuple[FieldRef | None, LayerRange | None]:
        """The member of a family at the sites of ``ref``; with a range if every layer shares them."""
        process = process_of(self.processes, ref)
        if field not in process.shift:
            return None, None
        if field.layers is None:
            return FieldRef(field), None
        if process.coupled:
            return FieldRef(field, OTHER_LAYER), field.layers
        return FieldRef(field, process.partner_layer(ref.field, ref.layer, field)), None


def shifted(ref: FieldRef, index: sp.Symbol, value: sp.Expr | None) -> FieldRef:
    """A reference at another value of a layer index."""
    if ref.layer is None or value is None:
        return ref
    return FieldRef(ref.field, ref.layer.subs(index, value))


def tidy(value: sp.Expr) -> sp.Expr:
    """With sizes cancelled against each other, so that a ratio may be infinite."""
    return sp.powdenest(sp.cancel(value), force=True)


def level_two(noise: Noise) -> bool:
    """Whether a Gaussian field belongs to a product of the matrix program."""
    return isinstance(noise.source, Use) and noise.source.level_two


def operand(noise: Noise, layer: sp.Expr | None) -> FieldRef:
    """What the matrix was applied to when a Gaussian field was left behind."""
    assert isinstance(noise.source, Use)
    return noise.source.operand_at(layer)
