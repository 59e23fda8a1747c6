"""Outliers: real ``z`` above the bulk at which an eigenvalue of ``J(z)`` equals one, with multiplicity.

Eigenvalues are followed, not the sign of ``det(1 - J)``: equal outputs make outliers exactly degenerate, and a
determinant then touches zero without changing its sign. As ``z`` comes down from infinity, where ``J = 0``, every
outlier is a real eigenvalue that passes one (docs/mathematics.md, section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from .bulk import Bulk
from .dyson import Array
from .failures import Failure, SpectrumError
from .spike_system import SpikeSystem

Floats = NDArray[np.float64]
# Columns of the block iteration, its length, and the relative change of an eigenvalue at which it ends.
_BLOCK = 20
_APPLICATIONS = 40
_CONVERGED = 1e-12
# Imaginary parts below this, relative to the eigenvalue, are rounding.
_REAL = 1e-6


@dataclass(frozen=True)
class Outliers:
    """Outliers above the upper edge of the bulk.

    Attributes
    ----------
    values
        Descending, every one as often as it occurs.
    edge
        Upper edge of the bulk.
    near_edge
        Whether one was left out because it is closer to the edge than the tolerance.
    """

    values: Floats
    edge: float
    near_edge: bool = False


def outliers(system: SpikeSystem, bulk: Bulk, tol: float = 1e-9) -> Outliers:
    """All outliers above the upper edge.

    Parameters
    ----------
    tol
        Outliers within ``tol`` of the edge, relative to it, are left out and flagged.
    """
    edge = bulk.upper_edge
    if system.size == 0:
        return Outliers(np.empty(0), edge)
    found = _cyclic(system, bulk) if system.cycle is not None else _general(system, bulk)
    distant = [z for z in found if z > edge * (1 + tol)]
    values = np.repeat(np.sort(np.array(distant))[::-1], system.copies)
    return Outliers(values, edge, len(distant) < len(found))


def _cyclic(system: SpikeSystem, bulk: Bulk) -> list[float]:
    """``J`` is a cycle of blocks times bulk responses: its eigenvalues are known once and for all ``z``."""
    cycle = system.cycle
    assert cycle is not None

    def gain(z: float) -> float:
        return cycle.gain(bulk.outside(z)[1])

    edge = bulk.upper_edge
    least = 1 / gain(edge)
    size = cycle.size
    found = [value for value in real_eigenvalues(cycle.apply, size, least) if value > least]
    return [_root(lambda z, value=value: gain(z) * value - 1, edge, bulk) for value in found]  # type: ignore[misc]


def _general(system: SpikeSystem, bulk: Bulk) -> list[float]:
    edge = bulk.upper_edge
    count = sum(value > 1 for value in _leading_real(system, bulk, edge))

    def excess(z: float, number: int) -> float:
        values = _leading_real(system, bulk, z, number)
        return values[number] - 1 if len(values) > number else -1.0

    found = []
    for number in range(count):
        found.append(_root(lambda z, number=number: excess(z, number), edge, bulk))  # type: ignore[misc]
    return found


def _leading_real(system: SpikeSystem, bulk: Bulk, z: float, number: int = 0) -> list[float]:
    """Leading real eigenvalues of ``J(z)``, descending: all above one, and more than ``number`` if there are."""
    green = bulk.outside(z)[1]
    return real_eigenvalues(lambda x: system.apply(green, x), system.size, 1.0, number)


def _root(function: Callable[[float], float], edge: float, bulk: Bulk) -> float:
    """The zero of a decreasing function above the edge."""
    high = edge * 1.1 if edge > 0 else edge + 0.1
    for _ in range(200):
        if function(high) < 0:
            break
        high = edge + 2 * (high - edge)
    else:
        raise SpectrumError(Failure.NO_CONVERGENCE, f"{bulk.name}: an outlier above {high:.3g}")
    return float(brentq(function, edge, high, xtol=1e-14 * max(1.0, high), rtol=1e-13))


def real_eigenvalues(apply: Callable[[Floats], Floats], size: int, threshold: float, number: int = 0) -> list[float]:
    """Real eigenvalues of a linear map, descending: all above ``threshold``, and some more if ``number`` asks for them.

    Parameters
    ----------
    apply
        The map, on arrays of shape (size, columns).
    """
    width = max(_BLOCK, 2 * number)
    while 4 * width < size:
        values = _leading(apply, size, width, threshold, number)
        if values is not None:
            return _real_ones(values)
        width *= 3
    return _real_ones(np.linalg.eigvals(apply(np.eye(size))))


def _leading(apply: Callable[[Floats], Floats], size: int, width: int, threshold: float, number: int) -> Array | None:
    """Leading eigenvalues by block iteration; ``None`` if a wider block is needed.

    ``J`` is close to low rank, because the fields of training are smooth in time, and a block of vectors converges in a
    few applications.
    """
    block = np.random.default_rng(0).normal(size=(size, width))
    before = np.full(width, np.inf, dtype=complex)
    for _ in range(_APPLICATIONS):
        basis = np.linalg.qr(block)[0]
        block = apply(basis)
        values = np.linalg.eigvals(basis.T @ block)
        values = values[np.argsort(-np.abs(values))]
        level = max(0.7 * threshold, 1e-300)
        counted = max(int(np.sum(np.abs(values) > level)), min(number + 1, width // 2), 1)
        if counted > width // 2:
            return None
        small = np.abs(values[0]) < level and np.abs(before[0]) < level
        if small and number == 0:
            return values
        if np.abs(values[:counted] - before[:counted]).max() <= _CONVERGED * np.abs(values[0]):
            return values[:counted]
        before = values
    return None


def _real_ones(values: Array) -> list[float]:
    real = values[np.abs(values.imag) <= _REAL * np.abs(values)].real
    return [float(value) for value in np.sort(real)[::-1]]
