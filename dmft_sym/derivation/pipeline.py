"""The pipeline on one page: from a program to what closes, stage by stage, for training and for spectra alike.

    program           statements over spaces                       network + regime + training rule (`problem`)
      -> uses             every place where a Gaussian matrix acts     `uses`
      -> actions          averaged over the matrices                   `action`
      -> saddle_points    stationarity: which field and which memory   `saddle_point`
      -> causal           single-site equations, in causal order       `single_site`, `causal_sites`
      -> processes        which fields share their sites               `processes`
      -> closures         Gaussian or sampled, process by process      `process_closure`
         closed           all Gaussian: equations of order parameters  `closure`

Every stage is a cached property of `Pipeline`, made when it is first asked for. Training is a `Problem`; the spectra of
its matrices are the same stages on the joint program of training and a matrix (`dmft_sym.spectra.equations.joint`).
What a reader sees of the stages is in `presentation`; codegen lowers the last one.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property

import sympy as sp

from dmft_sym.program import Field, ProgramError, Step
from dmft_sym.program.observations import Observations

from .action import MatrixAction, matrix_action
from .causal_sites import CausalBuilder
from .closure import ClosedEquations, Closure
from .exports import NamedParameter, named_parameters
from .process_closure import ProcessClosure, close_processes
from .processes import Process, find_processes
from .saddle_point import SaddlePoint, saddle_point
from .single_site import CausalEquation, Noise, Reaction, SiteBuilder, SiteEquation, within_a_step
from .uses import Use, UseTable


class Pipeline:
    """The stages of a derivation.

    Parameters
    ----------
    program
        The statements that it starts from.
    probes
        Names of readouts that have a source added, for the response to it.
    """

    program: Step
    probes: tuple[str, ...] = ()
    words: str = ""
    """What is said of the training beside the optimizer (LaTeX text mode)."""
    continuous: bool = False
    """Whether steps become infinitesimal: a gradient flow."""
    observations = Observations()
    """What the user observes of the fields of a step; it is no part of the program."""
    observed: tuple[Field, ...] = ()
    """Fields whose correlations with each other are kept, for observables that are made of them."""

    def __init__(self, program: Step, probes: Collection[str] = ()) -> None:
        self.program = program
        self.probes = tuple(probes)

    def noise_scale(self, use: Use) -> sp.Expr:
        """By what the Gaussian field of a product is divided: that of a transpose by ``sqrt(n_out/n_in)``."""
        return sp.sqrt(use.matrix.aspect) if use.transpose else sp.Integer(1)

    @cached_property
    def uses(self) -> UseTable:
        """Where the program uses its Gaussian matrices."""
        return UseTable(self.program)

    @cached_property
    def actions(self) -> dict[str, MatrixAction]:
        """Action of every matrix that is not zero at the start, before and after the average."""
        return {uses.matrix.name: matrix_action(uses) for uses in self.uses.matrices if uses.random}

    @cached_property
    def saddle_points(self) -> dict[str, SaddlePoint]:
        """Stationarity conditions of every matrix' part of the action."""
        return {name: saddle_point(action) for name, action in self.actions.items()}

    @cached_property
    def site_builder(self) -> SiteBuilder:
        """Makes single-site equations and noise covariances from the saddle points."""
        kind = CausalBuilder if self.program.averaged else SiteBuilder
        return kind(self.program, self.uses, self.saddle_points, self.noise_scale, self.probes)

    @cached_property
    def causal(self) -> list[CausalEquation]:
        """Single-site equations, and scalars where there are any, in causal order."""
        return self.site_builder.causal_equations()

    @cached_property
    def site_equations(self) -> list[SiteEquation]:
        """Single-site equation of every field, in causal order."""
        return [equation for equation in self.causal if isinstance(equation, SiteEquation)]

    @cached_property
    def reactions(self) -> frozenset[Reaction]:
        """Fields with the Gaussian fields of the same step that they respond to."""
        return within_a_step(self.site_equations)

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
        """How every process closes: as matrix algebra, or by sampling."""
        return close_processes(self.causal, self.processes)

    @cached_property
    def closed(self) -> ClosedEquations:
        """Closed equations for responses and correlations, where nothing but linear statements is in the program.

        Raises
        ------
        ProgramError
            If there are scalars, averages over sites that fields depend on; `closures` says how processes close then.
        """
        if self.program.averaged:
            raise ProgramError("closed: allowed for programs without scalars; where there are some, see closures")
        return self.closure.close()

    @cached_property
    def closure(self) -> Closure:
        """What writes the closed equations, with the order parameters that they have."""
        return Closure(self.site_builder, self.site_equations, self.processes, self.reactions, self.observed)

    @cached_property
    def order_parameters(self) -> list[NamedParameter]:
        """Order parameters under the names that results use."""
        return named_parameters(self.closed, self.uses)
