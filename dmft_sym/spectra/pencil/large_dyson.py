"""The Dyson equation of a pencil with many fields, whose Jacobian is applied and not stored.

With ``m`` fields there are of the order of ``m^2`` unknowns, and a dense Newton step costs ``m^6``. The Jacobian acts
as ``v -> v - B Sigma(v) B``, two products of small matrices; away from edges its spectrum keeps off zero, so that GMRES
needs some tens of them. Points are walked along the real axis: each starts from the solution next to it. Above
the axis there is one solution with the sign of a resolvent's (Helton, Rashidi Far, Speicher, arXiv:math/0702239), so
that it does not matter how it was found; where the walk finds none, averaged iteration, which converges to it, comes
closer first, and the way down from far above is the last resort.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.spectra.numerics.continuation import NoConvergenceError
from dmft_sym.support.array_types import Array, Floats

from .dyson import PencilDyson
from .pencil import Pencil

MANY = 64
"""Unknowns from which on Jacobians are not stored."""
_NEWTON_STEPS = 12
_RESIDUAL = 1e-12  # of the Dyson equation, relative to the size of G
_STALLED = 1e-8  # relative size below which steps that shrink no more are rounding
_INEXACT, _EXACT = 1e-4, 1e-11  # of the linear equations of a Newton step, and of those whose solution is wanted
_KRYLOV, _RESTARTS = 80, 3
_REMEMBERED = 400  # solutions above the axis
_ROUNDS = (60, 400)  # averaged iterations before Newton's method is tried again


class LargePencilDyson(PencilDyson):
    """The same equation and solution, at the cost of products of matrices of the number of fields."""

    @cached_property
    def _sigma(self) -> Any:
        from scipy.sparse import csr_array

        return csr_array(self._entries.sigma)

    def self_energy(self, g: Array) -> Array:
        """``Sigma(G)`` as matrices (..., m, m)."""
        rows = g.reshape(-1, self.size)
        return self.full((self._sigma @ rows.T).T.reshape(g.shape))

    def newton(self, z: Array, g: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Solutions near ``g``, shape (n, size), and which of them converged."""
        found = [self._newton(z[k : k + 1], g[k : k + 1]) for k in range(len(z))]
        return np.array([one[0] for one, _ in found]).reshape(g.shape), np.array([good for _, good in found], bool)

    def velocity(self, z: Array, g: Array) -> Array:
        """``dG/dz`` on the entries."""
        b = self.resolvent(z, g)
        source = -self.entries(b @ self.slope @ b)
        found = [self._solved(one, rhs, _EXACT) for one, rhs in zip(b, source, strict=True)]
        return np.array(found).reshape(g.shape)

    def margin(self, x: float, g: Floats) -> float:
        """The smallest eigenvalue of the Jacobian at a real solution outside of the support."""
        from scipy.sparse.linalg import LinearOperator, eigs

        b = self.resolvent(np.array([x]), g[None])[0]

        def apply(v: Floats) -> Floats:
            return np.asarray(self._bent(b, v))

        operator = LinearOperator((self.size, self.size), matvec=apply, dtype=float)
        start = np.random.default_rng(0).standard_normal(self.size)
        values = eigs(operator, k=2, which="LR", v0=start, ncv=40, return_eigenvectors=False)
        return float(np.abs(1 - values).min())

    def above_axis(self, x: Floats, eta: float) -> Array:
        """Solutions at ``x + i eta``, walked from the largest ``|x|`` to the smallest; shape (n, size).

        Raises
        ------
        NoConvergenceError, AmbiguousBranchError
            As the way down from far above, where it was the last resort.
        """
        x = np.asarray(x, float)
        found = np.zeros((len(x), self.size), complex)
        for k in np.argsort(-np.abs(x), kind="stable"):
            z = x[k : k + 1] + 1j * eta
            solution = self._from_neighbour(z)
            found[k] = super().above_axis(x[k : k + 1], eta)[0] if solution is None else solution[0]
            self._seen[complex(z[0])] = found[k]
            if len(self._seen) > _REMEMBERED:
                del self._seen[next(iter(self._seen))]
        return found

    @cached_property
    def _seen(self) -> dict[complex, Array]:
        """Solutions above the axis that were found last."""
        return {}

    def _from_neighbour(self, z: Array) -> Array | None:
        """The solution, from that at the nearest point; ``None`` if it was not found."""
        if not self._seen:
            return None
        g = self._seen[min(self._seen, key=lambda other: abs(other - z[0]))][None]
        for rounds in (0, *_ROUNDS):
            for _ in range(rounds):
                g = 0.5 * (g + self.entries(self.resolvent(z, g)))
            found, good = self._newton(z, g)
            if good and self.is_physical(z, found)[0]:
                return found
        return None

    def _newton(self, z: Array, g: Array) -> tuple[Array, bool]:
        """One solution near ``g``, shape (1, size), and whether it converged."""
        last = np.inf
        with np.errstate(all="ignore"):
            for _ in range(_NEWTON_STEPS):
                try:
                    b = self.resolvent(z, g)
                    step = self._solved(b[0], (g - self.entries(b))[0], _INEXACT)
                except (np.linalg.LinAlgError, NoConvergenceError):
                    return g, False
                g = g - step
                size, length = np.abs(g).max(), np.abs(step).max()
                if not np.isfinite(size):
                    return g, False
                if length <= _RESIDUAL * size or (length <= _STALLED * size and length >= 0.3 * last):
                    return g, True
                last = length
        return g, False

    def _bent(self, b: Array, v: Array) -> Array:
        """``B Sigma(v) B`` on the entries."""
        return self.entries(b @ self.full(self._sigma @ v) @ b)

    def _solved(self, b: Array, rhs: Array, rtol: float) -> Array:
        """The solution of linear equations with the Jacobian.

        Raises
        ------
        NoConvergenceError
            If the equations are degenerate.
        """
        from scipy.sparse.linalg import LinearOperator, gmres

        kind = np.result_type(b, rhs)
        operator = LinearOperator((self.size, self.size), matvec=lambda v: v - self._bent(b, v), dtype=kind)
        found, failed = gmres(operator, rhs, rtol=rtol, atol=0.0, restart=_KRYLOV, maxiter=_RESTARTS)
        if failed and not rtol < _INEXACT:
            raise NoConvergenceError("linear equations of the Dyson equation are degenerate")
        return np.asarray(found)


def dyson_of(pencil: Pencil) -> PencilDyson:
    """The equation of a pencil, with Jacobians that are stored if they are small."""
    found = PencilDyson(pencil)
    return found if found.size < MANY else LargePencilDyson(pencil)
