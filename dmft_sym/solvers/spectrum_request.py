"""Which matrices and steps spectra are asked for: arguments that are checked before a run."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem
    from dmft_sym.spectra import MatrixProgram

    from .arguments import RunArguments


def check_request(
    theory: Problem, arguments: RunArguments, matrices: object, at: object
) -> tuple[dict[str, MatrixProgram], list[int]]:
    """The matrices by name, and the steps (of a flow, numbers of its times) in ascending order.

    Raises
    ------
    ArgumentError
        If a matrix or a step does not exist, if there is none, or if an argument is something else.
    """
    return _matrices(theory, arguments, matrices), _steps(arguments, at)


def _matrices(theory: Problem, arguments: RunArguments, matrices: object) -> dict[str, MatrixProgram]:
    from dmft_sym.spectra import MatrixProgram

    allowed = 'allowed is a list of names, each once, such as ["W0", "NTK"], or of matrices made by dmft_sym.operator'
    listed: list[Any] = _listed("matrices", matrices, allowed)
    names = [matrix.name if isinstance(matrix, MatrixProgram) else matrix for matrix in listed]
    if any(not isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ArgumentError(f"matrices = {show(names)}: {allowed}")
    return {name: check_matrix(theory, arguments, matrix) for name, matrix in zip(names, listed, strict=True)}


def check_matrix(theory: Problem, arguments: RunArguments, matrix: str | MatrixProgram) -> MatrixProgram:
    """A matrix by name, or one that `dmft_sym.operator` made, if this network has it.

    Raises
    ------
    ArgumentError
        If it does not exist at this depth, belongs to another network, or has the name of another matrix.
    """
    from dmft_sym.program import ProgramError
    from dmft_sym.spectra import matrix_program

    try:
        found = matrix_program(theory.program, matrix) if isinstance(matrix, str) else matrix
        found.flat(arguments.integers)
    except (ProgramError, ValueError) as error:
        raise ArgumentError(str(error)) from error
    if found.program != theory.program:
        raise ArgumentError(
            f"matrices: {found.name} is of another network; allowed is operator(theory, ...) of this one"
        )
    if found is matrix and _belongs_to_another(theory, found, arguments):
        raise ArgumentError(
            f"matrices: the network has a {found.name} of its own; allowed for an operator is another name"
        )
    return found


def _belongs_to_another(theory: Problem, matrix: MatrixProgram, arguments: RunArguments) -> bool:
    """Whether the name of an operator is that of a matrix of the network."""
    from dmft_sym.program import ProgramError
    from dmft_sym.spectra import matrix_program

    try:
        known = matrix_program(theory.program, matrix.name)
        known.flat(arguments.integers)
    except (ProgramError, ValueError):
        return False
    return known != matrix


def _steps(arguments: RunArguments, at: object) -> list[int]:
    places = listed_places(arguments, at)
    return sorted({arguments.step_of("at", place) for place in places})


def listed_places(arguments: RunArguments, at: object) -> list[Any]:
    """Steps or times that spectra are asked for at.

    Raises
    ------
    ArgumentError
        If they are no list.
    """
    last = arguments.place(arguments.steps - 1)
    return _listed("at", at, f"allowed is a list of {arguments.axis}s from 0 to {last:g}")


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
