"""From the statements of ``M a`` those of ``M^T b``, by reverse mode."""

from __future__ import annotations

from dmft_sym.networks.reverse import Adjoint, ReverseMode
from dmft_sym.program import Assign, Field, FieldRef, Linear, Program, ProgramError, Statement

from .equal_time import EqualTime
from .matrix_program import fresh_name, names_of


def transpose(
    statements: tuple[Statement, ...], start: FieldRef, end: FieldRef, seed: FieldRef, program: Program
) -> tuple[tuple[Statement, ...], FieldRef]:
    """Statements of the transposed map, and the field that holds its result.

    Parameters
    ----------
    statements
        Assignments (no scans), in the order of execution.
    start, end
        Input and output of the map.
    seed
        Input of the transposed map, a field of the space of ``end``.
    """
    backward = ReverseMode(start.axes, names_of(program), {}, trained=False)
    backward.add_adjoint(end, Linear.of(seed))
    for statement in reversed(statements):
        if not isinstance(statement, Assign):
            raise ProgramError(f"{str(statement).splitlines()[0]} a matrix with a scan has no transpose yet")
        if any(coefficient.has(EqualTime) for coefficient, _ in statement.value.terms):
            raise ProgramError(f"{statement}: a coefficient that is a matrix over outputs has no transpose yet")
        backward.visit(statement)
    result = FieldRef(Field(fresh_name(f"T_{start.field.name}", program), start.space, start.field.layers), start.layer)
    backward.assign(result, backward.adjoints.pop(start, Adjoint()))
    return tuple(backward.blocks[0]), result
