"""The march: closed equations of order parameters, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.support.outcomes import DIVERGENCE, Outcome, diverged, of_losses

from .arguments import RunArguments, check_dtype
from .coordinates import tolerance
from .generated_modules import hash_of, march_module
from .memory import check_march_of
from .method import EQUATIONS, Arithmetic, Call, Progress, Solved
from .observables import Observed, observing_of

if TYPE_CHECKING:
    from dmft_sym.derivation.arrays import OrderParameter
    from dmft_sym.derivation.problem import Problem
    from dmft_sym.program import FieldRef


class RowMarch(Arithmetic):
    """Programs whose equations close: ``O(T^3)`` time and ``O(T^2)`` memory."""

    method = EQUATIONS
    summary = "the closed equations, marched row by row"
    options = frozenset({"dtype", "order_parameters"})
    unused = frozenset({"tol"})

    @staticmethod
    def applies(problem: Problem) -> bool:
        """Whether the equations close."""
        return not problem.program.averaged and not problem.program.increments

    @staticmethod
    def exact(problem: Problem) -> bool:
        """Always."""
        return True

    def run(self, call: Call) -> Solved:
        """Losses and, unless they are not wanted, order parameters."""
        from dmft_sym.results.order_parameters import make_dataset

        dtype = check_dtype(call.options.dtype)
        seen = Observed(observing_of(call.problem, call.arguments, gaussian=True))
        result = march(call.problem, call.arguments, call.backend, np.dtype(dtype).type, call.progress)
        losses, outcome = _judged(call, result)
        done = len(next(iter(losses.values())))
        _observe(seen, call, result, done)
        order: Mapping[str, Any] = {}
        if call.options.order_parameters and call.backend != "mpmath":
            order = _order_parameters(call, result, done)
        module = march_module(call.problem, call.backend)
        attributes = {"tol": tolerance(call), "dtype": dtype, "backend": call.backend, "module_hash": hash_of(module)}
        return Solved(seen.added_to(make_dataset(losses, order), done), outcome, attributes)


def march(
    problem: Problem, arguments: RunArguments, backend: str, dtype: Any = np.float64, progress: Progress | None = None
) -> dict[str, Any]:
    """What the generated ``march`` returns: unlabelled arrays, all order parameters, in the back end's numbers.

    Raises
    ------
    ArgumentError
        If there are more steps than fit into memory.
    """
    from dmft_sym.codegen.text.coefficient_text import class_name
    from dmft_sym.codegen.text.names import python_name
    from dmft_sym.support.progress import compilation_notice

    check_march_of(problem, arguments, backend, dtype)
    values: dict[str, Any] = {python_name(symbol): value for symbol, value in arguments.values.items()}
    of_classes = problem.program.class_values
    values |= {class_name(name) if name in of_classes else name: array for name, array in arguments.data.items()}
    options = {} if backend == "mpmath" else {"dtype": dtype}
    module = march_module(problem, backend)
    with np.errstate(all="ignore"), compilation_notice() if backend == "numba" else nullcontext():
        result: dict[str, Any] = module.march(
            steps=arguments.steps, outputs=arguments.outputs, progress=progress, **options, **values
        )
    return result


def _judged(call: Call, result: Mapping[str, Any]) -> tuple[dict[str, NDArray[Any]], Outcome]:
    """Losses up to where the run diverged."""
    names = [observable.name for observable in call.problem.program.observables]
    losses = {name: np.asarray(result[name][: result["steps"]], dtype=float) for name in names}
    first = max((float(np.max(np.abs(rows[:1]), initial=0.0)) for rows in losses.values()), default=0.0)
    outcome = of_losses(*losses.values(), bound=DIVERGENCE * (first or 1.0))
    if outcome.completed and result["steps"] < call.arguments.steps:
        outcome = diverged(result["steps"])
    kept = call.arguments.steps if outcome.step is None else outcome.step
    return {name: rows[:kept] for name, rows in losses.items()}, outcome


def _observe(seen: Observed, call: Call, result: Mapping[str, Any], steps: int) -> None:
    """Observables of every step, from correlations of the fields at equal times."""
    if seen.observing is None:
        return
    equal = EqualTimes(call.problem, result, call.arguments)
    for step in range(steps):
        seen.see(seen.observing.of_gaussian(partial(equal.covariance, step), equal.shares))


class EqualTimes:
    """Correlations of fields of one step, of what a march returned.

    Parameters
    ----------
    problem
        Whose closed equations were marched, with the correlations of all fields that are asked for.
    result
        All order parameters, by name, shape ([classes,] [layers...,] T C, T C).
    arguments
        Those of the run.
    """

    def __init__(self, problem: Problem, result: Mapping[str, Any], arguments: RunArguments) -> None:
        self._problem, self._result, self._outputs = problem, result, arguments.outputs
        self._integers = arguments.integers
        self._entries: dict[tuple[FieldRef, FieldRef], tuple[OrderParameter, tuple[int, ...]] | None] = {}
        classes = next(iter(problem.program.classes), None)
        self.shares = None if classes is None else np.asarray(arguments.data[classes.share])

    def covariance(self, step: int, a: FieldRef, b: FieldRef) -> NDArray[Any]:
        """``<a_c b_c'>``, shape ([classes,] outputs, outputs); zero between fields of different processes."""
        if (a, b) not in self._entries:
            self._entries[a, b] = self._entry(a, b)
        entry = self._entries[a, b]
        rows = slice(step * self._outputs, (step + 1) * self._outputs)
        if entry is None:
            return np.zeros((self._outputs, self._outputs))
        array, places = entry
        lead = (slice(None),) if array.classes is not None else ()
        return np.asarray(self._result[array.name][(*lead, *places, rows, rows)], dtype=float)

    def _entry(self, a: FieldRef, b: FieldRef) -> tuple[OrderParameter, tuple[int, ...]] | None:
        """The array, and the places of the layers on its axes."""
        found = self._problem.closure.table.entry("C", a, b.field, b.layer, {})
        if found is None or found.condition.subs(self._integers) == sp.false:
            return None
        stored = ((found.array.row_layers, found.row), (found.array.column_layers, found.column))
        places = (self._number(layer) - self._number(r.start) for r, layer in stored if r is not None)
        return found.array, tuple(places)

    def _number(self, layer: object) -> int:
        return int(sp.sympify(layer, strict=True).subs(self._integers))


def _order_parameters(call: Call, result: Mapping[str, Any], kept: int) -> Mapping[str, Any]:
    from dmft_sym.results.order_parameters import label_order_parameters

    arguments = call.arguments
    integers = {symbol.name: value for symbol, value in arguments.integers.items()}
    labels = march_module(call.problem, call.backend).labels(**integers)
    retained = _retained(call.problem, arguments)
    shares = next((arguments.data[classes.share] for classes in call.problem.program.classes), None)
    return label_order_parameters(result, labels, result["scales"], kept, arguments.outputs, retained, shares)


def _retained(problem: Problem, arguments: RunArguments) -> dict[str, NDArray[Any]]:
    """What weight decay leaves of the Gaussian fields of trained matrices at every step, by their names."""
    keep = float(problem.program.optimizer.retention(1).subs(arguments.values))
    if keep == 1:
        return {}
    left = keep ** np.arange(arguments.steps)
    return {use.noise_name: left for use in problem.uses.all if use.matrix in problem.program.learned}
