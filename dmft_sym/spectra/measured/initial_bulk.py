"""A matrix of unknown origin beside the law of its initialization: scale, edge, outliers, shifts of the bulk.

Entries at initialization are taken for independent with variance ``sigma^2 / columns``: singular values then have the
law of Marchenko and Pastur, edges ``sigma |1 - sqrt(tau)|`` and ``sigma (1 + sqrt(tau))``, ``tau = rows / columns``.
Sizes of fluctuations are those of Gaussian matrices: the largest value has the law of Tracy and Widom (I. Johnstone,
Ann. Statist. 29, 2001), a value inside of the bulk is rigid up to ``sqrt(log n) / (pi rho n)`` (J. Gustavsson, Ann.
Inst. H. Poincare B 41, 2005; S. O'Rourke, J. Stat. Phys. 138, 2010).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dmft_sym.support.array_types import Floats

TRACY_WIDOM = 3.2724
"""The quantile 0.999 of the law of the largest value of a real Gaussian matrix (beta = 1)."""
LEVELS = np.arange(1, 10) / 10
"""Levels of the quantiles by which the bulk is followed."""
ERRORS, FLOOR, FEW = 4.0, 0.02, 0.1
"""Standard errors and part of the edge that a quantile may be off; part of the values that may be outliers."""
_GRID = 20_001


@dataclass(frozen=True)
class InitialLaw:
    """Singular values of a Gaussian matrix of a shape, entries of variance ``1/columns``."""

    rows: int
    columns: int

    @property
    def count(self) -> int:
        """Number of singular values."""
        return min(self.rows, self.columns)

    @property
    def edges(self) -> tuple[float, float]:
        """Lower and upper edge of the bulk."""
        root = math.sqrt(self.rows / self.columns)
        return abs(1 - root), 1 + root

    @cached_property
    def _table(self) -> tuple[Floats, Floats, Floats]:
        """Singular values, their density and its integral, on a grid that is finer at the edges."""
        tau = self.rows / self.columns
        angle = np.linspace(math.pi, 0, _GRID)
        squares = np.maximum(1 + tau + 2 * math.sqrt(tau) * np.cos(angle), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.where(squares > 1e-12, np.sin(angle) ** 2 / squares, 1.0)  # a square matrix: cos^2 at zero
        total = np.concatenate([[0.0], np.cumsum(0.5 * (weight[1:] + weight[:-1]))])
        values = np.sqrt(squares)
        part = 2 * tau / (math.pi * min(1.0, tau)) * weight  # density in the angle
        with np.errstate(divide="ignore", invalid="ignore"):
            density = np.where(weight > 0, part * values / (math.sqrt(tau) * np.maximum(np.sin(angle), 1e-300)), 0.0)
        density[0] = density[1] if tau == 1 else 0.0
        density[-1] = 0.0
        return values, density, total / total[-1]

    def quantile(self, level: Floats) -> Floats:
        """The value below which a part of the singular values lies."""
        values, _, total = self._table
        return np.interp(level, total, values)

    def density(self, value: Floats) -> Floats:
        """Density of singular values, of unit mass."""
        values, density, _ = self._table
        return np.interp(value, values, density, left=0.0, right=0.0)

    @property
    def largest(self) -> float:
        """What the largest singular value exceeds with probability 0.001."""
        more, fewer = math.sqrt(max(self.rows, self.columns) - 1), math.sqrt(self.count)
        scale = (more + fewer) * (1 / max(more, 1.0) + 1 / fewer) ** (1 / 3)
        return math.sqrt(((more + fewer) ** 2 + TRACY_WIDOM * scale) / self.columns)

    def rigidity(self, level: Floats) -> Floats:
        """Standard deviation of a quantile of the singular values of one matrix."""
        number = self.count
        few = 3 / number  # measured at one and two values, of which the logarithm is not the leading term
        return math.sqrt(math.log(number) + few) / (math.pi * self.density(self.quantile(level)) * number)


@dataclass(frozen=True, eq=False)
class MeasuredWeights:
    """Singular values of one matrix, with the scale of its initialization.

    Attributes
    ----------
    values
        All of them, descending.
    left, right
        Vectors of the largest ones, as columns.
    sigma, sigma_error
        ``sqrt(columns)`` times the standard deviation of the entries at initialization, and its standard error (zero if
        it was given).
    """

    law: InitialLaw
    values: Floats
    left: Floats
    right: Floats
    sigma: float
    sigma_error: float

    @classmethod
    def of(cls, matrix: Floats, sigma: float | None = None, vectors: int = 0) -> MeasuredWeights:
        """Measure a matrix.

        Parameters
        ----------
        sigma
            As given; fitted to the middle of the singular values without it.
        vectors
            Number of the largest values whose vectors are kept.
        """
        law = InitialLaw(*matrix.shape)
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        found, error = fitted(law, values) if sigma is None else (sigma, 0.0)
        return cls(law, values, left[:, :vectors], right[:vectors].T, found, error)

    @property
    def limit(self) -> float:
        """Above it a value is an outlier: with probability 0.001 a matrix without any has one there."""
        return self.law.largest * (self.sigma + 3 * self.sigma_error)

    @property
    def outliers(self) -> int:
        """How many there are."""
        return int((self.values > self.limit).sum())

    @property
    def shifts(self) -> tuple[Floats, Floats]:
        """How far quantiles of the bulk have moved, in units of its upper edge, with standard errors."""
        bulk = self.values[self.outliers :][::-1]
        if not len(bulk) or self.sigma == 0:
            nothing = np.full(len(LEVELS), np.nan)
            return nothing, nothing
        level, edge = (np.arange(len(bulk)) + 0.5) / len(bulk), self.law.edges[1]
        before = self.law.quantile(LEVELS)
        moved = (np.interp(LEVELS, level, bulk) / self.sigma - before) / edge
        return moved, np.hypot(self.law.rigidity(LEVELS), before * self.sigma_error / self.sigma) / edge

    def overlaps(self, ranks: int) -> Floats:
        """``|cos|`` of right and left vectors with those of what was added, if that does not know the initial matrix.

        The formula of Benaych-Georges and Nadakuditi (J. Multivariate Anal. 111, 2012) at the measured values; shape
        (2, ranks), NaN in the bulk.
        """
        tau, found = self.law.rows / self.law.columns, np.full((2, ranks), np.nan)
        count = min(self.outliers, ranks)
        excess = (self.values[:count] / self.sigma) ** 2 - 1 - tau
        square = 0.5 * (excess + np.sqrt(np.maximum(excess**2 - 4 * tau, 0.0)))  # of the spike
        right = 1 - (tau + square) / (square * (1 + square))
        left = 1 - tau * (1 + square) / (square * (tau + square))
        found[:, :count] = np.sqrt(np.maximum([right, left], 0.0))
        return found


def fitted(law: InitialLaw, values: Floats) -> tuple[float, float]:
    """``sigma`` and its standard error by the middle half of the singular values, to which outliers do nothing."""
    level = (np.arange(len(values))[::-1] + 0.5) / len(values)
    middle = np.abs(level - 0.5) <= 0.25
    if not middle.any():
        middle = np.abs(level - 0.5) == np.abs(level - 0.5).min()
    sigma = float(np.median(values[middle] / law.quantile(level[middle])))
    at = np.array([0.5])
    return sigma, sigma * float(law.rigidity(at)[0] / law.quantile(at)[0])


def verdict(outliers: Floats, parts: Floats, shifts: Floats, errors: Floats) -> str:
    """``"lazy"``, ``"spikes"`` or ``"restructured"``, of networks with the same matrix.

    Restructured: a quantile of the bulk (at one of `LEVELS`) has moved by more than `ERRORS` standard errors and
    `FLOOR` of the upper edge together, or more than the part `FEW` of all values are outliers. Spikes: not so, and at
    least half of the networks have an outlier. Lazy: neither.

    Parameters
    ----------
    outliers, parts
        Number of outliers of every network, and which part of its values they are.
    shifts, errors
        Of the quantiles, shape (networks, levels).
    """
    mean, error = shifts.mean(axis=0), np.sqrt((errors**2).sum(axis=0)) / len(errors)
    if (np.abs(mean) > ERRORS * error + FLOOR).any() or parts.mean() > FEW:
        return "restructured"
    return "spikes" if (outliers > 0).mean() >= 0.5 else "lazy"
