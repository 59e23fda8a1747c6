"""The bulk of a pencil: the matrix Dyson equation between level-two fields.

Averaging ``H(z)^{-1}`` over the Gaussian matrices leaves ``G_ij = <H^{-1}>_ij``, a number for every two fields of a
component (normalised trace), with

    G = (L_0 + z L_1 - Sigma(G))^{-1},
    Sigma_ii' = sum_k c_k c_k' s2/tau G_jj'   on the target side of a matrix,
    Sigma_jj' = sum_k c_k c_k' s2     G_ii'   on its source side,

with the coefficients ``c_k`` of the pencil. It is the averaging rule of the program (docs/mathematics.md) for fields
that do not overlap with those of training; see also Helton, Rashidi Far, Speicher (2007), arXiv:math/0702239. The
solution wanted is the one that continues ``G ~ L(z)^{-1}`` from large ``|z|`` through the upper half plane, where
``Im G`` is negative semidefinite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmft_sym.spectra.numerics.continuation import SIGN_ERROR, DysonEquation
from dmft_sym.support.array_types import Array, Floats

from .pencil import Pencil

Part = tuple[int, str]
TARGET, SOURCE = "target", "source"
SIDES = (TARGET, SOURCE)


@dataclass(frozen=True, eq=False)
class _Entries:
    """The independent entries ``G_ij``, ``i <= j``, of one component each, and the self-energy as a matrix on them.

    Attributes
    ----------
    sigma, parts
        The whole self-energy, and that of every matrix on each of its sides.
    """

    row: NDArray[np.intp]
    column: NDArray[np.intp]
    sigma: Floats
    parts: dict[Part, Floats]


def _entries(pencil: Pencil) -> _Entries:
    pairs = [
        (i, j)
        for i in range(pencil.size)
        for j in range(i, pencil.size)
        if pencil.components[i] == pencil.components[j]
    ]
    number = {pair: n for n, pair in enumerate(pairs)}
    parts: dict[Part, Floats] = {
        (matrix, side): np.zeros((len(pairs), len(pairs))) for matrix in pencil.blocks for side in SIDES
    }
    for a in pencil.couplings:
        for b in pencil.couplings:
            if a.matrix != b.matrix:
                continue
            block = pencil.blocks[a.matrix]
            weight = a.coefficient * b.coefficient * block.variance
            target, source = (a.target, b.target), (a.source, b.source)
            if target in number:
                energy = weight * block.inverse_aspect
                parts[a.matrix, TARGET][number[target], number[min(source), max(source)]] += energy
            if source in number:
                parts[a.matrix, SOURCE][number[source], number[min(target), max(target)]] += weight
    row, column = np.array(pairs).T
    return _Entries(row, column, sum(parts.values(), np.zeros((len(pairs), len(pairs)))), parts)


class PencilDyson(DysonEquation):
    """Solver of the Dyson equation of one pencil.

    Solutions are handed over as vectors ``g`` of the independent entries, ``N`` of them; `full` makes matrices.

    Attributes
    ----------
    pencil : Pencil
        What it was made for.
    """

    def __init__(self, pencil: Pencil) -> None:
        self.pencil = pencil
        self._entries = _entries(pencil)
        self.slope, self.probe, self.folded = pencil.slope, pencil.probe, pencil.folded
        # (B S B)_ij for symmetric S: both orders of an off-diagonal entry of S count.
        self._twice = np.where(self._entries.row == self._entries.column, 0.5, 1.0)

    @property
    def size(self) -> int:
        """Number ``N`` of independent entries."""
        return len(self._twice)

    def full(self, g: Array) -> Array:
        """Entries (..., N) as symmetric matrices (..., m, m)."""
        m, e = self.pencil.size, self._entries
        out = np.zeros((*g.shape[:-1], m, m), g.dtype)
        out[..., e.row, e.column] = g
        out[..., e.column, e.row] = g
        return out

    def self_energy(self, g: Array) -> Array:
        """``Sigma(G)`` as matrices (..., m, m)."""
        return self.full(g @ self._entries.sigma.T)

    def self_energy_of(self, part: Part, g: Array) -> Array:
        """The part of ``Sigma(G)`` that is due to one matrix, on its target or on its source side."""
        return self.full(g @ self._entries.parts[part].T)

    def resolvent(self, z: Array, g: Array) -> Array:
        """``(L(z) - Sigma(G))^{-1}``, shape (..., m, m)."""
        pencil = self.pencil
        return np.linalg.inv(pencil.constant + z[..., None, None] * pencil.slope - self.self_energy(g))

    def entries(self, resolvent: Array) -> Array:
        """The independent entries of symmetric matrices, shape (..., N)."""
        return resolvent[..., self._entries.row, self._entries.column]

    def diagonal(self, z: Array, g: Array) -> Array:
        """``G_ii`` of every field, shape (..., m)."""
        return np.diagonal(self.full(g), axis1=-2, axis2=-1)

    def probed(self, z: Array, g: Array) -> Array:
        """``G_ii`` of the probe."""
        return self.full(g)[..., self.probe, self.probe]

    def jacobian(self, resolvent: Array) -> Array:
        """Derivative of ``G - (L - Sigma(G))^{-1}`` in the entries, shape (..., N, N)."""
        return np.eye(len(self._twice)) - self._sandwich(resolvent) @ self._entries.sigma

    def _sandwich(self, b: Array) -> Array:
        """The map ``S -> B S B`` on independent entries."""
        e = self._entries
        r, c = e.row, e.column
        left, right = b[..., r[:, None], r[None, :]], b[..., c[None, :], c[:, None]]
        crossed = b[..., r[:, None], c[None, :]] * b[..., r[None, :], c[:, None]]
        return (left * right + crossed) * self._twice

    def is_physical(self, z: Array, g: Array) -> NDArray[np.bool_]:
        """Whether ``Im G`` is negative semidefinite."""
        full = self.full(g)
        top = np.linalg.eigvalsh(full.imag)[..., -1]
        return top <= SIGN_ERROR * np.abs(full).max(axis=(-1, -2))

    def falls(self, z: Array, g: Array) -> NDArray[np.bool_]:
        """Whether ``dG/dz = -<H^{-1} L_1 H^{-1}>`` is negative semidefinite."""
        slope = self.full(self.velocity(z, g)).real
        size = np.abs(slope).max(axis=(-1, -2))
        return np.asarray(np.linalg.eigvalsh(slope)[:, -1] <= SIGN_ERROR * size)
