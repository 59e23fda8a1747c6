"""What `theory.equations` is: single-site and closed equations of training as SymPy."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import sympy as sp

from dmft_sym.program import PAST_STEP, STEP

from .average_equations import AverageWriter
from .closed_equations import ClosedWriter, without_zeros
from .equations import Equation, Equations
from .site_equations import SiteWriter
from .symbols import KEPT, KERNEL, PAST_KERNEL

if TYPE_CHECKING:
    from .pipeline import Pipeline

LAG = sp.Symbol("tau", integer=True, positive=True)


class DerivedEquations:
    """The equations of a derivation, as sequences of labelled `sympy.Eq`.

    Parameters
    ----------
    derivation
        The stages they are read from.
    """

    def __init__(self, derivation: Pipeline) -> None:
        self._derivation = derivation

    @cached_property
    def single_site(self) -> Equations:
        """Fields at one site, scalars, and covariances of Gaussian fields, in causal order."""
        derivation = self._derivation
        writer = SiteWriter(derivation.site_builder)
        items = [*self._definitions(), *map(writer.equation, derivation.causal)]
        for process in derivation.processes:
            items += writer.covariances(process.noises)
        return Equations(items, "Single-site equations", averages=True)

    @cached_property
    def closed(self) -> Equations:
        """Order parameters: kernels, responses, correlations, and scalars; where a process is sampled, as averages."""
        derivation = self._derivation
        items = list(self._definitions(past=not derivation.program.scalars))
        if derivation.program.scalars:
            found = list(AverageWriter(derivation).equations())
            items += [without_zeros(item, {other.left.func for other in found}) for item in found]
        else:
            writer = ClosedWriter(derivation)
            items += [equation for _, equations in writer.statements() for equation in equations]
            items += [without_zeros(item, {other.left.func for other in items}) for item in writer.observables()]
        return Equations(items, "Closed equations")

    def _definitions(self, past: bool = False) -> Iterator[Equation]:
        """What the optimizer does to increments and to initial weights."""
        optimizer = self._derivation.program.optimizer
        plain = optimizer.recursion.plain
        if past:
            kernel = sp.Integer(1) if plain else KERNEL(STEP - PAST_STEP)
            value = sp.Piecewise((kernel, PAST_STEP < STEP), (0, True))
            yield Equation(PAST_KERNEL(STEP, PAST_STEP), (value,), note="what an increment of step $s$ is worth")
        if not plain:
            yield Equation(KERNEL(LAG), (optimizer.kernel(LAG),), note="$\\tau$ steps after an increment")
        if optimizer.recursion.decays:
            yield Equation(KEPT(STEP), (optimizer.retention(STEP),), note="what is left of initial weights")
