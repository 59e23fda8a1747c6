"""The first correction of the lazy limit of closed equations, of order ``gamma^2``: ``loss + gamma^2 loss_2``.

The program that is a power series in the richness (`Series`) is linear if the network is, and its equations close. They
are reduced to what losses depend on, without order parameters that vanish, as those of any limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import sympy as sp

from dmft_sym.derivation.equations import Equation, Equations
from dmft_sym.program import Program, ProgramError
from dmft_sym.solvers.exact_march import ExactRun

from .limit import Limit
from .orders import parts
from .series import Series
from .series_runs import refuse_richness

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem

_ODD, _EVEN = "_1", "_2"
"""What the names of losses of the first and second order end with."""


class Reduced(Protocol):
    """Closed equations without what vanishes: a limit in which no parameter scales."""

    theory: Any
    limit: Limit

    @property
    def powers(self) -> Mapping[str, Any]:
        """Infinite for what vanishes, by name."""

    @property
    def equations(self) -> Equations:
        """What losses depend on."""

    def solve(self, backend: str = ..., **arguments: Any) -> xr.Dataset:
        """Losses of all orders."""

    def exact(self, steps: int, **parameters: Any) -> ExactRun:
        """First steps exactly."""


class ClosedCorrection:
    """What losses are beyond the lazy limit, at order ``gamma^2``.

    Parameters
    ----------
    reduced
        The equations of the series.

    Raises
    ------
    ProgramError
        If there is a correction of order ``gamma``.
    """

    rate = 2
    """Power of the richness of the next correction, in units of this one."""

    def __init__(self, reduced: Reduced) -> None:
        self.reduced, self.limit = reduced, reduced.limit
        labels = [equation.label for equation in reduced.theory.closed.observables]
        self.losses = tuple(label for label in labels if {label + _ODD, label + _EVEN} <= set(labels))
        for equation in reduced.theory.closed.observables:
            if equation.label in self._odd:
                self._check_odd(equation)

    @property
    def _odd(self) -> set[str]:
        """Names of losses of first order, which vanish."""
        return {loss + _ODD for loss in self.losses}

    @property
    def problem(self) -> Problem:
        """The series as a problem of its own: its program has losses of all orders."""
        problem: Problem = self.reduced.theory
        return problem

    @cached_property
    def equations(self) -> Equations:
        """Losses of order ``gamma^2`` and all that they depend on, those of the limit included."""
        text = (
            f"Limit {self.limit.name}, first correction: losses are $\\mathrm{{loss}} + \\gamma^2 \\mathrm{{loss}}_2$, "
            "fields $x + \\gamma x_1 + \\gamma^2 x_2 + \\ldots$; what vanishes is left out."
        )
        items = [item for item in self.reduced.equations.items if item.label not in self._odd]
        return Equations(items, f"Correction: {self.limit.name}", text)

    def solve(self, backend: str = "numba", **arguments: Any) -> xr.Dataset:
        """Losses of order ``gamma^2``.

        Parameters
        ----------
        **arguments
            As of a run, without ``richness``.

        Returns
        -------
        xarray.Dataset
            Losses (step, output): what multiplies ``gamma^2``. At richness ``gamma`` a run has
            ``limit.loss + gamma^2 loss`` but for order ``gamma^4``.
        """
        refuse_richness(arguments)
        run = self.reduced.solve(backend, **arguments)
        names = {loss + _EVEN: loss for loss in self.losses}
        return run[list(names)].rename(names).assign_attrs({**run.attrs, "order": 2})

    def exact(self, steps: int, **parameters: Any) -> ExactRun:
        """The same as SymPy expressions; see `Theory.exact`."""
        refuse_richness(parameters)
        run = self.reduced.exact(steps, **parameters)
        raw = {loss: run.raw[loss + _EVEN] for loss in self.losses}
        return ExactRun(raw, tuple(raw), run.outputs, run.known)

    def _check_odd(self, equation: Equation) -> None:
        for term in equation.terms:
            if all(self.reduced.powers.get(point.func.__name__) != sp.oo for point in parts(term)[1]):
                raise ProgramError(
                    f"correction of the limit {self.limit.name}: it is of order richness by the term {term} in "
                    f"{equation.label.removesuffix(_ODD)}"
                )

    def __repr__(self) -> str:
        return f"<first correction of limit {self.limit.name} of {self.problem.program.name}: order gamma^2>"

    def _repr_html_(self) -> str:
        return self.equations._repr_html_()

    def _repr_latex_(self) -> str:
        return self.equations._repr_latex_()


def series_of(theory: Problem, limit: Limit) -> Program:
    """The program of the series of a linear network.

    Raises
    ------
    ProgramError
        If weights decay, or there is no series.
    """
    name = f"correction of the limit {limit.name}"
    if theory.program.optimizer.recursion.decays:
        raise ProgramError(f"{name}: with weight decay no field stays what it was; weight_decay = 0")
    try:
        return Series(theory.program).program
    except ProgramError as error:
        raise ProgramError(f"{name}: {error}") from error
