"""Which matrices and steps spectra are asked for: arguments that are checked before a run."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .arguments import ArgumentError
from .messages import show

if TYPE_CHECKING:
    from .arguments import RunArguments
    from .theory import Theory


def check_request(theory: Theory, arguments: RunArguments, matrices: object, at: object) -> tuple[list[str], list[int]]:
    """The matrices, and the steps in ascending order.

    Raises
    ------
    ArgumentError
        If a matrix or a step does not exist, if there is none, or if an argument is something else.
    """
    return _names(theory, arguments, matrices), _steps(arguments, at)


def _names(theory: Theory, arguments: RunArguments, matrices: object) -> list[str]:
    from .program import ProgramError
    from .spectra import matrix_program

    allowed = 'allowed is a list of names, each once, such as ["W0", "NTK"]'
    names: list[str] = _listed("matrices", matrices, allowed)
    if any(not isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ArgumentError(f"matrices = {show(matrices)}: {allowed}")
    integers = {s: int(v) for s, v in arguments.values.items() if s.is_integer}
    for name in names:
        try:
            matrix_program(theory.program, name).flat(integers)
        except (ProgramError, ValueError) as error:
            raise ArgumentError(str(error)) from error
    return names


def _steps(arguments: RunArguments, at: object) -> list[int]:
    last = arguments.steps - 1
    steps: list[Any] = _listed("at", at, f"allowed is a list of steps from 0 to {last}")
    for step in steps:
        if isinstance(step, bool) or not isinstance(step, numbers.Integral) or not 0 <= int(step) <= last:
            raise ArgumentError(f"at = {show(step)}: allowed are steps of the run, 0 to {last}")
    return sorted({int(step) for step in steps})


def _listed(name: str, value: object, allowed: str) -> list[Any]:
    listed = [] if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable) else list(value)
    if not listed:
        raise ArgumentError(f"{name} = {show(value)}: {allowed}")
    return listed


def check_tolerance(tol: object) -> float:
    """The tolerance of growing coordinates.

    Raises
    ------
    ArgumentError
        If it is not a number between 0 and 1.
    """
    if isinstance(tol, bool) or not isinstance(tol, numbers.Real) or not 0 < float(tol) < 1:
        raise ArgumentError(f"tol = {show(tol)}: allowed is a number > 0 and < 1")
    return float(tol)
