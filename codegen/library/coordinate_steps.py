# ruff: noqa: I001
"""Steps of training in growing coordinates: lines of numbers, each an operation, are carried out one after another."""

import math
from typing import Any

import numpy as np
from numba import njit, types

from .common import _INSIDE, _Floats, _Ints
from .coordinate_matrices import (
    _begin_update, _clear_matrix, _flush, _increment, _open, _product, _weighted,
)  # fmt: skip
from .coordinate_rows import _add, _dot, _scale, _zero
from .coordinate_scalars import _scalars
from .coordinate_tables import (
    Operation,
    _CAPACITY,
    _PENDING,
    _PLACE,
    _ROOM,
    _ROWS,
    _SECTOR,
    _STD,
    _USED,
    _taken,
    _width,
)


def signature(real: type) -> tuple[Any, ...]:
    """Types of the arguments of `advance`; numbers of fields and matrices are ``real``, float32 or float64."""
    integer, number, reals, integers = types.int64, types.float64, types.float64[::1], types.int64[::1]
    table, rows = types.int64[:, ::1], types.float64[:, ::1]
    head = (integer, integer, integers, reals, number, table, reals, integers, reals, rows, table, types.boolean)
    pool = types.float32[::1] if real == np.float32 else reals
    return (*head, table, reals, table, table, table, rows, integers, pool, integers)


DONE, PAUSED, FULL, CLEARED, DIVERGED = range(5)
DIVERGENCE = 1e12  # an observable or scalar beyond this multiple of the largest first one counts as divergence
LARGEST_NORM2 = 1e75  # of a field, where there are scalars


@njit(cache=True, nogil=True, error_model="numpy")
def advance(
    until: int,
    pause: int,
    state: _Ints,
    limit: _Floats,
    tol2: float,
    code: _Ints,
    numbers: _Floats,
    lists: _Ints,
    registers: _Floats,
    track: _Floats,
    ranks: _Ints,
    bounded: bool,
    slots: _Ints,
    scales2: _Floats,
    sectors: _Ints,
    sides: _Ints,
    matrices: _Ints,
    weights: _Floats,
    noise: _Ints,
    pool: _Floats,
    scratch: _Ints,
) -> int:
    """Carry on until as many steps are done; why it came back.

    Parameters
    ----------
    until, pause
        Number of steps, and a step at which to come back when its fields are known (-1 for none).
    state
        Steps that are done, next line, and the sector that is full, or the matrix that waits for new probes.
    limit
        What an observable may be, known after the first step, shape (1,).
    code
        Lines of operations, shape (lines, 12): begin of the step, fields and scalars, KEEP, updates.
    numbers, lists
        Coefficients, and rows of operands.
    registers
        Scalars; the first are kept as rows of `track`.
    ranks
        Number of coordinates, shape (steps, sectors).
    bounded
        Whether norms of fields are limited.
    pool, scratch
        All vectors and matrices, and places in it: of vectors on the way, and in the end of rows for products.
    """
    while state[0] < until:
        if state[1] == code.shape[0]:
            state[0] += 1
            state[1] = 0
            continue
        line = code[state[1]]
        operation = line[0]
        if operation >= Operation.TAKE:
            _scalars(line, lists, registers)
        elif operation == Operation.MULTIPLY:
            full = _multiply(
                line, tol2, pool, scratch, numbers, lists, slots, scales2, sectors, sides, matrices, weights, noise
            )
            if full >= 0:
                state[2] = full
                return FULL
        elif operation == Operation.DOT:
            _dots(line, lists, registers, slots, sectors, pool)
        elif operation == Operation.BEGIN_UPDATE:
            _begin_update(line[1], pool, matrices, weights)
        elif operation == Operation.INCREMENT:
            _increment(line, numbers[line[2]], pool, slots, sectors, matrices, weights, lists, registers)
        elif operation == Operation.END_UPDATE:
            if matrices[line[1], _PENDING] + line[2] > matrices[line[1], _ROOM]:
                _flush(line[1], pool, scratch, sectors, matrices, weights)
        elif operation == Operation.GIVEN:  # a scalar, its labels, and where its values of all steps are
            for k in range(line[2]):
                registers[line[1] + k] = registers[line[3] + state[0] * line[2] + k]
        elif operation == Operation.ONCE:  # the next line is for the first step alone
            state[1] += state[0] > 0
        elif operation == Operation.KEEP:
            for sector in range(sectors.shape[0]):
                ranks[state[0], sector] = sectors[sector, _USED]
            if not _kept(state[0], limit, registers, track) or (bounded and not _bounded(slots, sectors, pool)):
                return DIVERGED
        elif operation == Operation.OPEN_VECTOR:
            sector = slots[line[1], _SECTOR]
            if sectors[sector, _USED] == sectors[sector, _CAPACITY]:
                state[2] = sector
                return FULL
            _open_vector(line, numbers, slots, sectors, pool)
        elif operation == Operation.CLEAR_MATRIX:
            _clear_matrix(line[1], pool, sectors, sides, matrices)
            state[1] += 1
            state[2] = line[1]
            return CLEARED
        elif operation == Operation.CLEAR_SECTOR:
            _clear_sector(line[1], slots, sectors, pool)
        else:
            _combine(line, numbers, lists, registers, slots, sectors, pool)
        state[1] += 1
        if operation == Operation.KEEP and state[0] == pause:
            return PAUSED
    return DONE


@njit(nogil=True, **_INSIDE)
def _combine(
    line: _Ints, numbers: _Floats, lists: _Ints, registers: _Floats, slots: _Ints, sectors: _Ints, pool: _Floats
) -> None:
    """ZERO, SCALE and ADD: target, number, operand, its rows. ADD_EACH has a register of coefficients as its number.

    ACCUMULATE adds as `_increment` does, to a vector.
    """
    operation, target = line[0], line[1]
    out, capacity = slots[target, _PLACE], sectors[slots[target, _SECTOR], _CAPACITY]
    width = _width(sectors, slots[target, _SECTOR])
    if operation == Operation.ZERO:
        _zero(pool, out, slots[target, _ROWS] * capacity)
    elif operation == Operation.ACCUMULATE:
        _weighted(out, numbers[line[2]], line[3], line, capacity, width, pool, slots, lists, registers)
    else:
        for row in range(slots[target, _ROWS]):
            x = slots[line[3], _PLACE] + _taken(lists, line[4], row) * capacity
            if operation == Operation.SCALE:
                _scale(pool, out + row * capacity, numbers[line[2]], x, width)
            else:
                factor = numbers[line[2]] if operation == Operation.ADD else registers[line[2] + row]
                _add(pool, out + row * capacity, factor, x, width)


@njit(nogil=True, error_model="numpy", **_INSIDE)
def _multiply(
    line: _Ints,
    tol2: float,
    pool: _Floats,
    scratch: _Ints,
    numbers: _Floats,
    lists: _Ints,
    slots: _Ints,
    scales2: _Floats,
    sectors: _Ints,
    sides: _Ints,
    matrices: _Ints,
    weights: _Floats,
    noise: _Ints,
) -> int:
    """Target, number, operand, its rows, matrix, whether transposed: open what is new, then add the product."""
    target, operand, matrix, transpose = line[1], line[3], line[5], line[6]
    if weights[matrix, _STD + transpose] > 0:
        side = 2 * matrix + transpose
        full = _open(operand, side, tol2, pool, scratch, slots, scales2, sectors, sides, matrices, weights, noise)
        if full >= 0:
            return full
    _product(operand, matrix, transpose, pool, scratch, slots, sectors, matrices, weights)
    capacity, width = sectors[slots[target, _SECTOR], _CAPACITY], _width(sectors, slots[target, _SECTOR])
    for row in range(slots[target, _ROWS]):
        y = scratch[3] + _taken(lists, line[4], row) * capacity
        _add(pool, slots[target, _PLACE] + row * capacity, numbers[line[2]], y, width)
    return -1


@njit(nogil=True, **_INSIDE)
def _dots(line: _Ints, lists: _Ints, registers: _Floats, slots: _Ints, sectors: _Ints, pool: _Floats) -> None:
    """Register, coefficients (in registers), two operands with their rows, number of labels: add dot products."""
    sector = slots[line[3], _SECTOR]
    capacity, width = sectors[sector, _CAPACITY], _width(sectors, sector)
    for k in range(line[7]):
        a = slots[line[3], _PLACE] + _taken(lists, line[4], k) * capacity
        b = slots[line[5], _PLACE] + _taken(lists, line[6], k) * capacity
        registers[line[1] + k] += registers[line[2] + k] * _dot(pool, a, b, width)


@njit(nogil=True, **_INSIDE)
def _open_vector(line: _Ints, numbers: _Floats, slots: _Ints, sectors: _Ints, pool: _Floats) -> None:
    """Vector, standard deviation, row: one more coordinate."""
    sector = slots[line[1], _SECTOR]
    row = slots[line[1], _PLACE] + line[3] * sectors[sector, _CAPACITY]
    pool[row + sectors[sector, _USED]] = numbers[line[2]]
    sectors[sector, _USED] += 1


@njit(nogil=True, **_INSIDE)
def _clear_sector(sector: int, slots: _Ints, sectors: _Ints, pool: _Floats) -> None:
    """Forget all coordinates."""
    for slot in range(slots.shape[0]):
        if slots[slot, _SECTOR] == sector:
            _zero(pool, slots[slot, _PLACE], slots[slot, _ROWS] * sectors[sector, _CAPACITY])
    sectors[sector, _USED] = 0


@njit(nogil=True, error_model="numpy", **_INSIDE)
def _kept(step: int, limit: _Floats, registers: _Floats, track: _Floats) -> bool:
    """Keep the first registers of a step; whether they are finite, and within the limit that the first step sets."""
    largest = 0.0
    for k in range(track.shape[1]):
        track[step, k] = registers[k]
        if not math.isfinite(registers[k]):
            return False
        largest = max(largest, abs(registers[k]))
    if step == 0 and largest > 0:
        limit[0] = DIVERGENCE * largest
    return largest <= limit[0]


@njit(nogil=True, **_INSIDE)
def _bounded(slots: _Ints, sectors: _Ints, pool: _Floats) -> bool:
    """Whether the squares of all norms are finite and not too large."""
    for slot in range(slots.shape[0]):
        sector = slots[slot, _SECTOR]
        for row in range(slots[slot, _ROWS]):
            x = slots[slot, _PLACE] + row * sectors[sector, _CAPACITY]
            if not _dot(pool, x, x, _width(sectors, sector)) <= LARGEST_NORM2:
                return False
    return True
