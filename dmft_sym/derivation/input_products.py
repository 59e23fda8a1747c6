"""A derivation in which products of matrices with given inputs are fields by themselves.

All that a matrix does to the inputs is then seen as averages over the sites of a field. Where a network has no such
field, its program gets one that nothing reads, and training is what it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sympy as sp

from dmft_sym.program import (
    LAYER,
    Assign,
    Field,
    FieldRef,
    ForLayers,
    GaussianMatrix,
    Learn,
    Linear,
    MatrixRef,
    Product,
    Program,
    Statement,
    Step,
)

from .pipeline import Pipeline
from .uses import Use


class WithStatements(Pipeline):
    """The derivation of a program with statements before its updates."""

    def __init__(self, derivation: Pipeline, statements: tuple[Statement, ...]) -> None:
        self._scale = derivation.noise_scale
        program = derivation.program
        own = program.statements
        updates = next((k for k, statement in enumerate(own) if isinstance(statement, Learn)), len(own))
        extended = Program((*own[:updates], *statements, *own[updates:]), program.optimizer, program.name)
        super().__init__(extended, derivation.probes)
        self.joint_derivations: dict[Any, Any] = {}

    def noise_scale(self, use: Use) -> sp.Expr:
        """That of the derivation."""
        return self._scale(use)


def with_input_products(
    derivation: Pipeline, matrices: Iterable[GaussianMatrix]
) -> tuple[Pipeline, Mapping[GaussianMatrix, FieldRef]]:
    """A derivation whose program has a field ``W x`` for each of these matrices, and the fields.

    A matrix that has such a field already is left alone, so that most networks keep their derivation.
    """
    found: dict[GaussianMatrix, FieldRef] = {}
    missing: list[Statement] = []
    for matrix in dict.fromkeys(matrices):
        known = _product_field(derivation.program, matrix)
        if known is None:
            statement, known = _product_statement(derivation.program, matrix)
            missing.append(statement)
        found[matrix] = known
    return (WithStatements(derivation, tuple(missing)) if missing else derivation), found


def _product_field(program: Step, matrix: GaussianMatrix) -> FieldRef | None:
    """The field that is the product of a single matrix with the inputs and nothing else."""
    for scans, assign, coefficient, product in program.products():
        alone = len(assign.value.terms) == 1 and coefficient == 1 and assign.target.axes == product.operand.axes
        if product.matrix.matrix == matrix and matrix.layers is None and alone and not scans:
            return assign.target
    return None


def _product_statement(program: Step, matrix: GaussianMatrix) -> tuple[Statement, FieldRef]:
    """What computes the product, of a family at all of its layers, and its field."""
    operand = next(product.operand for *_, product in program.products() if product.matrix.matrix == matrix)
    name, names = f"p_{matrix.name}"[:30], {thing.name for thing in (*program.fields, *program.scalars)}
    while name in names:
        name += "_"
    layer = None if matrix.layers is None else LAYER.symbol
    target = FieldRef(Field(name, matrix.target, matrix.layers, operand.axes), layer)
    assign = Assign(target, Linear.of(Product(MatrixRef(matrix, layer), operand)))
    if matrix.layers is None:
        return assign, target
    return ForLayers(LAYER.symbol, matrix.layers, (assign,)), target
