"""Conditioning in growing coordinates: the program itself on short vectors, exact for linear programs."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.regimes.samples import samples_of

from .arguments import check_dtype
from .generated_modules import coordinates_module, hash_of
from .method import CONDITIONING, Arithmetic, Call, Solved, counted, end_of_run

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem
    from dmft_sym.execution import ExecutionResult

EXACT_TOL = 1e-8


class Coordinates(Arithmetic):
    """Programs whose fields are all Gaussian: ``O(T r^2)`` time in bases of ``r`` directions.

    With ``backend="numba"`` long runs take compiled code, see `coordinates_module`; the attribute ``backend`` of a
    result says what ran.
    """

    method = CONDITIONING
    summary = "the program on growing coordinates"
    options = frozenset({"tol", "dtype", "kernels", "matrices", "at"})
    unused = frozenset({"order_parameters", "sites", "error", "seed", "replicas", "antithetic", "threads"})

    @staticmethod
    def applies(problem: Problem) -> bool:
        """Whether no field is a nonlinear function of fields."""
        return problem.program.linear

    @staticmethod
    def exact(problem: Problem) -> bool:
        """Always, up to ``tol``."""
        return True

    def run(self, call: Call) -> Solved:
        """Losses, or on given samples outputs and what is measured along the way."""
        return _measured(call) if call.problem.program.scalars else _observed(call)


def tolerance(call: Call) -> float:
    """``tol`` as given, or the default."""
    return EXACT_TOL if call.options.tol is None else float(call.options.tol)


def _module(call: Call, dtype: str) -> ModuleType | None:
    """Compiled code for a long run; short ones, and all of ``backend="numpy"``, interpret the plan."""
    return coordinates_module(call.arguments.steps, dtype) if call.backend == "numba" else None


def _made_by(module: ModuleType | None) -> dict[str, str]:
    return {"backend": "numpy" if module is None else "numba", "module_hash": hash_of(module)}


def _run(
    call: Call, tol: float, dtype: str, module: ModuleType | None, inspect: Any = None, at: Iterable[int] = ()
) -> ExecutionResult:
    from dmft_sym.execution import run_coordinates

    return run_coordinates(
        call.problem.program,
        call.arguments.values,
        call.arguments.outputs,
        call.arguments.steps,
        tol,
        np.dtype(dtype).type,
        progress=counted(call.progress, call.arguments.steps),
        inspect=inspect,
        data=call.problem.data.given or None,
        at=at,
        module=module,
    )


def _observed(call: Call) -> Solved:
    from dmft_sym.results.order_parameters import make_dataset

    tol, dtype = tolerance(call), check_dtype(call.options.dtype)
    module = _module(call, dtype)
    result = _run(call, tol, dtype, module)
    outcome = end_of_run(min(len(rows) for rows in result.observables.values()), call.arguments.steps)
    attributes = {"tol": tol, "dtype": dtype, **_made_by(module)}
    return Solved(make_dataset(dict(result.observables), {}), outcome, attributes)


def _measured(call: Call) -> Solved:
    from .measurements import Measurements, wanted_of
    from .memory import check_kernels
    from .sample_results import derived, labelled, network_dataset, output_track

    data = samples_of(call.problem.data)
    measured = Measurements(wanted_of(call, data))
    check_kernels(measured.wanted, 1)
    tol, module = tolerance(call), _module(call, "float64")
    result = _run(call, tol, "float64", module, measured.see_network, measured.wanted.steps)
    dataset = network_dataset(output_track(result.scalars), measured, data)
    dataset = dataset.merge(derived(dataset, data))
    attributes = {"tol": tol, **_made_by(module)}
    return Solved(labelled(dataset, data), result.outcome, attributes)
