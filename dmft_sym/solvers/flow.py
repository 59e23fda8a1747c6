"""Gradient flow on growing coordinates, without sampling error: the limit of gradient descent in small steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show

from .coordinates import Coordinates
from .method import CONDITIONING, Call, counted
from .spectrum_request import check_tolerance

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

    from .coordinates import Trained


class Flow(Coordinates):
    """Programs whose fields are all Gaussian, integrated under error control (`dmft_sym.execution.flow`)."""

    summary = "the gradient flow of the program on growing coordinates"
    continuous = True

    def trained(self, call: Call, inspect: Any = None, at: Iterable[int] = ()) -> Trained:
        """The flow, and how it was carried out."""
        from dmft_sym.execution import flow_coordinates

        arguments, rule, dtype = call.arguments, call.problem.training, call.options.dtype
        if dtype != "float64":
            raise ArgumentError(f"dtype = {show(dtype)}: allowed with {type(rule).__name__} is 'float64'")
        tol = flow_tolerance(call.problem, call.options.tol)
        result = flow_coordinates(
            call.problem.program,
            arguments.values,
            arguments.outputs,
            arguments.times or (),
            tol=tol,
            progress=counted(call.progress, arguments.steps),
            inspect=inspect,
            data=call.problem.data.given or None,
            at=at,
            **rule.options,
        )
        return result, {"tol": tol, "dtype": dtype, "backend": "numpy"}


def flow_tolerance(problem: Problem, tol: object) -> float:
    """``tol`` of coordinates, as given, or far below that of a step.

    Raises
    ------
    ArgumentError
        If it is not below the tolerance of a step, which it would spoil.
    """
    rtol = float(problem.training.options["rtol"])
    if tol is None:
        return min(1e-8, 1e-4 * rtol)
    found = check_tolerance(tol)
    if found > rtol:
        raise ArgumentError(f"tol = {show(tol)}: allowed is a number below rtol = {rtol:g} of the flow")
    return found


def no_flow(problem: Problem, method: str, exact: bool | None) -> str:
    """Why a flow is not carried out so."""
    name = type(problem.training).__name__
    if method != CONDITIONING:
        return (
            f"method = {method!r}: allowed with {name} is method={CONDITIONING!r}; the derived equations are marched "
            "in steps, which approach the flow with a small learning_rate of GradientDescent"
        )
    if problem.program.linear:
        return f"exact = {show(exact)}: allowed with {name} is True"
    return (
        f"training = {name}: allowed for an infinite network is one that is linear; use GradientDescent with a small "
        "learning_rate, or finite networks (dmft_sym.simulate)"
    )
