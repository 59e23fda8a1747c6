"""Walking the steps of a program with either arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import ModuleType

import numpy as np
import sympy as sp

from dmft_sym.program import Program
from dmft_sym.support.errors import ExecutionError
from dmft_sym.support.threads import single_threaded

from .compiled import CompiledCoordinates
from .coordinates import GrowingCoordinates
from .evaluate import Evaluator
from .finite import FiniteNetwork, finite_bytes
from .half_streams import Seed, stream_of
from .interface import Arithmetic
from .plan import Given
from .planning import make_plan
from .polynomial import run_polynomial
from .result import ExecutionResult
from .sampled import SampledSites
from .snapshots import Snapshots
from .track import Inspect, Progress, Track, Watch, forward, result_of

Values = Mapping[sp.Symbol, float]


def run_coordinates(
    program: Program,
    values: Values,
    outputs: int,
    steps: int,
    tol: float = 1e-8,
    dtype: type = float,
    record_steps: Iterable[int] | None = None,
    progress: Progress | None = None,
    inspect: Inspect | None = None,
    data: Given | None = None,
    at: Iterable[int] | None = None,
    module: ModuleType | None = None,
    snapshots: Snapshots | None = None,
) -> ExecutionResult:
    """Train the infinite network of a linear program in growing coordinates.

    Parameters
    ----------
    program
        One training step.
    values
        Value of every symbol of ``program.parameters``, integers included; ratios may be ``inf``.
    outputs
        Number ``C`` of outputs.
    steps
        Number of steps; observables are those of the weights before each of them.
    tol
        Relative size of what is dropped; the error of the losses is of this order.
    dtype
        ``float`` or ``numpy.float32``.
    record_steps
        Steps at which all fields are kept, for correlations between them.
    progress
        Called with the number of finished steps after each.
    inspect
        Called with the step and the network at every step, when its fields are computed and before its updates.
    data
        What the program takes as given, by name: inputs ``x`` of shape (samples, D), targets ``y`` of shape
        (samples, outputs).
    at
        Steps at which ``inspect`` is called; all of them by default.
    module
        The compiled arithmetic (``codegen.programs.coordinates``), which is three to five times as fast and has the
        same numbers to rounding. ``progress`` is then called every tenth of a second. Without it the plan is
        interpreted.
    snapshots
        Where the state is kept now and then, and taken from; not where something is inspected. The plan is interpreted.

    Returns
    -------
    ExecutionResult

    Raises
    ------
    ExecutionError
        If an argument is out of range, a symbol has no value or a coefficient is not finite; the message names it.

    Notes
    -----
    Bolthausen conditioning, see `coordinates`. For the deep linear network this solves the same equations as the
    causal march (arXiv:2605.07870, proportional limit) in ``O(steps r^2)`` time and ``O(r^2)`` memory, with ``r``
    directions per space.
    """
    check_counts(outputs=outputs, steps=steps)
    check_tolerance(tol, dtype)
    plan = make_plan(program, values, outputs, reduced_transpose=True, data=data)
    with single_threaded():
        network = GrowingCoordinates(plan, dtype, tol)
        watch = Watch(steps, record_steps, progress, inspect, at, snapshots)
        if module is None or snapshots is not None:
            return _run(network, watch)
        return _run_compiled(network, module, watch)


def run_finite(
    program: Program,
    values: Values,
    outputs: int,
    steps: int,
    dim: int,
    seed: int,
    normalise: bool = False,
    dtype: type = float,
    record_steps: Iterable[int] | None = None,
    progress: Progress | None = None,
    inspect: Inspect | None = None,
    data: Given | None = None,
    snapshots: Snapshots | None = None,
) -> ExecutionResult:
    """Train a finite network with the same program.

    Parameters
    ----------
    dim
        Input dimension ``D``; every space has ``round(ratio * dim)`` sites.
    seed
        Seed of this run (one run per seed).
    normalise
        Scale random vectors so that their norms have their expected values, which makes error bars smaller.

    Returns
    -------
    ExecutionResult

    Raises
    ------
    ExecutionError
        As `run_coordinates`; infinite ratios are refused.

    See Also
    --------
    run_coordinates : the remaining parameters.
    """
    check_counts(outputs=outputs, steps=steps, dim=dim)
    plan = make_plan(program, values, outputs, reduced_transpose=False, data=data)
    network = FiniteNetwork(plan, dtype, dim, seed, normalise)
    watch = Watch(steps, record_steps, progress, inspect, None, snapshots)
    if program.increments:
        return run_polynomial(program, Evaluator(values), network, watch)
    return _run(network, watch)


def run_sampled(
    program: Program,
    values: Values,
    outputs: int,
    steps: int,
    sites: int,
    seed: Seed,
    tol: float | None = None,
    antithetic: bool = True,
    progress: Progress | None = None,
    inspect: Inspect | None = None,
    data: Given | None = None,
) -> ExecutionResult:
    """Train one replica of the infinite network on sampled sites, in NumPy.

    Parameters
    ----------
    sites
        Number of sites of every space, even.
    seed
        Seed of the replica.
    tol
        Directions shorter than this (relative) are dropped; ``1/sqrt(sites)`` by default.
    antithetic
        Whether sites come in pairs, see `SampledSites`.

    Returns
    -------
    ExecutionResult

    Raises
    ------
    ExecutionError
        As `run_coordinates`.

    See Also
    --------
    run_coordinates : the remaining parameters.
    """
    check_counts(outputs=outputs, steps=steps, sites=sites)
    if sites % 2:
        raise ExecutionError(f"sites = {sites}: allowed is an even number")
    plan = make_plan(program, values, outputs, reduced_transpose=True, data=data)
    drop = 1 / math.sqrt(sites) if tol is None else tol
    network = SampledSites(plan, float, sites, stream_of(seed), drop, antithetic)
    return _run(network, Watch(steps, (), progress, inspect))


def finite_memory(
    program: Program, values: Values, outputs: int, dim: int, dtype: type = float, data: Given | None = None
) -> int:
    """Memory in bytes that `run_finite` needs for its matrices and the optimizer (recorded fields come on top).

    Raises
    ------
    ExecutionError
        As `run_finite`.
    """
    check_counts(outputs=outputs, dim=dim)
    return finite_bytes(make_plan(program, values, outputs, reduced_transpose=False, data=data), dtype, dim)


def check_counts(**counts: int) -> None:
    """Raise `ExecutionError` naming the first that is no integer, or below one."""
    for key, value in counts.items():
        if isinstance(value, bool) or value != int(value) or value < 1:
            raise ExecutionError(f"{key} = {value!r}: allowed is an integer >= 1")


def check_tolerance(tol: float, dtype: type) -> None:
    """Raise `ExecutionError` if what is dropped is below rounding, or all there is."""
    floor = 16 * float(np.finfo(dtype).eps)
    if not floor <= tol < 1:
        raise ExecutionError(f"tol = {tol!r}: allowed is a number >= {floor:.1e} (for {np.dtype(dtype)}) and < 1")


def _run(arithmetic: Arithmetic, watch: Watch) -> ExecutionResult:
    track = Track(arithmetic, watch)
    with np.errstate(over="ignore", invalid="ignore"):
        track.resume()
        for step in range(track.done, watch.steps):
            forward(arithmetic)
            if not track.keep():
                break
            watch.look(arithmetic, step)
            _learn(arithmetic)
            if watch.progress is not None:
                watch.progress(step + 1)
            track.store()
    return track.result()


def _run_compiled(network: GrowingCoordinates, module: ModuleType, watch: Watch) -> ExecutionResult:
    run = CompiledCoordinates(network, module, watch.steps)
    with np.errstate(over="ignore", invalid="ignore"):
        for step in watch.stops:
            run.run(step + 1, step, watch.progress)
            if run.diverged:
                break
            watch.look(network, step)
    if not run.diverged:
        run.run(watch.steps, -1, watch.progress)
    return result_of(network, watch, run.done, run.observables, run.scalars, run.ranks)


def _learn(arithmetic: Arithmetic) -> None:
    for matrix in arithmetic.plan.learn_matrices:
        arithmetic.learn_matrix(matrix)
    for vector in arithmetic.plan.learn_vectors:
        arithmetic.learn_vector(vector)
