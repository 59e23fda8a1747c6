"""Singular values of ``Sigma^{1/2} G``: the bulk of a sample covariance matrix, by Silverstein's equation.

``G`` has ``N`` rows and ``D`` columns, entries ``N(0, 1/D)``, and ``Sigma`` eigenvalues of a given law ``H``. The
resolvent ``m(z)`` of ``G^T Sigma G`` (``D`` by ``D``) solves

    z = -1/m + (N/D) int tau dH(tau) / (1 + tau m),

and the complement of the support is where this function of a real ``m`` increases (Silverstein and Bai, J. Multivariate
Anal. 54, 1995; Silverstein and Choi, same journal and year).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq

from dmft_sym.support.array_types import Array, Floats

from .continuation import NoConvergenceError
from .supports import Support

_SCAN = 200  # points of each half of an interval of m on which signs of the slope are looked for
_NOTHING = 1e-7  # relative length of a band that is rounding
_HEIGHT = 1e-14  # relative distance from the axis at which densities are read off
_NODES = 96  # of integrals of a density over a band
_DESCENT = 0.3  # factor by which a step approaches the axis
_NEWTON = 100
_RESIDUAL = 1e-10  # relative size of the last step; at an edge roots are double


def marchenko_pastur(ratio: float, nodes: int) -> tuple[Floats, Floats]:
    """Nodes and weights of the law of ``V^T V``, ``V`` of ``ratio * N`` rows and ``N`` columns, entries ``N(0, 1/N)``.

    The rule of Chebyshev polynomials of the second kind, exact for square-root edges; the last node is the atom at 0.
    """
    angles = (np.arange(nodes) + 0.5) * math.pi / nodes
    middle, half = 1 + ratio, 2 * math.sqrt(ratio)
    at = middle + half * np.cos(angles)
    weights = half**2 * np.sin(angles) ** 2 / (2 * math.pi * at) * (math.pi / nodes)
    return np.append(at, 0.0), np.append(weights, max(0.0, 1 - ratio))


@dataclass(frozen=True, eq=False)
class SampleCovariance:
    """The bulk of ``Sigma^{1/2} G``.

    Parameters
    ----------
    population, weights
        Nodes and weights of the law of eigenvalues of ``Sigma``.
    intervals
        Where it lives, (low, high) of its parts.
    aspect
        ``N/D``.
    """

    population: Floats
    weights: Floats
    intervals: Sequence[tuple[float, float]]
    aspect: float

    @property
    def share(self) -> float:
        """Columns by the number of singular values, of which there are as many as of the smaller of both sides."""
        return 1 / min(1.0, self.aspect)

    def inverse(self, m: Array) -> Array:
        """``z(m)``."""
        t, w = self.population, self.weights
        return -1 / m + self.aspect * (w * t / (1 + np.multiply.outer(m, t))).sum(axis=-1)

    def slope(self, m: Array) -> Array:
        """``dz/dm``."""
        t, w = self.population, self.weights
        return 1 / m**2 - self.aspect * (w * t**2 / (1 + np.multiply.outer(m, t)) ** 2).sum(axis=-1)

    @cached_property
    def bands(self) -> Floats:
        """Intervals of singular values above zero, ascending, shape (n, 2)."""
        gaps = sorted(gap for piece in self._pieces() for gap in self._gaps(piece))
        nothing = _NOTHING * gaps[-1][0]
        found, reached = [], 0.0
        for low, high in gaps:
            if low > reached + nothing:
                found.append((reached, low))
            reached = max(reached, high)
        return np.sqrt(np.array(found).reshape(-1, 2))

    def _pieces(self) -> list[tuple[float, float]]:
        """Intervals of real ``m`` between poles, as ends in ``u = -1/m``, ascending."""
        kept = sorted((low, high) for low, high in self.intervals if high > 0)
        merged: list[list[float]] = []
        for low, high in kept:
            if merged and low <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], high)
            else:
                merged.append([low, high])
        top = merged[-1][1]
        inner = [(first[1], second[0]) for first, second in itertools.pairwise(merged)]
        return [(-1e6 * top, 0.0), (0.0, merged[0][0]), *inner, (top, 1e6 * top)]

    def _gaps(self, piece: tuple[float, float]) -> list[tuple[float, float]]:
        """Intervals of ``z`` outside of the support that come from one interval of ``u``."""
        low, high = piece
        if not high > low:
            return []
        near = np.geomspace(1e-12, 0.5, _SCAN)
        u = np.unique(np.concatenate([low + (high - low) * near, high - (high - low) * near]))
        u = u[(u > low) & (u < high)]
        signs = self.slope(-1 / u) > 0
        gaps = []
        edges = np.flatnonzero(np.diff(signs.astype(int)))
        starts = [u[0]] if signs[0] else []
        for k in edges:
            root = brentq(lambda x: float(self.slope(np.array(-1 / x))), u[k], u[k + 1], xtol=1e-15, rtol=1e-14)
            starts.append(float(root))
        if signs[-1]:
            starts.append(u[-1])
        for first, last in zip(starts[::2], starts[1::2], strict=True):
            gaps.append((float(self.inverse(np.array(-1 / first))), float(self.inverse(np.array(-1 / last)))))
        return gaps

    def density(self, x: Floats) -> Floats:
        """Density of singular values, of unit mass per column together with those at zero.

        Raises
        ------
        NoConvergenceError
            If the equation could not be solved.
        """
        x = np.asarray(x, float)
        z = x**2
        scale = float(z.max(initial=0.0)) or 1.0
        height, lowest = 10 * max(scale, float(self.population.max())), _HEIGHT * scale
        m = self._newton(z + 1j * height, -1 / (z + 1j * height))
        while height > lowest:
            height = max(_DESCENT * height, lowest)
            m = self._newton(z + 1j * height, m)
        return np.asarray(2 * x * np.maximum(m.imag, 0.0) / math.pi)

    def _newton(self, z: Array, m: Array) -> Array:
        """Solutions near ``m``, by steps that stay in the upper half plane, in which the solution is unique."""
        m, open_ = m.copy(), np.arange(len(z))
        for _ in range(_NEWTON):
            at = m[open_]
            step = (self.inverse(at) - z[open_]) / self.slope(at)
            part = np.where(step.imag > 0.9 * at.imag, 0.9 * at.imag / np.maximum(np.abs(step.imag), 1e-300), 1.0)
            m[open_] = at - part * step
            open_ = open_[np.abs(step) > _RESIDUAL * np.abs(at)]
            if not len(open_):
                return m
        raise NoConvergenceError(f"Silverstein's equation at z = {z[open_[0]]:.6g}")

    @cached_property
    def support(self) -> Support:
        """Bands with the fractions of singular values in them, and the fraction at zero."""
        angles = (np.arange(_NODES) + 0.5) * math.pi / _NODES
        masses = []
        for low, high in self.bands:
            half = 0.5 * (high - low)
            x = 0.5 * (low + high) - half * np.cos(angles)
            masses.append(self.share * float((self.density(x) * half * np.sin(angles)).sum()) * math.pi / _NODES)
        return Support(self.bands, np.array(masses), 1 - sum(masses))
