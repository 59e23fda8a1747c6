"""Products of a march: rows with two-time matrices.

Responses are lower triangular and correlations symmetric, of which the
lower triangle is kept, so that a product reads half of a matrix. The rows of closed chunks of steps are read in their
compressed form (see `_History`): a tile at the diagonal, and few rows of which the others are combinations. These
panels are laid out in the order in which they are read: blocks of eight columns, all rows of each.

Matrices lie in a two-dimensional array `data`, one a line; a row of a matrix is the place in the line where its
column 0 is (or would be). Places are unsigned: indices that may be negative cost the loops their vector instructions.
"""

from typing import NamedTuple

import numpy as np
from dmft_sym.codegen.library.common import _INSIDE, _Floats, _Ints
from dmft_sym.codegen.library.numba_history import _History
from dmft_sym.codegen.library.numba_rows import _FAST
from numba import njit

# y = a M, y = x M with M symmetric, y = w M^T, and the latter without equal steps
_PRODUCT, _COVARIANCE, _CORRELATION, _TRANSPOSED = 0, 1, 2, 3
_U1, _U2, _U3, _U4, _U5, _U6, _U7 = (np.uint64(lane) for lane in range(1, 8))
_VECTOR = 32  # loops over columns are rounded up to this length: there are zeros right of the diagonal


class _Scratch(NamedTuple):
    """Totals and weights of rows, and their places."""

    totals: np.ndarray
    weights: np.ndarray
    rows: np.ndarray


@njit(cache=True, fastmath=_FAST, **_INSIDE)
def _spread(
    y: _Floats, c: int, data: _Floats, m: int, rows: _Ints, weights: _Floats, count: int, begin: int, end: int
) -> None:
    """y[c, begin:end] += sum_i weights[i] * (columns begin..end of row i)."""
    i = 0
    while i + 8 <= count:
        w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        w4, w5, w6, w7 = weights[i + 4], weights[i + 5], weights[i + 6], weights[i + 7]
        r0, r1, r2, r3 = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        r4, r5, r6, r7 = rows[i + 4], rows[i + 5], rows[i + 6], rows[i + 7]
        for b in range(np.uint64(begin), np.uint64(end)):
            y[c, b] += (
                (w0 * data[m, r0 + b] + w1 * data[m, r1 + b]) + (w2 * data[m, r2 + b] + w3 * data[m, r3 + b])
            ) + ((w4 * data[m, r4 + b] + w5 * data[m, r5 + b]) + (w6 * data[m, r6 + b] + w7 * data[m, r7 + b]))
        i += 8
    while i + 4 <= count:
        w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        r0, r1, r2, r3 = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        for b in range(np.uint64(begin), np.uint64(end)):
            y[c, b] += (w0 * data[m, r0 + b] + w1 * data[m, r1 + b]) + (w2 * data[m, r2 + b] + w3 * data[m, r3 + b])
        i += 4
    while i < count:
        for b in range(np.uint64(begin), np.uint64(end)):
            y[c, b] += weights[i] * data[m, rows[i] + b]
        i += 1


@njit(cache=True, fastmath=_FAST, **_INSIDE)
def _gather(
    totals: _Floats, data: _Floats, m: int, rows: _Ints, count: int, x: _Floats, c: int, begin: int, end: int
) -> None:
    """totals[i] = (columns begin..end of row i) . x[c, begin:end]."""
    i = 0
    while i + 4 <= count:
        r0, r1, r2, r3 = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        t0 = t1 = t2 = t3 = x[c, 0] * 0
        for b in range(np.uint64(begin), np.uint64(end)):
            xb = x[c, b]
            t0 += xb * data[m, r0 + b]
            t1 += xb * data[m, r1 + b]
            t2 += xb * data[m, r2 + b]
            t3 += xb * data[m, r3 + b]
        totals[i], totals[i + 1], totals[i + 2], totals[i + 3] = t0, t1, t2, t3
        i += 4
    while i < count:
        t0 = x[c, 0] * 0
        for b in range(np.uint64(begin), np.uint64(end)):
            t0 += x[c, b] * data[m, rows[i] + b]
        totals[i] = t0
        i += 1


@njit(cache=True, fastmath=_FAST, **_INSIDE)
def _spread_and_gather(
    y: _Floats,
    totals: _Floats,
    data: _Floats,
    m: int,
    rows: _Ints,
    weights: _Floats,
    count: int,
    x: _Floats,
    c: int,
    begin: int,
    end: int,
) -> None:
    """Both at once, for the lower triangle of a symmetric matrix."""
    i = 0
    while i + 4 <= count:
        w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        r0, r1, r2, r3 = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        t0 = t1 = t2 = t3 = x[c, 0] * 0
        for b in range(np.uint64(begin), np.uint64(end)):
            xb = x[c, b]
            d0, d1, d2, d3 = data[m, r0 + b], data[m, r1 + b], data[m, r2 + b], data[m, r3 + b]
            y[c, b] += (w0 * d0 + w1 * d1) + (w2 * d2 + w3 * d3)
            t0 += xb * d0
            t1 += xb * d1
            t2 += xb * d2
            t3 += xb * d3
        totals[i], totals[i + 1], totals[i + 2], totals[i + 3] = t0, t1, t2, t3
        i += 4
    while i < count:
        t0 = x[c, 0] * 0
        for b in range(np.uint64(begin), np.uint64(end)):
            y[c, b] += weights[i] * data[m, rows[i] + b]
            t0 += x[c, b] * data[m, rows[i] + b]
        totals[i] = t0
        i += 1


@njit(cache=True, **_INSIDE)
def _rows_product(
    kind: int,
    y: _Floats,
    x: _Floats,
    c: int,
    data: _Floats,
    m: int,
    count: int,
    begin: int,
    end: int,
    scratch: _Scratch,
) -> None:
    """Part of a product: y from the weights of rows, or their totals from x, or both."""
    if kind == _PRODUCT:
        _spread(y, c, data, m, scratch.rows, scratch.weights, count, begin, end)
    elif kind == _COVARIANCE:
        _spread_and_gather(y, scratch.totals, data, m, scratch.rows, scratch.weights, count, x, c, begin, end)
    else:
        _gather(scratch.totals, data, m, scratch.rows, count, x, c, begin, end)


@njit(cache=True, fastmath=_FAST, **_INSIDE)
def _dense_rows(
    kind: int,
    y: _Floats,
    x: _Floats,
    data: _Floats,
    m: int,
    first: int,
    last: int,
    begin: int,
    place: int,
    width: int,
    scratch: _Scratch,
) -> None:
    """A product with the rows first..last from column begin on; row 0 is at `place`, rows are `width` long."""
    C = y.shape[0]
    k = first
    while k < last:
        count = min(8, last - k)
        end = min((((k + count - 1) // C + 1) * C + _VECTOR - 1) // _VECTOR * _VECTOR, x.shape[1])
        for i in range(count):
            scratch.rows[i] = place + (k + i) * width
        for c in range(C):
            for i in range(count):
                scratch.weights[i] = x[c, k + i]
            _rows_product(kind, y, x, c, data, m, count, begin, end, scratch)
            for i in range(count if kind != _PRODUCT else 0):
                total = scratch.totals[i]
                if kind != _CORRELATION:  # equal steps count once
                    block = ((k + i) // C) * C
                    for b in range(block, block + C):
                        total -= x[c, b] * data[m, place + (k + i) * width + b]
                y[c, k + i] += total
        k += count


@njit(cache=True, fastmath=_FAST, **_INSIDE)
def _spread_panel(
    y: _Floats, c: int, data: _Floats, m: int, place: int, weights: _Floats, count: int, begin: int, end: int, C: int
) -> None:
    """y[c, begin:end] += weights @ panel, of `count` rows in blocks of eight columns.

    Of a panel at the diagonal (C > 0: outputs), rows that end left of a block are not there.
    """
    o, first = np.uint64(place), 0
    for b in range(np.uint64(begin), np.uint64(end), np.uint64(8)):
        while C > 0 and first + C <= np.int64(b) - begin:
            first += C
        a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = weights[0] * 0
        for p in range(np.uint64(first), np.uint64(count)):
            w = weights[p]
            a0 += w * data[m, o]
            a1 += w * data[m, o + _U1]
            a2 += w * data[m, o + _U2]
            a3 += w * data[m, o + _U3]
            a4 += w * data[m, o + _U4]
            a5 += w * data[m, o + _U5]
            a6 += w * data[m, o + _U6]
            a7 += w * data[m, o + _U7]
            o += np.uint64(8)
        y[c, b] += a0
        y[c, b + _U1] += a1
        y[c, b + _U2] += a2
        y[c, b + _U3] += a3
        y[c, b + _U4] += a4
        y[c, b + _U5] += a5
        y[c, b + _U6] += a6
        y[c, b + _U7] += a7


@njit(cache=True, fastmath=_FAST, **_INSIDE)
def _gather_panel(
    totals: _Floats, data: _Floats, m: int, place: int, count: int, x: _Floats, c: int, begin: int, end: int, C: int
) -> None:
    """Set totals to panel @ x[c, begin:end]."""
    o, first = np.uint64(place), 0
    for p in range(count):
        totals[p] = 0
    for b in range(np.uint64(begin), np.uint64(end), np.uint64(8)):
        while C > 0 and first + C <= np.int64(b) - begin:
            first += C
        x0, x1, x2, x3 = x[c, b], x[c, b + _U1], x[c, b + _U2], x[c, b + _U3]
        x4, x5, x6, x7 = x[c, b + _U4], x[c, b + _U5], x[c, b + _U6], x[c, b + _U7]
        for p in range(np.uint64(first), np.uint64(count)):
            totals[p] += (
                (x0 * data[m, o] + x1 * data[m, o + _U1]) + (x2 * data[m, o + _U2] + x3 * data[m, o + _U3])
            ) + ((x4 * data[m, o + _U4] + x5 * data[m, o + _U5]) + (x6 * data[m, o + _U6] + x7 * data[m, o + _U7]))
            o += np.uint64(8)


@njit(cache=True, fastmath=_FAST, **_INSIDE)
def _spread_and_gather_panel(
    y: _Floats,
    totals: _Floats,
    data: _Floats,
    m: int,
    place: int,
    weights: _Floats,
    count: int,
    x: _Floats,
    c: int,
    begin: int,
    end: int,
    C: int,
) -> None:
    """Both at once."""
    o, first = np.uint64(place), 0
    for p in range(count):
        totals[p] = 0
    for b in range(np.uint64(begin), np.uint64(end), np.uint64(8)):
        while C > 0 and first + C <= np.int64(b) - begin:
            first += C
        x0, x1, x2, x3 = x[c, b], x[c, b + _U1], x[c, b + _U2], x[c, b + _U3]
        x4, x5, x6, x7 = x[c, b + _U4], x[c, b + _U5], x[c, b + _U6], x[c, b + _U7]
        a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = weights[0] * 0
        for p in range(np.uint64(first), np.uint64(count)):
            w = weights[p]
            d0, d1, d2, d3 = data[m, o], data[m, o + _U1], data[m, o + _U2], data[m, o + _U3]
            d4, d5, d6, d7 = data[m, o + _U4], data[m, o + _U5], data[m, o + _U6], data[m, o + _U7]
            a0 += w * d0
            a1 += w * d1
            a2 += w * d2
            a3 += w * d3
            a4 += w * d4
            a5 += w * d5
            a6 += w * d6
            a7 += w * d7
            totals[p] += ((x0 * d0 + x1 * d1) + (x2 * d2 + x3 * d3)) + ((x4 * d4 + x5 * d5) + (x6 * d6 + x7 * d7))
            o += np.uint64(8)
        y[c, b] += a0
        y[c, b + _U1] += a1
        y[c, b + _U2] += a2
        y[c, b + _U3] += a3
        y[c, b + _U4] += a4
        y[c, b + _U5] += a5
        y[c, b + _U6] += a6
        y[c, b + _U7] += a7


@njit(cache=True, **_INSIDE)
def _panel_product(
    kind: int,
    y: _Floats,
    x: _Floats,
    c: int,
    data: _Floats,
    m: int,
    place: int,
    count: int,
    begin: int,
    end: int,
    C: int,
    scratch: _Scratch,
) -> None:
    """Part of a product: y from the weights of a panel's rows, or their totals from x, or both."""
    totals, weights = scratch.totals, scratch.weights
    if kind == _PRODUCT:
        _spread_panel(y, c, data, m, place, weights, count, begin, end, C)
    elif kind == _COVARIANCE:
        _spread_and_gather_panel(y, totals, data, m, place, weights, count, x, c, begin, end, C)
    else:
        _gather_panel(totals, data, m, place, count, x, c, begin, end, C)


@njit(cache=True, **_INSIDE)
def _chunk_product(
    kind: int, y: _Floats, x: _Floats, c: int, m: int, q: int, history: _History, scratch: _Scratch
) -> None:
    """A product with one compressed chunk, and with its span if it is the last of one."""
    packed, combinations, chunk = history.packed, history.combinations, history.counts[0]
    C, lower, upper = y.shape[0], q * chunk, (q + 1) * chunk
    totals, weights, none = scratch.totals, scratch.weights, lower - lower
    # The tile at the diagonal, the chunk's chosen rows, the span's: their own columns, and the rows they stand for.
    for level in range(-1, 2):
        begin, end, first, count, place = lower, upper, lower, chunk, history.places[q, 0]
        if level == 0:
            begin, end, count, place = history.places[q, 2], lower, history.ranks[q, 0], history.places[q, 1]
        elif level == 1:
            end, count, place = history.places[q, 2], history.ranks[q, 1], history.places[q, 3]
            begin, first = none, end
        if count == 0 or begin == end:
            continue
        if kind in (_PRODUCT, _COVARIANCE):
            if level < 0:
                for i in range(chunk):
                    weights[i] = x[c, lower + i]
            else:
                _gather_panel(weights, combinations, level, first * chunk, count, x, c, first, upper, none)
        _panel_product(kind, y, x, c, packed, m, place, count, begin, end, C if level < 0 else none, scratch)
        if kind == _PRODUCT:
            continue
        if level < 0:
            for i in range(chunk):
                y[c, lower + i] += totals[i]
        else:
            _spread_panel(y, c, combinations, level, first * chunk, totals, count, first, upper, none)
    if kind in (_COVARIANCE, _TRANSPOSED):
        place = history.places[q, 4]
        for block in range(lower, upper, C):  # equal steps count once
            for k in range(block, block + C):
                for b in range(block, block + C):
                    y[c, k] -= x[c, b] * packed[m, place]
                    place += 1


@njit(cache=True)
def _chunks_product(
    kind: int,
    y: _Floats,
    x: _Floats,
    flat: _Floats,
    m: int,
    first: int,
    last: int,
    hi: int,
    history: _History,
    scratch: _Scratch,
) -> None:
    """A product with the chunks first..last of a matrix; the rows since the last closed chunk count as one more."""
    chunk, closed, n = history.counts[0], history.counts[1], x.shape[1]
    for q in range(first, last):
        if q < closed and history.ranks[q, 0] > 0:
            for c in range(y.shape[0]):
                _chunk_product(kind, y, x, c, m, q, history, scratch)
        else:
            stop = (q + 1) * chunk if q < closed else hi
            _dense_rows(kind, y, x, flat, m, q * chunk, stop, 0 * q, 0 * q, n, scratch)
