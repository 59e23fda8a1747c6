"""The matrix Dyson equation of a level-two program, in numbers: the (2,2) block of the averaging rule.

With ``zeta`` the diagonal matrix that has ``z`` in the eigen-equations and 1 elsewhere, and ``L`` the local terms, the
level-two fields of the bulk obey

    G = (zeta - L - Sigma)^{-1},   Sigma[alpha, j] = sum_e coefficient_e G[row_e, source_e]

with one self-energy entry ``e`` for every memory of a level-two product and every equation that its Gaussian field
drives (docs/mathematics.md, Spectra). Where sites are of several classes, ``G`` has the fields of every class, and
responses are averages over classes. All functions take a batch of ``z``, shape (K,), and work on arrays (K, n, n).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dmft_sym.spectra.numerics.continuation import SIGN_ERROR, DysonEquation
from dmft_sym.support.array_types import Array

_RESIDUAL = 1e-13  # relative size of steps that are rounding


@dataclass(frozen=True)
class Sums:
    """Unknowns that are averages over classes of sites, and enter the equations of several classes.

    Attributes
    ----------
    of_entry, of_loop
        The unknown of every self-energy entry, and that of every pair of row and source.
    share
        Weight of every pair: the share of its class, and a coefficient that depends on the class.
    """

    of_entry: NDArray[np.intp]
    of_loop: NDArray[np.intp]
    share: NDArray[np.float64]

    @cached_property
    def pairs(self) -> Array:
        """What unknowns are of the pairs, shape (pairs, unknowns)."""
        return self.share[:, None] * (self.of_loop[:, None] == np.arange(self.size))

    @cached_property
    def entries(self) -> Array:
        """In which entries unknowns are, shape (entries, unknowns)."""
        return np.asarray(self.of_entry[:, None] == np.arange(self.size), dtype=float)

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return int(self.of_entry.max(initial=-1)) + 1


@dataclass(frozen=True)
class DysonOfEquations(DysonEquation):
    """A Dyson equation.

    Attributes
    ----------
    eigen
        Shape (n,), 1 in eigen-equations and 0 elsewhere.
    local
        ``L``, shape (n, n).
    equation, field, row, source, coefficient
        Of every self-energy entry ``e``: ``Sigma[equation, field] += coefficient * G[row, source]``.
    probe
        Position of the field whose response to its own source is the resolvent.
    folded
        Singular values are meant.
    sums
        Where sites are of several classes: entries and pairs of row and source are then listed apart.
    """

    eigen: NDArray[np.float64]
    local: NDArray[np.float64]
    equation: NDArray[np.intp]
    field: NDArray[np.intp]
    row: NDArray[np.intp]
    source: NDArray[np.intp]
    coefficient: NDArray[np.float64]
    probe: int
    folded: bool = False
    sums: Sums | None = None

    @property
    def size(self) -> int:
        """Number of unknowns: of self-energy entries, or of averages over classes."""
        return len(self.coefficient) if self.sums is None else self.sums.size

    def green(self, z: Array, h: Array) -> Array:
        """``G`` for given unknowns; shapes (K,), (K, e) to (K, n, n)."""
        kernel = z[:, None, None] * np.diag(self.eigen) + (np.diag(1 - self.eigen) - self.local)
        kernel = kernel.astype(np.result_type(z, h), copy=True)
        return np.linalg.inv(self._less_self_energy(kernel, h))

    def _less_self_energy(self, kernel: Array, h: Array) -> Array:
        unknowns = range(self.size) if self.sums is None else self.sums.of_entry
        for e, unknown in enumerate(unknowns):
            kernel[:, self.equation[e], self.field[e]] -= self.coefficient[e] * h[:, unknown]
        return kernel

    @cached_property
    def slope(self) -> Array:  # type: ignore[override]
        """``d zeta / dz``."""
        return np.diag(self.eigen)

    def resolvent(self, z: Array, g: Array) -> Array:
        """``G``."""
        return self.green(z, g)

    def entries(self, resolvent: Array) -> Array:
        """What the unknowns have to be."""
        return self.image(resolvent)

    def jacobian(self, resolvent: Array) -> Array:
        """Of the unknowns minus what they have to be."""
        return np.eye(self.size) - self.tangent(resolvent)

    def diagonal(self, z: Array, g: Array) -> Array:
        """Responses of the fields with an eigen-equation to their own sources, shape (K, fields)."""
        return self.resolvents(self.green(z, g))

    def resolvents(self, green: Array) -> Array:
        """Those entries of ``G``, shape (K, fields)."""
        places = np.flatnonzero(self.eigen)
        return green[:, places, places]

    def probed(self, z: Array, g: Array) -> Array:
        """The resolvent, shape (K,)."""
        return self.green(z, g)[:, self.probe, self.probe]

    def is_physical(self, z: Array, g: Array) -> NDArray[np.bool_]:
        """Whether no imaginary part of a resolvent is positive."""
        found = self.diagonal(z, g)
        return np.asarray((found.imag <= SIGN_ERROR * np.abs(found)).all(axis=1))

    def falls(self, z: Array, g: Array) -> NDArray[np.bool_]:
        """Whether no resolvent increases: ``G' = -G (zeta' - Sigma') G``."""
        green, velocity = self.green(z, g), self.velocity(z, g)
        kernel = np.broadcast_to(self.slope, green.shape).astype(velocity.dtype)
        slope = (green @ self._less_self_energy(kernel, velocity) @ green).real
        size = np.abs(slope).max(axis=(-1, -2))[:, None]
        return np.asarray((self.resolvents(slope) >= -SIGN_ERROR * size).all(axis=1))

    def image(self, green: Array) -> Array:
        """What the unknowns have to be: ``G[row_e, source_e]``, shape (K, e)."""
        found = green[:, self.row, self.source]
        return found if self.sums is None else found @ self.sums.pairs

    def tangent(self, green: Array) -> Array:
        """Derivative of `image` with respect to the unknowns, shape (K, e, e)."""
        left = green[:, self.row][:, :, self.equation]  # G[row_e, equation_e']
        right = green[:, self.field][:, :, self.source]  # G[field_e', source_e]
        found = left * np.swapaxes(right, 1, 2) * self.coefficient
        return found if self.sums is None else self.sums.pairs.T @ found @ self.sums.entries

    def polished(self, z: Array, h: Array, steps: int = 50) -> tuple[Array, NDArray[np.bool_]]:
        """Solutions next to an edge, to rounding; returns unknowns and where they converged."""
        h = h.copy()
        eye = np.eye(self.size)
        done = np.zeros(len(z), dtype=bool)
        for _ in range(steps):
            green = self.green(z, h)
            residual = self.image(green) - h
            change = _solve(eye - self.tangent(green), residual)
            h += change
            size = np.abs(change).max(axis=1, initial=0)
            scale = 1 + np.abs(h).max(axis=1, initial=0)
            # Next to a double root steps stay of the order of the root of the rounding error.
            done = (size <= _RESIDUAL * scale) | (np.abs(residual).max(axis=1, initial=0) <= 0.03 * _RESIDUAL * scale)
            if done.all() or not np.isfinite(size).all():
                break
        return h, done & np.isfinite(h).all(axis=1)

    def iterate(self, z: Array, h: Array, steps: int = 200) -> Array:
        """Plain iteration, which converges far from the spectrum."""
        for _ in range(steps):
            new = self.image(self.green(z, h))
            if np.abs(new - h).max(initial=0) < 1e-15:
                return new
            h = new
        return h

    def beyond(self) -> float:
        """A real ``z`` far outside of the spectrum, on both sides.

        The iteration contracts there by a factor of ten a step, and the resolvent is ``1/z`` within a tenth.
        """
        z = 1.0
        for _ in range(200):
            if self._contracts(z) and self._contracts(-z):
                return z
            z *= 2
        raise ValueError("no point outside of the spectrum was found")

    def _contracts(self, z: float) -> bool:
        point = np.array([z])
        try:
            h = self.iterate(point, np.zeros((1, self.size)), steps=60)
            green = self.green(point, h)
        except np.linalg.LinAlgError:
            return False
        if not np.isfinite(green).all() or np.abs(self.image(green) - h).max(initial=0) > 1e-12:
            return False
        first_order = abs(z * green[0, self.probe, self.probe] - 1) < 0.1
        return bool(first_order and np.abs(np.linalg.eigvals(self.tangent(green)[0])).max(initial=0) < 0.1)


def _solve(matrices: Array, right: Array) -> Array:
    """Newton steps; at an edge the matrix of a point may be singular, and the shortest of its steps is taken."""
    try:
        return np.asarray(np.linalg.solve(matrices, right[..., None])[..., 0])
    except np.linalg.LinAlgError:
        return np.asarray((np.linalg.pinv(matrices) @ right[..., None])[..., 0])
