"""What `theory.equations` is: single-site and closed equations of training as SymPy."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from dmft_sym.support import notebook

from .average_equations import AverageWriter
from .continuous import CONTINUOUS, FIRST, ContinuousTime, in_continuous_time
from .equations import Equations, without_zeros
from .observed_equations import observed_equations
from .site_equations import SiteWriter, of_training, of_weights
from .stage import counted
from .symbols import KEPT

if TYPE_CHECKING:
    from .pipeline import Pipeline


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
        items = [*of_training(derivation.program), *map(writer.equation, derivation.causal)]
        items += () if derivation.program.averaged else of_weights(writer, derivation.program)
        for process in derivation.processes:
            items += writer.covariances(process.noises)
        if derivation.continuous:
            first = () if derivation.program.averaged else ContinuousTime(derivation.closed).parts[FIRST]
            items = [in_continuous_time(item, first) for item in items if item.left.func != KEPT]
        return Equations(items, "Single-site equations", averages=True)

    @cached_property
    def closed(self) -> Equations:
        """Order parameters: kernels, responses, correlations, and scalars; where a process is sampled, as averages."""
        derivation = self._derivation
        if derivation.continuous and not derivation.program.averaged:
            return Equations(ContinuousTime(derivation.closed).equations, "Closed equations", CONTINUOUS)
        if not derivation.program.averaged:
            return Equations(derivation.closed.equations, "Closed equations")
        found = list(AverageWriter(derivation).equations())
        defined = {equation.left.func for equation in found}
        items = [*of_training(derivation.program), *(without_zeros(item, defined) for item in found)]
        return Equations(items, "Closed equations")

    @property
    def shown(self) -> tuple[Equations, ...]:
        """All of them that there are."""
        return tuple(found for found in (self.single_site, self.closed, self.observables) if len(found))

    def _repr_html_(self) -> str:
        return "".join(found.stage.folded() for found in self.shown) + notebook.paragraph(
            "Each is a sequence of SymPy equations: .single_site, .closed, .observables; of spectra .bulk(matrix), "
            ".spikes(matrix)."
        )

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.shown))

    def __repr__(self) -> str:
        rows = (("single_site", self.single_site), ("closed", self.closed), ("observables", self.observables))
        return notebook.shortened(
            [
                f"<equations of {self._derivation.program.name}>",
                *(f"  .{name}: {counted(len(found))}" for name, found in rows if len(found)),
                '  .bulk("W0"), .spikes("W0"): of trained matrices',
            ]
        )

    @cached_property
    def observables(self) -> Equations:
        """What the observables of the user's own are, in correlations of the same step where it is Gaussian."""
        items = list(observed_equations(self._derivation))
        if self._derivation.continuous:
            items = [in_continuous_time(item, ()) for item in items]
        return Equations(items, "Observables", averages=self._derivation.program.averaged)
