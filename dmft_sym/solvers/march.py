"""The march: closed equations of order parameters, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.support.outcomes import DIVERGENCE, Outcome, diverged, of_losses

from .arguments import RunArguments, check_dtype
from .coordinates import tolerance
from .generated_modules import hash_of, march_module
from .memory import check_march_of
from .method import EQUATIONS, Arithmetic, Call, Progress, Solved

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem


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
        result = march(call.problem, call.arguments, call.backend, np.dtype(dtype).type, call.progress)
        losses, outcome = _judged(call, result)
        order: Mapping[str, Any] = {}
        if call.options.order_parameters and call.backend != "mpmath":
            order = _order_parameters(call, result, len(next(iter(losses.values()))))
        module = march_module(call.problem, call.backend)
        attributes = {"tol": tolerance(call), "dtype": dtype, "backend": call.backend, "module_hash": hash_of(module)}
        return Solved(make_dataset(losses, order), outcome, attributes)


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
