"""The derivation for a program on given samples, stage by stage; each stage is made when it is first asked for."""

from __future__ import annotations

from functools import cached_property

from dmft_sym.program import Program

from .averaged import AveragedProgram
from .fixed_closure import ProcessClosure, close_processes
from .fixed_sites import CausalEquation, FixedBuilder
from .processes import Process, find_processes
from .single_site import Noise, SiteEquation


class FixedDerivation(AveragedProgram):
    """From a program to its single-site equations and their closure.

    Parameters
    ----------
    program
        One training step on given samples.
    """

    def __init__(self, program: Program) -> None:
        self.program = program

    @cached_property
    def builder(self) -> FixedBuilder:
        """Makes the single-site equations from the saddle points."""
        return FixedBuilder(self.program, self.uses, self.saddle_points)

    @cached_property
    def equations(self) -> list[CausalEquation]:
        """Single-site equations and scalars in causal order."""
        return self.builder.causal_equations()

    @cached_property
    def site_equations(self) -> list[SiteEquation]:
        """Equations of fields alone."""
        return [equation for equation in self.equations if isinstance(equation, SiteEquation)]

    @cached_property
    def noises(self) -> list[Noise]:
        """Gaussian fields in the order of their first occurrence."""
        return list(dict.fromkeys(term.noise for e in self.site_equations for term in e.noises))

    @cached_property
    def processes(self) -> list[Process]:
        """Independent single-site processes."""
        return find_processes(self.site_equations, self.uses, self.noises)

    @cached_property
    def closures(self) -> list[ProcessClosure]:
        """How every process closes."""
        return close_processes(self.equations, self.processes)
