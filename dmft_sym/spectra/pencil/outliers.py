"""Outliers: where an eigenvalue of the effective pencil vanishes outside of the bulk.

They are counted by eigenvalues, not by the sign of a determinant: equal outputs make outliers exactly degenerate. As
the eigenvalues of the pencil do not decrease with ``z``, the outlier of rank ``k`` above the bulk is the zero of the
``k``-th lowest of the eigenvalues that change their sign. This eigenvalue at the edge is the *margin* of an outlier:
negative if there is one, positive before it escapes, so that its zero in time is the moment of escape.

Outliers are continuous at their escape: there is one as soon as its margin is negative, however close to the edge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigh, lapack

from dmft_sym.spectra.numerics.continuation import POINT, BulkError
from dmft_sym.support.array_types import Floats

from .effective import EffectivePencil, Elimination, negative

_DISTANCE = 1e-7  # relative distance from the edge of the point from which values at the edge are extrapolated
_AT_EDGE = 1e-9  # relative distance from the edge below which an outlier is extrapolated like the margins
_ROOT_ERROR = 1e-11  # relative change of an outlier below which it is converged
_STEPS = 60
_FAR = 1e8  # where there are no outliers any more, in units of the bulk


class OutlierError(BulkError):
    """An outlier was not found; the message says where and why."""


@dataclass(frozen=True, eq=False)
class Outlier:
    """An eigenvalue (singular value) outside of the bulk, with its vector.

    Attributes
    ----------
    value : float
        Its position.
    vectors : dict of ndarray, shape (rows,)
        The level-two fields of every component, scaled so that ``sum slope |.|^2`` over all inputs is one.
    """

    value: float
    vectors: dict[int, Floats]


@dataclass(frozen=True, eq=False)
class PencilOutliers:
    """The outliers on one side of the bulk, farthest first.

    Attributes
    ----------
    edge : float
        The edge of the bulk.
    found : list of Outlier
        With multiplicity.
    margins : ndarray, shape (k,)
        Eigenvalues at the edge, those of the outliers first; see the module.
    slopes : ndarray, shape (k,)
        Their derivatives in the square root of the distance from the edge.
    """

    edge: float
    found: list[Outlier]
    margins: Floats
    slopes: Floats

    @property
    def values(self) -> Floats:
        """Positions, shape (n,)."""
        return np.array([outlier.value for outlier in self.found])


@dataclass(frozen=True, eq=False)
class _Point:
    """The effective pencil at ``z = edge + side u^2``: eigenvalues that matter there, with vectors.

    Attributes
    ----------
    beyond : int
        Number of outliers beyond ``z``.
    values : ndarray, shape (k,)
        The eigenvalues that belong to the outliers of rank ``0..k-1``.
    slopes : ndarray, shape (k,)
        Their derivatives in ``u``.
    """

    u: float
    z: float
    beyond: int
    elimination: Elimination
    values: Floats
    slopes: Floats
    last: Floats


class OutlierSearch:
    """Outliers beyond an edge of the bulk.

    Parameters
    ----------
    effective
        The pencil at one step.
    edge
        Where the bulk ends.
    side
        1 for outliers above the edge, -1 for those below.
    end
        Where the search ends, infinity by default.
    watched
        Number of margins to return at least.
    """

    def __init__(
        self, effective: EffectivePencil, edge: float, side: int = 1, end: float = math.inf, watched: int = 1
    ) -> None:
        self.effective, self.edge, self.side, self.watched = effective, edge, side, watched
        self._scale = abs(edge) or effective.dyson.far
        self._longest = math.sqrt(abs(end - edge)) if math.isfinite(end) else math.inf
        self._baseline = self._negatives(*self._at_end())[0]

    def run(self, hints: Floats | None = None) -> PencilOutliers:
        """Find all outliers.

        Parameters
        ----------
        hints
            Where they are approximately, farthest first.

        Raises
        ------
        OutlierError
            If the search for one does not converge.
        """
        near_edge = math.sqrt(_DISTANCE * self._scale)
        first = self._point(near_edge, self.watched)
        margins = first.values - first.slopes * near_edge
        count = int(np.count_nonzero(margins < 0))
        if count == len(margins) < first.beyond + 1:
            self.watched = first.beyond + 1
            return self.run(hints)
        found: list[Outlier] = []
        start = first
        for rank in range(count):
            escaped = self._escaped(first, rank, margins[rank])
            if escaped is not None:
                found.append(escaped)
                continue
            if hints is not None and rank < len(hints) and self.side * (hints[rank] - self.edge) > near_edge**2:
                start = self._point(math.sqrt(self.side * (hints[rank] - self.edge)), count)
            start = self._root(rank, count, start, margins[rank])
            found.append(self._outlier(start, rank, start.u))
        return PencilOutliers(self.edge, found, margins, first.slopes)

    def _escaped(self, first: _Point, rank: int, margin: float) -> Outlier | None:
        """An outlier that has just left the edge, where eigenvalues are linear in ``u``; ``None`` if it is farther."""
        slope = first.slopes[rank]
        if not (slope > 0 and math.isfinite(margin)):
            return None
        u = -margin / slope
        return self._outlier(first, rank, u) if u * u < _AT_EDGE * self._scale else None

    def _root(self, rank: int, count: int, point: _Point, margin: float) -> _Point:
        """The point where the eigenvalue of an outlier vanishes: Newton's method in ``u``, kept in a bracket."""
        low, high = 0.0, self._longest
        for _ in range(_STEPS):
            value, slope = point.values[rank], point.slopes[rank]
            low, high = (point.u, high) if value < 0 else (low, point.u)
            step = -value / slope if np.isfinite(value) and slope > 0 else math.nan
            target = point.u + step
            if not low <= target <= high or not math.isfinite(target):
                target = 2 * max(point.u, math.sqrt(self._scale)) if math.isinf(high) else 0.5 * (low + high)
            moved = abs(target - point.u) * (target + point.u)
            if moved <= _ROOT_ERROR * abs(point.z):
                return point
            point = self._point(max(target, 1e-9 * math.sqrt(self._scale)), count)
        raise OutlierError(f"the outlier of rank {rank} near {point.z:.6g} does not converge (margin {margin:.1e})")

    def _outlier(self, point: _Point, rank: int, u: float) -> Outlier:
        """The outlier at ``u`` squared from the edge, with the vector of a point that is there or next to it."""
        vectors = self.effective.vectors(point.elimination, point.last[:, rank : rank + 1])
        # The derivative in z of the eigenvalue times |last|^2 is the squared norm of the whole vector.
        norm2 = abs(point.slopes[rank]) / (2 * u)
        value = self.edge + self.side * u * u
        return Outlier(value, {c: v[:, 0] / math.sqrt(norm2) for c, v in vectors.items()})

    def _point(self, u: float, ranks: int) -> _Point:
        z = self.edge + self.side * u * u
        g = self.effective.dyson.outside(z)
        negatives, elimination = self._negatives(z, g)
        beyond = negatives - self._baseline
        pivots = self._negative_pivots(elimination)
        schur = self.side * elimination.schur
        first = self._baseline - pivots
        low, high = max(first, 0), min(first + max(ranks, 1), len(schur))
        values, slopes = np.full(ranks, math.inf), np.zeros(ranks)
        values[: max(0, -first)] = -math.inf
        last = np.zeros((len(schur), ranks))
        if low < high:
            kept = slice(low - first, high - first)
            values[kept], last[:, kept] = eigh(schur, subset_by_index=(low, high - 1), driver="evr")
            vectors = self.effective.vectors(elimination, last[:, kept])
            velocity = self.effective.dyson.velocity(np.array([z]), g[None])[0]
            slopes[kept] = 2 * u * self.effective.slopes(vectors, velocity)
        return _Point(u, z, beyond, elimination, values, slopes, last)

    def _at_end(self) -> tuple[float, Floats]:
        dyson = self.effective.dyson
        if math.isfinite(self._longest):
            z = self.edge + self.side * self._longest**2
            return z, dyson.outside(z)
        z = self.side * _FAR * max(self._scale, dyson.far)
        return z, dyson.iterated(np.array([z], complex))[0].real

    def _negatives(self, z: float, g: Floats) -> tuple[int, Elimination]:
        """Negative eigenvalues of ``side H``."""
        elimination = self.effective.eliminate(z, g)
        schur = self.side * elimination.schur
        count = self._negative_pivots(elimination)
        if len(schur):
            factor, pivoting, _ = lapack.dsytrf(schur, lower=1, lwork=64 * len(schur))
            count += negative(factor, pivoting)
        return count, elimination

    def _negative_pivots(self, elimination: Elimination) -> int:
        return elimination.pivots if self.side > 0 else elimination.size - elimination.pivots


def outliers_above_a_point(effective: EffectivePencil, watched: int = 1) -> PencilOutliers:
    """Outliers of a bulk that is the point zero: all down to a thousandth of the largest.

    Raises
    ------
    OutlierError
        If the search for one does not converge.
    """
    height = effective.dyson.far
    found = OutlierSearch(effective, height).run()
    for _ in range(12):
        if found.found:
            break
        height *= 0.1
        found = OutlierSearch(effective, height).run()
    if found.found:
        found = OutlierSearch(effective, POINT * found.found[0].value, watched=watched).run()
    return replace(found, edge=0.0)
