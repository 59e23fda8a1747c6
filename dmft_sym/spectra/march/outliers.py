"""Outliers: real ``z`` above the bulk at which an eigenvalue of ``J(z)`` equals one, with multiplicity.

Eigenvalues are followed, not the sign of ``det(1 - J)``: equal outputs make outliers exactly degenerate, and a
determinant then touches zero without changing its sign. As ``z`` comes down from infinity, where ``J = 0``, every
outlier is a real eigenvalue that passes one (docs/mathematics.md, Spectra). They are continuous at their escape: there
is one as soon as its eigenvalue at the edge is above one, however close to the edge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import brentq

from dmft_sym.spectra.numerics.continuation import POINT
from dmft_sym.support.array_types import Floats
from dmft_sym.support.outcomes import Failure, SpectrumError

from .arnoldi import real_eigenvalues
from .bulk import BulkOfEquations
from .spike_matrix import SpikeMatrix


@dataclass(frozen=True)
class OutlierValues:
    """Outliers above the upper edge of the bulk.

    Attributes
    ----------
    values
        Descending, every one as often as it occurs.
    edge
        Upper edge of the bulk.
    margins
        ``1 - eigenvalue of J at the edge`` of every outlier, then of the real eigenvalues next to escape, as far as
        they are known: negative outside of the bulk.
    """

    values: Floats
    edge: float
    margins: Floats = field(default_factory=lambda: np.empty(0))


def outliers(system: SpikeMatrix, bulk: BulkOfEquations) -> OutlierValues:
    """All outliers above the upper edge; next to a bulk that is the point zero, down to a thousandth of the largest."""
    edge = bulk.upper_edge
    if system.size == 0:
        return OutlierValues(np.empty(0), edge)
    found, known = _cyclic(system, bulk) if system.cycle is not None else _general(system, bulk)
    if edge == 0:
        found = [z for z in found if z > POINT * max(found)]
    values = np.repeat(np.sort(np.array(found))[::-1], system.copies)
    margins = np.repeat(1 - np.array(known), system.copies)
    return OutlierValues(values, edge, margins)


def _cyclic(system: SpikeMatrix, bulk: BulkOfEquations) -> tuple[list[float], list[float]]:
    """``J`` is a cycle of blocks times bulk responses: its eigenvalues are known once and for all ``z``."""
    cycle = system.cycle
    assert cycle is not None

    edge = bulk.lowest
    sign = np.sign(cycle.gain(bulk.outside(edge)[1])) or 1.0  # the product of the blocks has the other one

    def gain(z: float) -> float:
        return float(sign * cycle.gain(bulk.outside(z)[1]))

    least = 1 / gain(edge) if gain(edge) > 0 else np.inf
    known = real_eigenvalues(lambda x: sign * cycle.apply(x), cycle.size, least)
    found = [value for value in known if value > least]
    roots = [_root(lambda z, value=value: gain(z) * value - 1, edge, bulk) for value in found]  # type: ignore[misc]
    return roots, [value / least for value in known]


def _general(system: SpikeMatrix, bulk: BulkOfEquations) -> tuple[list[float], list[float]]:
    """Roots of the leading eigenvalues of ``J(z)`` minus one."""
    edge = bulk.lowest
    known = _leading_real(system, bulk, edge)
    count = sum(value > 1 for value in known)

    def excess(z: float, number: int) -> float:
        values = _leading_real(system, bulk, z)
        return values[number] - 1 if len(values) > number else -1.0

    found = []
    for number in range(count):
        found.append(_root(lambda z, number=number: excess(z, number), edge, bulk))  # type: ignore[misc]
    return found, known


def _leading_real(system: SpikeMatrix, bulk: BulkOfEquations, z: float) -> list[float]:
    """Leading real eigenvalues of ``J(z)``, descending: all above one and some below."""
    green = bulk.outside(z)[1]
    return real_eigenvalues(system.at(green).scaled, system.size, 1.0)


def _root(function: Callable[[float], float], edge: float, bulk: BulkOfEquations) -> float:
    """The zero of a decreasing function above the edge; the edge if rounding hides that it is positive there."""
    if function(edge) <= 0:
        return edge
    high = edge + max(0.1 * abs(edge), 1e-3)
    for _ in range(200):
        if function(high) < 0:
            break
        high = edge + 2 * (high - edge)
    else:
        raise SpectrumError(Failure.NO_CONVERGENCE, f"{bulk.name}: an outlier above {high:.3g}")
    return float(brentq(function, edge, high, xtol=1e-14 * max(1.0, high), rtol=1e-13))
