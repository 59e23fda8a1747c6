"""Small changes of trained arrays, in slots: what a stage of a Runge-Kutta method adds to the weights of a step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmft_sym.execution.interface import Array

Weights = NDArray[np.float64]
"""Of the slots, shape (slots,); as many of the first ones as there are."""


class MatrixChanges:
    """Changes ``sum_k left_k^T right_k`` of a matrix, every slot of the same rank.

    Parameters
    ----------
    rank
        Number of outer products in a slot.
    rows, columns
        Of the matrix.

    Attributes
    ----------
    left, right : ndarray, shapes (slots, rank, rows) and (slots, rank, columns)
    """

    def __init__(self, rank: int, rows: int, columns: int, dtype: np.dtype[np.floating]) -> None:
        self.left: Array = np.zeros((0, rank, rows), dtype)
        self.right: Array = np.zeros((0, rank, columns), dtype)

    def reserve(self, slots: int) -> None:
        """Make room for so many slots."""
        more = max(0, slots - len(self.left))
        self.left, self.right = (np.pad(part, ((0, more), (0, 0), (0, 0))) for part in (self.left, self.right))

    def resize(self, rows: int, columns: int) -> None:
        """Follow the growth of the matrix."""
        self.left = np.pad(self.left, ((0, 0), (0, 0), (0, rows - self.left.shape[2])))
        self.right = np.pad(self.right, ((0, 0), (0, 0), (0, columns - self.right.shape[2])))

    def copy(self, slot: int, source: int) -> None:
        """Copy a slot."""
        self.left[slot], self.right[slot] = self.left[source], self.right[source]

    def times(self, fields: Array, weights: Weights, transpose: bool) -> Array:
        """What the weighted sum of the slots makes of every row of ``fields``."""
        near, far = (self.left, self.right) if transpose else (self.right, self.left)
        count = len(weights) * near.shape[1]
        overlaps = fields @ near.reshape(-1, near.shape[2])[:count].T
        overlaps *= np.repeat(weights, near.shape[1])
        return np.asarray(overlaps @ far.reshape(-1, far.shape[2])[:count])

    def total(self, weights: Weights) -> Array:
        """The weighted sum of the slots, shape (rows, columns)."""
        count = len(weights) * self.left.shape[1]
        left = self.left.reshape(-1, self.left.shape[2])[:count]
        right = self.right.reshape(-1, self.right.shape[2])[:count]
        return np.asarray((left * np.repeat(weights, self.left.shape[1])[:, np.newaxis]).T @ right)


class VectorChanges:
    """Changes of a vector, and the vector at the beginning of the step.

    Attributes
    ----------
    start : ndarray, shape (labels, size)
    values : ndarray, shape (slots, labels, size)
    """

    def __init__(self, start: Array) -> None:
        self.start = start.copy()
        self.values: Array = np.zeros((0, *start.shape), start.dtype)

    def reserve(self, slots: int) -> None:
        """Make room for so many slots."""
        self.values = np.pad(self.values, ((0, max(0, slots - len(self.values))), (0, 0), (0, 0)))

    def resize(self, size: int) -> None:
        """Follow the growth of the vector."""
        more = size - self.start.shape[1]
        self.start = np.pad(self.start, ((0, 0), (0, more)))
        self.values = np.pad(self.values, ((0, 0), (0, 0), (0, more)))

    def copy(self, slot: int, source: int) -> None:
        """Copy a slot."""
        self.values[slot] = self.values[source]

    def total(self, weights: Weights) -> Array:
        """The weighted sum of the slots, shape (labels, size)."""
        return np.asarray(np.tensordot(weights, self.values[: len(weights)], 1))
