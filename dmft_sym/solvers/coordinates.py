"""Conditioning in growing coordinates: the program itself on short vectors, exact for linear programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.program import OUTPUT, Compute, Program
from dmft_sym.regimes.samples import samples_of

from .arguments import check_dtype
from .checkpoints import snapshots_in
from .generated_modules import coordinates_module, hash_of
from .method import CONDITIONING, Arithmetic, Call, Solved, counted
from .observables import Observed, observing_of

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem
    from dmft_sym.execution import ExecutionResult

    Trained = tuple[ExecutionResult, dict[str, Any]]

EXACT_TOL = 1e-8


class Coordinates(Arithmetic):
    """Programs whose fields are all Gaussian: ``O(T r^2)`` time in bases of ``r`` directions.

    With ``backend="numba"`` long runs take compiled code, see `coordinates_module`; the attribute ``backend`` of a
    result says what ran.
    """

    method = CONDITIONING
    summary = "the program on growing coordinates"
    options = frozenset({"tol", "dtype", "kernels", "matrices", "at"})
    resumes = True
    unused = frozenset(
        {"order_parameters", "sites", "error", "seed", "replicas", "antithetic", "threads", "workers", "scheduler"}
    )

    @staticmethod
    def applies(problem: Problem) -> bool:
        """Whether no field is a nonlinear function of fields."""
        return problem.program.linear and not problem.program.increments

    @staticmethod
    def exact(problem: Problem) -> bool:
        """Always, up to ``tol``."""
        return True

    def run(self, call: Call) -> Solved:
        """Losses, or on given samples outputs and what is measured along the way."""
        return self._measured(call) if call.problem.program.averaged else self._observed(call)

    def trained(self, call: Call, inspect: Any = None, at: Iterable[int] = ()) -> Trained:
        """The run, and how it was carried out.

        Parameters
        ----------
        inspect, at
            Called with the step and the network; at which steps.
        """
        from dmft_sym.execution import run_coordinates

        arguments, tol = call.arguments, tolerance(call)
        dtype = "float64" if call.problem.program.averaged else check_dtype(call.options.dtype)
        program = call.problem.program
        plain = not (program.has_norms or program.class_values or _along_labels(program))
        compiled = call.backend == "numba" and plain and call.checkpoint is None
        module = coordinates_module(arguments.steps, dtype) if compiled else None
        result = run_coordinates(
            call.problem.program,
            arguments.values,
            arguments.outputs,
            arguments.steps,
            tol,
            np.dtype(dtype).type,
            progress=counted(call.progress, arguments.steps),
            inspect=inspect,
            data=arguments.data or None,
            at=at,
            module=module,
            snapshots=None if call.checkpoint is None else snapshots_in(call.checkpoint),
        )
        backend = "numpy" if module is None else "numba"
        return result, {"tol": tol, "dtype": dtype, "backend": backend, "module_hash": hash_of(module)}

    def _observed(self, call: Call) -> Solved:
        from dmft_sym.results.order_parameters import make_dataset

        seen = Observed(observing_of(call.problem, call.arguments, gaussian=True))
        steps = range(call.arguments.steps if seen.observing else 0)
        result, attributes = self.trained(call, seen.see_network if steps else None, steps)
        dataset = make_dataset(dict(result.observables), {})
        return Solved(seen.added_to(dataset, result.steps), result.outcome, attributes)

    def _measured(self, call: Call) -> Solved:
        from .measurements import Measurements, wanted_of
        from .memory import check_kernels
        from .sample_results import derived, labelled, network_dataset, output_track

        data = samples_of(call.problem.data)
        measured = Measurements(wanted_of(call, data, gaussian=True))
        check_kernels(measured.wanted, 1)
        result, attributes = self.trained(call, measured.see_network, measured.wanted.steps)
        dataset = network_dataset(output_track(result.scalars), measured, data)
        dataset = dataset.merge(derived(dataset, data))
        return Solved(labelled(dataset, data), result.outcome, attributes)


def _along_labels(program: Program) -> bool:
    """Whether scalars are summed over labels, or have a softmax along other labels than the outputs."""
    computes = (statement for _, statement in program.walk() if isinstance(statement, Compute))
    return any(statement.over or statement.along != OUTPUT for statement in computes)


def tolerance(call: Call) -> float:
    """``tol`` as given, or the default."""
    return EXACT_TOL if call.options.tol is None else float(call.options.tol)
