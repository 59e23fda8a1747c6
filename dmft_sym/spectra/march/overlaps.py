"""Overlaps of the vectors of an outlier with fields of training, from the residue of the resolvent.

A source along a field ``phi`` in the eigen-equation of ``F`` gives ``x = (1 - J(z))^{-1} b(phi)``, which has a pole at
the outlier. With right and left eigenvectors ``r``, ``l`` of ``J`` at the eigenvalue one,

    <phi F> = (readout r) (l . b) / (-l . J' r) / (z - z*) + regular,

and the residue is the squared overlap of the unit vector of the outlier with ``phi`` (half of it for singular values,
which come in pairs ``z, -z``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dmft_sym.derivation.single_site import Noise
from dmft_sym.derivation.symbols import Correlation
from dmft_sym.program import FieldRef, RandomVector
from dmft_sym.spectra.matrices.class_numbers import Kind
from dmft_sym.support.array_types import Floats

from .arnoldi import eigenvector_at_one
from .bulk import BulkOfEquations
from .level_two import Placed
from .lowered_spikes import SpikesAtStep
from .lowering import Term
from .march_averages import MarchAverages
from .matrix_of_run import MatrixOfRun

# Relative distance from the edge below which squared overlaps follow their law there: the root of the distance.
_NEAREST = 1e-7
# Step of the central difference (of fourth order) for J', relative to the distance from the edge.
_STEP = 2e-3


@dataclass(frozen=True)
class Direction:
    """What a vector is compared with: a field of training at every step, or a random vector such as the teacher.

    Attributes
    ----------
    matrix
        The matrix whose vectors are meant.
    what
        The field, or the vector.
    averages
        Of its run.
    horizon
        Number of steps of fields.
    """

    matrix: MatrixOfRun
    averages: MarchAverages
    what: FieldRef | RandomVector
    horizon: int

    @property
    def norm(self) -> Floats:
        """Mean square, shape (steps of the direction,)."""
        if isinstance(self.what, RandomVector):
            return np.array([self.averages.run.variance(self.what)])
        own = self.averages.run.correlation(self.what, self.what)
        return np.zeros(self.horizon) if own is None else np.diag(own)[: self.horizon].copy()

    def correlation(self, other: FieldRef, kind: Kind) -> Floats | None:
        """With a field of training at all steps, shape (steps of the direction, T); ``None`` if independent."""
        if isinstance(self.what, FieldRef):
            found = self.averages.run.correlation(self.what, other, kind)
            return None if found is None else found[: self.horizon]
        overlap = self.averages.run.with_vector(other, self.what, kind)
        return None if overlap is None else overlap.T

    def response(self, noise: Noise, layer: int | None, kind: Kind) -> Floats | None:
        """To a Gaussian field of training, the same."""
        if isinstance(self.what, RandomVector):
            return None
        found = self.averages.run.response(self.what, noise, layer, kind)
        return None if found is None else found[: self.horizon]

    def known(self, spikes: SpikesAtStep, term: Term, kind: Kind) -> Floats:
        """The known matrix of one of its terms, times the variance of a random vector."""
        run, what = self.averages.run, self.what
        if isinstance(what, FieldRef):
            return spikes.known_to(term, kind)
        if kind is None and what.space.classes is not None:
            kinds = run.classes.kinds(what.space)
            return np.asarray(sum(share * self.known(spikes, term, one) for one, share in kinds))
        return run.variance(what, kind) * spikes.known_to(term, kind)

    def terms(self) -> list[tuple[int, Term]]:
        """Of overlaps with a field, or of responses to a random vector, by the positions of the level-two fields."""
        return self.matrix.projected(self.what if isinstance(self.what, FieldRef) else (Noise(self.what), None))


class OutlierVectors:
    """Eigenvectors of ``J`` at one outlier.

    Parameters
    ----------
    spikes, bulk
        Of the matrix at a step; spikes have the steps that directions belong to.
    value
        The outlier.
    """

    def __init__(self, spikes: SpikesAtStep, bulk: BulkOfEquations, value: float) -> None:
        self.spikes = spikes
        system = self.system = spikes.matrix
        edge = bulk.upper_edge
        place = max(value, edge + _NEAREST * abs(edge))
        self.weight = float(np.sqrt((value - edge) / (place - edge)))
        self.green = bulk.outside(place)[1]
        scale = system.scale
        applied = system.at(self.green)
        self.right = scale * eigenvector_at_one(applied.scaled, system.size)
        units = scale[:, None]
        self.left = eigenvector_at_one(lambda y: units * applied.transposed(y / units), system.size) / scale
        shift = _STEP * min(place, place - edge)
        near, far = (bulk.outside(place + k * shift)[1] - bulk.outside(place - k * shift)[1] for k in (1, 2))
        self.slope = float(self.left @ system.at((8 * near - far) / (12 * shift))(self.right))

    def overlap(self, start: int, direction: Direction) -> Floats:
        """``|cos|`` between the vector of the outlier and a direction at its steps, shape (steps of the direction,).

        Parameters
        ----------
        start
            Number of the input of the matrix program whose vector is meant (``a``: right, ``b``: left singular
            vectors).
        """
        read = self.readout(start, direction)
        source = self._source(start, direction)
        kinds = 1 if direction.matrix.joint.matrix.symmetric else 2
        with np.errstate(divide="ignore", invalid="ignore"):
            squared = self.weight * kinds * read * source / (-self.slope) / direction.norm
        return np.sqrt(np.maximum(np.nan_to_num(squared), 0.0))

    def readout(self, place: int, direction: Direction) -> Floats:
        """``<direction F>`` for the right eigenvector, ``F`` the level-two field at a position."""
        total = np.zeros(len(direction.norm))
        placed = self.spikes.lowered.placed
        for number, term in direction.terms():
            for row, equation in _alike(placed[place], placed[number]):
                weight = row.share * self.green[row.number, equation.number]
                if weight:
                    known = direction.known(self.spikes, term, row.kind)[: len(total)]
                    total += weight * known @ self.spikes.driven(term, self.right, row.kind)
        return total

    def _source(self, place: int, direction: Direction) -> Floats:
        """``l . b`` for a source along the direction in the equation of ``F``."""
        total = np.zeros(len(direction.norm))
        averages = direction.averages
        for unknown in self.spikes.unknowns:
            thing, layer = unknown.ends[1]
            for row, source in _alike(self.spikes.places(unknown), self.spikes.lowered.placed[place]):
                weight = row.share * self.green[row.number, source.number]
                if not weight:
                    continue
                if issubclass(unknown.function, Correlation):
                    known = direction.correlation(averages.ref(thing, layer), row.kind)
                else:
                    known = direction.response(averages.noise(thing), layer, row.kind)
                if known is not None:
                    total += weight * known[:, : self.system.horizon] @ self.left[self.spikes.entries(unknown)]
        return total


def _alike(rows: list[Placed], others: list[Placed]) -> Iterator[tuple[Placed, Placed]]:
    """Places of two fields at the sites of every class; none if their spaces do not have the same ones."""
    return zip(rows, others, strict=True) if len(rows) == len(others) else iter(())
