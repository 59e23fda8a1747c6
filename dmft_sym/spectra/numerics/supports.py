"""Density and support of a bulk: intervals with their edges and masses, checked for positivity and normalisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmft_sym.support.array_types import Array, Floats
from dmft_sym.support.outcomes import Failure

from .continuation import AmbiguousBranchError, BulkError, DysonEquation, NoConvergenceError

_HEIGHT = 1e-9  # relative distance from the real axis at which densities are read off
_POINTS = 96  # of the first scan of a half-axis; four times as many if the masses do not add up
_SMALLEST = 1e-6  # smallest point of the scan, relative to the largest
_MASS_ERROR = 2e-3  # of the sum of the masses of bands and atom
_HIGHER = 100  # factor of heights that are tried one after the other
_NEAR_ZERO = 1e-3  # relative size of points at which an equation that is degenerate at zero may fail
_NODES = 96  # of the quadrature of a band
_EDGE_ERROR = 1e-9  # relative distance from the edge at which its extrapolation is taken


class NormalisationError(BulkError):
    """The density does not integrate to one: a part of the support was not found."""

    kind = Failure.NORMALISATION


@dataclass(frozen=True, eq=False)
class Support:
    """Where a density lives.

    Attributes
    ----------
    bands : ndarray, shape (n, 2)
        Lower and upper edge of every interval, ascending.
    masses : ndarray, shape (n,)
        Fraction of the eigenvalues (singular values) in each.
    atom : float
        Fraction that is exactly zero.
    """

    bands: Floats
    masses: Floats
    atom: float


def density(dyson: DysonEquation, x: Floats) -> Floats:
    """Density of the bulk at real ``x``; of singular values if the pencil is folded.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Points; a pole at exactly 0 (vanishing eigenvalues) is not part of the density.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    BulkError
        If the Dyson equation could not be solved.
    """
    x = np.asarray(x, float)
    if not len(x):
        return np.zeros(0)
    scale = float(np.abs(x).max()) or 1.0
    points = np.where(x == 0, _HEIGHT * scale, x)  # off the atom, whose width is the height
    try:
        return _density_at(dyson, points, _HEIGHT * scale)
    except NoConvergenceError:
        return _density_off_zero(dyson, points, _HEIGHT * scale)


def _density_at(dyson: DysonEquation, points: Floats, height: float) -> Floats:
    return _density(dyson, dyson.above_axis(points, height), points + 1j * height)


def _density_off_zero(dyson: DysonEquation, points: Floats, height: float) -> Floats:
    """Where the equation is degenerate at zero: points too near to it have the density of the next one.

    Raises
    ------
    NoConvergenceError
        If points fail that are not near zero.
    """
    for near in height * np.geomspace(10, _NEAR_ZERO / _HEIGHT, 12):
        far = np.abs(points) > near
        if not far.any():
            break
        try:
            found = _density_at(dyson, points[far], height)
        except NoConvergenceError:
            continue
        nearest = np.argmin(np.abs(np.abs(points[:, None]) - np.abs(points[far])), axis=1)
        return np.asarray(found[nearest])
    return _density_at(dyson, points, height)


def _close_to_axis(dyson: DysonEquation, points: Floats, lowest: float) -> tuple[Array, float]:
    """Solutions above real points, and at which height: where the equation is degenerate at zero, not at the lowest."""
    for height in (lowest, _HIGHER * lowest):
        try:
            return dyson.above_axis(points, height), height
        except NoConvergenceError:
            continue
    height = _HIGHER**2 * lowest
    return dyson.above_axis(points, height), height


def _density(dyson: DysonEquation, g: Array, z: Array) -> Floats:
    """``-Im G/pi`` of the probe, of unit mass on the axis (the positive half axis if folded)."""
    found, good = dyson.newton(z.real + 0j, g)
    good &= dyson.is_physical(z.real + 0j, found)
    # Newton's method at the edge finds no solution on the axis itself: the one above it stays.
    g, z = np.where(good[:, None], found, g), np.where(good, z.real + 0j, z)
    weight = (2.0 if dyson.folded else 1.0) * dyson.slope[dyson.probe, dyson.probe]
    values = -weight / math.pi * dyson.probed(z, g).imag
    return np.maximum(values, 0.0)


def support(dyson: DysonEquation, upper: float = 0.0) -> Support:
    """Bands, their masses and the atom at zero.

    Parameters
    ----------
    upper
        The upper edge, if it is known: a small part of the spectrum, far from the others, is not missed then.

    Raises
    ------
    NormalisationError
        If the masses do not add up to one even on the finest scan.
    BulkError
        If the Dyson equation could not be solved.
    """
    reach = max(_reach(dyson), (1 + 1 / _POINTS) * upper)
    atom = _atom(dyson, reach)
    for points in (_POINTS, 4 * _POINTS):
        bands = _bands(dyson, reach, points)
        masses = np.array([_mass(dyson, low, high) for low, high in bands])
        if abs(masses.sum() + atom - 1) <= _MASS_ERROR:
            return Support(bands, masses, atom)
    raise NormalisationError(
        f"the bulk density integrates to {masses.sum() + atom:.4f} instead of 1 over "
        + (", ".join(f"[{low:.4g}, {high:.4g}]" for low, high in bands) or "no interval")
    )


def upper_edge(dyson: DysonEquation) -> float:
    """The upper edge of the bulk alone, which is quicker than its whole support; 0 if the bulk is a point there.

    Raises
    ------
    BulkError
        If the Dyson equation could not be solved, or if there is no bulk above zero.
    """
    x = np.geomspace(_SMALLEST, 1.0, _POINTS) * _horizon(dyson)
    inside, _ = _inside(dyson, x)
    if not inside.any():
        if _atom(dyson, float(x[-1])) > 1 - _MASS_ERROR:
            return 0.0  # a matrix of finite rank
        raise BulkError(f"the bulk has no density above zero, up to {x[-1]:.3g}")
    last = int(np.flatnonzero(inside)[-1])
    return _edge(dyson, x[last + 1], x[last])


def _horizon(dyson: DysonEquation) -> float:
    """A distance from zero beyond which there is no bulk worth its name.

    On the imaginary axis ``-y Im G_ff(i y)`` is the integral of ``y^2 / (x^2 + y^2)`` over the spectral measure of a
    field: all of its mass at large ``y``, and at most half of what is beyond ``y`` before. All fields are asked, as a
    bulk that is a small part of the spectrum of one may be all of that of another (few features, many samples).
    """

    def mass(height: float) -> Floats:
        return -height * dyson.diagonal(np.array([1j * height]), dyson.above_axis(np.zeros(1), height))[0].imag

    height = dyson.far
    whole = mass(1e6 * height)
    seen = whole > 1e-6 * whole.max()
    for _ in range(60):
        if (mass(height)[seen] > (1 - 0.5 * _MASS_ERROR) * whole[seen]).all():
            break
        height *= 2
    while not dyson.are_outside_at(np.array([-height, height])).all():
        height *= 2
    return height


def _reach(dyson: DysonEquation) -> float:
    """A distance from zero just beyond the bulk."""
    horizon = _horizon(dyson)
    x = np.geomspace(_SMALLEST, 1.0, _POINTS) * horizon
    inside = _inside(dyson, x)[0]
    if not dyson.folded:
        inside |= _inside(dyson, -x)[0]
    return float(x[min(np.flatnonzero(inside)[-1] + 1, len(x) - 1)]) if inside.any() else horizon


def _atom(dyson: DysonEquation, reach: float) -> float:
    """Mass at zero: ``i y G(i y)`` for small ``y``."""
    g, height = _close_to_axis(dyson, np.zeros(1), 0.1 * _HEIGHT * reach)
    mass = (
        float((1j * height * dyson.probed(np.array([1j * height]), g)[0]).real) * dyson.slope[dyson.probe, dyson.probe]
    )
    # A density that diverges at zero has a vanishing part of its mass there, of the order of a power of the height.
    return mass if mass > _MASS_ERROR else 0.0


def _bands(dyson: DysonEquation, reach: float, points: int) -> Floats:
    """Edges of all intervals."""
    upper = _half(dyson, reach, points, 1)
    if dyson.folded:
        return upper
    lower = -_half(dyson, reach, points, -1)[::-1, ::-1]
    if len(lower) and len(upper) and lower[-1, 1] == upper[0, 0] == 0:
        joined = [[lower[-1, 0], upper[0, 1]]]
        return np.concatenate((lower[:-1], joined, upper[1:]))
    return np.concatenate((lower, upper))


def _half(dyson: DysonEquation, reach: float, points: int, sign: int) -> Floats:
    """Bands in ``|x|`` on one half-axis; one that reaches the smallest point of the scan starts at 0."""
    fine, coarse = np.geomspace(_SMALLEST * reach, reach, points), np.linspace(0, reach, points + 1)[1:-1]
    x: Floats = np.sort(np.concatenate((fine, coarse)))
    inside, level = _inside(dyson, sign * x)
    x, inside = _refine_minima(dyson, sign, x, inside, level)
    ends: list[float] = []
    for left in np.flatnonzero(inside[1:] != inside[:-1]):
        outer, inner = (x[left], x[left + 1]) if inside[left + 1] else (x[left + 1], x[left])
        ends.append(sign * _edge(dyson, sign * outer, sign * inner))
    if inside[0]:
        ends.insert(0, 0.0)
    bands: Floats = np.array(ends).reshape(-1, 2)
    return bands


def _inside(dyson: DysonEquation, x: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Whether points are in the support, and the imaginary part of the resolvent there."""
    above = dyson.above_axis(x, _HEIGHT * float(np.abs(x).max()))
    return ~dyson.are_outside_at(x, above), np.abs(above.imag).max(axis=1, initial=0)


def _refine_minima(
    dyson: DysonEquation, sign: int, x: Floats, inside: NDArray[np.bool_], level: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Look for narrow gaps where the density has a minimum between points of the scan."""
    for _ in range(3):
        dips = [
            i
            for i in range(1, len(x) - 1)
            if inside[i - 1 : i + 2].all() and level[i] < level[i - 1] and level[i] < level[i + 1]
        ]
        if not dips:
            break
        more = np.unique(np.concatenate([np.linspace(x[i - 1], x[i + 1], 10)[1:-1] for i in dips]))
        more = np.setdiff1d(more, x)
        new_inside, new_level = _inside(dyson, sign * more)
        x, order = np.unique(np.concatenate((x, more)), return_index=True)
        inside = np.concatenate((inside, new_inside))[order]
        level = np.concatenate((level, new_level))[order]
    return x, inside


def _edge(dyson: DysonEquation, outer: float, inner: float) -> float:
    """The edge between a point outside and one inside of the support.

    Outside, the smallest eigenvalue ``mu`` of the Jacobian of the Dyson equation vanishes like the square root of the
    distance, so that ``mu^2`` is extrapolated to zero, from ever closer points.
    """
    scale = max(abs(outer), abs(inner))
    g = dyson.outside(outer)
    level, old, estimate = _margin2(dyson, outer, g), (math.nan, math.nan), math.nan
    for _ in range(200):
        slope = (level - old[1]) / (outer - old[0])
        estimate = outer - level / slope if slope else math.nan
        trial = 0.5 * (outer + inner)
        if min(outer, inner) < estimate < max(outer, inner):
            trial = estimate + 0.02 * (outer - estimate)
        if abs(outer - trial) < _EDGE_ERROR * scale:
            return estimate if math.isfinite(estimate) else outer
        try:
            found = dyson.outside(trial)
        except AmbiguousBranchError:
            inner = trial
            continue
        old, outer, g = (outer, level), trial, found
        level = _margin2(dyson, outer, g)
    return outer


def _margin2(dyson: DysonEquation, x: float, g: Floats) -> float:
    """``mu^2`` at a real point outside of the support."""
    return dyson.margin(x, g) ** 2


def _mass(dyson: DysonEquation, low: float, high: float) -> float:
    """Integral of the density over a band, by a rule that is exact for square-root edges.

    At zero, where the density may diverge like a power, the points of the rule are moved closer by a fourth power.
    """
    angles = (np.arange(_NODES) + 0.5) * math.pi / _NODES
    if low < 0 < high:
        return _mass(dyson, low, 0.0) + _mass(dyson, 0.0, high)
    if low == 0 or high == 0:
        unit = 0.5 * (1 - np.cos(angles))
        x, weights = (low + high) * unit**4, 2 * abs(low + high) * unit**3 * np.sin(angles)
    else:
        half = 0.5 * (high - low)
        x, weights = 0.5 * (low + high) - half * np.cos(angles), half * np.sin(angles)
    return float(np.sum(density(dyson, x) * weights)) * math.pi / _NODES
