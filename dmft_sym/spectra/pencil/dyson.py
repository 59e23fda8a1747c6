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
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.execution.interface import Array
from dmft_sym.support.outcomes import Failure, SpectrumError

from .pencil import Pencil

Numbers = NDArray[Any]  # complex, or real where the solution is
Floats = Array
Part = tuple[int, str]
TARGET, SOURCE = "target", "source"
SIDES = (TARGET, SOURCE)

_RESIDUAL = 1e-12  # of the Dyson equation, relative to the size of G
_STALLED = 1e-8  # relative size below which steps of Newton's method that shrink no more are rounding
_NEWTON_STEPS = 14
_FIXED_POINT_STEPS = 200
_DESCENT = 0.25  # factor by which a step of the continuation approaches the real axis
_SHORTEST = 1e-4  # relative length of a step below which the continuation is given up
_REMEMBERED = 64  # real solutions that are kept as starting points
_CLOSE = 1e-6  # relative distance from the axis from which Newton's method jumps onto it


class BulkError(SpectrumError):
    """The Dyson equation was not solved; the message says where and why."""

    kind = Failure.NO_CONVERGENCE

    def __init__(self, where: str) -> None:
        super().__init__(self.kind, where)


class NoConvergenceError(BulkError):
    """Newton's method did not converge."""


class AmbiguousBranchError(BulkError):
    """A solution was found whose imaginary part has the wrong sign."""

    kind = Failure.AMBIGUOUS_BRANCH


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


class PencilDyson:
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
        self._known: dict[float, Floats] = {}
        # (B S B)_ij for symmetric S: both orders of an off-diagonal entry of S count.
        self._twice = np.where(self._entries.row == self._entries.column, 0.5, 1.0)

    def full(self, g: Numbers) -> Numbers:
        """Entries (..., N) as symmetric matrices (..., m, m)."""
        m, e = self.pencil.size, self._entries
        out = np.zeros((*g.shape[:-1], m, m), g.dtype)
        out[..., e.row, e.column] = g
        out[..., e.column, e.row] = g
        return out

    def self_energy(self, g: Numbers) -> Numbers:
        """``Sigma(G)`` as matrices (..., m, m)."""
        return self.full(g @ self._entries.sigma.T)

    def self_energy_of(self, part: Part, g: Numbers) -> Numbers:
        """The part of ``Sigma(G)`` that is due to one matrix, on its target or on its source side."""
        return self.full(g @ self._entries.parts[part].T)

    def resolvent(self, z: Numbers, g: Numbers) -> Numbers:
        """``(L(z) - Sigma(G))^{-1}``, shape (..., m, m)."""
        pencil = self.pencil
        return np.linalg.inv(pencil.constant + z[..., None, None] * pencil.slope - self.self_energy(g))

    def jacobian(self, resolvent: Numbers) -> Numbers:
        """Derivative of ``G - (L - Sigma(G))^{-1}`` in the entries, shape (..., N, N)."""
        return np.eye(len(self._twice)) - self._sandwich(resolvent) @ self._entries.sigma

    def _sandwich(self, b: Numbers) -> Numbers:
        """The map ``S -> B S B`` on independent entries."""
        e = self._entries
        r, c = e.row, e.column
        left, right = b[..., r[:, None], r[None, :]], b[..., c[None, :], c[:, None]]
        crossed = b[..., r[:, None], c[None, :]] * b[..., r[None, :], c[:, None]]
        return (left * right + crossed) * self._twice

    def velocity(self, z: Numbers, g: Numbers) -> Numbers:
        """``dG/dz`` on the entries: the implicit derivative ``(1 - B.B Sigma)^{-1} (-B L_1 B)``."""
        b = self.resolvent(z, g)
        source = -(b @ self.pencil.slope @ b)[..., self._entries.row, self._entries.column]
        return np.linalg.solve(self.jacobian(b), source[..., None])[..., 0]

    def newton(self, z: Numbers, g: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
        """Solutions near ``g``, shape (n, N), and which of them converged."""
        e = self._entries
        g = g.copy()
        good = np.zeros(len(z), bool)
        last = np.full(len(z), np.inf)
        active = np.arange(len(z))
        with np.errstate(all="ignore"):
            for _ in range(_NEWTON_STEPS):
                try:
                    b = self.resolvent(z[active], g[active])
                    residual = g[active] - b[..., e.row, e.column]
                    step = np.linalg.solve(self.jacobian(b), residual[..., None])[..., 0]
                except np.linalg.LinAlgError:
                    break
                g[active] -= step
                size = np.abs(g[active]).max(axis=1)
                length = np.abs(step).max(axis=1)
                # Where the equation is nearly degenerate rounding limits the steps before they reach the tolerance.
                stalled = (length <= _STALLED * size) & (length >= 0.3 * last[active])
                done = (length <= _RESIDUAL * size) | stalled
                good[active[done]] = True
                last[active] = length
                active = active[~done & np.isfinite(size)]
                if not len(active):
                    break
        return g, good

    def start(self, z: Numbers) -> Numbers:
        """The solution at large ``|z|`` by iteration from ``L(z)^{-1}``.

        Raises
        ------
        NoConvergenceError
            If ``|z|`` is not large enough.
        """
        e = self._entries
        g = np.zeros((len(z), len(e.row)), complex)
        for _ in range(_FIXED_POINT_STEPS):
            b = self.resolvent(z, g)[..., e.row, e.column]
            change, g = np.abs(b - g).max(), b
            if not change > 1e-4 * np.abs(g).max():
                break
        g, good = self.newton(z, g)
        if not (good & self.is_physical(g)).all():
            raise NoConvergenceError(f"the Dyson equation has no solution by iteration at |z| = {abs(z).max():.3g}")
        return g

    def is_physical(self, g: Numbers, tol: float = 1e-8) -> NDArray[np.bool_]:
        """Whether ``Im G`` is negative semidefinite, up to ``tol`` of the size of ``G``."""
        full = self.full(g)
        top = np.linalg.eigvalsh(full.imag)[..., -1]
        return top <= tol * np.abs(full).max(axis=(-1, -2))

    @cached_property
    def far(self) -> float:
        """A distance from the real axis at which the equation is solved by iteration."""
        height = 1.0
        for _ in range(60):
            try:
                self.start(np.array([1j * height]))
            except (NoConvergenceError, np.linalg.LinAlgError):
                height *= 2
            else:
                return 4 * height
        raise NoConvergenceError("the Dyson equation has no solution at any |z|: the pencil is singular")

    def above_axis(self, x: Floats, eta: float) -> Numbers:
        """Solutions at ``x + i eta``, followed down from far above the real axis; shape (n, N).

        Raises
        ------
        NoConvergenceError
            If a step of the way is still too long after many halvings.
        AmbiguousBranchError
            If a solution is found on the way that is not physical.
        """
        x = np.asarray(x, float)
        height = np.full(len(x), max(self.far, 2 * eta))
        g = self.start(x + 1j * height)
        factor = np.full(len(x), _DESCENT)
        open_ = np.arange(len(x))
        wrong = False
        while len(open_):
            lower = np.maximum(eta, height[open_] * factor[open_])
            found, good = self.newton(x[open_] + 1j * lower, g[open_])
            physical = self.is_physical(found)
            wrong = bool((good & ~physical).any())
            good &= physical
            moved, stuck = open_[good], open_[~good]
            height[moved], g[moved] = lower[good], found[good]
            factor[moved] = np.maximum(_DESCENT, factor[moved] ** 2)
            factor[stuck] = np.sqrt(factor[stuck])
            if (factor[stuck] > 1 - _SHORTEST).any():
                at = x[stuck] + 1j * height[stuck]
                kind = AmbiguousBranchError if wrong else NoConvergenceError
                problem = "has no physical solution" if wrong else "does not converge"
                raise kind(f"the Dyson equation {problem} below z = {at[np.argmax(factor[stuck])]:.6g}")
            open_ = np.flatnonzero(height > eta)
        return g

    def outside(self, x: float) -> Floats:
        """The real solution at a real ``x`` outside of the support, shape (N,).

        The nearest point that was asked for before is tried first: saves the way down from the upper half plane.

        Raises
        ------
        AmbiguousBranchError
            If there is none: ``x`` is in the support.
        """
        z = np.array([x], complex)
        if self._known:
            nearest = min(self._known, key=lambda other: abs(other - x))
            found, good = self.newton(z.real, self._known[nearest][None])
            if good[0] and self.are_outside(z.real, found)[0]:
                return self._remember(x, found[0])
        found, good = self.newton(z, self.above_axis(np.array([x]), _CLOSE * (abs(x) or 1.0)))
        if good[0] and self.are_outside(z, found)[0]:
            return self._remember(x, found[0].real)
        raise AmbiguousBranchError(f"z = {x:.8g} is not outside of the bulk: the resolvent is not real there")

    def _remember(self, x: float, g: Floats) -> Floats:
        if len(self._known) == _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[x] = g
        return g

    def are_outside_at(self, x: Floats, above: Numbers | None = None) -> NDArray[np.bool_]:
        """Whether real points are outside of the support, shape (n,).

        Parameters
        ----------
        above
            Solutions close to the axis there, where they are known.
        """
        if above is None:
            above = self.above_axis(x, _CLOSE * float(np.abs(x).max() or 1.0))
        g, good = self.newton(x + 0j, above)
        return good & self.are_outside(x + 0j, g)

    def are_outside(self, z: Numbers, g: Numbers) -> NDArray[np.bool_]:
        """Whether solutions are real, and fall with ``z`` as ``H^{-1}`` does: ``dG/dz = -<H^{-1} L_1 H^{-1}>``."""
        real = np.abs(g.imag).max(axis=1) <= 1e-9 * np.abs(g).max(axis=1)
        fall = np.zeros(len(z), bool)
        slope = self.full(self.velocity(z[real], g[real])).real
        size = np.abs(slope).max(axis=(-1, -2))
        fall[real] = np.linalg.eigvalsh(slope)[:, -1] <= 1e-8 * size
        return fall
