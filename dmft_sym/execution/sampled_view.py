"""What can be seen of a replica at a step: its fields, and its matrices as far as they are known.

The plain replica and the generated solver both show themselves like this, so that kernels and spectra are computed from
either by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from .half_streams import SiteDraws
from .interface import Array
from .plan import MatrixKey

FieldKey: TypeAlias = tuple[str, int | None]
"""Name of a field and, for a family, its layer."""


@dataclass(frozen=True)
class MatrixView:
    """A Gaussian matrix between sampled spaces as of one step, see `conditioning`.

    Attributes
    ----------
    directions, images : ndarray, shape (r, sites)
        The ``p_k`` and ``x_k``.
    back_directions, back_images : ndarray, shape (r', sites)
        The ``q_j`` and ``ybar_j``.
    trained : ndarray, shape (r', r)
        ``B``.
    retention : float
        What weight decay has left of the initial matrix.
    """

    directions: Array
    images: Array
    back_directions: Array
    back_images: Array
    trained: Array
    retention: float

    def sides(self, transpose: bool) -> tuple[Array, Array, Array, Array]:
        """Directions and images of the side of an operand, then those of the other side."""
        forward, back = (self.directions, self.images), (self.back_directions, self.back_images)
        return (*back, *forward) if transpose else (*forward, *back)


@dataclass(frozen=True)
class SampledView:
    """A replica at a step, when its fields are computed and before its updates.

    Attributes
    ----------
    fields : mapping to ndarray, shape (labels, sites)
        Rows are (sample, output), outputs running fastest, or one of both. Inputs in coordinates. Random vectors too.
    scalars : mapping to ndarray
        By name and layer, one number for all values of the labels.
    matrices : mapping to MatrixView
        Those between sampled spaces.
    inputs : mapping to ndarray, shape (rank, sites)
        Those from given inputs, in orthonormal coordinates of the span of the samples.
    draws
        Random numbers at all sites for what is measured, which do not change those of training.
    """

    step: int
    fields: Mapping[FieldKey, Array]
    scalars: Mapping[FieldKey, Array]
    matrices: Mapping[MatrixKey, MatrixView]
    inputs: Mapping[MatrixKey, Array]
    draws: SiteDraws


Inspect: TypeAlias = Callable[[SampledView], None]
