"""One weight matrix as a level-two program: ``z b = W a + j_b``, ``z a = W^T b + j_a``."""

from __future__ import annotations

import sympy as sp

from dmft_sym.program import Assign, Field, FieldRef, GaussianMatrix, Linear, MatrixRef, Product, Program

from .matrix_program import MatrixProgram, fresh_name
from .transpose import transpose


def weight_program(program: Program, matrix: GaussianMatrix, name: str) -> MatrixProgram:
    """The singular-value problem of one Gaussian matrix of a program, or of every member of a family."""
    index = None if matrix.layers is None else sp.Symbol("l", integer=True, positive=True)

    def field(name: str, space_of: str) -> FieldRef:
        return FieldRef(Field(fresh_name(name, program), getattr(matrix, space_of), matrix.layers), index)

    a, out = field("a", "source"), field("Wa", "target")
    b = field("b", "target")
    statements = (Assign(out, Linear.of(Product(MatrixRef(matrix, index), a))),)
    back, last = transpose(statements, a, out, b, program)
    family = "" if index is None else matrix.name
    return MatrixProgram(
        name, program, statements, a, out, back, b, last, index=index, layers=matrix.layers, family=family
    )
