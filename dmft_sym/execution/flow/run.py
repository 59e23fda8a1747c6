"""Running the gradient flow of a program: the infinite network of a linear one, and finite networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from dmft_sym.execution.plan import Given
from dmft_sym.execution.planning import make_plan
from dmft_sym.execution.result import ExecutionResult
from dmft_sym.execution.runner import Values, check_counts, check_tolerance
from dmft_sym.execution.track import Inspect, Progress, Track, Watch, forward
from dmft_sym.program import Program
from dmft_sym.support.errors import ExecutionError
from dmft_sym.support.outcomes import Failure, Outcome
from dmft_sym.support.threads import single_threaded

from .network import FlowCoordinates, FlowFinite, FlowNetwork
from .steps import Interval, NoStepError, Steps

MOST_STEPS = 100_000


def flow_coordinates(
    program: Program,
    values: Values,
    outputs: int,
    times: Sequence[float],
    rtol: float = 1e-6,
    tol: float | None = None,
    max_steps: int = MOST_STEPS,
    progress: Progress | None = None,
    inspect: Inspect | None = None,
    data: Given | None = None,
    at: Iterable[int] | None = None,
) -> ExecutionResult:
    """Carry the infinite network of a linear program along its gradient flow, in growing coordinates.

    Parameters
    ----------
    program
        One training step, whose increments are the right-hand side: those of a learning rate of one.
    values, outputs, data
        As for `run_coordinates`.
    times
        Ascending from 0: when observables are kept. The flow ends at the last one.
    rtol
        Tolerance of a step: of the error of every array, in units of its size.
    tol
        Of directions that are dropped, see `run_coordinates`; ``1e-4 rtol``, 1e-8 at most, if not given: to open one
        is a jump of the right-hand side, which counts as often as a step is long.
    max_steps
        Number of steps, rejected ones included, after which the flow is given up.
    progress
        Called with the number of ``times`` that are passed.
    inspect, at
        Called with the number of a time and the network, whose stored weights are those of this time; at which of them.

    Returns
    -------
    ExecutionResult
        With an entry for each of ``times`` that was reached.

    Raises
    ------
    ExecutionError
        As `run_coordinates`, and if the program has fresh samples or an optimizer with memory or decay.
    """
    check_counts(outputs=outputs)
    tol = min(1e-8, 1e-4 * rtol) if tol is None else tol
    check_tolerance(tol, float)
    plan = make_plan(program, values, outputs, reduced_transpose=True, data=data)
    with single_threaded():
        network = FlowCoordinates(plan, float, tol)
        return _flow(network, times, rtol, max_steps, Watch(len(times), None, progress, inspect, at))


def flow_finite(
    program: Program,
    values: Values,
    outputs: int,
    times: Sequence[float],
    dim: int,
    seed: int,
    rtol: float = 1e-6,
    max_steps: int = MOST_STEPS,
    normalise: bool = False,
    dtype: type = float,
    record_steps: Iterable[int] | None = None,
    progress: Progress | None = None,
    inspect: Inspect | None = None,
    data: Given | None = None,
    at: Iterable[int] | None = None,
) -> ExecutionResult:
    """Carry a finite network along its gradient flow.

    Parameters
    ----------
    record_steps
        Numbers of ``times`` at which all fields are kept.

    See Also
    --------
    flow_coordinates, run_finite : the remaining parameters.
    """
    check_counts(outputs=outputs, dim=dim)
    plan = make_plan(program, values, outputs, reduced_transpose=False, data=data)
    network = FlowFinite(plan, dtype, dim, seed, normalise)
    return _flow(network, times, rtol, max_steps, Watch(len(times), record_steps, progress, inspect, at))


def _flow(network: FlowNetwork, times: Sequence[float], rtol: float, max_steps: int, watch: Watch) -> ExecutionResult:
    if not network.plan.recursion.plain or any(sector.ephemeral for sector in network.plan.sectors):
        raise ExecutionError("a gradient flow: allowed are programs without momentum, weight decay and fresh samples")
    track, steps = Track(network, watch), Steps(network, lambda: forward(network), rtol, times[-1])
    with np.errstate(over="ignore", invalid="ignore"):
        failure = None
        while failure is None and not steps.done:
            failure = _step(network, steps, times, max_steps, watch, track)
    return track.result(None if failure is None else Outcome(failure, time=steps.time))


def _step(
    network: FlowNetwork, steps: Steps, times: Sequence[float], max_steps: int, watch: Watch, track: Track
) -> Failure | None:
    """One step, and what is kept within it; the failure that ends the flow."""
    if network.steps + steps.rejected >= max_steps:
        return Failure.TOO_MANY_STEPS
    try:
        interval = steps.next()
    except NoStepError:
        return Failure.NO_STEP
    while track.done < len(times) and times[track.done] <= interval.end * (1 + 1e-14):
        if not _keep(network, interval, times[track.done], watch, track):
            return Failure.DIVERGED
    steps.take(interval)
    return None


def _keep(network: FlowNetwork, interval: Interval, time: float, watch: Watch, track: Track) -> bool:
    """Keep what there is at a time within a step; false if it has diverged."""
    network.place(interval.at(time))
    with network.as_it_is():
        forward(network)
    if not track.keep():
        return False
    number = track.done - 1
    if number in watch.inspected:
        with network.moved():
            watch.look(network, number)
    else:
        watch.look(network, number)
    if watch.progress is not None:
        watch.progress(track.done)
    return True
