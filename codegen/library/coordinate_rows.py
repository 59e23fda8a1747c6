# ruff: noqa: D403
"""Short vectors and skinny products, the inner loops of growing coordinates.

All numbers lie in one pool. A vector is the place where it begins, a matrix the place of its first row and the distance
of rows; four or eight rows are read at a time, so that sums stay in registers, and for all labels while they are in the
cache. Widths are multiples of eight: vectors are padded by zeros.
"""

import numpy as np
from numba import njit

from .common import _INSIDE, _Floats

_ONE, _NONE = np.int64(1), np.int64(0)  # one label; with plain numbers kernels would be compiled once more for them
_MANY = 8  # labels from which on BLAS is quicker than products of a few rows
_FAST = {"reassoc", "contract", "nsz"}  # infinities and nan keep their meaning


@njit(nogil=True, fastmath=_FAST, **_INSIDE)
def _dot(pool: _Floats, a: int, b: int, width: int) -> float:
    """sum_j a_j b_j."""
    x, y, total = pool[a : a + width], pool[b : b + width], 0.0
    for j in range(width):
        total += x[j] * y[j]
    return total


@njit(nogil=True, fastmath=_FAST, **_INSIDE)
def _rows_dot(
    pool: _Floats,
    out: int,
    rows: int,
    stride: int,
    count: int,
    x: int,
    width: int,
    labels: int,
    out_stride: int,
    x_stride: int,
) -> None:
    """out_k = rows_k . x, for vectors x of several labels."""
    k = 0
    while k + 4 <= count:
        p = rows + k * stride
        r0, r1 = pool[p : p + width], pool[p + stride : p + stride + width]
        r2, r3 = pool[p + 2 * stride : p + 2 * stride + width], pool[p + 3 * stride : p + 3 * stride + width]
        for label in range(labels):
            v, y = pool[x + label * x_stride : x + label * x_stride + width], out + label * out_stride + k
            s0 = s1 = s2 = s3 = 0.0
            for j in range(width):
                s0 += r0[j] * v[j]
                s1 += r1[j] * v[j]
                s2 += r2[j] * v[j]
                s3 += r3[j] * v[j]
            pool[y], pool[y + 1], pool[y + 2], pool[y + 3] = s0, s1, s2, s3
        k += 4
    for rest in range(k, count):
        for label in range(labels):
            pool[out + label * out_stride + rest] = _dot(pool, rows + rest * stride, x + label * x_stride, width)


@njit(nogil=True, fastmath=_FAST, **_INSIDE)
def _rows_add(
    pool: _Floats,
    out: int,
    factor: float,
    weights: int,
    rows: int,
    stride: int,
    count: int,
    width: int,
    labels: int,
    out_stride: int,
    weights_stride: int,
) -> None:
    """out += factor * sum_k weights_k rows_k, for weights of several labels."""
    k = 0
    while k + 8 <= count:
        p = rows + k * stride
        r0, r1 = pool[p : p + width], pool[p + stride : p + stride + width]
        r2, r3 = pool[p + 2 * stride : p + 2 * stride + width], pool[p + 3 * stride : p + 3 * stride + width]
        r4, r5 = pool[p + 4 * stride : p + 4 * stride + width], pool[p + 5 * stride : p + 5 * stride + width]
        r6, r7 = pool[p + 6 * stride : p + 6 * stride + width], pool[p + 7 * stride : p + 7 * stride + width]
        for label in range(labels):
            y = pool[out + label * out_stride : out + label * out_stride + width]
            w = pool[weights + label * weights_stride + k : weights + label * weights_stride + k + 8]
            w0, w1, w2, w3 = factor * w[0], factor * w[1], factor * w[2], factor * w[3]
            w4, w5, w6, w7 = factor * w[4], factor * w[5], factor * w[6], factor * w[7]
            for j in range(width):
                y[j] += ((w0 * r0[j] + w1 * r1[j]) + (w2 * r2[j] + w3 * r3[j])) + (
                    (w4 * r4[j] + w5 * r5[j]) + (w6 * r6[j] + w7 * r7[j])
                )
        k += 8
    for rest in range(k, count):
        for label in range(labels):
            weight = factor * pool[weights + label * weights_stride + rest]
            _add(pool, out + label * out_stride, weight, rows + rest * stride, width)


@njit(nogil=True, **_INSIDE)
def _add(pool: _Floats, out: int, factor: float, x: int, width: int) -> None:
    """out += factor * x."""
    y, v = pool[out : out + width], pool[x : x + width]
    for j in range(width):
        y[j] += factor * v[j]


@njit(nogil=True, **_INSIDE)
def _scale(pool: _Floats, out: int, factor: float, x: int, width: int) -> None:
    """out = factor * x; they may be the same."""
    y, v = pool[out : out + width], pool[x : x + width]
    for j in range(width):
        y[j] = factor * v[j]


@njit(nogil=True, **_INSIDE)
def _zero(pool: _Floats, out: int, width: int) -> None:
    """out = 0."""
    for j in range(out, out + width):
        pool[j] = 0.0


@njit(nogil=True, **_INSIDE)
def _blas(pool: _Floats, out: int, a: int, b: int, rows: int, inner: int, columns: int, transpose: bool) -> None:
    """out = a b, or a b^T, matrices of (rows, inner) and (inner, columns) numbers or, transposed, (columns, inner)."""
    left = pool[a : a + rows * inner].reshape((rows, inner))
    right, result = pool[b : b + inner * columns], pool[out : out + rows * columns].reshape((rows, columns))
    if transpose:
        np.dot(left, right.reshape((columns, inner)).T, result)
    else:
        np.dot(left, right.reshape((inner, columns)), result)


@njit(nogil=True, **_INSIDE)
def _labels_dot(
    pool: _Floats,
    out: int,
    rows: int,
    stride: int,
    count: int,
    x: int,
    width: int,
    labels: int,
    out_stride: int,
    x_stride: int,
) -> None:
    """`_rows_dot` of few labels or, by BLAS, many: then of `out_stride` rows, and vectors of `stride` numbers."""
    if labels < _MANY:
        _rows_dot(pool, out, rows, stride, count, x, width, labels, out_stride, x_stride)
    else:
        _blas(pool, out, x, rows, labels, stride, out_stride, True)


@njit(nogil=True, **_INSIDE)
def _labels_add(
    pool: _Floats,
    out: int,
    factor: float,
    weights: int,
    rows: int,
    stride: int,
    count: int,
    width: int,
    labels: int,
    weights_stride: int,
    spare: int,
) -> None:
    """`_rows_add` of few labels or, by BLAS, many: then of `weights_stride` rows, with a place to spare for the sum."""
    if labels < _MANY:
        _rows_add(pool, out, factor, weights, rows, stride, count, width, labels, stride, weights_stride)
    else:
        _blas(pool, spare, weights, rows, labels, weights_stride, stride, False)
        _add(pool, out, factor, spare, labels * stride)
