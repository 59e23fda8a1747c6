"""Walking the steps of a program with either arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.program import FieldRef, Program, ScalarRef
from dmft_sym.support.errors import ExecutionError
from dmft_sym.support.outcomes import COMPLETED, DIVERGENCE, diverged
from dmft_sym.support.threads import single_threaded

from .compiled import CompiledCoordinates
from .coordinates import GrowingCoordinates
from .finite import FiniteNetwork, finite_bytes
from .half_streams import Seed, stream_of
from .interface import Arithmetic, Array
from .plan import Given, PlannedAverage
from .planning import make_plan
from .result import ExecutionResult
from .sampled import SampledSites

Values = Mapping[sp.Symbol, float]
Progress = Callable[[int], None]
Inspect = Callable[[int, Arithmetic], None]


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
    floor = 16 * float(np.finfo(dtype).eps)
    if not floor <= tol < 1:
        raise ExecutionError(f"tol = {tol!r}: allowed is a number >= {floor:.1e} (for {np.dtype(dtype)}) and < 1")
    plan = make_plan(program, values, outputs, reduced_transpose=True, data=data)
    with single_threaded():
        network, watch = GrowingCoordinates(plan, dtype, tol), _Watch(steps, record_steps, progress, inspect, at)
        return _run(network, watch) if module is None else _run_compiled(network, module, watch)


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
    return _run(network, _Watch(steps, record_steps, progress, inspect))


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
    return _run(network, _Watch(steps, (), progress, inspect))


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


class _Watch:
    """Number of steps, and what is looked at on the way."""

    def __init__(
        self,
        steps: int,
        record_steps: Iterable[int] | None,
        progress: Progress | None,
        inspect: Inspect | None,
        at: Iterable[int] | None = None,
    ) -> None:
        self.steps, self.progress, self.inspect = steps, progress, inspect
        self.recorded = _wanted(record_steps, steps)
        self.inspected = set() if inspect is None else set(range(steps) if at is None else at)
        self.fields: dict[FieldRef, list[Array]] = {}
        self.seen: list[int] = []
        self.stops = sorted(self.recorded | self.inspected & set(range(steps)))

    def look(self, arithmetic: Arithmetic, step: int) -> None:
        """Look at the fields of a step."""
        if step in self.recorded:
            self.seen.append(step)
            for ref, slot in arithmetic.plan.fields.items():
                self.fields.setdefault(ref, []).append(arithmetic.snapshot(slot))
        if self.inspect is not None and step in self.inspected:
            self.inspect(step, arithmetic)


def _run(arithmetic: Arithmetic, watch: _Watch) -> ExecutionResult:
    plan, steps = arithmetic.plan, watch.steps
    table = {a.name: np.zeros((steps, a.rows)) for a in plan.averages}
    scalars = {
        ref: np.zeros((steps, *plan.scalar_shapes[number]))
        for ref, number in plan.scalars.items()
        if number not in plan.given
    }
    ranks = np.zeros((steps, len(plan.sectors)), np.int64)
    limit = float(np.finfo(float).max)
    done = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(steps):
            _forward(arithmetic)
            largest = _keep(arithmetic, table, scalars, step)
            if step == 0:
                limit = DIVERGENCE * largest if largest else limit
            if not math.isfinite(largest) or largest > limit or not arithmetic.bounded():
                break
            ranks[step] = arithmetic.ranks()
            watch.look(arithmetic, step)
            _learn(arithmetic)
            done = step + 1
            if watch.progress is not None:
                watch.progress(done)
    return _result(arithmetic, watch, done, table, scalars, ranks)


def _run_compiled(network: GrowingCoordinates, module: ModuleType, watch: _Watch) -> ExecutionResult:
    run = CompiledCoordinates(network, module, watch.steps)
    with np.errstate(over="ignore", invalid="ignore"):
        for step in watch.stops:
            run.run(step + 1, step, watch.progress)
            if run.diverged:
                break
            watch.look(network, step)
    if not run.diverged:
        run.run(watch.steps, -1, watch.progress)
    return _result(network, watch, run.done, run.observables, run.scalars, run.ranks)


def _result(
    arithmetic: Arithmetic,
    watch: _Watch,
    done: int,
    table: Mapping[str, NDArray[np.float64]],
    scalars: Mapping[ScalarRef, NDArray[np.float64]],
    ranks: NDArray[np.int64],
) -> ExecutionResult:
    """What was kept of the steps that are done."""
    return ExecutionResult(
        {name: rows[:done] for name, rows in table.items()},
        COMPLETED if done == watch.steps else diverged(done),
        {sector.name: ranks[:done, number] for number, sector in enumerate(arithmetic.plan.sectors)},
        arithmetic,
        {ref: rows[:done] for ref, rows in scalars.items()},
        {ref: watch.fields.get(ref, []) for ref in arithmetic.plan.fields},
        watch.seen,
    )


def _keep(
    arithmetic: Arithmetic,
    table: Mapping[str, NDArray[np.float64]],
    scalars: Mapping[ScalarRef, NDArray[np.float64]],
    step: int,
) -> float:
    """Keep averages and scalars of a step; the largest absolute value, ``inf`` if one is not finite."""
    plan, largest = arithmetic.plan, 0.0
    found = [(table[average.name], _average(arithmetic, average)) for average in plan.averages]
    found += [(rows, arithmetic.scalars[plan.scalars[ref]].reshape(rows.shape[1:])) for ref, rows in scalars.items()]
    for rows, values in found:
        rows[step] = values
        size = float(np.abs(values).max(initial=0.0))
        largest = max(largest, size) if math.isfinite(size) else math.inf
    return largest


def _wanted(record_steps: Iterable[int] | None, steps: int) -> set[int]:
    wanted = set(record_steps or ())
    for step in sorted(wanted):
        if not 0 <= step < steps:
            raise ExecutionError(f"record_steps: {step} is not a step of this run, allowed are 0 to {steps - 1}")
    return wanted


def _forward(arithmetic: Arithmetic) -> None:
    arithmetic.begin_step()
    for statement in arithmetic.plan.steps:
        arithmetic.execute(statement)


def _learn(arithmetic: Arithmetic) -> None:
    for matrix in arithmetic.plan.learn_matrices:
        arithmetic.learn_matrix(matrix)
    for vector in arithmetic.plan.learn_vectors:
        arithmetic.learn_vector(vector)


def _average(arithmetic: Arithmetic, average: PlannedAverage) -> NDArray[Any]:
    total = np.full(average.rows, average.constant)
    for coefficient, a, b in average.terms:
        total += coefficient * arithmetic.inner(a, b)
    return total
