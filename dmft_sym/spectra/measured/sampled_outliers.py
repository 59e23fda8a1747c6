"""Outliers of a trained weight matrix from what a sampled replica knows of it.

``M = K + (1 - Pi_Q) G (1 - Pi_P)`` with ``G`` fresh; on the coordinates of ``K`` the bulk enters through
``D_in = m_a (1 - Pi_P) + Pi_P/z`` and ``D_out = m_b (1 - Pi_Q) + Pi_Q/z``, and outliers are the ``z`` at which a
singular value of ``D_out^{1/2} K D_in^{1/2}`` equals one (Bolthausen conditioning; docs/mathematics.md). The singular
values decrease with ``z``, so that the outlier of rank ``k`` exists if the ``k``-th is above one at the edge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dmft_sym.execution.coordinates import GrowingCoordinates
from dmft_sym.execution.interface import Array
from dmft_sym.execution.sampled_view import MatrixView
from dmft_sym.spectra.pencil.dyson import SOURCE, TARGET
from dmft_sym.spectra.pencil.effective import matrix_state

_EDGE = 1e-9  # relative distance from the edge at which outliers are counted


@dataclass(frozen=True)
class MarchenkoPastur:
    """Marchenko-Pastur bulk of singular values: entries ``N(0, s2/n_in)``, ``tau = n_out/n_in``."""

    variance: float
    aspect: float

    def scaled(self, retention: float) -> MarchenkoPastur:
        """The bulk of ``retention`` times the matrix."""
        return MarchenkoPastur(self.variance * retention**2, self.aspect)

    @property
    def edge(self) -> float:
        """``sqrt(s2) (1 + sqrt(tau))``."""
        return math.sqrt(self.variance) * (1 + math.sqrt(self.aspect))

    @property
    def lower_edge(self) -> float:
        """``sqrt(s2) |1 - sqrt(tau)|``."""
        return math.sqrt(self.variance) * abs(1 - math.sqrt(self.aspect))

    def resolvents(self, z: float, known_in: float = 0.0, known_out: float = 0.0) -> tuple[float, float]:
        """``m_a = 1/(z - s2 tau m_b)`` and ``m_b = 1/(z - s2 m_a)`` at real ``z`` above the edge.

        ``known_in`` and ``known_out`` are the shares of the two spaces on which the matrix is known; the fresh part has
        the variances ``s2 tau (1 - known_out)`` and ``s2 (1 - known_in)`` then.
        """
        first, second = self.variance * self.aspect * (1 - known_out), self.variance * (1 - known_in)
        # z second m_a^2 - (z^2 + second - first) m_a + z = 0, the branch that decays as 1/z
        half = z * z + second - first
        root = math.sqrt(max(half * half - 4 * second * z * z, 0.0))
        m_a = 2 * z / (half + root)
        return m_a, 1 / (z - second * m_a)


@dataclass(frozen=True)
class FiniteRank:
    """``K`` in orthonormal coordinates: rows are the ``q_j`` and the rest of the images, columns the ``p_k`` likewise.

    Attributes
    ----------
    matrix : ndarray, shape (q + x, p + y)
    rows, columns : int
        Number of the ``q_j`` and of the ``p_k``, which come first.
    sites : float
        Number of sites of either space.
    paired : bool
        Whether the images of a pair of sites are the same, and the back images opposite; see `noise_edge`.
    """

    matrix: Array
    rows: int
    columns: int
    sites: float = math.inf
    paired: bool = False

    def known(self, aspect: float) -> tuple[float, float]:
        """Shares of source and target on which the matrix is known; the fresh matrix has what is left.

        Images are noise on the ``S`` sites of the target, as those of a matrix with ``n_out = S`` and
        ``n_in = S/tau``, back images on the ``S`` of the source. Without these shares, noise along ``r`` directions
        would look like outliers up to ``O(r/S)`` above the edge.
        """
        return min(1.0, aspect * self.columns / self.sites), min(1.0, self.rows / self.sites / aspect)

    def singular_values(self, z: float, bulk: MarchenkoPastur) -> Array:
        """Singular values of ``D_out^{1/2} K D_in^{1/2}``, descending."""
        m_a, m_b = bulk.resolvents(z, *self.known(bulk.aspect))
        left = np.full(self.matrix.shape[0], math.sqrt(m_b))
        left[: self.rows] = 1 / math.sqrt(z)
        right = np.full(self.matrix.shape[1], math.sqrt(m_a))
        right[: self.columns] = 1 / math.sqrt(z)
        return np.asarray(np.linalg.svd(left[:, None] * self.matrix * right, compute_uv=False))


def finite_rank(view: MatrixView, aspect: float, paired: bool) -> FiniteRank:
    """``K`` of a replica, of antithetic pairs of sites or not; inner products are means over its sites."""
    p, q = view.directions, view.back_directions
    x_on_q, x_rest = _split(view.images, q)
    _, y_rest = _split(view.back_images, p)
    keep = view.retention
    rows, columns = len(q), len(p)
    matrix = np.zeros((rows + x_rest.shape[1], columns + y_rest.shape[1]))
    matrix[:rows, :columns] = keep * x_on_q.T + view.trained
    matrix[rows:, :columns] = keep * x_rest.T
    matrix[:rows, columns:] = keep * y_rest
    return FiniteRank(math.sqrt(aspect) * matrix, rows, columns, q.shape[1], paired)


def finite_rank_of_coordinates(network: GrowingCoordinates, number: int) -> tuple[FiniteRank, float]:
    """The same of a matrix in growing coordinates, and what weight decay has left of the initial matrix."""
    state = matrix_state(network, number)
    left, right = (_completed(state.spans[side]) for side in (TARGET, SOURCE))
    aspect = network.plan.matrices[number].inverse_aspect ** -1
    matrix = math.sqrt(aspect) * (left @ state.dense @ right.T)
    return FiniteRank(matrix, len(state.spans[TARGET]), len(state.spans[SOURCE])), state.retention


def _completed(rows: Array) -> Array:
    """Orthonormal rows, completed to a basis."""
    square, _ = np.linalg.qr(rows.T, mode="complete")
    return np.concatenate([rows, square[:, len(rows) :].T])


def _split(images: Array, basis: Array) -> tuple[Array, Array]:
    """Coefficients of images along a basis, and those of the rest in an orthonormal basis of its own."""
    sites = images.shape[1]
    along = images @ basis.T / sites
    rest = images - along @ basis
    values, vectors = np.linalg.eigh(rest @ rest.T / sites)
    kept = values > 1e-12 * max(values.max(initial=0.0), 1e-300)
    return along, vectors[:, kept] * np.sqrt(values[kept])


def noise_edge(found: FiniteRank, bulk: MarchenkoPastur) -> float:
    """The largest singular value that the noise of a replica makes, typically.

    The largest value of a random matrix of ``S`` sites scatters by ``S^(-2/3)``. Pairs of sites add to this: images are
    the same at both sites of a pair and back images opposite, so that of the known directions all the noise is in one
    half of the space. Rows of the matrix then have variances ``1 +- k`` with the known share ``k`` of the source, those
    of columns have that of the target, and this profile has a larger edge: ``z^2 = min -1/m + tau <a/(1 + a m)>`` over
    negative ``m > -1/max(a)`` for rows, and likewise for columns (Silverstein and Choi, J. Multivariate Anal. 54, 295
    (1995)).
    """
    scatter = 1 + found.sites ** (-2 / 3)
    if not found.paired:
        return bulk.edge * scatter
    tau = bulk.aspect
    known_in, known_out = found.known(tau)
    rows, columns = _profile_edge(1.0, tau, known_in), _profile_edge(tau, 1.0, known_out)
    return bulk.edge * scatter * rows * columns / (1 + math.sqrt(tau)) ** 2


def _profile_edge(first: float, second: float, spread: float) -> float:
    """Root of ``min -first/m + second <a/(1 + a m)>`` over ``a = 1 + spread`` and ``1 - spread``."""
    from scipy.optimize import minimize_scalar

    values = np.array([1 + spread, 1 - spread])
    end = -1 / values[0]

    def square(m: float) -> float:
        return float(-first / m + second * np.mean(values / (1 + values * m)))

    found = minimize_scalar(square, bounds=(end * (1 - 1e-9), end * 1e-9), method="bounded", options={"xatol": 1e-10})
    return math.sqrt(found.fun)


def outliers(found: FiniteRank, bulk: MarchenkoPastur) -> Array:
    """Outliers above the edge, and above what noise of the replica makes of it; with multiplicity, descending."""
    from scipy.optimize import brentq

    high = bulk.edge + float(np.linalg.norm(found.matrix, 2)) + 1
    low = max(noise_edge(found, bulk) * (1 + _EDGE), _EDGE * high)
    count = int(np.count_nonzero(found.singular_values(low, bulk) > 1))
    values = []
    for rank in range(count):
        values.append(brentq(lambda z: found.singular_values(z, bulk)[rank] - 1, low, high, xtol=1e-10))  # noqa: B023
        high = values[-1] * (1 + 1e-9)
    return np.array(values)
