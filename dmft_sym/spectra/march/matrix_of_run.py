"""One matrix of one training run: its derived equations, lowered to numbers at any of its steps."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from dmft_sym.derivation.uses import Use
from dmft_sym.spectra.equations.joint import JointDerivation
from dmft_sym.spectra.equations.site_group import SiteGroups, level_two
from dmft_sym.spectra.equations.spike_equations import Column, SpikeEquations, spike_equations

from .averages import Averages
from .dyson import DysonOfEquations
from .level_two import LevelTwo
from .lowered_spikes import LoweredSpikes, SpikesAtStep
from .lowering import Term

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem


class MatrixOfRun:
    """One matrix of one training run.

    Parameters
    ----------
    theory, joint
        Training, and the derivation on the joint program.
    averages
        Of the run.
    dependence
        ``"joint"``, or ``"independent"`` for the classical condition.
    outputs
        Number of outputs that the one in the averages stands for.
    """

    def __init__(
        self,
        theory: Problem,
        joint: JointDerivation,
        averages: Averages,
        dependence: str = "joint",
        outputs: int = 1,
    ) -> None:
        self.joint = joint
        self.averages = averages
        self.dependence = dependence
        self.groups = SiteGroups(theory, joint)
        self.level_two = LevelTwo(self.groups, averages.integers, averages.classes)
        self.copies = outputs ** (2 if joint.matrix.per_output else 1)
        self._projected: dict[Column, list[tuple[int, Term]]] = {}

    @cached_property
    def spikes(self) -> SpikeEquations:
        """The spike equations."""
        return spike_equations(self.groups, self.dependence)

    @cached_property
    def lowered(self) -> LoweredSpikes:
        """The spike condition, at any step."""
        return LoweredSpikes(self.spikes, self.averages, self.level_two, self.copies)

    @property
    def fresh(self) -> list[str]:
        """Matrices that it contains and that are drawn anew at every step."""
        noises = (term.noise for equation in self.joint.site_equations for term in equation.noises)
        uses = (noise.source for noise in noises if level_two(noise))
        return [use.matrix.name for use in uses if isinstance(use, Use) and use.matrix.fresh]

    def dyson(self, step: int) -> DysonOfEquations:
        """The (2,2) block at a step."""
        return self.level_two.dyson(self.averages, step)

    def at(self, step: int, horizon: int | None = None) -> SpikesAtStep:
        """The spike condition at a step."""
        return self.lowered.at(step, horizon)

    def projected(self, column: Column) -> list[tuple[int, Term]]:
        """Positions of level-two fields, with terms of their overlaps with a field, or responses to a Gaussian one."""
        if column not in self._projected:
            rows = self.lowered.lowering.terms(self.spikes.projected(column))
            self._projected[column] = [
                (drive.equation, term)
                for place, terms in rows
                for drive, term in self.lowered.known(place, terms).items()
            ]
        return self._projected[column]
