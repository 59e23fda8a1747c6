"""The bulk of a spectrum: resolvent, density, edges and intervals, from the Dyson equation.

Outside of the support the resolvent is the real solution that continues the one at large ``z``; it ends at the upper
edge, where the tangent of the Dyson equation has the eigenvalue one (a fold). Densities and lower edges come from the
continuation through the upper half plane (`dmft_sym.spectra.numerics`).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.spectra.numerics.supports import Support, density, support
from dmft_sym.support.array_types import Array, Floats
from dmft_sym.support.outcomes import Failure, SpectrumError

from .dyson import DysonOfEquations

# A bulk smaller than this, relative to far(), is a point: a matrix without random part.
_COLLAPSED = 1e-6


class BulkOfEquations:
    """Bulk spectrum of one Dyson equation.

    Parameters
    ----------
    dyson
        The equation.
    name
        For messages.
    """

    def __init__(self, dyson: DysonOfEquations, name: str = "matrix") -> None:
        self.dyson = dyson
        self.name = name

    @cached_property
    def _far(self) -> float:
        """A point far outside of the support."""
        try:
            return self.dyson.beyond()
        except ValueError as error:
            raise SpectrumError(Failure.NO_CONVERGENCE, f"{self.name}: {error}") from error

    @cached_property
    def _branch(self) -> tuple[Floats, Floats]:
        """Real solutions from far outside down to the upper edge: ``z`` (descending), unknowns."""
        far = self._far
        h = self.dyson.iterate(np.array([far]), np.zeros((1, self.dyson.size)))
        points, unknowns = [far], [h[0]]
        step = 0.15
        floor = -far if not self.dyson.folded else 0.0
        while step > 1e-4:
            # Steps are short next to what lies ahead: a long one would jump over a narrow support.
            z = points[-1] - step * max(abs(points[-1]), 0.02 * far if not self.dyson.folded else 0.0)
            if z - floor < _COLLAPSED * far:
                return np.array([*points, floor]), np.array([*unknowns, unknowns[-1]])
            h, done = self._real(z, unknowns[-1])
            if done:
                points.append(z)
                unknowns.append(h)
            else:
                step /= 2
        edge, fold = self._fold(points[-1], unknowns[-1])
        if abs(edge) < _COLLAPSED * far:
            edge = 0.0  # a hard edge, where the resolvent diverges instead of folding
        # Between the last point and the edge the solution behaves as a square root.
        for part in (0.25, 0.06, 0.015, 0.004, 0.001):
            z = edge + part * (points[-1] - edge) if part == 0.25 else edge + (points[-1] - edge) * 0.25
            h, done = self._real(z, unknowns[-1])
            if done:
                points.append(z)
                unknowns.append(h)
        return np.array([*points, edge]), np.array([*unknowns, fold])

    def _real(self, z: float, guess: Floats) -> tuple[Floats, bool]:
        """The stable real solution next to a known one, and whether there is one."""
        try:
            h, done = self.dyson.polished(np.array([z]), guess[None], steps=12)
            if not done[0]:
                return guess, False
            green = self.dyson.green(np.array([z]), h)
            rates = np.linalg.eigvals(self.dyson.tangent(green)[0])
        except np.linalg.LinAlgError:
            return guess, False
        # Above the whole support every resolvent is positive.
        above = bool((self.dyson.resolvents(green) > 0).all())
        return np.asarray(h[0]), above and bool(np.abs(rates).max(initial=0) < 1)

    def _fold(self, z: float, h: Floats) -> tuple[float, Floats]:
        """The point where the tangent gets the eigenvalue one, by Newton's method on the extended system."""
        dyson, size = self.dyson, self.dyson.size
        values, vectors = np.linalg.eig(dyson.tangent(dyson.green(np.array([z]), h[None]))[0])
        start = np.real(vectors[:, np.argmin(np.abs(values - 1))])
        start = start / np.linalg.norm(start)
        x = np.concatenate([h, start, [z]])

        def extended(points: Array) -> Array:
            unknown, vector, at = points[:, :size], points[:, size : 2 * size], points[:, -1]
            green = dyson.green(at, unknown)
            first = dyson.image(green) - unknown
            second = (dyson.tangent(green) @ vector[..., None])[..., 0] - vector
            return np.concatenate([first, second, (vector @ start)[:, None] - 1], axis=1)

        for _ in range(40):
            shifted = x + 1e-30j * np.eye(len(x))  # derivatives by complex steps are exact
            jacobian = np.imag(extended(shifted)).T / 1e-30
            change = np.linalg.lstsq(jacobian, -np.real(extended(x[None]))[0], rcond=None)[0]
            x = x + change
            if np.abs(change).max() <= 1e-13 * np.abs(x).max():
                break
        else:
            raise SpectrumError(Failure.NO_CONVERGENCE, f"{self.name}: upper edge near {z:.6g}")
        return float(x[-1]), x[:size]

    @property
    def upper_edge(self) -> float:
        """Largest point of the support."""
        return float(self._branch[0][-1])

    @property
    def lowest(self) -> float:
        """Smallest real point at which the resolvent outside can be had: the edge, unless the bulk is a point."""
        points = self._branch[0]
        return float(points[-1] if points[-1] != 0 or not self.dyson.folded else points[-2])

    def outside(self, z: float) -> tuple[Floats, Floats]:
        """Unknowns and ``G`` at a real point at or above the upper edge."""
        points, unknowns = self._branch
        if z >= points[0]:
            h = self.dyson.iterate(np.array([z]), np.zeros((1, self.dyson.size)))
        else:
            place = int(np.searchsorted(-points, -z))
            if place >= len(points) - 1 and z <= points[-1]:
                return unknowns[-1], self.dyson.green(points[-1:], unknowns[-1:])[0]
            # Close to the edge the unknowns are linear in the square root of the distance.
            high, low = max(place - 1, 0), place
            root = np.sqrt(np.array([points[high], z, points[low]]) - points[-1])
            part = (root[1] - root[2]) / (root[0] - root[2])
            guess = unknowns[low] + part * (unknowns[high] - unknowns[low])
            h, done = self.dyson.polished(np.array([z]), guess[None])
            if not done[0] and np.abs(h[0] - guess).max() > 1e-6 * (1 + np.abs(guess).max()):
                raise SpectrumError(Failure.NO_CONVERGENCE, f"{self.name}: z = {z:.6g}")
        return h[0], self.dyson.green(np.array([z]), h)[0]

    def density(self, x: NDArray[np.floating[Any]]) -> Floats:
        """Spectral density, normalised to one together with the atom at zero; of singular values if not symmetric.

        Parameters
        ----------
        x
            Real points, shape (K,); points at zero belong to the atom.
        """
        return np.asarray(density(self.dyson, x), dtype=np.float64)

    @cached_property
    def support(self) -> Support:
        """Intervals with their masses, and the atom at zero.

        Raises
        ------
        SpectrumError
            If the masses do not add up to one, or if next to nothing of the spectrum is in the intervals: at an
            infinite ratio the field that is asked lives in a space that is infinitely larger.
        """
        top = self.upper_edge
        found = support(self.dyson, top)
        if found.atom > 1 - _COLLAPSED and top != 0:
            raise SpectrumError(Failure.NO_DENSITY, self.name)
        if len(found.bands):
            if abs(found.bands[-1, 1] - top) > _COLLAPSED * self._far:
                raise SpectrumError(Failure.NORMALISATION, f"{self.name}: no density next to the edge {top:.6g}")
            found.bands[-1, 1] = top
        return found

    def intervals(self) -> list[tuple[float, float]]:
        """Intervals of the support; gaps narrower than a scan are not seen. None for a bulk that is the point zero."""
        return [(float(low), float(high)) for low, high in self.support.bands]

    def masses(self) -> list[float]:
        """Weight of every interval; with the atom they add up to one."""
        return [float(mass) for mass in self.support.masses]
