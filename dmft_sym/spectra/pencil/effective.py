"""A pencil on the finitely many directions that training has used: the bulk enters as a self-energy.

In growing coordinates a matrix is ``K + (1 - Pi_Q) G (1 - Pi_P)``, with ``K`` between finitely many coordinates and
``G`` a fresh Gaussian matrix, which knows nothing of training (Bolthausen conditioning, see `coordinates`). Eliminating
all other directions from ``H(z) w = 0`` replaces the ``G`` of every matrix by the self-energy of the bulk, acting on
``1 - Pi`` alone::

    H(z) = L(z) - K - sum over matrices of Sigma_target(z) (1 - Pi_Q) + Sigma_source(z) (1 - Pi_P)

Outliers are the real ``z`` outside of the bulk where an eigenvalue of this symmetric matrix is zero. As a Schur
complement of the whole pencil it has eigenvalues that do not decrease with ``z``, and its derivative gives the norms of
the whole singular vectors. Blocks of the matrix are eliminated one component after the other, which keeps inertias
(Haynsworth), so that the eigenvalues of a small matrix are left to follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from dmft_sym.execution.coordinates import GrowingCoordinates
from dmft_sym.execution.interface import Array
from dmft_sym.spectra.numerics.continuation import BulkError
from dmft_sym.support.array_types import Floats

from .dyson import SOURCE, TARGET, Part, PencilDyson
from .pencil import Pencil

_MOST = 2048  # rows for which LAPACK gets workspace to factor in blocks

Sectors = tuple[tuple[int, ...], ...]
"""For every component of a pencil the sectors whose coordinates it consists of."""


@dataclass(frozen=True, eq=False)
class MatrixState:
    """A matrix of the infinite network at one step.

    Attributes
    ----------
    target, source : int
        Its sectors.
    dense : ndarray, shape (rows, columns)
        What it does between coordinates.
    spans : dict
        Orthonormal directions, as rows, in the target (source) sector that its transpose (it) was applied to.
    retention : float
        What weight decay has left of the initial matrix.
    """

    target: int
    source: int
    dense: Array
    spans: dict[str, Array]
    retention: float


def matrix_state(arithmetic: GrowingCoordinates, number: int) -> MatrixState:
    """The present state of a matrix of the plan."""
    matrix, ranks = arithmetic.matrices[number], arithmetic.ranks()
    rows, columns = ranks[matrix.spec.target], ranks[matrix.spec.source]
    spans = {
        TARGET: matrix.backward.directions.basis[: matrix.backward.directions.count, :rows].copy(),
        SOURCE: matrix.forward.directions.basis[: matrix.forward.directions.count, :columns].copy(),
    }
    return MatrixState(matrix.spec.target, matrix.spec.source, matrix.current(rows, columns), spans, matrix.retention)


@dataclass(frozen=True, eq=False)
class Elimination:
    """``H(z)`` with all components but one eliminated.

    Attributes
    ----------
    schur : ndarray, shape (n, n)
        What is left, on the last component.
    pivots, size : int
        Negative eigenvalues, and number of rows, of the blocks that were eliminated.
    steps : list of tuple
        Component, neighbours, and ``H_cc^{-1} H_cn`` for each, in the order of elimination.
    """

    schur: Floats
    pivots: int
    size: int
    steps: list[tuple[int, list[int], list[Floats]]]


class EffectivePencil:
    """``H(z)`` of a matrix at one step of a run in growing coordinates.

    Parameters
    ----------
    dyson
        The bulk.
    sectors
        Where the components of its pencil live.
    states
        The matrices, by number.
    ranks
        Number of coordinates of every sector.
    """

    def __init__(self, dyson: PencilDyson, sectors: Sectors, states: dict[int, MatrixState], ranks: list[int]) -> None:
        self.dyson = dyson
        self.pencil: Pencil = dyson.pencil
        self._sectors, self._ranks = sectors, ranks
        self.offsets: dict[int, int] = {}
        self.sizes: list[int] = []
        for group in sectors:
            size = 0
            for sector in group:
                self.offsets[sector] = size
                size += ranks[sector]
            self.sizes.append(size)
        self._members = [self.pencil.members(c) for c in range(len(sectors))]
        self.last = self.pencil.components[self.pencil.probe]
        self._couplings = self._coupling_blocks(states)
        self._order = self._elimination_order()
        self._spans = self._place_spans(states)
        self._projections = {part: span.T @ span for part, (_, span) in self._spans.items()}

    def _coupling_blocks(self, states: dict[int, MatrixState]) -> dict[tuple[int, int], Floats]:
        """``-K`` between components, both orders of a pair."""
        blocks: dict[tuple[int, int], Floats] = {}
        for coupling in self.pencil.couplings:
            state = states[coupling.matrix]
            rows, columns = (self._slice(coupling.target, state.target), self._slice(coupling.source, state.source))
            pair = self.pencil.components[coupling.target], self.pencil.components[coupling.source]
            for (i, j), (left, right), dense in (
                (pair, (rows, columns), state.dense),
                (pair[::-1], (columns, rows), state.dense.T),
            ):
                block = blocks.setdefault((i, j), np.zeros((self._length(i), self._length(j))))
                block[left, right] -= coupling.coefficient * dense
        return blocks

    def _length(self, component: int) -> int:
        return len(self._members[component]) * self.sizes[component]

    def _slice(self, field: int, sector: int) -> slice:
        """Rows of a field of the pencil on the coordinates of one sector."""
        component = self.pencil.components[field]
        start = self._members[component].index(field) * self.sizes[component] + self.offsets[sector]
        return slice(start, start + self._ranks[sector])

    def _place_spans(self, states: dict[int, MatrixState]) -> dict[Part, tuple[int, Floats]]:
        """Component and directions of every side of every matrix, in the coordinates of the component."""
        placed: dict[Part, tuple[int, Floats]] = {}
        for number, state in states.items():
            for side, sector in ((TARGET, state.target), (SOURCE, state.source)):
                component = next(c for c, group in enumerate(self._sectors) if sector in group)
                span, start = state.spans[side], self.offsets[sector]
                after = self.sizes[component] - start - span.shape[1]
                placed[number, side] = component, np.pad(span, ((0, 0), (start, after)))
        return placed

    def _elimination_order(self) -> list[tuple[int, list[int]]]:
        """Components, fewest neighbours first, with those of their neighbours that are still there; the last stays."""
        near: dict[int, set[int]] = {c: set() for c, members in enumerate(self._members) if members}
        for i, j in self._couplings:
            if i != j:
                near[i].add(j)
        order = []
        while len(near) > 1:
            component = min((c for c in near if c != self.last), key=lambda c: (len(near[c]), c))
            neighbours = near.pop(component)
            for n in neighbours:
                near[n] |= neighbours - {n}
                near[n].discard(component)
            order.append((component, sorted(neighbours)))
        return order

    def _diagonal(self, component: int, z: float, g: Floats) -> Floats:
        """``L(z) - Sigma (1 - Pi)`` on a component."""
        members, size = self._members[component], self.sizes[component]
        pick = np.ix_(members, members)
        scalars = (self.pencil.constant + z * self.pencil.slope)[pick]
        out = np.zeros((len(members), size, len(members), size))
        for part, (where, _) in self._spans.items():
            if where != component:
                continue
            energy = self.dyson.self_energy_of(part, g)[pick]
            scalars = scalars - energy
            for i, j in np.argwhere(energy):
                out[i, :, j] += energy[i, j] * self._projections[part]
        for i, j in np.argwhere(scalars):
            out[i, range(size), j, range(size)] += scalars[i, j]
        return out.reshape(len(members) * size, len(members) * size)

    def eliminate(self, z: float, g: Floats) -> Elimination:
        """Eliminate every component but the last at a real ``z`` with the solution ``g`` of the Dyson equation.

        Raises
        ------
        BulkError
            If a pivot is singular: ``z`` is a pole of what is left.
        """
        blocks = dict(self._couplings)
        for c in (self.last, *(c for c, _ in self._order)):
            diagonal = self._diagonal(c, z, g)
            blocks[c, c] = blocks[c, c] + diagonal if (c, c) in blocks else diagonal
        steps: list[tuple[int, list[int], list[Floats]]] = []
        pivots = size = 0
        for component, near in self._order:
            if not self._length(component):  # nothing has reached these sectors: there is nothing but the bulk
                steps.append((component, near, [np.zeros((0, self._length(n))) for n in near]))
                continue
            factor, pivoting, failed = lapack.dsytrf(blocks[component, component], lower=1, lwork=64 * _MOST)
            if failed:
                raise BulkError(f"a block of the effective pencil is singular at z = {z:.8g}")
            pivots += negative(factor, pivoting)
            size += len(factor)
            solved = [lapack.dsytrs(factor, pivoting, blocks[component, n], lower=1)[0] for n in near]
            for n in near:
                for other, solution in zip(near, solved, strict=True):
                    change = blocks[n, component] @ solution
                    blocks[n, other] = blocks[n, other] - change if (n, other) in blocks else -change
            steps.append((component, near, solved))
        schur = blocks[self.last, self.last]
        return Elimination(0.5 * (schur + schur.T), pivots, size, steps)

    def vectors(self, elimination: Elimination, last: Floats) -> dict[int, Floats]:
        """Vectors on all components from those on the last one, shape (n, k): one array for every component."""
        found = {self.last: last}
        for component, near, solved in reversed(elimination.steps):
            parts = [solution @ found[n] for n, solution in zip(near, solved, strict=True)]
            found[component] = -np.sum(parts, axis=0)
        return found

    def slopes(self, vectors: dict[int, Floats], velocity: Floats) -> Floats:
        """``w^T H'(z) w`` of vectors ``w``: the squared norms ``sum slope |.|^2`` of the whole level-two fields.

        Parameters
        ----------
        velocity
            ``dG/dz``.
        """
        total = np.zeros(vectors[self.last].shape[1])
        for component in vectors:
            members = self._members[component]
            pick = np.ix_(members, members)
            vector = vectors[component]
            parts = vector.reshape(len(members), self.sizes[component], vector.shape[1])
            overlaps = np.einsum("iak,jak->ijk", parts, parts)
            total += np.einsum("ij,ijk->k", self.pencil.slope[pick], overlaps)
            for part, (where, span) in self._spans.items():
                if where == component:
                    inner = np.einsum("pa,iak->ipk", span, parts)
                    outside = overlaps - np.einsum("ipk,jpk->ijk", inner, inner)
                    total -= np.einsum("ij,ijk->k", self.dyson.self_energy_of(part, velocity)[pick], outside)
        return total

    def sectors_of(self, field: int) -> tuple[int, ...]:
        """Sectors whose coordinates a field of the pencil has."""
        return self._sectors[self.pencil.components[field]]

    def coordinates(self, vectors: dict[int, Floats], field: int, sector: int) -> Floats:
        """The part of a field of the pencil on the coordinates of a sector, shape (rank, k)."""
        component = self.pencil.components[field]
        return vectors[component][self._slice(field, sector)]


def negative(factor: Floats, pivoting: NDArray[np.intp]) -> int:
    """Negative eigenvalues of the block diagonal ``D`` of LAPACK's ``L D L^T`` (lower form)."""
    diagonal = np.diagonal(factor)
    single = pivoting > 0
    # The blocks of two rows that Bunch and Kaufman choose are indefinite: one eigenvalue of either sign.
    return int(np.count_nonzero(diagonal[single] < 0) + np.count_nonzero(~single) // 2)
