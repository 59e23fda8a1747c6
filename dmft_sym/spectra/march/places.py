"""Where training uses a matrix, and the two-time matrices between such places.

Rows of the stacked matrices are ordered by step: row ``s * places + i`` is place ``i`` at step ``s``, so that the
leading block of a matrix is what was known before a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from dmft_sym.program import FieldRef
from dmft_sym.support.array_types import Floats

from .flat_sites import MatrixSide, NoiseAt, operand_of
from .level_one import TwoTime

Column = TypeVar("Column")


class PlacesOfSide:
    """Places ``x_i = A h_i`` (or ``y_j = A^T g_j``) of training in one direction of a matrix.

    Attributes
    ----------
    noises
        The Gaussian fields that the products leave behind.
    operands
        What the matrix is applied to.
    """

    def __init__(self, side: MatrixSide, run: TwoTime) -> None:
        self.noises = _places(side, run)
        self.operands = [operand_of(noise) for noise in self.noises]

    def __len__(self) -> int:
        return len(self.noises)


class PlaceTable:
    """Places of all matrices of a run, with correlations and responses between them."""

    def __init__(self, run: TwoTime) -> None:
        self.run = run
        self._places: dict[MatrixSide, PlacesOfSide] = {}
        self._responses: dict[tuple[MatrixSide, MatrixSide], Floats] = {}
        self._overlaps: dict[tuple[MatrixSide, MatrixSide], Floats] = {}
        self._norms: dict[MatrixSide, Floats] = {}

    def __getitem__(self, side: MatrixSide) -> PlacesOfSide:
        if side not in self._places:
            self._places[side] = PlacesOfSide(side, self.run)
        return self._places[side]

    def response(self, row: MatrixSide, column: MatrixSide, step: int) -> Floats:
        """``<d operand_row / d noise_column>`` of the steps before ``step``, shape (step * rows, step * columns)."""
        key = row, column
        if key not in self._responses:
            operands, noises = self[row].operands, self[column].noises
            self._responses[key] = self._stacked(operands, noises, lambda ref, noise: self.run.response(ref, *noise))
        return self._responses[key][: step * len(self[row]), : step * len(self[column])]

    def overlap(self, row: MatrixSide, column: MatrixSide, step: int) -> Floats:
        """``<operand_row operand_column>`` of the steps before ``step``, shape (step * rows, step * columns)."""
        key = row, column
        if key not in self._overlaps:
            self._overlaps[key] = self.correlations(self[row].operands, self[column].operands)
        return self._overlaps[key][: step * len(self[row]), : step * len(self[column])]

    def norms(self, side: MatrixSide) -> Floats:
        """Norm of every operand at every step, at least a millionth of its largest; shape (T * places,)."""
        if side not in self._norms:
            count = len(self[side])
            norms = np.ones(self.run.steps * count)
            for i, operand in enumerate(self[side].operands):
                own = self.run.correlation(operand, operand)
                if own is not None and own.any():
                    square = np.diag(own)
                    norms[i::count] = np.sqrt(np.maximum(square, 1e-12 * square.max()))
            self._norms[side] = norms
        return self._norms[side]

    def correlations(self, rows: list[FieldRef], columns: list[FieldRef]) -> Floats:
        """Correlations of fields at all steps, shape (T * rows, T * columns)."""
        return self._stacked(rows, columns, self.run.correlation)

    def _stacked(
        self, rows: list[FieldRef], columns: list[Column], block: Callable[[FieldRef, Column], Floats | None]
    ) -> Floats:
        """Two-time matrices of all pairs, zero where there is none."""
        full = np.zeros((self.run.steps * len(rows), self.run.steps * len(columns)))
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                found = block(row, column)
                if found is not None:
                    full[i :: len(rows), j :: len(columns)] = found
        return full


def _places(side: MatrixSide, run: TwoTime) -> list[NoiseAt]:
    """Where training uses a matrix in one direction, at integer layers; none for a matrix that is drawn anew."""
    if side.matrix.fresh:
        return []
    uses = run.theory.uses
    builder = run.theory.site_builder
    found: list[NoiseAt] = []
    for use in uses.transposed(side.matrix) if side.transpose else uses.forward(side.matrix):
        noise = builder.noises[use]
        if use.layers is None or use.index is None:
            found.append((noise, None))
        elif use.family:
            if side.member in use.layers.at(run.integers):
                found.append((noise, side.member))
        else:
            found += [(noise, layer) for layer in use.layers.at(run.integers)]
    return found
