"""Which level-two fields share sites, at symbolic layers: who drives whom in the symbolic equations of a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import sympy as sp

from dmft_sym.derivation.processes import Process, find_processes, process_of
from dmft_sym.derivation.single_site import Noise, SiteEquation
from dmft_sym.derivation.symbols import Correlation, field_at
from dmft_sym.derivation.uses import Use
from dmft_sym.program import STEP, Field, FieldRef, LayerRange
from dmft_sym.program.labels import here
from dmft_sym.spectra.matrices.equal_time import EqualTime

from .joint import JointDerivation

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

OTHER_LAYER = sp.Symbol("k", integer=True, positive=True)
RETENTION = sp.Symbol("rho")


@dataclass(frozen=True)
class Driven:
    """An equation that a Gaussian field of level two enters: its field, with the coefficient."""

    ref: FieldRef
    coefficient: sp.Expr


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
                target = equation.target
                if equation.scans and target.layer is not None:
                    target = shifted(target, equation.scans[0].index, layer)
                weight = term.coefficient * self.factor(target.field) * (RETENTION if term.retained else 1)
                found.append(Driven(target, sp.powdenest(sp.cancel(weight), force=True)))
        return found

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

    def sources(self, ref: FieldRef) -> list[tuple[FieldRef, LayerRange | None]]:
        """Level-two fields with a product in their equation, at the sites of ``ref``."""
        found: dict[FieldRef, LayerRange | None] = {}
        for equation in self.joint.site_equations:
            if not equation.noises and not equation.memories:
                continue
            other, layers = self.partner(ref, equation.target.field)
            if other is not None:
                found[other] = layers
        return list(found.items())


def shifted(ref: FieldRef, index: sp.Symbol, value: sp.Expr | None) -> FieldRef:
    """A reference at another value of a layer index."""
    if ref.layer is None or value is None:
        return ref
    return FieldRef(ref.field, ref.layer.subs(index, value))


def level_two(noise: Noise) -> bool:
    """Whether a Gaussian field belongs to a product of the matrix program."""
    return isinstance(noise.source, Use) and noise.source.level_two


def operand(noise: Noise, layer: sp.Expr | None) -> FieldRef:
    """What the matrix was applied to when a Gaussian field was left behind."""
    assert isinstance(noise.source, Use)
    return noise.source.operand_at(layer)
