"""The bulk of a spectrum: resolvent, density, edges and intervals, from the Dyson equation.

Outside of the support the resolvent is the real solution that continues the one at large ``z``; it ends at the upper
edge, where the tangent of the Dyson equation has the eigenvalue one (a fold). Inside it is the limit of ``z = x + i y``
from large ``y``; the imaginary part of every resolvent then has one sign, which is checked at every point.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.support.outcomes import Failure, SpectrumError

from .dyson import Array, DysonOfEquations

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
# Continuation towards the real axis: factor of a step, and how small y gets before the last one, relative to far().
_SHRINK = 0.5
_LOWEST = 1e-9
# Densities below this, relative to the largest, are outside of the support.
_EMPTY = 1e-7
# A bulk smaller than this, relative to far(), is a point: a matrix without random part.
_COLLAPSED = 1e-6
# By how much the weights of the intervals may differ from one.
_MASS_ERROR = 2e-3


class BulkOfEquations:
    """Bulk spectrum of one Dyson equation.

    Parameters
    ----------
    dyson
        The equation.
    symmetric
        Eigenvalues (else singular values, whose resolvent is odd in ``z``).
    name
        For messages.
    """

    def __init__(self, dyson: DysonOfEquations, *, symmetric: bool, name: str = "matrix") -> None:
        self.dyson = dyson
        self.symmetric = symmetric
        self.name = name

    @cached_property
    def _far(self) -> float:
        """A point far outside of the support."""
        try:
            return self.dyson.far()
        except ValueError as error:
            raise SpectrumError(Failure.NO_CONVERGENCE, f"{self.name}: {error}") from error

    @cached_property
    def _branch(self) -> tuple[Floats, Floats]:
        """Real solutions from far outside down to the upper edge: ``z`` (descending), unknowns."""
        far = self._far
        h = self.dyson.iterate(np.array([far]), np.zeros((1, self.dyson.size)))
        points, unknowns = [far], [h[0]]
        step = 0.15
        floor = -far if self.symmetric else 0.0
        while step > 1e-4:
            # Steps are short next to what lies ahead: a long one would jump over a narrow support.
            z = points[-1] - step * max(abs(points[-1]), 0.02 * far if self.symmetric else 0.0)
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
            h, done = self.dyson.newton(np.array([z]), guess[None], steps=12)
            if not done[0]:
                return guess, False
            green = self.dyson.green(np.array([z]), h)
            rates = np.linalg.eigvals(self.dyson.tangent(green)[0])
        except np.linalg.LinAlgError:
            return guess, False
        # Above the whole support every resolvent is positive.
        above = bool((self._resolvents(green) > 0).all())
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
        return float(points[-1] if points[-1] != 0 or self.symmetric else points[-2])

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
            h, done = self.dyson.newton(np.array([z]), guess[None])
            if not done[0] and np.abs(h[0] - guess).max() > 1e-6 * (1 + np.abs(guess).max()):
                raise SpectrumError(Failure.NO_CONVERGENCE, f"{self.name}: z = {z:.6g}")
        return h[0], self.dyson.green(np.array([z]), h)[0]

    def inside(self, x: Floats) -> Complexes:
        """``G`` at ``x + i0`` for any real points, shape (K, n, n)."""
        flat = np.asarray(x, dtype=float)
        green = self.dyson.green(flat.astype(complex), self._unknowns(flat))
        self._check(flat, green)
        return green

    def _unknowns(self, flat: Floats) -> Complexes:
        """Unknowns at ``x + i0``, shape (K, e)."""
        far = self._far
        h = self.dyson.iterate(flat + 1j * far, np.zeros((len(flat), self.dyson.size), dtype=complex))
        height = far
        while height > _LOWEST * far:
            height *= _SHRINK
            h = self._lower(flat, h, height / _SHRINK, height)
        final, done = self.dyson.newton(flat.astype(complex), h)
        return np.where(done[:, None], final, h)

    def _lower(self, x: Floats, h: Complexes, above: float, height: float) -> Complexes:
        """One step of the continuation; points that fail take smaller ones."""
        new, done = self.dyson.newton(x + 1j * height, h, steps=25)
        done &= self._sign(x, new, height)
        steps = 2
        while not done.all() and steps <= 256:
            bad = np.flatnonzero(~done)
            trial = h[bad]
            for y in np.geomspace(above, height, steps + 1)[1:]:
                trial, good = self.dyson.newton(x[bad] + 1j * y, trial, steps=25)
            good &= self._sign(x[bad], trial, height)
            new[bad[good]] = trial[good]
            done[bad[good]] = True
            steps *= 4
        if not done.all():
            raise SpectrumError(Failure.AMBIGUOUS_BRANCH, f"{self.name}: z = {x[~done][0]:.6g} + {height:.2g}i")
        return np.asarray(new)

    def _sign(self, x: Floats, h: Complexes, height: float) -> NDArray[np.bool_]:
        """Whether the resolvents have the sign of a resolvent."""
        diagonal = self._resolvents(self.dyson.green(x + 1j * height, h))
        return np.asarray((diagonal.imag <= 1e-7 * np.abs(diagonal)).all(axis=1))

    def _resolvents(self, green: Complexes) -> Complexes:
        places = np.flatnonzero(self.dyson.eigen)
        return green[:, places, places]

    def _check(self, x: Floats, green: Complexes) -> None:
        """Resolvents of the right sign on the axis."""
        diagonal = self._resolvents(green)
        wrong = (diagonal.imag > 1e-6 * np.abs(diagonal)).any(axis=1)
        if wrong.any():
            raise SpectrumError(Failure.AMBIGUOUS_BRANCH, f"{self.name}: z = {x[wrong][0]:.6g}")

    def density(self, x: NDArray[np.floating[Any]]) -> Floats:
        """Spectral density, normalised to one together with the atom at zero; of singular values if not symmetric.

        Parameters
        ----------
        x
            Real points, shape (K,); points at zero belong to the atom.
        """
        start = self.dyson.start
        green = self.inside(np.asarray(x, dtype=float))[:, start, start]
        return np.asarray(np.maximum(-green.imag / np.pi * (1 if self.symmetric else 2), 0.0))

    @cached_property
    def atom(self) -> float:
        """Weight of the eigenvalue (singular value) zero."""
        start = self.dyson.start
        weights = []
        h = None
        far = self._far
        point = np.array([1j * far])
        h = self.dyson.iterate(point, np.zeros((1, self.dyson.size), dtype=complex))
        for height in np.geomspace(far, 1e-9 * (abs(self.upper_edge) or far), 160)[1:]:
            point = np.array([1j * height])
            h, _ = self.dyson.newton(point, h)
            weights.append(float(np.real(point[0] * self.dyson.green(point, h)[0, start, start])))
        return weights[-1] if weights[-1] > 1e-4 else 0.0

    def intervals(self, points: int = 400) -> list[tuple[float, float]]:
        """Intervals of the support, from a scan refined by bisection; gaps narrower than the scan are not seen.

        None for a bulk that is the point zero.

        Raises
        ------
        SpectrumError
            If next to nothing of the spectrum is in them: at an infinite ratio the field that is asked lives in a space
            that is infinitely larger.
        """
        top = self.upper_edge
        if self.atom > 1 - _COLLAPSED:
            if top == 0:
                return []
            raise SpectrumError(Failure.NO_DENSITY, self.name)
        bottom = 0.0 if not self.symmetric else min(0.0, self._lower_bound())
        grid = bottom + (top - bottom) * (np.arange(points) + 0.5) ** 2 / points**2
        density = self.density(grid)
        full = density > _EMPTY * density.max()
        edges: list[float] = [bottom] if full[0] else []
        for k in np.flatnonzero(full[1:] != full[:-1]):
            edges.append(self._edge_between(grid[k], grid[k + 1], bool(full[k]), density.max()))
        edges.append(top)
        return list(zip(edges[::2], edges[1::2], strict=True))

    def masses(self, points: int = 400) -> list[float]:
        """Weight of every interval; with the atom they add up to one.

        Raises
        ------
        SpectrumError
            If they do not, which means that the scan missed a part of the support.
        """
        found = []
        for low, high in self.intervals(points):
            angle = (np.arange(points) + 0.5) * np.pi / points  # square roots at both ends are smooth in the angle
            # A density that diverges at zero is smooth in a root of the distance.
            power = 3.0 if low == 0 else 1.0
            root = 0.5 * (high - low) ** (1 / power) * (1 - np.cos(angle))
            slope = 0.5 * (high - low) ** (1 / power) * np.sin(angle) * power * root ** (power - 1)
            found.append(float(np.sum(self.density(low + root**power) * slope) * np.pi / points))
        total = sum(found) + self.atom
        if abs(total - 1) > _MASS_ERROR:
            raise SpectrumError(Failure.NORMALISATION, f"{self.name}: the weights add up to {total:.6g}")
        return found

    def _lower_bound(self) -> float:
        """A point below the support of a symmetric matrix: zero if nothing is negative."""
        far = self._far
        probe = -np.geomspace(1e-6, 1, 200) * far
        density = self.density(probe)
        negative = probe[density > _EMPTY]
        return float(negative.min() * 1.2) if len(negative) else 0.0

    def _edge_between(self, left: float, right: float, left_full: bool, scale: float) -> float:
        """An edge between two points of which one is in a gap, by bisection and Newton's method from the gap."""
        for _ in range(12):
            gap = right if left_full else left
            h = self._unknowns(np.array([gap]))[0].real
            try:
                edge = self._fold(gap, h)[0]
            except (SpectrumError, np.linalg.LinAlgError):
                edge = np.nan
            if left <= edge <= right:
                return edge
            middle = 0.5 * (left + right)
            full = bool(self.density(np.array([middle]))[0] > _EMPTY * scale)
            left, right = (middle, right) if full == left_full else (left, middle)
        return 0.5 * (left + right)
