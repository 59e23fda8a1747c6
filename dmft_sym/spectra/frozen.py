"""One matrix that learns between frozen ones: is a program of this kind, and its networks along singular directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp

from dmft_sym.execution.evaluate import Evaluator
from dmft_sym.execution.polynomial import scalar_directions
from dmft_sym.program import GaussianMatrix, MatrixRef, Program
from dmft_sym.support.array_types import Array, Floats


@dataclass(frozen=True)
class Frozen:
    """A program in which one matrix is trained, and reads the teacher through one frozen matrix.

    Attributes
    ----------
    trained, readout, teacher
        ``W: D -> N``, ``V: N -> C``, ``Theta*: D -> C``.
    """

    program: Program
    trained: GaussianMatrix
    readout: GaussianMatrix
    teacher: GaussianMatrix

    @classmethod
    def of(cls, program: Program) -> Frozen | None:
        """``None`` if the program is another."""
        if len(program.increments) != 1 or len(program.matrices) != 3:
            return None
        (increment,) = program.increments
        trained = increment.matrix
        others = [matrix for matrix in program.matrices if matrix != trained]
        teacher = [matrix for matrix in others if matrix.source == trained.source]
        readout = [matrix for matrix in others if matrix.source == trained.target]
        back = {product.matrix.matrix for product in increment.forward.products if product.transpose}
        if len(teacher) != 1 or len(readout) != 1 or back != set(readout) or teacher[0].target != readout[0].target:
            return None
        return cls(program, trained, readout[0], teacher[0])

    def directions(self, values: Mapping[sp.Symbol, float], squares: Floats, steps: int) -> list[dict[str, Array]]:
        """Networks of one hidden unit at every step, their weights being coefficients of ``W(0)`` and ``Theta*``.

        Parameters
        ----------
        squares
            Eigenvalues of ``V^T V``.
        """
        size, ones = len(squares), np.ones((len(squares), 1, 1))
        start: dict[MatrixRef, Array] = {
            MatrixRef(self.trained): ones * np.array([1.0, 0.0]),
            MatrixRef(self.teacher): ones * np.array([0.0, 1.0]),
            MatrixRef(self.readout): np.sqrt(squares).reshape(size, 1, 1),
        }
        with np.errstate(over="ignore", invalid="ignore"):
            return scalar_directions(self.program, Evaluator(values), start, steps)
