"""Solutions of a Dyson equation followed in ``z``: from large ``|z|`` to the real axis, and along it outside of a bulk.

Both routes to spectra have an equation ``g = F(z, g)`` for the resolvents of their own; what is here knows of it only
what `DysonEquation` declares. The solution wanted is the one that is found by iteration at large ``|z|``, continued
through the upper half plane.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dmft_sym.support.array_types import Array, Floats
from dmft_sym.support.outcomes import Failure, SpectrumError

_RESIDUAL = 1e-12  # of the Dyson equation, relative to the size of G
_STALLED = 1e-8  # relative size below which steps of Newton's method that shrink no more are rounding
_NEWTON_STEPS = 14
_FIXED_POINT_STEPS = 200
_DESCENT = 0.25  # factor by which a step of the continuation approaches the real axis
_SHORTEST = 1e-4  # relative length of a step below which the continuation is given up
_REMEMBERED = 64  # real solutions that are kept as starting points
_CLOSE = 1e-6  # relative distance from the axis from which Newton's method jumps onto it
SIGN_ERROR = 1e-8  # relative size of a part of the wrong sign that is rounding
POINT = 1e-3  # outliers next to a bulk that is a point are found down to this part of the largest


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


class DysonEquation(ABC):
    """An equation for the resolvents of a matrix, for many ``z`` at once.

    Unknowns are vectors ``g`` of ``size`` numbers. The response ``B(z, g)``, a matrix, has to have them as `entries`.

    Attributes
    ----------
    slope
        ``L_1`` in ``B(z, g) = (L_0 + z L_1 - Sigma(g))^{-1}``.
    probe
        The field whose resolvent, times its slope, gives the density.
    folded
        The spectrum is symmetric and its positive half is meant (singular values).
    """

    slope: Floats
    probe: int
    folded: bool

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of unknowns."""

    @abstractmethod
    def resolvent(self, z: Array, g: Array) -> Array:
        """``B(z, g)``, shape (..., m, m)."""

    @abstractmethod
    def entries(self, resolvent: Array) -> Array:
        """What the unknowns have to be, linear in the response, shape (..., size)."""

    @abstractmethod
    def jacobian(self, resolvent: Array) -> Array:
        """Derivative of ``g - entries(B(z, g))`` in the unknowns, shape (..., size, size)."""

    @abstractmethod
    def diagonal(self, z: Array, g: Array) -> Array:
        """Resolvents of all fields that have one, the probe's among them, at a solution, shape (..., fields)."""

    @abstractmethod
    def probed(self, z: Array, g: Array) -> Array:
        """The resolvent of the probe at a solution."""

    @abstractmethod
    def is_physical(self, z: Array, g: Array) -> NDArray[np.bool_]:
        """Whether imaginary parts have the sign of a resolvent's, up to `SIGN_ERROR` of the size of ``G``."""

    @abstractmethod
    def falls(self, z: Array, g: Array) -> NDArray[np.bool_]:
        """Whether real solutions decrease with ``z``, as resolvents do outside of a bulk."""

    def velocity(self, z: Array, g: Array) -> Array:
        """``dG/dz`` on the entries: the implicit derivative ``(1 - B.B Sigma)^{-1} (-B L_1 B)``."""
        b = self.resolvent(z, g)
        source = -self.entries(b @ self.slope @ b)
        return np.linalg.solve(self.jacobian(b), source[..., None])[..., 0]

    def margin(self, x: float, g: Floats) -> float:
        """The smallest size of an eigenvalue of the Jacobian at a real solution: zero at an edge."""
        resolvent = self.resolvent(np.array([x]), g[None])
        values = np.linalg.eigvals(self.jacobian(resolvent))[0]
        return float(np.abs(values).min())

    def newton(self, z: Array, g: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Solutions near ``g``, shape (n, size), and which of them converged."""
        g = g.copy()
        good = np.zeros(len(z), bool)
        last = np.full(len(z), np.inf)
        active = np.arange(len(z))
        with np.errstate(all="ignore"):
            for _ in range(_NEWTON_STEPS):
                try:
                    b = self.resolvent(z[active], g[active])
                    residual = g[active] - self.entries(b)
                    step = np.linalg.solve(self.jacobian(b), residual[..., None])[..., 0]
                except np.linalg.LinAlgError:
                    break
                g[active] -= step
                size = np.abs(g[active]).max(axis=1, initial=0)
                length = np.abs(step).max(axis=1, initial=0)
                # Where the equation is nearly degenerate rounding limits the steps before they reach the tolerance.
                stalled = (length <= _STALLED * size) & (length >= 0.3 * last[active])
                done = (length <= _RESIDUAL * size) | stalled
                good[active[done]] = True
                last[active] = length
                active = active[~done & np.isfinite(size)]
                if not len(active):
                    break
        return g, good

    def iterated(self, z: Array) -> Array:
        """The solution at large ``|z|`` by iteration from ``L(z)^{-1}``.

        Raises
        ------
        NoConvergenceError
            If ``|z|`` is not large enough.
        """
        g = np.zeros((len(z), self.size), complex)
        for _ in range(_FIXED_POINT_STEPS):
            b = self.entries(self.resolvent(z, g))
            change, g = np.abs(b - g).max(initial=0), b
            if not change > 1e-4 * np.abs(g).max(initial=0):
                break
        g, good = self.newton(z, g)
        if not (good & self.is_physical(z, g)).all():
            raise NoConvergenceError(f"the Dyson equation has no solution by iteration at |z| = {abs(z).max():.3g}")
        return g

    @cached_property
    def far(self) -> float:
        """A distance from the real axis at which the equation is solved by iteration."""
        height = 1.0
        for _ in range(60):
            try:
                self.iterated(np.array([1j * height]))
            except (NoConvergenceError, np.linalg.LinAlgError):
                height *= 2
            else:
                return 4 * height
        raise NoConvergenceError("the Dyson equation has no solution at any |z|: the pencil is singular")

    def above_axis(self, x: Floats, eta: float) -> Array:
        """Solutions at ``x + i eta``, followed down from far above the real axis; shape (n, size).

        Raises
        ------
        NoConvergenceError
            If a step of the way is still too long after many halvings.
        AmbiguousBranchError
            If a solution is found on the way that is not physical.
        """
        x = np.asarray(x, float)
        height = np.full(len(x), max(self.far, 2 * eta))
        g = self.iterated(x + 1j * height)
        factor = np.full(len(x), _DESCENT)
        open_ = np.arange(len(x))
        wrong = False
        while len(open_):
            lower = np.maximum(eta, height[open_] * factor[open_])
            found, good = self.newton(x[open_] + 1j * lower, g[open_])
            physical = self.is_physical(x[open_] + 1j * lower, found)
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

    @cached_property
    def _known(self) -> dict[float, Floats]:
        """Real solutions that were found."""
        return {}

    def outside(self, x: float) -> Floats:
        """The real solution at a real ``x`` outside of the support, shape (size,).

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

    def are_outside_at(self, x: Floats, above: Array | None = None) -> NDArray[np.bool_]:
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

    def are_outside(self, z: Array, g: Array) -> NDArray[np.bool_]:
        """Whether solutions are real, and fall with ``z``."""
        real = np.abs(g.imag).max(axis=1, initial=0) <= 1e-9 * np.abs(g).max(axis=1, initial=0)
        fall = np.zeros(len(z), bool)
        fall[real] = self.falls(z[real], g[real])
        return fall
