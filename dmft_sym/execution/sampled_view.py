"""What can be seen of a replica at a step: its fields, and its matrices as far as they are known.

The plain replica and the generated solver both show themselves like this, so that kernels and spectra are computed from
either by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

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


@dataclass(frozen=True)
class SampledView:
    """A replica at a step, when its fields are computed and before its updates.

    Attributes
    ----------
    fields : mapping to ndarray, shape (labels, sites)
        Rows are (sample, output), outputs running fastest, or one of both. Inputs in coordinates.
    matrices : mapping to MatrixView
        Those between sampled spaces.
    inputs : mapping to ndarray, shape (rank, sites)
        Those from given inputs, in orthonormal coordinates of the span of the samples.
    """

    step: int
    fields: Mapping[FieldKey, Array]
    matrices: Mapping[MatrixKey, MatrixView]
    inputs: Mapping[MatrixKey, Array]


Inspect: TypeAlias = Callable[[SampledView], None]
