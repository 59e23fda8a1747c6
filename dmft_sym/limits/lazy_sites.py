"""The lazy limit on given samples: static fields, and a kernel that is the sum of overlaps of all arrays' gradients.

Memories in single-site equations carry ``eta0 gamma`` and vanish with the richness; what is left of the fields does not
depend on the step. Outputs are averages over ``gamma``: their order ``1/eps`` vanishes by the sign of the readout, and
their order one is how far all arrays move along their gradients, which are the updates of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.derivation.average_equations import AverageWriter
from dmft_sym.derivation.equations import Equation, Equations
from dmft_sym.derivation.single_site import ResponseMemory, ScalarEquation
from dmft_sym.derivation.site_equations import SiteWriter
from dmft_sym.derivation.symbols import THEN, ScalarAt, SiteAverage
from dmft_sym.execution.site_values import SiteValues
from dmft_sym.networks.parameters import ETA, GAMMA, MOMENTUM
from dmft_sym.program import SAMPLES, STEP, Compute, Learn, ProgramError, ScalarRef
from dmft_sym.program.optimizer import Recursion
from dmft_sym.regimes.sample_program import OUTPUT_FUNCTION

from .jumps import jumps
from .limit import EPS, Limit
from .limit_theory import LimitTheory, Vanished, VanishedTerms
from .parity import Parities
from .site_correction import LazyCorrection
from .static_fields import is_memory, static
from .tangent_kernel import TangentKernel

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem
    from dmft_sym.solvers.arguments import RunArguments

Numbers: TypeAlias = NDArray[np.float64]
KERNEL = sp.Function("K_NTK")
"""The neural tangent kernel, a function of the labels of two outputs."""


class LazySites(LimitTheory):
    """The lazy limit of a network on given samples.

    Parameters
    ----------
    theory
        Whose equations go to the limit.
    limit
        With ``gamma`` of first order.

    Raises
    ------
    ProgramError
        If parameters other than the richness scale, weights decay, or outputs diverge: naming what would cure it.

    See Also
    --------
    Theory.limit : makes it.
    limits.check : whether it is right.

    References
    ----------
    arXiv:2205.09653; Jacot, Gabriel, Hongler, arXiv:1806.07572.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> data = ds.Samples([[1.0, 0.0], [0.0, 1.0]], [1.0, -1.0])
    >>> lazy = ds.derive(ds.mlp(1, "linear"), data=data).limit(ds.limits.lazy)
    >>> lazy.solve(steps=2, learning_rate=0.5).f.dims
    ('step', 'sample', 'output')
    """

    def __init__(self, theory: Problem, limit: Limit) -> None:
        super().__init__(theory, limit)
        limit.values({symbol.name: symbol for symbol in theory.program.parameters})
        if dict(limit.scaling) != {GAMMA.name: EPS * GAMMA}:
            raise ProgramError(
                f"limit {limit.name}: allowed where fields are averaged over sites is the lazy one, gamma -> eps gamma"
                "; data = ds.Proportional() and a linear network have equations that close, and this limit"
            )
        if theory.program.optimizer.recursion.decays:
            raise ProgramError(f"limit {limit.name}: with weight decay no field stays what it was; weight_decay = 0")
        self.sites = SiteWriter(theory.site_builder)
        self.parities = Parities(theory)
        self._check_outputs()
        self._check_responses()

    @property
    def rate(self) -> int:
        """Corrections are even in ``gamma``, as the law is in ``(w, gamma)``: ``|gamma|`` at jumps, or ``gamma^2``."""
        return 1 if jumps(self.theory) else 2

    @cached_property
    def correction(self) -> LazyCorrection:
        """What outputs are beyond the limit, at order ``gamma^2``.

        Raises
        ------
        ProgramError
            If the first correction is of another order: naming why.
        """
        return LazyCorrection(self.theory, self.limit)

    @cached_property
    def equations(self) -> Equations:
        """Outputs and errors from step to step, the kernel, and the static fields with their covariances."""
        text = f"Limit {self.limit.name}: {self.limit.why}."
        items = [*self._dynamics(), *self._kernel(), *self._static()]
        return Equations(items, f"Limit: {self.limit.name}", text)

    @cached_property
    def vanished(self) -> VanishedTerms:
        """Memories of updates, responses, and orders that are odd in the readout."""
        return VanishedTerms(self._vanished())

    def solve(self, backend: str = "numpy", **arguments: Any) -> xr.Dataset:
        """Outputs by the static kernel, which is that of initialization.

        Parameters
        ----------
        **arguments
            As of a run by conditioning, without ``richness``, and without ``kernels``, ``matrices``, ``at`` and
            ``bias``.

        Returns
        -------
        xarray.Dataset
            Like a run: ``f`` (step, sample, output), losses and accuracies, kernels (``Phi``, ``G``, ``NTK``; the axis
            kernel_step has the first step, as they do not change) with their alignments; where sites are sampled,
            standard errors ``<name>_sem``, those of ``f`` and of losses by the jackknife over replicas. Beyond the
            stable learning rate it has the steps before numbers overflow, and the attribute ``outcome`` says so.

        Raises
        ------
        ArgumentError
            If an argument is missing, unknown, or went to the limit.
        """
        from .lazy_runs import solve_lazy

        self.refuse(arguments, ("richness",))
        return solve_lazy(self.theory, backend, arguments, self._trained_by)

    def _trained_by(self, run: RunArguments) -> Callable[[Numbers], Numbers]:
        """What makes outputs of a kernel."""
        momentum = run.given.get("momentum", self.theory.training.momentum)
        recursion = self.theory.program.optimizer.numbers(lambda part, _: float(part.subs(MOMENTUM, momentum)))

        def outputs(kernel: Numbers) -> Numbers:
            with np.errstate(
                over="ignore", invalid="ignore"
            ):  # beyond the stable learning rate they grow without bound
                return self._outputs(kernel, run.steps, float(run.values[ETA]), recursion)

        return outputs

    def _outputs(self, kernel: Numbers, steps: int, rate: float, recursion: Recursion) -> Numbers:
        """``f(t) = (eta0/P) sum_s kappa(t - s) K Delta(s)`` from zero: outputs add up increments as weights do."""
        shape = kernel.shape[: kernel.ndim // 2]
        square = kernel.reshape(int(np.prod(shape)), -1)
        count = self.theory.data.values[SAMPLES]
        outputs, memory = np.zeros((steps, *shape)), np.zeros(shape)
        for t in range(steps - 1):
            change = square @ self._errors(outputs[t]).ravel()
            outputs[t + 1] = outputs[t]
            recursion.update(outputs[t + 1], memory, partial(_add, rate / count * change.reshape(shape)))
        return outputs

    def _errors(self, outputs: Numbers) -> Numbers:
        """Minus the derivative of the loss by every output, zero where samples are not trained on."""
        values: dict[Any, Numbers] = {self.output: outputs}
        for target, refs, function in self._functions:
            values[target] = function(*(values.get(ref, self._given(ref)) for ref in refs))
        return np.broadcast_to(values[self.error], outputs.shape)

    @cached_property
    def _functions(self) -> list[tuple[ScalarRef, list[ScalarRef], SiteValues]]:
        """Scalars that move with the outputs, in their order: of what, and the function."""
        found = []
        for statement in (e.statement for e in self.scalars if e.target in self._moving):
            if isinstance(statement, Compute):
                symbols, refs = zip(*statement.arguments, strict=True)
                along = self.output.axes.index(statement.along) if statement.along in self.output.axes else -1
                found.append((statement.target, list(refs), SiteValues(statement.expression, (), symbols, along)))
        return found

    def _given(self, ref: ScalarRef) -> Numbers:
        """Given numbers, with axes of length one for labels that they do not have."""
        if not ref.scalar.data:
            return np.zeros(())
        array = np.asarray(self.theory.data.given[ref.scalar.name], dtype=float)
        sizes = iter(array.shape)
        return array.reshape([next(sizes) if label in ref.axes else 1 for label in self.output.axes])

    @cached_property
    def scalars(self) -> list[ScalarEquation]:
        """Outputs, errors and what is between them."""
        return [equation for equation in self.theory.causal if isinstance(equation, ScalarEquation)]

    @cached_property
    def output(self) -> ScalarRef:
        """The outputs of the network."""
        (output,) = (equation.target for equation in self.scalars if self.parities.is_output(equation))
        return output

    @cached_property
    def error(self) -> ScalarRef:
        """By what increments are weighted."""
        learns = [statement for _, statement in self.theory.program.walk() if isinstance(statement, Learn)]
        (error,) = {term.weight for learn in learns for term in learn.terms}
        assert error is not None
        return error

    def _dynamics(self) -> Iterator[Equation]:
        """``f`` grows along the kernel; errors that are linear in ``f`` have an equation of their own."""
        change = self._change()
        f, after = (self.sites.scalar(self.output, step) for step in (STEP, STEP + 1))
        yield Equation(after, (f, change))
        for equation in (e for e in self.scalars if isinstance(e.statement, Compute) and e.target in self._moving):
            made = self.sites.equation(equation)
            yield made
            slope = sp.diff(made.right, f)
            if equation.target == self.error and not slope.has(ScalarAt):
                now, then = (self.sites.scalar(self.error, step) for step in (STEP, STEP + 1))
                yield Equation(then, (now, slope * change))

    @cached_property
    def _moving(self) -> set[ScalarRef]:
        """The outputs, and scalars that are functions of them."""
        found = {self.output}
        for statement in (equation.statement for equation in self.scalars):
            if isinstance(statement, Compute) and any(ref in found for _, ref in statement.arguments):
                found.add(statement.target)
        return found

    def _change(self) -> sp.Expr:
        """``(eta0/P) sum K Delta``."""
        kernel = self._tangent
        error = self.sites.scalar(self.error, STEP, THEN[1])
        limits = [(label.other, sp.Integer(0), label.size - 1) for label in kernel.labels]
        return ETA / SAMPLES * sp.Sum(KERNEL(*kernel.here, *kernel.there) * error, *limits)

    def _kernel(self) -> Iterator[Equation]:
        """Overlaps of gradients, which do not depend on the step."""
        kernel = self._tangent
        terms = tuple(map(static, kernel.terms))
        yield Equation(KERNEL(*kernel.here, *kernel.there), terms, note="the neural tangent kernel")

    @cached_property
    def _tangent(self) -> TangentKernel:
        """The kernel; it has the labels of outputs."""
        labels = tuple(label for label in self.theory.program.labels if label in self.output.axes)
        return TangentKernel(self.theory.program, self.sites, labels)

    def _static(self) -> Iterator[Equation]:
        """Fields without memories, their correlations, and the covariances of what drives them."""
        for equation in self.theory.site_equations:
            made = self.sites.equation(equation)
            terms = tuple(static(term) for term in made.terms if not is_memory(term))
            yield Equation(static(made.left), terms, made.where)
        for scalar in (equation for equation in self.scalars if equation.target not in self._moving):
            made = self.sites.equation(scalar)
            yield Equation(static(made.left), tuple(map(static, made.terms)), made.where)
        for closure in self.theory.closures:
            for covariance in self.sites.covariances(closure.process.noises):
                yield Equation(static(covariance.left), tuple(map(static, covariance.terms)), covariance.where)
        writer = AverageWriter(self.theory, self._tangent.terms)
        for closure in self.theory.closures:
            for averaged in writer.correlations(closure):
                a, b = (static(end) for end in averaged.left.ends)
                yield Equation(static(averaged.left), (SiteAverage(a * b),), averaged.where)

    def _vanished(self) -> Iterator[Vanished]:
        for equation in self.theory.site_equations:
            made = self.sites.equation(equation)
            yield from (Vanished(made.label, term, sp.Integer(1)) for term in made.terms if is_memory(term))

    def _check_outputs(self) -> None:
        """Outputs over ``gamma`` stay finite if they are odd in what is symmetric at the start, and no function."""
        for _, statement in self.theory.program.walk():
            if not isinstance(statement, Compute) or statement.target != OUTPUT_FUNCTION:
                continue
            if not any(ref.initial for _, ref in statement.arguments):  # from which the first one is subtracted
                raise ProgramError(
                    f"limit {self.limit.name}: outputs are a function of readouts, with which their kernel moves; "
                    "allowed are sums of readouts of all outputs"
                )
        centered = getattr(self.theory.training, "centered", False)
        for equation in (e for e in self.theory.causal if isinstance(e, ScalarEquation)):
            if self.parities.is_output(equation) and self.parities.of_average(equation) != -1 and not centered:
                raise ProgramError(
                    f"limit {self.limit.name}: {equation.target} diverges as 1/richness, because it is not odd in the "
                    "readout; centered = true would cure it"
                )

    def _check_responses(self) -> None:
        """Fields of a step that respond to Gaussian fields of the step do so with an odd average."""
        for equation in self.theory.site_equations:
            for memory in (m for m in equation.memories if isinstance(m, ResponseMemory)):
                reacts = (memory.row.field, memory.noise) in self.theory.reactions
                if reacts and self.parities.of(memory.row) * self.parities.of_noise(memory.noise) != -1:
                    raise ProgramError(
                        f"limit {self.limit.name}: the response of {memory.row} to {memory.noise.name} stays of order "
                        "one, because it is not odd in the readout: fields keep a memory that no static kernel has"
                    )


def _add(increment: Numbers, total: Numbers) -> None:
    total += increment
