"""Names of matrices: ``W0``, ``W1``, ``W[l]``, ``NTK``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import sympy as sp

from dmft_sym.program import GaussianMatrix, Program, ProgramError

from .matrix_program import FlatMatrix, MatrixProgram
from .tangent import tangent_kernel
from .weights import weight_program

KERNEL = "NTK"
_MEMBER = re.compile(r"(?P<family>[A-Za-z][A-Za-z0-9_]*?)(?:(?P<number>\d+)|\[(?P<index>l|\d+)\])")


def matrix_program(program: Program, name: str) -> MatrixProgram:
    """The eigenproblem of the matrix that users call ``name``.

    Parameters
    ----------
    name
        A matrix of the program by its own name (``"W0"``), a member of a family (``"W1"`` or ``"W[1]"``), every member
        (``"W[l]"``), or ``"NTK"``, the Gauss-Newton matrix of the training loss.

    Raises
    ------
    ProgramError
        If there is no such matrix; the message has the names that are allowed.
    """
    if name == KERNEL and KERNEL not in {matrix.name for matrix in program.matrices}:
        if program.increments:
            raise ProgramError(f"matrix = {name!r}: allowed are {', '.join(m.name for m in program.matrices)}")
        return tangent_kernel(program, name)
    matrix, member = find_matrix(program, name)
    found = weight_program(program, matrix, name if matrix.layers is None else f"{matrix.name}[l]")
    if member is None:
        return found
    one = found.with_member(int(member))
    return replace(one, name=name) if matrix.members else one


def flat_matrices(
    program: Program, values: Mapping[sp.Symbol, float], matrices: Iterable[str | MatrixProgram]
) -> list[FlatMatrix]:
    """Matrices by name, or programs of them, at the depth that the values of the symbols give."""
    found = (m if isinstance(m, MatrixProgram) else matrix_program(program, m) for m in matrices)
    return [matrix.flat(program.integers(values)) for matrix in found]


def find_matrix(program: Program, name: str) -> tuple[GaussianMatrix, sp.Integer | None]:
    """A Gaussian matrix by name, with its member if ``name`` has one."""
    known = {matrix.name: matrix for matrix in program.matrices}
    if name in known and known[name].layers is None:
        return known[name], None
    for matrix in known.values():
        if name in matrix.members and matrix.layers is not None:
            return matrix, matrix.layers.start + matrix.members.index(name)
    match = _MEMBER.fullmatch(name) if isinstance(name, str) else None
    family = known.get(match["family"]) if match else None
    if match is None or family is None or family.layers is None or (family.members and match["number"]):
        raise ProgramError(f"matrix = {name!r}: allowed are {', '.join(matrix_names(program))}")
    number = match["number"] or match["index"]
    return family, None if number == "l" else sp.Integer(int(number))


def matrix_names(program: Program) -> tuple[str, ...]:
    """The names that `matrix_program` takes, families by their first and last member."""
    names = []
    for matrix in program.matrices:
        if matrix.layers is None:
            names.append(matrix.name)
        elif matrix.members:
            names += matrix.members
        else:
            first, last = matrix.layers.start, matrix.layers.stop
            names.append(f"{matrix.name}<l> ({matrix.name}{first}, l = {first}..{last})")
    return (*names, KERNEL)
