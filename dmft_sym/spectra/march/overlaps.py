"""Overlaps of the vectors of an outlier with fields of training, from the residue of the resolvent.

A source along a field ``phi`` in the eigen-equation of ``F`` gives ``x = (1 - J(z))^{-1} b(phi)``, which has a pole at
the outlier. With right and left eigenvectors ``r``, ``l`` of ``J`` at the eigenvalue one,

    <phi F> = (readout r) (l . b) / (-l . J' r) / (z - z*) + regular,

and the residue is the squared overlap of the unit vector of the outlier with ``phi`` (half of it for singular values,
which come in pairs ``z, -z``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dmft_sym.derivation.single_site import Noise
from dmft_sym.program import FieldRef, RandomVector
from dmft_sym.support.array_types import Floats

from .arnoldi import eigenvector_at_one
from .assembly import Assembly
from .bulk import BulkOfEquations
from .flat_sites import MatrixSide, NoiseAt, side_of
from .spike_system import SpikeSystem

# Relative distance from the edge below which squared overlaps follow their law there: the root of the distance.
_NEAREST = 1e-7
# Step of the central difference (of fourth order) for J', relative to the distance from the edge.
_STEP = 2e-3


@dataclass(frozen=True)
class Direction:
    """What a vector is compared with: a field of training at every step, or a random vector such as the teacher.

    Attributes
    ----------
    correlation
        With a field of training at all steps, shape (steps of the direction, T); ``None`` if independent.
    response
        To a Gaussian field of training, the same.
    norm
        Mean square, shape (steps of the direction,).
    """

    correlation: Callable[[FieldRef], Floats | None]
    response: Callable[[NoiseAt], Floats | None]
    norm: Floats


def field_direction(assembly: Assembly, ref: FieldRef, horizon: int) -> Direction:
    """A field of training at the steps before ``horizon``."""
    run = assembly.run
    own = run.correlation(ref, ref)
    norm = np.zeros(run.steps) if own is None else np.diag(own)

    def rows(block: Floats | None) -> Floats | None:
        return None if block is None else block[:horizon]

    return Direction(
        lambda other: rows(run.correlation(ref, other)),
        lambda noise: rows(run.response(ref, noise[0], noise[1])),
        norm[:horizon].copy(),
    )


def vector_direction(assembly: Assembly, vector: RandomVector) -> Direction:
    """A random vector of the program, drawn once and not trained: the teacher, or the label noise."""
    run = assembly.run
    variance = run.evaluate(vector.variance, vector.name)

    def correlation(other: FieldRef) -> Floats | None:
        response = run.response(other, Noise(vector), None)
        return None if response is None else variance * response.T

    return Direction(correlation, lambda noise: None, np.array([variance]))


class OutlierVectors:
    """Eigenvectors of ``J`` at one outlier.

    Parameters
    ----------
    assembly, system, bulk
        Of the matrix at a step; the system has the steps that directions belong to.
    value
        The outlier.
    """

    def __init__(self, assembly: Assembly, system: SpikeSystem, bulk: BulkOfEquations, value: float) -> None:
        self.assembly = assembly
        self.system = system
        edge = bulk.upper_edge
        place = max(value, edge + _NEAREST * abs(edge))
        self.weight = float(np.sqrt((value - edge) / (place - edge)))
        self.green = bulk.outside(place)[1]
        scale = system.scale
        self.right = scale * eigenvector_at_one(lambda x: system.scaled(self.green, x), system.size)
        self.left = eigenvector_at_one(self._transposed, system.size) / scale
        shift = _STEP * min(place, place - edge)
        near, far = (bulk.outside(place + k * shift)[1] - bulk.outside(place - k * shift)[1] for k in (1, 2))
        self.slope = float(self.left @ system.apply((8 * near - far) / (12 * shift), self.right))

    def _transposed(self, y: Floats) -> Floats:
        scale = self.system.scale[:, None]
        return np.asarray(scale * self.system.apply_transposed(self.green, y / scale))

    def overlap(self, start: FieldRef, direction: Direction) -> Floats:
        """``|cos|`` between the vector of the outlier and a direction at its steps, shape (steps of the direction,).

        Parameters
        ----------
        start
            The input of the matrix program whose vector is meant (``a``: right, ``b``: left singular vectors).
        """
        place = self.assembly.fields.index(start)
        read = self._readout(place, direction)
        source = self._source(place, direction)
        kinds = 1 if self.assembly.joint.matrix.symmetric else 2
        with np.errstate(divide="ignore", invalid="ignore"):
            squared = self.weight * kinds * read * source / (-self.slope) / direction.norm
        return np.sqrt(np.maximum(np.nan_to_num(squared), 0.0))

    def _readout(self, place: int, direction: Direction) -> Floats:
        """``<direction F>`` for the right eigenvector."""
        total = np.zeros(len(direction.norm))
        for product, drives in zip(self.system.products, self.system.drive_vectors(self.right), strict=True):
            known, mixed = self._known(side_of(product.noise), direction)
            overlap_count = product.overlap.stop - product.overlap.start
            for equation, noise, level_one in drives:
                weight = self.green[place, equation]
                if known is not None and overlap_count:
                    total += weight * known @ noise
                if mixed is not None:
                    total += weight * mixed @ level_one
        return total

    def _known(self, side: MatrixSide, direction: Direction) -> tuple[Floats | None, Floats | None]:
        """Response of the direction to the Gaussian fields of a side, and overlap with the operands of the other."""
        table = self.assembly.table
        known = _stack([direction.response(n) for n in table[side].noises], self.system.horizon)
        mixed = _stack([direction.correlation(ref) for ref in table[side.opposite].operands], self.system.horizon)
        return known, mixed

    def _source(self, place: int, direction: Direction) -> Floats:
        """``l . b`` for a source along the direction in the equation of ``F``."""
        total = np.zeros(len(direction.norm))
        for product in self.system.products:
            weight = self.green[product.operand, place]
            response, overlap = self._known(side_of(product.noise).opposite, direction)
            if overlap is not None:
                total += weight * overlap @ self.left[product.overlap]
            if response is not None and product.response.stop > product.response.start:
                total += weight * response @ self.left[product.response]
        return total


def _stack(blocks: list[Floats | None], step: int) -> Floats | None:
    """Columns of several places, step by step."""
    shapes = [block.shape[0] for block in blocks if block is not None]
    if not shapes:
        return None
    full = np.zeros((shapes[0], step * len(blocks)))
    for number, block in enumerate(blocks):
        if block is not None:
            full[:, number :: len(blocks)] = block[:, :step]
    return full
