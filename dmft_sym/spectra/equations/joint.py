"""Level one and level two as one program, through the same stages of the derivation.

The averaging rule is applied to the index set {places of the training program} + {places of the matrix program}. No
level-two field occurs in the training program, so the single-site equations of training stay what they are, and those
of the level-two fields are what is new (docs/mathematics.md, Spectra).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import sympy as sp

from dmft_sym.derivation.action import MatrixAction, matrix_action
from dmft_sym.derivation.pipeline import Pipeline
from dmft_sym.derivation.single_site import SiteEquation
from dmft_sym.derivation.uses import Use, UseTable
from dmft_sym.program import Assign, Field, ForLayers, Linear, Statement, Step
from dmft_sym.spectra.matrices.matrix_program import MatrixProgram

SINGULAR = sp.Symbol("z")
EIGEN = sp.Symbol("lambda_S")


class JointDerivation(Pipeline):
    """The stages of the derivation on the joint program.

    Parameters
    ----------
    matrix
        The level-two program.
    training
        The derivation of training, whose places and Gaussian fields keep their names and units.
    """

    def __init__(self, matrix: MatrixProgram, training: Pipeline) -> None:
        self.matrix = matrix
        self.training = training
        self.known = training.uses
        self.eigenvalue = EIGEN if matrix.symmetric else SINGULAR
        self.spikes: dict[tuple[str, str], Any] = {}
        """Spike equations that were made, by name of the matrix and dependence."""

    def renamed(self, matrix: MatrixProgram) -> JointDerivation:
        """The same derivation for another member of the family; stages that were made are kept."""
        other = JointDerivation(matrix, self.training)
        other.__dict__.update({key: value for key, value in self.__dict__.items() if key != "matrix"})
        return other

    def noise_scale(self, use: Use) -> sp.Expr:
        """As in training."""
        return self.training.noise_scale(use)

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        """The level-two statements, eigen-equations included; in a loop over the members of a family."""
        matrix = self.matrix
        outputs = {right: left for left, right in matrix.pairs}
        found: list[Statement] = []
        for statement in (*matrix.statements, *matrix.transposed):
            if isinstance(statement, Assign) and statement.target in outputs:
                value = Linear(tuple((c / self.eigenvalue, atom) for c, atom in statement.value.terms))
                found.append(Assign(outputs[statement.target], value))
            else:
                found.append(statement)
        if matrix.index is None or matrix.layers is None:
            return tuple(found)
        return (ForLayers(matrix.index, matrix.layers, tuple(found)),)

    @cached_property
    def program(self) -> Step:  # type: ignore[override]
        """Both levels."""
        training = self.matrix.program
        return Step((*training.statements, *self.statements), training.optimizer, self.matrix.name)

    @cached_property
    def uses(self) -> UseTable:
        """Places of both levels; those of training keep their names."""
        return UseTable(self.program, self.known)

    @cached_property
    def actions(self) -> dict[str, MatrixAction]:
        """Action of every matrix that the level-two program uses."""
        used = {use.matrix for use in self.uses.all if use.level_two}
        return {u.matrix.name: matrix_action(u) for u in self.uses.matrices if u.matrix in used and u.random}

    @cached_property
    def site_equations(self) -> list[SiteEquation]:
        """Single-site equations of the level-two fields."""
        return [self.site_builder.equation(scans, assign) for scans, assign in self._assigns()]

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """Level-two fields that have an equation."""
        return tuple(dict.fromkeys(a.target.field for _, a in self._assigns()))

    def _assigns(self) -> list[tuple[tuple[ForLayers, ...], Assign]]:
        known = set(self.matrix.program.fields)
        return [(scans, s) for scans, s in self.program.walk() if isinstance(s, Assign) and s.target.field not in known]
