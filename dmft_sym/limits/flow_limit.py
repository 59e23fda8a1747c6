"""Gradient flow: the limit of small learning rates at a fixed product of rate and steps, ``t = eta0 * step``."""

from __future__ import annotations

import math
import numbers
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from dmft_sym.derivation.continuous import ContinuousTime
from dmft_sym.derivation.equations import Equations
from dmft_sym.derivation.symbols import TwoPoint
from dmft_sym.program import ProgramError
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show

from .class_numbers import class_numbers
from .grid_terms import Row, rows
from .limit import Limit
from .limit_theory import LimitTheory, Vanished, VanishedTerms
from .volterra import Arrays, solve

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem


class FlowLimit(LimitTheory):
    """Closed equations in continuous time.

    Parameters
    ----------
    theory
        Whose equations go to the limit.
    limit
        With a learning rate of first order.

    Raises
    ------
    ProgramError
        If equations do not close, or a term diverges, naming it and what would cure it.

    See Also
    --------
    Theory.limit : makes it.
    limits.check : whether it is right.

    References
    ----------
    arXiv:2502.02531, gradient flow.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> type(ds.derive(ds.deep_linear(depth=1)).limit(ds.limits.gradient_flow)).__name__
    'FlowLimit'
    """

    def __init__(self, theory: Problem, limit: Limit) -> None:
        super().__init__(theory, limit)
        if theory.program.averaged:
            raise ProgramError(
                f"limit {limit.name}: averages over sites do not close; finite and linear networks flow, "
                "training = ds.GradientFlow(), and data = ds.Proportional() with a linear network has equations that "
                "close"
            )
        if theory.training.fresh:
            raise ProgramError(
                f"limit {limit.name}: noise of fresh samples averages out, and what is left is the flow of the "
                "population; ds.limits.population is that, and GradientDescent has this limit"
            )
        try:
            self.continuous = ContinuousTime(theory.closed)
        except ProgramError as error:
            raise ProgramError(f"limit {limit.name}: {error}") from error

    @property
    def rate(self) -> sp.Expr:
        """Power of the learning rate with which sums over steps go to integrals; no term that vanishes is larger."""
        return sp.Integer(1)

    @cached_property
    def equations(self) -> Equations:
        """Parts at equal times (with a bar), densities of what remembers, and functions of time, with integrals."""
        text = (
            f"Limit {self.limit.name}: {self.limit.why}. Responses and kernels are "
            "$\\bar X(t) \\delta(t - s) + X(t, s)$."
        )
        return Equations(self.continuous.equations, f"Limit: {self.limit.name}", text)

    @cached_property
    def vanished(self) -> VanishedTerms:
        """Terms of higher orders in the learning rate, in units of what is left.

        Sums over steps differ from integrals by the first order.
        """
        return VanishedTerms(Vanished(e.label, term, sp.Integer(order)) for e, term, order in self.continuous.vanished)

    def rows(self, values: dict[sp.Symbol, Any]) -> list[Row]:
        """The equations at values of parameters."""
        return list(rows(self.equations.items, {**values, **class_numbers(self.theory)}))

    @property
    def kernels(self) -> set[str]:
        """Names of functions of two times that are zero for ``s > t``."""
        lefts = {equation.left for equation in self.equations.items if isinstance(equation.left, TwoPoint)}
        return {left.func.__name__ for left in lefts if left.func.letter != "C"}

    def functions(self, values: dict[sp.Symbol, Any], time: float, points: int) -> Arrays:
        """All functions on a uniform grid of times from 0."""
        return solve(self.rows(values), self.kernels, points, time)

    def solve(self, time: float = 1.0, points: int = 33, **arguments: Any) -> xr.Dataset:
        """Solve the integral equations by the trapezoidal rule on two grids, extrapolated to fourth order.

        Parameters
        ----------
        time
            Where the flow ends, in units of ``1/eta0`` steps.
        points
            Number of times at which losses are returned, with the first one at 0.
        **arguments
            As of a run, without ``learning_rate`` and ``steps``.

        Returns
        -------
        xarray.Dataset
            Losses (time, output) of one output, for which outputs of one law are alike.

        Raises
        ------
        ArgumentError
            As of a run, if there is an argument that went to the limit, or if the grid is too wide.
        """
        import xarray as xr

        from dmft_sym.solvers.arguments import check_integer, run_arguments

        if "steps" in arguments:
            raise ArgumentError("steps: unknown argument; allowed are time, where the flow ends, and points")
        self.refuse(arguments, ("learning_rate",))
        points = check_integer("points", points, 2)
        if isinstance(time, bool) or not isinstance(time, numbers.Real) or not 0 < time < math.inf:
            raise ArgumentError(f"time = {show(time)}: allowed is a number > 0, finite")
        values = run_arguments(self.theory, 1, {**arguments, "learning_rate": 1.0}).values
        coarse, fine = (self.functions(values, float(time), n) for n in (points, 2 * points - 1))
        losses = {}
        for observable in self.theory.program.observables:
            key = (observable.name, (0,))
            losses[observable.name] = (("time", "output"), ((4 * fine[key][::2] - coarse[key]) / 3)[:, None])
        return xr.Dataset(losses, {"time": np.linspace(0, float(time), points), "output": [0]})
