"""A Gaussian matrix on sampled sites: known on the directions that it was applied to, and nowhere else.

Bolthausen conditioning (docs/mathematics.md, given samples) with the inner product ``<a b> = (1/S) sum_i a_i b_i``::

    A p  = x      p orthonormal directions of the source, results x in the target
    A^T q = tau ybar      q orthonormal directions of the target, results ybar in the source
    a new p gets   x    = sum_j <ybar_j p> q_j + sqrt(s2) e        e standard normal, projected off the q_j
    a new q gets   ybar = sum_k <x_k q> p_k + sqrt(s2/tau) e       e standard normal, projected off the p_k

The factor ``tau`` of transposed products is in their coefficients, as for growing coordinates. The trained part is
``sum_jk B_jk q_j p_k^T``, a small matrix ``B``. What is left of a field outside of the directions, a rest shorter than
``tol``, acts by its conditional mean ``A rest = sum_j <ybar_j rest> q_j``; only its noise is dropped. Without the mean,
the features that move by less than ``tol`` would not move the output, where the move is divided by the richness.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from dmft_sym.program import Recursion

from .interface import Array
from .plan import MatrixPlan

Draw = Callable[[], Array]


class ImagedDirections:
    """Orthonormal directions on one side of a matrix and what the matrix makes of them on the other.

    Attributes
    ----------
    basis : ndarray, shape (directions, sites)
        The ``p_k`` (or ``q_j``).
    images : ndarray, shape (directions, sites of the other side)
        The ``x_k`` (or ``ybar_j``).
    std : float
        Standard deviation of the noise of a new image.
    """

    def __init__(self, near: int, far: int, std: float, draw: Draw, dtype: np.dtype[np.floating]) -> None:
        self.std = std
        self.draw = draw
        self._basis, self._images = np.zeros((8, near), dtype), np.zeros((8, far), dtype)
        self.count = 0

    @property
    def basis(self) -> Array:
        """The directions."""
        return self._basis[: self.count]

    @property
    def images(self) -> Array:
        """Their images."""
        return self._images[: self.count]

    def coefficients(self, fields: Array) -> tuple[Array, Array]:
        """Coefficients of every row along the directions, and the rest; orthogonalised twice against rounding."""
        sites = self._basis.shape[1]
        found = fields @ self.basis.T / sites
        rest = fields - found @ self.basis
        again = rest @ self.basis.T / sites
        return found + again, rest - again @ self.basis

    def add(self, direction: Array, image: Array) -> None:
        """Append a direction."""
        if self.count == len(self._basis):
            more = ((0, self.count), (0, 0))
            self._basis, self._images = np.pad(self._basis, more), np.pad(self._images, more)
        self._basis[self.count], self._images[self.count] = direction, image
        self.count += 1


class ConditionedMatrix:
    """A Gaussian matrix between sampled spaces, trained or not.

    Parameters
    ----------
    forward, backward
        The two sides: directions that the matrix, and its transpose, were applied to.
    tol
        Relative length below which the rest of a field is dropped.
    recursion
        The optimizer.
    """

    def __init__(
        self, spec: MatrixPlan, forward: ImagedDirections, backward: ImagedDirections, tol: float, recursion: Recursion
    ) -> None:
        self.spec, self.recursion = spec, recursion
        self.forward, self.backward = forward, backward
        self.tol = tol
        self.trained: Array = np.zeros((0, 0))
        self.memory: Array | None = np.zeros((0, 0)) if recursion.has_memory else None
        self.retention = 1.0

    def sides(self, transpose: bool) -> tuple[ImagedDirections, ImagedDirections]:
        """The side of the operand, and the other one."""
        return (self.backward, self.forward) if transpose else (self.forward, self.backward)

    def coefficients(self, fields: Array, scales2: Array, transpose: bool) -> tuple[Array, Array]:
        """Coefficients of every row, after opening the directions that it needs; of its rest, the overlaps.

        Parameters
        ----------
        scales2
            Squares of the largest norms that the rows have had.

        Returns
        -------
        along : ndarray, shape (rows, directions)
        overlaps : ndarray, shape (rows, directions of the other side)
            ``<ybar_j rest>`` of what is left of a row.
        """
        near, far = self.sides(transpose)
        sites = fields.shape[1]
        found, rest = near.coefficients(fields)
        first = near.count
        found = np.pad(found, ((0, 0), (0, len(fields))))
        for row in range(len(fields)):
            if first < near.count:  # directions that rows before this one have opened
                new = near.basis[first:]
                for _ in range(2):
                    along = rest[row] @ new.T / sites
                    found[row, first : near.count] += along
                    rest[row] -= along @ new
            length2 = float(rest[row] @ rest[row]) / sites
            if length2 > self.tol**2 * scales2[row] and length2 > 0:
                length = math.sqrt(length2)
                direction = rest[row] / length
                near.add(direction, self._image(direction, near, far))
                found[row, near.count - 1] = length
                rest[row] = 0
        if first < near.count:  # equal rows get equal coefficients, whichever of them came first
            new = near.basis[first:]
            along = rest @ new.T / sites
            found[:, first : near.count] += along
            rest -= along @ new
        return found[:, : near.count], rest @ far.images.T / sites

    def _image(self, direction: Array, near: ImagedDirections, far: ImagedDirections) -> Array:
        noise = near.draw()
        sites = len(noise)
        if far.count:
            noise -= (far.basis @ noise / sites) @ far.basis
            known = far.images @ direction / len(direction)
            return np.asarray(known @ far.basis + near.std * noise)
        return np.asarray(near.std * noise)

    def times(self, along: Array, overlaps: Array, transpose: bool) -> Array:
        """``W`` (or ``W^T / tau``) times fields with these `coefficients`."""
        near, far = self.sides(transpose)
        self.resize()
        trained = self.trained if transpose else self.trained.T
        back = along @ trained + self.retention * overlaps
        return np.asarray(self.retention * (along @ near.images) + back @ far.basis)

    def learn(self, left: Array, right: Array) -> None:
        """One step of the optimizer; the increment is ``sum_i left_i right_i^T`` in coefficients."""
        self.resize()
        increment = left.T @ right
        self.retention *= self.recursion.keep
        self.recursion.update(self.trained, self.memory, lambda total: np.add(total, increment, out=total))

    def resize(self) -> None:
        """Follow the growth of both sides."""
        rows, columns = self.backward.count - self.trained.shape[0], self.forward.count - self.trained.shape[1]
        if rows or columns:
            self.trained = np.pad(self.trained, ((0, rows), (0, columns)))
            if self.memory is not None:
                self.memory = np.pad(self.memory, ((0, rows), (0, columns)))
