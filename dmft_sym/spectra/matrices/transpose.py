"""Reverse mode for a linear chain of assignments: from the statements of ``M a`` those of ``M^T b``."""

from __future__ import annotations

from dmft_sym.program import Assign, Field, FieldRef, Linear, Product, Program, ProgramError, Statement

from .equal_time import EqualTime
from .matrix_program import fresh_name


def transpose(
    statements: tuple[Statement, ...], start: FieldRef, end: FieldRef, seed: FieldRef, program: Program
) -> tuple[tuple[Assign, ...], FieldRef]:
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
    adjoints: dict[FieldRef, Linear] = {end: Linear.of(seed)}
    found: list[Assign] = []
    for statement in reversed(statements):
        if not isinstance(statement, Assign):
            raise ProgramError(f"{str(statement).splitlines()[0]} a matrix with a scan has no transpose yet")
        adjoint = adjoints.pop(statement.target, Linear())
        for coefficient, atom in statement.value.terms:
            if not adjoint.terms:
                break
            if coefficient.has(EqualTime):
                raise ProgramError(f"{statement}: a coefficient that is a matrix over outputs has no transpose yet")
            if isinstance(atom, Product):
                left = _named(adjoint, statement.target, found, program)
                adjoint = Linear.of(left)
                back = Linear.of(Product(atom.matrix, left, not atom.transpose), coefficient)
                adjoints[atom.operand] = adjoints.get(atom.operand, Linear()) + back
            elif isinstance(atom, FieldRef):
                adjoints[atom] = adjoints.get(atom, Linear()) + adjoint.scaled(coefficient)
    result = FieldRef(Field(fresh_name(f"T_{start.field.name}", program), start.space, start.field.layers), start.layer)
    found.append(Assign(result, adjoints.pop(start, Linear())))
    return tuple(found), result


def _named(adjoint: Linear, primal: FieldRef, found: list[Assign], program: Program) -> FieldRef:
    """The adjoint of ``primal`` as a field that a matrix can act on."""
    if len(adjoint.terms) == 1 and adjoint.terms[0][0] == 1 and isinstance(adjoint.terms[0][1], FieldRef):
        return adjoint.terms[0][1]
    name = fresh_name(f"g_{primal.field.name}", program)
    ref = FieldRef(Field(name, primal.space, primal.field.layers), primal.layer)
    found.append(Assign(ref, adjoint))
    return ref
