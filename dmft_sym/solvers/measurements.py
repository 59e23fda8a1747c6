"""What is measured while a network trains on given samples: kernels and outliers at the steps asked for.

One `Measurements` belongs to one network (a replica, a seed, or the exact one); replicas and finite networks are
measured by the same code and differ in how they show their fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy.core.function import AppliedUndef

from dmft_sym.execution.coordinates import GrowingCoordinates
from dmft_sym.execution.evaluate import Evaluator
from dmft_sym.execution.finite import FiniteNetwork
from dmft_sym.execution.interface import Arithmetic
from dmft_sym.execution.observing import Observing
from dmft_sym.execution.output_fields import OutputFields
from dmft_sym.execution.plan import MatrixKey
from dmft_sym.execution.sampled_view import FieldKey, SampledView
from dmft_sym.program import ONE, FieldRef, GaussianMatrix, Label, Program
from dmft_sym.support.array_types import Array
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show, suggestion

from .arguments import RunArguments, check_integer, check_time
from .kernels import Kernels, Overlap
from .observables import Observed, observing_of

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem
    from dmft_sym.regimes import Samples
    from dmft_sym.spectra.measured.input_matrices import RowMoments
    from dmft_sym.spectra.measured.sampled_outliers import FiniteRank, MarchenkoPastur

    from .method import Call


@dataclass(frozen=True)
class WantedMeasurements:
    """Which steps are looked at, and for what.

    Attributes
    ----------
    kernels
        The kernels of the program.
    kernel_steps, spectrum_steps
        Steps, ascending.
    matrices
        Key of every matrix whose outliers are wanted, by its name in results.
    bulks
        Initial bulk of these matrices.
    keeps
        Of those from given inputs, what weight decay leaves of them in a step.
    values
        How many of the largest singular values of finite networks are kept.
    paired
        Whether sampled sites are antithetic pairs.
    observing
        What users observe, at every step up to the ``last`` one.
    of_outputs
        Fields of kernels that the program which is executed does not have.
    """

    kernels: Kernels
    kernel_steps: tuple[int, ...]
    spectrum_steps: tuple[int, ...]
    matrices: Mapping[str, MatrixKey]
    bulks: Mapping[str, MarchenkoPastur]
    keeps: Mapping[str, float] = field(default_factory=dict)
    values: int | None = None
    paired: bool = True
    observing: Observing | None = None
    last: int = 0
    of_outputs: OutputFields | None = None

    @property
    def steps(self) -> tuple[int, ...]:
        """All steps at which something is measured."""
        if self.observing is not None:
            return tuple(range(self.last + 1))
        start = (0,) if self.keeps else ()  # sampling errors of initial weights are taken off
        return tuple(sorted({*self.kernel_steps, *(self.spectrum_steps if self.matrices else ()), *start}))


@dataclass
class Measurements:
    """What one network showed, by step."""

    wanted: WantedMeasurements
    kernels: dict[str, dict[int, Array]] = field(default_factory=dict)
    outliers: dict[str, dict[int, Array]] = field(default_factory=dict)
    edges: dict[str, dict[int, tuple[float, float]]] = field(default_factory=dict)
    limits: dict[str, dict[int, float]] = field(default_factory=dict)
    starts: dict[str, Array] = field(default_factory=dict)  # weights from given inputs at step 0

    @cached_property
    def observed(self) -> Observed:
        """What was seen of observables."""
        return Observed(self.wanted.observing)

    def see_replica(self, view: SampledView) -> None:
        """Measure a sampled replica."""
        if self.wanted.observing is not None:
            self.observed.see(self.wanted.observing.at_sites(lambda ref: view.fields[ref.key]))

        of_outputs = self.wanted.of_outputs
        measured = of_outputs is not None and view.step in self.wanted.kernel_steps
        fields = {**view.fields, **of_outputs.of_replica(view)} if of_outputs and measured else view.fields

        def overlap(a: FieldRef, b: FieldRef) -> Array:
            left, right = (fields[ref.key] for ref in (a, b))
            return np.asarray(left @ right.T / (1 if a.space.finite else left.shape[1]))

        self.see_overlaps(view.step, overlap)
        if view.step == 0:
            self.starts = {name: view.inputs[self.wanted.matrices[name]].copy() for name in self.wanted.keeps}
        if not self._spectra(view.step):
            return
        from dmft_sym.spectra.measured.input_matrices import moments_of_rows
        from dmft_sym.spectra.measured.sampled_outliers import finite_rank

        for name, key in self._spectra(view.step).items():
            if name in self.wanted.keeps:
                moments = moments_of_rows(view.inputs[key], self.starts[name], self.wanted.paired)
                self.see_inputs(name, view.step, moments, self.wanted.keeps[name] ** view.step)
                continue
            bulk = self.wanted.bulks[name]
            found = finite_rank(view.matrices[key], bulk.aspect, self.wanted.paired)
            self._outliers(name, view.step, found, bulk.scaled(view.matrices[key].retention))

    def see_network(self, step: int, network: Arithmetic) -> None:
        """Measure a finite network, or one in growing coordinates."""
        if step not in self.wanted.steps:
            return
        self.observed.see_network(step, network)
        plan, of_outputs = network.plan, self._fields_of_outputs(step, network)

        def overlap(a: FieldRef, b: FieldRef) -> Array:
            if a.key in of_outputs and b.key in of_outputs:
                left, right = of_outputs[a.key], of_outputs[b.key]
                return np.asarray(left @ right.T / left.shape[1])
            slots = [plan.fields[ref] for ref in (a, b)]
            sectors = [plan.slots[slot] for slot in slots]
            left, right = (network.values[slot] for slot in slots)
            if sectors[0] != sectors[1]:  # independent fields
                return np.zeros((len(left), len(right)))
            return np.asarray(left @ right.T * network.overlap(sectors[0]))

        self.see_overlaps(step, overlap)
        numbers = {spec.key: number for number, spec in enumerate(plan.matrices)}
        for name, key in self._spectra(step).items():
            if isinstance(network, FiniteNetwork):
                matrix = network.matrices[numbers[key]]
                values = _largest(matrix, self.wanted.values or 2 * plan.outputs + 1)
                unit = (matrix.shape[0] / matrix.shape[1]) ** 0.5 if name in self.wanted.keeps else 1.0
                self.outliers.setdefault(name, {})[step] = values / unit
            elif isinstance(network, GrowingCoordinates) and name in self.wanted.keeps:
                from dmft_sym.spectra.measured.input_matrices import moments_of_coordinates

                self.see_inputs(name, step, *moments_of_coordinates(network, numbers[key]))
            elif isinstance(network, GrowingCoordinates):
                from dmft_sym.spectra.measured.sampled_outliers import finite_rank_of_coordinates

                bulk = self.wanted.bulks[name]
                found, retention = finite_rank_of_coordinates(network, numbers[key])
                self._outliers(name, step, found, bulk.scaled(retention))

    def _fields_of_outputs(self, step: int, network: Arithmetic) -> Mapping[FieldKey, Array]:
        """Fields that kernels are made of and that the network does not have, by name and layer."""
        wanted = self.wanted.of_outputs
        if wanted is None or step not in self.wanted.kernel_steps or not isinstance(network, FiniteNetwork):
            return {}
        return wanted.of_network(network) if wanted.missing_in(network.plan) else {}

    def _spectra(self, step: int) -> Mapping[str, MatrixKey]:
        return self.wanted.matrices if step in self.wanted.spectrum_steps else {}

    def see_overlaps(self, step: int, overlap: Overlap) -> None:
        """Measure kernels, from the averages of products of fields."""
        if step not in self.wanted.kernel_steps:
            return
        kernels = self.wanted.kernels
        for kernel in kernels.fields:
            self.kernels.setdefault(kernel.name, {})[step] = kernel.measure(overlap, kernels.sizes)
        self.kernels.setdefault("NTK", {})[step] = kernels.tangent(overlap)

    def _outliers(self, name: str, step: int, found: FiniteRank, bulk: MarchenkoPastur) -> None:
        from dmft_sym.spectra.measured.sampled_outliers import noise_edge, outliers

        self.see_outliers(name, step, outliers(found, bulk), bulk, noise_edge(found, bulk))

    def see_inputs(self, name: str, step: int, moments: RowMoments, kept: float) -> None:
        """Keep outliers of a matrix from given inputs, of whose initial values ``kept`` is left."""
        from dmft_sym.spectra.measured.input_matrices import input_outliers

        initial = self.wanted.bulks[name]
        values, limit = input_outliers(moments, initial, kept)
        self.see_outliers(name, step, values, initial.scaled(kept), limit)

    def see_outliers(self, name: str, step: int, values: Array, bulk: MarchenkoPastur, limit: float) -> None:
        """Keep outliers of a matrix, its bulk, and above which value an outlier stands out of noise."""
        self.outliers.setdefault(name, {})[step] = values
        self.edges.setdefault(name, {})[step] = (bulk.lower_edge, bulk.edge)
        self.limits.setdefault(name, {})[step] = limit


def wanted_of(call: Call, data: Samples, *, gaussian: bool = False) -> WantedMeasurements:
    """What the options of a call ask for; see `wanted_measurements`."""
    options, where = call.options, (call.problem, call.arguments, data.sizes)
    return wanted_measurements(*where, options.kernels, options.matrices, options.at, gaussian=gaussian)


def wanted_measurements(
    theory: Problem,
    arguments: RunArguments,
    sizes: Mapping[Label, int],
    kernels: Sequence[float] | None,
    matrices: Sequence[str],
    at: Sequence[float],
    values: int | None = None,
    *,
    gaussian: bool = False,
) -> WantedMeasurements:
    """Check what is asked for.

    Parameters
    ----------
    kernels
        Steps at which kernels are kept; ``None`` for the first and the last, empty for none. Negative steps count from
        the end. Of a flow, times that its arguments include (`including_measured`).
    matrices, at
        Names of matrices (``"W0"``, ``"W1"``), and steps or times.
    gaussian
        Whether observables are averages of Gaussian fields.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed.
    """
    check_definite(theory.program)
    last = arguments.steps - 1
    kernel_steps = tuple(sorted({0, last})) if kernels is None else _steps("kernels", kernels, arguments)
    known = named_matrices(theory.program, arguments)
    if isinstance(matrices, str) or not isinstance(matrices, Iterable):
        raise ArgumentError(f"matrices = {show(matrices)}: allowed is a list of names, such as ['W1']")
    for name in matrices:
        if name not in known:
            allowed = ", ".join(known)
            raise ArgumentError(f"matrices: {show(name)}: allowed are {allowed}{suggestion(str(name), known)}")
    if at and not matrices:
        raise ArgumentError(f"at = {show(at)}: allowed with the names of matrices, such as matrices=['W1']")
    chosen = {name: known[name] for name in matrices}
    bulks = {name: bulk_of(matrix, key[1], arguments.values) for name, (key, matrix) in chosen.items()}
    inputs = {name: matrix for name, (_, matrix) in chosen.items() if matrix.source.finite}
    keeps = {name: _keep(theory.program, matrix, arguments) for name, matrix in inputs.items()}
    spectrum_steps = _steps("at", at, arguments) if at else (last,) if matrices else ()
    measured = Kernels(theory.program, arguments.values, sizes)
    keys = {name: key for name, (key, _) in chosen.items()}
    observing = observing_of(theory, arguments, gaussian=gaussian)
    wanted = WantedMeasurements(measured, kernel_steps, spectrum_steps, keys, bulks, keeps, values)
    of_outputs = _of_outputs(theory, arguments, measured) if kernel_steps else None
    return replace(wanted, observing=observing, last=last, of_outputs=of_outputs)


def _of_outputs(theory: Problem, arguments: RunArguments, kernels: Kernels) -> OutputFields | None:
    """Fields of kernels that the program which is executed does not have."""
    if theory.executed == theory.program:
        return None
    wanted = kernels.operands
    return OutputFields(
        theory.program, theory.executed, wanted, arguments.values, arguments.outputs, arguments.data or None
    )


def check_definite(program: Program) -> None:
    """Raise `ArgumentError` if a site-wise function was left open."""
    for function in program.functions:
        for free in function.expression.atoms(AppliedUndef):
            raise ArgumentError(
                f"activation {free.func}: left open, the equations hold for any; numbers need a definite one, such as "
                'ds.mlp(activation="tanh")'
            )


def hidden_matrices(program: Program, arguments: RunArguments) -> dict[str, tuple[MatrixKey, GaussianMatrix]]:
    """The Gaussian matrices between hidden spaces, by name with layer: ``W1``, ``W2``, ..."""
    named = named_matrices(program, arguments).items()
    return {name: (key, matrix) for name, (key, matrix) in named if not matrix.source.finite}


def named_matrices(program: Program, arguments: RunArguments) -> dict[str, tuple[MatrixKey, GaussianMatrix]]:
    """The Gaussian matrices by name with layer, trained vectors and readouts of inputs left out: ``W0``, ``W1``, ...

    A layer whose name another matrix has is called ``W[1]``.
    """
    single = {matrix.name for matrix in program.matrices if matrix.layers is None}
    found: dict[str, tuple[MatrixKey, GaussianMatrix]] = {}
    for matrix in program.matrices:
        if matrix.source == ONE.space or matrix.isometric:
            continue
        if matrix.layers is None:
            found[matrix.name] = ((matrix.name, None), matrix)
            continue
        for layer in matrix.layers.at(arguments.integers):
            name = f"{matrix.name}{layer}"
            found[f"{matrix.name}[{layer}]" if name in single else name] = ((matrix.name, layer), matrix)
    return found


def bulk_of(matrix: GaussianMatrix, layer: int | None, values: Mapping[Any, float]) -> MarchenkoPastur:
    """The initial bulk of a matrix; of one from given inputs, of no width, in units of ``sqrt(n_out/n_in)``."""
    from dmft_sym.spectra.measured.sampled_outliers import MarchenkoPastur

    variance = matrix.variance_at(layer).subs(values)
    return MarchenkoPastur(float(variance), 0.0 if matrix.source.finite else float(matrix.aspect.subs(values)))


def _keep(program: Program, matrix: GaussianMatrix, arguments: RunArguments) -> float:
    """What weight decay leaves of a matrix in a step."""
    recursion = program.optimizer.numbers(Evaluator(arguments.values))
    return recursion.keep if matrix in program.learned else 1.0


def including_measured(arguments: RunArguments, **wanted: object) -> RunArguments:
    """The arguments of a flow with the times at which something is to be measured.

    Raises
    ------
    ArgumentError
        If they are no times of the flow.
    """
    if arguments.times is None:
        return arguments
    end, found = arguments.times[-1], []
    for name, times in wanted.items():
        if isinstance(times, str) or not isinstance(times, Iterable | None):
            raise ArgumentError(f"{name} = {show(times)}: allowed is a list of times from 0 to {end:g}")
        found += [check_time(name, time, end) for time in times or ()]
    return arguments.including(found)


def _steps(name: str, steps: Sequence[float], arguments: RunArguments) -> tuple[int, ...]:
    count = arguments.steps
    if isinstance(steps, str) or not hasattr(steps, "__iter__"):
        raise ArgumentError(f"{name} = {show(steps)}: allowed is a list of steps from 0 to {count - 1}")
    if arguments.times is not None:
        return tuple(sorted({arguments.step_of(name, time) for time in steps}))
    found = set()
    for step in steps:
        number = check_integer(name, step, -count)
        if number >= count:
            raise ArgumentError(f"{name}: {number}: allowed are steps from 0 to {count - 1}, the last one")
        found.add(number % count)
    return tuple(sorted(found))


def _largest(matrix: Array, count: int) -> Array:
    """The largest singular values, descending."""
    from scipy.sparse.linalg import svds

    count = min(count, *matrix.shape)
    if count >= min(matrix.shape) // 4:
        return np.asarray(np.linalg.svd(matrix, compute_uv=False)[:count])
    if not matrix.any():
        return np.zeros(count)
    start = np.random.default_rng(0).standard_normal(min(matrix.shape))
    return np.sort(svds(matrix, k=count, v0=start, return_singular_vectors=False, tol=1e-8))[::-1]
