# ruff: noqa: D403, I001
"""Gaussian matrices in growing coordinates: what they were applied to, and how they learn.

The arithmetic is that of the interpreted network (``execution/coordinates.py`` and ``directions.py``, which have the
formulas); `coordinate_tables` says what is where.
"""

import math

import numpy as np
from numba import njit

from .common import _INSIDE, _Floats, _Ints
from .coordinate_rows import (
    _NONE, _ONE, _add, _blas, _dot, _labels_add, _labels_dot, _rows_add, _rows_dot, _scale, _zero,
)  # fmt: skip
from .coordinate_tables import (
    _BASIS, _C, _CAPACITY, _COUNT, _D, _DENSE, _FACTORS, _FAR, _FIRST, _FROM_MEMORY, _INITIAL, _KEEP, _LEFT,
    _MEMORY, _MOMENTUM, _NEAR, _NOISE, _PENDING, _PLACE, _PRESENT, _PROBE, _REMEMBERED, _RIGHT, _ROWS, _SCALES,
    _SOURCE, _STD, _TARGET, _USED, _taken, _width,
)  # fmt: skip

_PROBES = np.int64(16)  # a remainder is first looked at by so many random probes ...
_OPENING = 0.7  # ... and opens a direction from here on, in units of the tolerance
_LARGE = 2**15  # multiplications from which increments are added by BLAS


@njit(nogil=True, error_model="numpy", **_INSIDE)
def _open(
    slot: int,
    side: int,
    tol2: float,
    pool: _Floats,
    scratch: _Ints,
    slots: _Ints,
    scales2: _Floats,
    sectors: _Ints,
    sides: _Ints,
    matrices: _Ints,
    weights: _Floats,
    noise: _Ints,
) -> int:
    """Open the directions that the rows of a field need; the sector that has no room for a coordinate, or -1."""
    near, far = sides[side, _NEAR], sides[side, _FAR]
    capacity, width = sectors[near, _CAPACITY], _width(sectors, near)
    seen, rest = scratch[0], scratch[1]
    for row in range(slots[slot, _ROWS]):
        x, k = slots[slot, _PLACE] + row * capacity, slots[slot, _SCALES] + row
        scales2[k] = max(scales2[k], _dot(pool, x, x, width))
        _rows_dot(pool, seen, sides[side, _PROBE], capacity, _PROBES, x, width, _ONE, _NONE, _NONE)
        if not _dot(pool, seen, seen, _PROBES) > _PROBES * tol2 * scales2[k]:
            continue
        _scale(pool, rest, 1.0, x, width)
        _project(rest, side, width, pool, scratch, sectors, sides)
        norm2 = _dot(pool, rest, rest, width)
        if not norm2 > _OPENING**2 * tol2 * scales2[k]:
            continue
        if sectors[far, _USED] == sectors[far, _CAPACITY]:
            return far
        _scale(pool, rest, 1 / math.sqrt(norm2), rest, width)
        _project(rest, side, width, pool, scratch, sectors, sides)
        _scale(pool, rest, 1 / math.sqrt(_dot(pool, rest, rest, width)), rest, width)
        _append(rest, side, width, pool, scratch, sectors, sides, matrices, weights, noise)
    return -1


@njit(nogil=True, **_INSIDE)
def _project(x: int, side: int, width: int, pool: _Floats, scratch: _Ints, sectors: _Ints, sides: _Ints) -> None:
    """Take the span of the directions of a side out of x."""
    count, basis, capacity = sides[side, _COUNT], sides[side, _BASIS], sectors[sides[side, _NEAR], _CAPACITY]
    _rows_dot(pool, scratch[2], basis, capacity, count, x, width, _ONE, _NONE, _NONE)
    _rows_add(pool, x, -1.0, scratch[2], basis, capacity, count, width, _ONE, _NONE, _NONE)


@njit(nogil=True, **_INSIDE)
def _append(
    direction: int,
    side: int,
    width: int,
    pool: _Floats,
    scratch: _Ints,
    sectors: _Ints,
    sides: _Ints,
    matrices: _Ints,
    weights: _Floats,
    noise: _Ints,
) -> None:
    """Add a direction, and what its noise is mapped to as a new coordinate."""
    matrix, far, count = side // 2, sides[side, _FAR], sides[side, _COUNT]
    capacity, probes, seen = sectors[sides[side, _NEAR], _CAPACITY], sides[side, _PROBE], scratch[0]
    _scale(pool, sides[side, _BASIS] + count * capacity, 1.0, direction, width)
    _rows_dot(pool, seen, probes, capacity, _PROBES, direction, width, _ONE, _NONE, _NONE)
    for k in range(_PROBES):
        _add(pool, probes + k * capacity, -pool[seen + k], direction, width)
    coordinate = sectors[far, _USED]
    noise[sides[side, _NOISE] + count] = coordinate
    sides[side, _COUNT] += 1
    sectors[far, _USED] += 1
    factor, columns = (
        weights[matrix, _STD + side % 2] * weights[matrix, _INITIAL],
        sectors[matrices[matrix, _SOURCE], 1],
    )
    if side % 2 == 0:
        _scale(pool, matrices[matrix, _DENSE] + coordinate * columns, factor, direction, width)
    else:
        for i in range(sectors[sides[side, _NEAR], _USED]):
            pool[matrices[matrix, _DENSE] + i * columns + coordinate] = factor * pool[direction + i]


@njit(nogil=True, **_INSIDE)
def _clear_matrix(matrix: int, pool: _Floats, sectors: _Ints, sides: _Ints, matrices: _Ints) -> None:
    """Forget all directions, for a matrix that is drawn anew; new probes are drawn by who called."""
    rows, columns = sectors[matrices[matrix, _TARGET], _CAPACITY], sectors[matrices[matrix, _SOURCE], _CAPACITY]
    _zero(pool, matrices[matrix, _DENSE], rows * columns)
    for side in (2 * matrix, 2 * matrix + 1):
        _zero(pool, sides[side, _BASIS], sides[side, _COUNT] * sectors[sides[side, _NEAR], _CAPACITY])
        sides[side, _COUNT] = 0


@njit(nogil=True, **_INSIDE)
def _product(
    slot: int,
    matrix: int,
    transpose: bool,
    pool: _Floats,
    scratch: _Ints,
    slots: _Ints,
    sectors: _Ints,
    matrices: _Ints,
    weights: _Floats,
) -> None:
    """W (or W^T) times a field, as rows of the workspace."""
    target, source, count = matrices[matrix, _TARGET], matrices[matrix, _SOURCE], matrices[matrix, _PENDING]
    near, far = (target, source) if transpose else (source, target)
    x, labels, columns = slots[slot, _PLACE], slots[slot, _ROWS], sectors[source, _CAPACITY]
    width, stride, used = _width(sectors, near), sectors[near, _CAPACITY], sectors[near, _USED]
    wide, far_stride = _width(sectors, far), sectors[far, _CAPACITY]
    dense, memory, c, d = matrices[matrix, _DENSE], matrices[matrix, _MEMORY], weights[matrix, _C], weights[matrix, _D]
    part, out, spare = scratch[0], scratch[3], scratch[4]
    if transpose:
        _zero(pool, out, labels * far_stride)
        _labels_add(pool, out, c, x, dense, columns, used, wide, labels, stride, spare)
        if d != 0:
            _labels_add(pool, out, d, x, memory, columns, used, wide, labels, stride, spare)
    else:
        _labels_dot(pool, out, dense, columns, wide, x, width, labels, far_stride, stride)
        if c != 1:
            _scale(pool, out, c, out, labels * far_stride)
        if d != 0:
            _labels_dot(pool, part, memory, columns, wide, x, width, labels, far_stride, stride)
            _add(pool, out, d, part, labels * far_stride)
    if count == 0:
        return
    here, there = (_LEFT, _RIGHT) if transpose else (_RIGHT, _LEFT)
    _labels_dot(pool, part, matrices[matrix, here], stride, count, x, width, labels, count, stride)
    for k in range(labels * count):
        pool[part + k] *= pool[matrices[matrix, _FACTORS] + k % count]
    _labels_add(pool, out, 1.0, part, matrices[matrix, there], far_stride, count, wide, labels, count, spare)


@njit(nogil=True, **_INSIDE)
def _begin_update(matrix: int, pool: _Floats, matrices: _Ints, weights: _Floats) -> None:
    """One step of the optimizer for everything before this step's increments."""
    keep, memory, from_memory = weights[matrix, _KEEP], weights[matrix, _MOMENTUM], weights[matrix, _FROM_MEMORY]
    if keep == 1 and matrices[matrix, _MEMORY] < 0:
        return
    weights[matrix, _PRESENT] *= memory
    weights[matrix, _D] = keep * weights[matrix, _D] + from_memory * weights[matrix, _PRESENT]
    weights[matrix, _C] *= keep
    for k in range(matrices[matrix, _PENDING]):
        factor, remembered = matrices[matrix, _FACTORS] + k, matrices[matrix, _REMEMBERED] + k
        pool[remembered] *= memory
        pool[factor] = keep * pool[factor] + from_memory * pool[remembered]


@njit(nogil=True, **_INSIDE)
def _flush(matrix: int, pool: _Floats, scratch: _Ints, sectors: _Ints, matrices: _Ints, weights: _Floats) -> None:
    """Add the collected increments to M and V."""
    target, source = matrices[matrix, _TARGET], matrices[matrix, _SOURCE]
    columns, width = sectors[source, _CAPACITY], _width(sectors, source)
    c, d, present = weights[matrix, _C], weights[matrix, _D], weights[matrix, _PRESENT]
    for i in range(sectors[target, _USED]):
        dense, memory = matrices[matrix, _DENSE] + i * columns, matrices[matrix, _MEMORY] + i * columns
        if c != 1:
            _scale(pool, dense, c, dense, width)
        if matrices[matrix, _MEMORY] >= 0:
            _add(pool, dense, d, memory, width)
            _scale(pool, memory, present, memory, width)
    if matrices[matrix, _MEMORY] >= 0:
        _add_factors(matrices[matrix, _MEMORY], matrices[matrix, _REMEMBERED], matrix, pool, scratch, sectors, matrices)
    _add_factors(matrices[matrix, _DENSE], matrices[matrix, _FACTORS], matrix, pool, scratch, sectors, matrices)
    weights[matrix, _INITIAL] *= c
    weights[matrix, _C], weights[matrix, _D], weights[matrix, _PRESENT] = 1.0, 0.0, 1.0
    matrices[matrix, _PENDING] = 0


@njit(nogil=True, **_INSIDE)
def _add_factors(
    out: int, factors: int, matrix: int, pool: _Floats, scratch: _Ints, sectors: _Ints, matrices: _Ints
) -> None:
    """out += sum_k factor_k left_k^T right_k."""
    target, source, count = matrices[matrix, _TARGET], matrices[matrix, _SOURCE], matrices[matrix, _PENDING]
    rows, width = sectors[target, _USED], _width(sectors, source)
    stride, columns = sectors[target, _CAPACITY], sectors[source, _CAPACITY]
    left, right = matrices[matrix, _LEFT], matrices[matrix, _RIGHT]
    large = count * rows * columns > _LARGE
    for i in range(rows):
        column = scratch[3] + i * count
        for k in range(count):
            pool[column + k] = pool[factors + k] * pool[left + k * stride + i]
        if not large:
            _rows_add(pool, out + i * columns, 1.0, column, right, columns, count, width, _ONE, _NONE, _NONE)
    if large:
        _blas(pool, scratch[4], scratch[3], right, rows, count, columns, False)
        _add(pool, out, 1.0, scratch[4], rows * columns)


@njit(nogil=True, **_INSIDE)
def _increment(
    line: _Ints,
    coefficient: float,
    pool: _Floats,
    slots: _Ints,
    sectors: _Ints,
    matrices: _Ints,
    weights: _Floats,
    lists: _Ints,
    registers: _Floats,
) -> None:
    """Matrix, number, left, its rows, right, its rows, weight, its rows, row of a label, labels, rows of the increment.

    Add coefficient * left^T right to the increment of a step, left weighted and summed over labels.
    """
    matrix, left, right, rows = line[1], line[3], line[5], line[11]
    first = matrices[matrix, _PENDING]
    capacity = sectors[matrices[matrix, _TARGET], _CAPACITY]
    place = matrices[matrix, _LEFT] + first * capacity
    _zero(pool, place, rows * capacity)
    width = _width(sectors, matrices[matrix, _TARGET])
    _weighted(place, coefficient, left, line, capacity, width, pool, slots, lists, registers)
    capacity = sectors[matrices[matrix, _SOURCE], _CAPACITY]
    for row in range(rows):
        x = slots[right, _PLACE] + _taken(lists, line[6], row) * capacity
        _scale(pool, matrices[matrix, _RIGHT] + (first + row) * capacity, 1.0, x, capacity)
    for k in range(first, first + rows):
        pool[matrices[matrix, _FACTORS] + k] = weights[matrix, _FIRST]
        pool[matrices[matrix, _REMEMBERED] + k] = 1.0
    matrices[matrix, _PENDING] += rows


@njit(nogil=True, **_INSIDE)
def _weighted(
    out: int,
    coefficient: float,
    slot: int,
    line: _Ints,
    capacity: int,
    width: int,
    pool: _Floats,
    slots: _Ints,
    lists: _Ints,
    registers: _Floats,
) -> None:
    """out += coefficient * field, weighted and summed over the labels that are not kept."""
    for label in range(line[10]):
        factor = coefficient
        if line[7] >= 0:
            factor *= registers[line[7] + _taken(lists, line[8], label)]
        x = slots[slot, _PLACE] + _taken(lists, line[4], label) * capacity
        _add(pool, out + _taken(lists, line[9], label) * capacity, factor, x, width)
