"""Outliers of a matrix from given inputs, which has ``D`` columns and infinitely many rows.

Its singular values grow as ``sqrt(N/D)`` (entries are ``N(0, s2/D)``). In this unit they are the roots of the
eigenvalues of ``S = <w w^T>``, where ``w`` is ``sqrt(D)`` times a row, a Gaussian vector of variance ``s2`` at the
start: all values are then equal, the bulk has no width, and what training moved is an outlier. Training moves ``w`` in
the span of the samples only, so that ``S`` is looked at in orthonormal coordinates of this span.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dmft_sym.execution.coordinates import GrowingCoordinates
from dmft_sym.execution.interface import Array
from dmft_sym.spectra.pencil.dyson import SOURCE
from dmft_sym.spectra.pencil.effective import matrix_state

from .sampled_outliers import MarchenkoPastur

_EDGE = 1e-9  # relative distance from the edge, and from rounding errors of the largest value, of an outlier
_DISTINCT = 1e-4  # relative size of the directions in which samples differ, where products with them are what is known


@dataclass(frozen=True)
class RowMoments:
    """Averages over sites of rows ``w`` and of what they were at the start, ``w0``, in orthonormal coordinates.

    Attributes
    ----------
    now, across, start : ndarray, shape (rank, rank)
        ``<w w^T>``, ``<w w0^T>`` and ``<w0 w0^T>``.
    sites : float
        Number of sites that are independent of each other; infinite if averages are exact.
    """

    now: Array
    across: Array
    start: Array
    sites: float

    def corrected(self, bulk: MarchenkoPastur, kept: float) -> Array:
        """``S``, with the sampling error of the initial weights, whose covariance is known, taken off."""
        return self.now - kept**2 * self.start + bulk.variance * np.eye(len(self.now))

    def noise(self, bulk: MarchenkoPastur, kept: float) -> float:
        """Typical largest eigenvalue that sampling makes of ``rho <w0 d^T> + rho <d w0^T>``, ``d`` being what moved.

        A product of two Gaussian samples of ranks ``r`` and ``r_d`` has the norm ``sqrt(r) + sqrt(r_d)`` in units of
        both standard deviations and ``1/sqrt(sites)``; ``r_d = tr <d d^T> / |<d d^T>|`` counts directions that moved.
        """
        moved = self.now - kept * (self.across + self.across.T) + kept**2 * self.start
        values = np.maximum(np.linalg.eigvalsh(moved), 0)
        directions = math.sqrt(len(values)) + math.sqrt(values.sum() / values.max()) if values.any() else 0.0
        return bulk.edge * math.sqrt(2 * values.max(initial=0.0) / self.sites) * directions


def moments_of_rows(weights: Array, start: Array, paired: bool) -> RowMoments:
    """Those of a replica, of antithetic pairs of sites or not; shapes (rank, sites)."""
    sites = weights.shape[1]
    now, across, first = (a @ b.T / sites for a, b in ((weights, weights), (weights, start), (start, start)))
    return RowMoments(now, across, first, sites / 2 if paired else sites)


def moments_of_products(now: Array, across: Array, start: Array, gram: Array, sites: float) -> RowMoments:
    """Those of products ``p = W x`` with samples of overlaps ``gram``: ``<p p>``, ``<p p0>`` and ``<p0 p0>``."""
    values, vectors = np.linalg.eigh(gram)
    kept = values > _DISTINCT**2 * values.max(initial=0.0)
    inverse = vectors[:, kept] / np.sqrt(values[kept])
    now, across, start = (inverse.T @ products @ inverse for products in (now, across, start))
    return RowMoments(now, across, start, sites)


def moments_of_coordinates(network: GrowingCoordinates, number: int) -> tuple[RowMoments, float]:
    """The exact ones of a matrix in growing coordinates, and what weight decay has left of the initial matrix."""
    state, spec = matrix_state(network, number), network.plan.matrices[number]
    known = state.spans[SOURCE]
    start = spec.variance * np.eye(state.dense.shape[1])
    unseen = spec.variance * state.retention**2 * (np.eye(len(start)) - known.T @ known)
    return RowMoments(state.dense.T @ state.dense + unseen, start, start, math.inf), state.retention


def input_outliers(moments: RowMoments, initial: MarchenkoPastur, kept: float) -> tuple[Array, float]:
    """Outliers above the edge, and above what noise makes of it, descending; and this limit.

    Parameters
    ----------
    initial
        The initial bulk, of aspect 0.
    kept
        What weight decay has left of the initial matrix.
    """
    bulk = initial.scaled(kept)
    squares = np.linalg.eigvalsh(moments.corrected(bulk, kept))[::-1]
    values = np.sqrt(np.maximum(squares, 0))
    limit = math.sqrt(bulk.variance + moments.noise(bulk, kept)) + _EDGE * max(bulk.edge, values.max(initial=0.0))
    return values[values > limit], limit
