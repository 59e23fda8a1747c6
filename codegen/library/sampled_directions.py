"""Gaussian matrices on sampled sites: known on the directions that they were applied to, and nowhere else.

This is Bolthausen conditioning, with the inner product <a b> = (1/S) sum_i a_i b_i:

    A p  = x          p orthonormal directions of the source, images x in the target
    A^T q = tau y     q orthonormal directions of the target, images y in the source
    a new p gets   x = sum_j <y_j p> q_j + sqrt(s2) e         e standard normal, projected off the q_j
    a new q gets   y = sum_k <x_k q> p_k + sqrt(s2/tau) e     e standard normal, projected off the p_k

The factor tau of transposed products is in their coefficients. What is left of a field outside of the directions, if
it is too short to open one, acts by its conditional mean, A rest = sum_j <y_j rest> q_j: only its noise is dropped.
All directions and images are rows of one array.
"""

import numpy as np
from dmft_sym.codegen.library.common import _Floats, _Ints
from dmft_sym.codegen.library.sampled_products import _BLOCK, _add_rows, _dot, _dots
from numba import njit


@njit(cache=True, nogil=True)
def _project(
    fields: _Floats,
    pool: _Floats,
    places: _Ints,
    coefficients: _Floats,
    again: _Floats,
    rest: _Floats,
    norms: _Floats,
    lengths: _Floats,
    S: int,
) -> None:
    """Coefficients of fields along directions, what is left of the fields, and squares of the norms of both.

    Orthogonalised twice against rounding; a block of sites goes through the second half of the first pass and the first
    half of the second while it is in the cache.
    """
    rows = fields.shape[0]
    for a in range(rows):
        for k in range(coefficients.shape[1]):
            coefficients[a, k] = 0.0
        for k in range(places.size):
            again[a, k] = 0.0
        norms[a] = _dot(fields[a, :S], fields[a, :S]) / S
        lengths[a] = 0.0
    for lo in range(0, S, _BLOCK):
        _dots(coefficients, fields, pool, places, lo, min(lo + _BLOCK, S))
    for a in range(rows):
        for k in range(places.size):
            coefficients[a, k] /= S
    for lo in range(0, S, _BLOCK):
        hi = min(lo + _BLOCK, S)
        for a in range(rows):
            for i in range(lo, hi):
                rest[a, i] = fields[a, i]
        _add_rows(rest, -1.0, coefficients, pool, places, lo, hi)
        _dots(again, rest, pool, places, lo, hi)
    for a in range(rows):
        for k in range(places.size):
            again[a, k] /= S
            coefficients[a, k] += again[a, k]
    for lo in range(0, S, _BLOCK):
        hi = min(lo + _BLOCK, S)
        _add_rows(rest, -1.0, again, pool, places, lo, hi)
        for a in range(rows):
            lengths[a] += _dot(rest[a, lo:hi], rest[a, lo:hi]) / S


@njit(cache=True, nogil=True)
def _open(
    rest: _Floats,
    lengths: _Floats,
    smallest: _Floats,
    pool: _Floats,
    table: _Ints,
    count: int,
    used: int,
    coefficients: _Floats,
    again: _Floats,
    S: int,
) -> int:
    """Open directions for what is left of fields, where it is longer than the smallest allowed; their number.

    `table` holds the places of directions, of which there are `count`; rows of the pool are taken from `used` on.
    """
    fresh = 0
    for a in range(rest.shape[0]):
        left, new = rest[a : a + 1], table[count : count + fresh]
        for _ in range(2 if fresh > 0 else 0):
            along = again[:1]
            for k in range(fresh):
                along[0, k] = 0.0
            for lo in range(0, S, _BLOCK):
                _dots(along, left, pool, new, lo, min(lo + _BLOCK, S))
            for k in range(fresh):
                along[0, k] /= S
                coefficients[a, count + k] += along[0, k]
            for lo in range(0, S, _BLOCK):
                _add_rows(left, -1.0, along, pool, new, lo, min(lo + _BLOCK, S))
            lengths[a] = _dot(rest[a, :S], rest[a, :S]) / S
        if lengths[a] > smallest[a]:
            length = np.sqrt(lengths[a])
            for i in range(S):
                pool[used + fresh, i] = rest[a, i] / length
            table[count + fresh] = used + fresh
            coefficients[a, count + fresh] = length
            fresh += 1
    return fresh
