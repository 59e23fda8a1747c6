"""Coordinates of given inputs: short vectors whose dot products are those of the samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def input_coordinates(inputs: NDArray[Any]) -> NDArray[np.float64]:
    """Coordinates ``a`` with ``a_mu . a_nu = x_mu . x_nu / D``, shape (samples, rank).

    Duplicate and linearly dependent samples lower the rank.
    """
    samples, dimension = inputs.shape
    left, singular, _ = np.linalg.svd(inputs / np.sqrt(dimension), full_matrices=False)
    kept = singular > singular.max(initial=0.0) * np.finfo(float).eps * max(samples, dimension)
    return np.ascontiguousarray(left[:, kept] * singular[kept])
