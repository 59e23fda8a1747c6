"""Kernels of order ``gamma^2``: overlaps of all orders of fields that a program which is a power series has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy as sp

from dmft_sym.networks.parameters import GAMMA
from dmft_sym.program import FieldRef, Label
from dmft_sym.solvers.kernels import FieldKernel, Kernels, Overlap
from dmft_sym.support.array_types import Array

from .series import Series


class SeriesKernels(Kernels):
    """The kernels of a network, of which a run of its series shows the second order.

    Parameters
    ----------
    series
        What runs.
    values
        Value of every symbol but the richness, in which kernels are expanded.
    sizes
        Number of values of every label.
    """

    def __init__(self, series: Series, values: Mapping[sp.Symbol, float], sizes: Mapping[Label, int]) -> None:
        super().__init__(series.whole, {**values, GAMMA: 1.0}, sizes)
        self.series = series

    @cached_property
    def fields(self) -> list[FieldKernel]:
        """As those of the network, measured on all orders."""
        return [_OfOrderTwo(kernel.name, kernel.field, kernel.members, self) for kernel in super().fields]

    def tangent(self, overlap: Overlap) -> Array:
        """The second order of the tangent kernel, which is a quadratic function ``K`` of overlaps ``O``.

        ``K(O_0 + gamma O_1 + gamma^2 O_2)`` has ``(K(O_0 + O_2) - K(O_0 - O_2))/2``, the part that is linear in
        ``O_2``, and the quadratic part ``(K(O_1) + K(-O_1))/2``.
        """
        zero, one, two = (self.of_order(order, overlap) for order in range(3))
        linear = super().tangent(_sum(zero, two, 1)) - super().tangent(_sum(zero, two, -1))
        quadratic = super().tangent(one) + super().tangent(lambda a, b: -one(a, b))
        return np.asarray((linear + quadratic) / 2)

    def of_order(self, order: int, overlap: Overlap) -> Overlap:
        """Overlaps of an order, ``sum_j <a_j b_(order - j)>``, of fields of the network."""

        def found(a: FieldRef, b: FieldRef) -> Array:
            first, second = self.series.of(a), self.series.of(b)
            total = np.zeros((self._count(a), self._count(b)))
            for j in (j for j in first if order - j in second):
                total += overlap(first[j], second[order - j])
            return total

        return found

    def _count(self, ref: FieldRef) -> int:
        return math.prod(self.sizes[axis] for axis in ref.axes)


@dataclass(frozen=True)
class _OfOrderTwo(FieldKernel):
    """The second order of a kernel of fields."""

    kernels: SeriesKernels

    def measure(self, overlap: Overlap, sizes: Mapping[Label, int]) -> Array:
        return super().measure(self.kernels.of_order(2, overlap), sizes)


def _sum(zero: Overlap, two: Overlap, sign: int) -> Overlap:
    return lambda a, b: zero(a, b) + sign * two(a, b)
