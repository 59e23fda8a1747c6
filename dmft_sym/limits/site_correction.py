"""The first correction of the lazy limit on given samples, of order ``gamma^2``: ``f = f_0 + gamma^2 f_2``.

The equations are those of single sites, order by order in the richness: averages over the static sites of the limit, of
derivatives of its functions. The numbers are those of another program, the power series of the network's own
(`Series`), by the same arithmetics as any run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sympy as sp

from dmft_sym.derivation.average_equations import AverageWriter
from dmft_sym.derivation.equations import Equation, Equations
from dmft_sym.derivation.single_site import ScalarEquation
from dmft_sym.derivation.site_equations import SiteWriter, tangent_writer
from dmft_sym.derivation.symbols import Correlation, FieldAt, NoiseAt, ScalarAt, SiteAverage, Tangent, TwoPoint
from dmft_sym.program import STEP, ProgramError, ScalarRef

from .expansion import Expansion
from .first_step import problem_of
from .jumps import jumps, sharp
from .limit import Limit
from .parity import Parities
from .series import Series
from .series_runs import solve_series
from .tangent_kernel import TangentKernel

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem

KERNEL = sp.Function("K_NTK_2")
"""The correction of the neural tangent kernel, a function of the step and of the labels of two outputs."""


class LazyCorrection:
    """What outputs are beyond the lazy limit, at order ``gamma^2``.

    Parameters
    ----------
    theory
        On given samples.
    limit
        The lazy one.

    Raises
    ------
    ProgramError
        If corrections are of another order, or have no equations of single sites: naming why.
    """

    rate = 2
    """Power of the richness of the next correction, in units of this one."""

    def __init__(self, theory: Problem, limit: Limit) -> None:
        self.theory, self.limit = theory, limit
        self.parities = Parities(theory)
        self._check_jumps()
        self._check_signs()
        try:
            self.series = Series(theory.program, self.parities.known)
        except ProgramError as error:
            raise self._refused(str(error)) from error
        self._check_kinks()

    @cached_property
    def problem(self) -> Problem:
        """The series as a problem of its own: its program has ``f`` of the limit, and ``f_2``."""
        return problem_of(self.theory, self.series.program)

    @cached_property
    def equations(self) -> Equations:
        """Outputs of order ``gamma^2`` and all that they need: fields, averages, responses and tangents, by orders."""
        text = (
            f"Limit {self.limit.name}, first correction: outputs are $f + \\gamma^2 f_2$, fields "
            "$h + \\gamma h_1 + \\gamma^2 h_2 + \\gamma^3 h_3$; what has no order is static, that of the limit. Odd "
            "orders of outputs and correlations vanish, and even ones of responses that are odd in the readout."
        )
        return Equations(self._needed(list(self._all())), f"Correction: {self.limit.name}", text)

    def solve(self, backend: str = "numpy", **arguments: Any) -> xr.Dataset:
        """Outputs, losses and kernels of order ``gamma^2``, by the default method of a run.

        Parameters
        ----------
        **arguments
            As of a run, without ``richness``.

        Returns
        -------
        xarray.Dataset
            ``f`` (step, sample, output), losses (step, output) and kernels as those of a run (``Phi``, ``G``, ``NTK``:
            labels, labels at every kernel_step): what multiplies ``gamma^2``. At richness ``gamma`` a run has
            ``limit.f + gamma^2 f`` but for order ``gamma^4``. Sampled ones have standard errors ``<name>_sem``.

        Raises
        ------
        ArgumentError
            If an argument is missing or unknown, or if there is a richness.
        """
        return solve_series(self.problem, self.series, self.output, backend, arguments)

    @cached_property
    def output(self) -> ScalarRef:
        """The outputs of the network."""
        scalars = (e for e in self.theory.causal if isinstance(e, ScalarEquation))
        return next(e.target for e in reversed(list(scalars)) if e.target.scalar.name == "f")

    @property
    def corrected(self) -> ScalarRef:
        """Their order ``gamma^2``."""
        return ScalarRef(self.series.part(self.output.scalar, 2))

    @cached_property
    def expansion(self) -> Expansion:
        """Powers of the richness of expressions."""
        return Expansion(self.theory, self.series, self.parities, self.series.highest)

    def _all(self) -> Iterator[Equation]:
        """Every order of every equation."""
        sites = SiteWriter(self.theory.site_builder)
        for equation in self.theory.causal:
            yield from self._orders(sites.equation(equation))
        yield self._kernel
        for closure in self.theory.closures:
            for covariance in sites.covariances(closure.process.noises):
                yield from (made for j, k, made in self.expansion.pairs(covariance) if j + k == 2)
        writer, tangents = AverageWriter(self.theory, self._tangent.terms), tangent_writer(self.theory.site_builder)
        for closure in self.theory.closures:
            for made in writer.correlations(closure):
                a, b = made.left.ends
                averaged = replace(made, terms=(SiteAverage(a * b),))
                yield from (made for j, k, made in self.expansion.pairs(averaged) if j + k == 2)
            for kind in closure.responses:
                yield from self._orders(writer.average_response(kind.row, kind.noise))
            derivatives = map(tangents.derivative, closure.tangents)
            yield from without_zeros([made for item in derivatives for made in self._orders(item, lowest=0)])

    @cached_property
    def _tangent(self) -> TangentKernel:
        """The neural tangent kernel of the network."""
        labels = tuple(label for label in self.theory.program.labels if label in self.output.axes)
        return TangentKernel(self.theory.program, SiteWriter(self.theory.site_builder), labels)

    @property
    def _kernel(self) -> Equation:
        """How it moves at order ``gamma^2``, by products of overlaps of features and of gradients."""
        orders = (self.expansion.of(term) for term in self._tangent.terms)
        parts = [part for found in orders if 2 in found for part in sp.Add.make_args(sp.expand_mul(found[2]))]
        left = KERNEL(STEP, *self._tangent.here, *self._tangent.there)
        return Equation(left, tuple(parts), note="of the neural tangent kernel")

    def _orders(self, equation: Equation, lowest: int = 1) -> Iterator[Equation]:
        """An equation of every order above that of the limit; sums term by term, functions as they are."""
        terms = [self.expansion.of(term) for term in equation.terms]
        memories = any(term.has(sp.Sum) for term in equation.terms)
        for order, left in self.expansion.of(equation.left).items():
            found = [term[order] for term in terms if order in term]
            parts = [part for term in found for part in sp.Add.make_args(sp.expand_mul(term))] if memories else found
            if order >= lowest:
                yield Equation(left, tuple(parts), equation.where)

    def _needed(self, equations: list[Equation]) -> list[Equation]:
        """Those that the corrected outputs depend on."""
        found: list[Equation] = []
        needed = {("static", kind.__name__) for kind in self.expansion.noises}
        needed |= {_kind(e.left) for e in equations if isinstance(e.left, ScalarAt) or e.left.func == KERNEL}
        while len(found) < len(kept := [e for e in equations if needed >= set(self._kinds(e.left))]):
            terms = (term for e in kept if e not in found for term in e.terms)
            needed |= {_kind(part) for term in terms for part in term.atoms(FieldAt, NoiseAt, TwoPoint, Tangent)}
            found = kept
        return found

    def _kinds(self, left: sp.Expr) -> Iterator[Any]:
        """What has to be needed for an equation to be: both Gaussian fields of a covariance."""
        if not isinstance(left, Correlation) or not issubclass(left.row, NoiseAt):
            yield _kind(left)
            return
        names = {kind.__name__ for kind in self.expansion.noises}
        yield from (("static", end.__name__) if end.__name__ in names else end for end in (left.row, left.column))

    # What has no such correction

    def _refused(self, why: str) -> ProgramError:
        return ProgramError(f"correction of the limit {self.limit.name}: {why}")

    def _check_jumps(self) -> None:
        if jumps(self.theory):
            raise self._refused(
                "it is of order |richness|, because gradients jump where fields of sites change their sign, and has no "
                "equations of static sites; allowed are activations with continuous second derivatives"
            )

    def _check_signs(self) -> None:
        """Outputs are even in the richness, and other averages even or odd."""
        for equation in (e for e in self.theory.causal if isinstance(e, ScalarEquation)):
            allowed = (1,) if self.parities.is_output(equation) else (1, -1)
            if self.parities.of(equation.target) not in allowed:
                raise self._refused(
                    f"it is of order richness, because {equation.target} is not even in the readout and the richness: "
                    f"{equation.statement}"
                )

    def _check_kinks(self) -> None:
        found = sharp(self.series)
        if found is not None:
            raise self._refused(
                f"a derivative of {found} jumps, so that the correction has a point mass; allowed are activations with "
                "continuous second derivatives"
            )

    def __repr__(self) -> str:
        return f"<first correction of limit {self.limit.name} of {self.theory.program.name}: order gamma^2>"

    def _repr_html_(self) -> str:
        return self.equations._repr_html_()

    def _repr_latex_(self) -> str:
        return self.equations._repr_latex_()


def without_zeros(tangents: list[Equation]) -> list[Equation]:
    """Equations of tangents that do not vanish: that are reached from those of Gaussian fields."""
    reached: set[Any] = set()
    while True:
        found = [replace(e, terms=tuple(_reached(term, reached) for term in e.terms)) for e in tangents]
        kept = [replace(e, terms=tuple(term for term in e.terms if term != 0)) for e in found if e.right != 0]
        if {_kind(e.left) for e in kept} == reached:
            return kept
        reached = {_kind(e.left) for e in kept}


def _reached(term: sp.Expr, reached: set[Any]) -> sp.Expr:
    """A term without tangents that vanish."""
    moved = (part for part in term.atoms(Tangent) if not isinstance(part.args[0], NoiseAt))
    found = term.xreplace({part: sp.Integer(0) for part in moved if _kind(part) not in reached})
    return found.xreplace({total: sp.Integer(0) for total in found.atoms(sp.Sum) if total.function == 0})


def _kind(left: sp.Expr) -> Any:
    """What an equation is for, without labels; of tangents that of the field."""
    return ("d", left.args[0].func) if isinstance(left, Tangent) else left.func
