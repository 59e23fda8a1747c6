"""Coordinates of given inputs: short vectors whose dot products are those of the samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.support.errors import ExecutionError


def input_coordinates(inputs: NDArray[Any]) -> NDArray[np.float64]:
    """Coordinates ``a`` with ``a_mu . a_nu = x_mu . x_nu / D``, shape (samples, rank).

    Duplicate and linearly dependent samples lower the rank.
    """
    samples, dimension = inputs.shape
    left, singular, _ = np.linalg.svd(inputs / np.sqrt(dimension), full_matrices=False)
    kept = singular > singular.max(initial=0.0) * np.finfo(float).eps * max(samples, dimension)
    return np.ascontiguousarray(left[:, kept] * singular[kept])


def isometry(inputs: NDArray[Any], sites: int) -> NDArray[np.float64]:
    """A matrix ``A`` with ``A x_mu . A x_nu / sites = x_mu . x_nu / D``, shape (sites, D).

    Raises
    ------
    ExecutionError
        If there are more independent inputs than sites.
    """
    dimension = inputs.shape[1]
    basis = np.eye(dimension)
    if dimension > sites:
        _, singular, right = np.linalg.svd(inputs, full_matrices=False)
        kept = singular > singular.max(initial=0.0) * np.finfo(float).eps * max(inputs.shape)
        basis = right[kept]
    check_room(len(basis), sites)
    return np.sqrt(sites / dimension) * np.pad(basis, ((0, sites - len(basis)), (0, 0)))


def isometric_columns(rank: int, sites: int) -> NDArray[np.float64]:
    """Orthogonal columns with mean squares of one, the same at sites ``i`` and ``i + sites/2``, shape (rank, sites).

    Raises
    ------
    ExecutionError
        If there are more of them than half of the sites.
    """
    check_room(rank, sites // 2)
    half = np.sqrt(sites / 2) * np.eye(rank, sites // 2)
    return np.concatenate([half, half], axis=1)


def check_room(rank: int, most: int) -> None:
    """Raise `ExecutionError` if so many independent inputs do not fit."""
    if rank > most:
        raise ExecutionError(
            f"a readout of the inputs: {rank} independent inputs need as many sites, there are {most}; allowed is a "
            "larger width (or twice as many sites in a replica)"
        )
