"""An orthonormal set of directions that grows, with a cheap test of what lies outside its span."""

from __future__ import annotations

import numpy as np

from .interface import Array, Place

SKETCHES = 16
"""Random probes of the orthogonal complement: the norm of a remainder is known to about 20 per cent."""

_OPENING = 0.7  # a remainder that the probes flagged opens a direction from here on, in units of the tolerance


class SpannedDirections:
    """The directions that a Gaussian matrix (or its transpose) has been applied to.

    A product with a direction inside the span needs no new randomness. Whether a field is inside has to be asked at
    every product; the projection costs as much as two products, so a few Gaussian probes ``z``, kept orthogonal to
    the span, answer first: ``<z h>`` has the variance ``|h_perp|^2`` (Johnson-Lindenstrauss). Only if their mean
    square exceeds ``tol`` is the remainder computed.

    Parameters
    ----------
    capacity
        Number of coordinates of the sector, padding included.
    tol
        Remainders below ``tol * scale`` are dropped, ``scale`` the largest norm that the field has had.
    """

    def __init__(self, capacity: int, tol: float, dtype: np.dtype[np.floating], stream: np.random.Generator) -> None:
        self._stream = stream
        self._tol2 = tol * tol
        self.count = 0
        self.basis: Array = np.zeros((8, capacity), dtype)
        self.probes: Array = stream.standard_normal((SKETCHES, capacity)).astype(dtype)

    def clear(self) -> None:
        """Forget all directions."""
        self.basis[: self.count] = 0
        self.count = 0
        self.draw_probes()

    def draw_probes(self) -> None:
        """Draw all probes, for a span that is empty."""
        self.probes[...] = self._stream.standard_normal(self.probes.shape)

    def resize(self, capacity: int) -> None:
        """Follow the growth of the sector; the new coordinates are in no direction yet."""
        padding = capacity - self.basis.shape[1]
        self.basis = np.pad(self.basis, ((0, 0), (0, padding)))
        fresh = self._stream.standard_normal((SKETCHES, padding)).astype(self.basis.dtype)
        self.probes = np.concatenate((self.probes, fresh), axis=1)

    def reserve(self, count: int) -> None:
        """Make room for so many directions."""
        self.basis = np.pad(self.basis, ((0, max(0, count - len(self.basis))), (0, 0)))

    def move(self, place: Place) -> None:
        """Put all arrays elsewhere."""
        self.basis, self.probes = place(self.basis), place(self.probes)

    def outside(self, row: Array, scale2: float) -> bool:
        """Whether the probes see a remainder of ``row`` above ``tol * scale``."""
        seen = self.probes @ row
        return bool(seen.dot(seen) > SKETCHES * self._tol2 * scale2)

    def open(self, row: Array, scale2: float) -> Array | None:
        """Add the normalised remainder of ``row`` and return it, or ``None`` if it is to be dropped."""
        basis = self.basis[: self.count]
        remainder = row - (basis @ row) @ basis
        norm2 = float(remainder.dot(remainder))
        if not norm2 > _OPENING**2 * self._tol2 * scale2:
            return None
        remainder /= np.sqrt(norm2)
        remainder -= (basis @ remainder) @ basis
        remainder /= np.sqrt(remainder.dot(remainder))
        self._append(remainder)
        return remainder

    def _append(self, direction: Array) -> None:
        if self.count == len(self.basis):
            self.reserve(2 * self.count)
        self.basis[self.count] = direction
        self.count += 1
        self.probes -= np.outer(self.probes @ direction, direction)
