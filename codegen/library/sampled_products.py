"""Products of a few rows of sampled sites with many others, on one block of sites.

Rows stay in the cache from one pass over the block to the next. Sums over sites are made in several parts at once, in
an order that is always the same.
"""

import numpy as np
from dmft_sym.codegen.library.common import _INSIDE, _Floats, _Ints
from numba import njit

_BLOCK = 512
# Sums and averages below this fraction of their terms are rounding noise, and zero: fields made of it would open
# directions, whose images are drawn at random.
_CANCELLED = 2.0**-43
_REORDERED = {"reassoc", "contract", "nsz"}  # infinities and nan keep their meaning


@njit(nogil=True, fastmath=_REORDERED, **_INSIDE)
def _dots(out: _Floats, x: _Floats, data: _Floats, places: _Ints, lo: int, hi: int) -> None:
    """out[a, k] += x[a] . data[places[k]] over the sites lo..hi, for all rows of x and all places."""
    n, rows, count = hi - lo, x.shape[0], places.size
    for k in range(0, count, 4):
        # Where there are fewer than four, the last one is repeated and not kept.
        q0, q1 = data[places[k], lo:hi], data[places[min(k + 1, count - 1)], lo:hi]
        q2, q3 = data[places[min(k + 2, count - 1)], lo:hi], data[places[min(k + 3, count - 1)], lo:hi]
        for a in range(0, rows, 2):
            x0, x1 = x[a, lo:hi], x[min(a + 1, rows - 1), lo:hi]
            s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = 0.0
            for i in range(n):
                u0, u1, v0, v1, v2, v3 = x0[i], x1[i], q0[i], q1[i], q2[i], q3[i]
                s00 += u0 * v0
                s01 += u0 * v1
                s02 += u0 * v2
                s03 += u0 * v3
                s10 += u1 * v0
                s11 += u1 * v1
                s12 += u1 * v2
                s13 += u1 * v3
            for b, s0, s1, s2, s3 in ((a, s00, s01, s02, s03), (a + 1, s10, s11, s12, s13)):
                if b < rows:
                    out[b, k] += s0
                    if k + 1 < count:
                        out[b, k + 1] += s1
                    if k + 2 < count:
                        out[b, k + 2] += s2
                    if k + 3 < count:
                        out[b, k + 3] += s3


@njit(nogil=True, fastmath=_REORDERED, **_INSIDE)
def _add_rows(out: _Floats, factor: float, weights: _Floats, data: _Floats, places: _Ints, lo: int, hi: int) -> None:
    """out[a] += factor * sum_k weights[a, k] data[places[k]] on the sites lo..hi, for all rows and places."""
    n, rows, count = hi - lo, out.shape[0], places.size
    k = 0
    while k + 8 <= count:
        q0, q1 = data[places[k], lo:hi], data[places[k + 1], lo:hi]
        q2, q3 = data[places[k + 2], lo:hi], data[places[k + 3], lo:hi]
        q4, q5 = data[places[k + 4], lo:hi], data[places[k + 5], lo:hi]
        q6, q7 = data[places[k + 6], lo:hi], data[places[k + 7], lo:hi]
        for a in range(rows):
            y, w = out[a, lo:hi], weights[a, k : k + 8]
            w0, w1, w2, w3 = factor * w[0], factor * w[1], factor * w[2], factor * w[3]
            w4, w5, w6, w7 = factor * w[4], factor * w[5], factor * w[6], factor * w[7]
            for i in range(n):
                y[i] += ((w0 * q0[i] + w1 * q1[i]) + (w2 * q2[i] + w3 * q3[i])) + (
                    (w4 * q4[i] + w5 * q5[i]) + (w6 * q6[i] + w7 * q7[i])
                )
        k += 8
    while k < count:
        q0 = data[places[k], lo:hi]
        for a in range(rows):
            y, w0 = out[a, lo:hi], factor * weights[a, k]
            for i in range(n):
                y[i] += w0 * q0[i]
        k += 1


@njit(cache=True, nogil=True)
def _dots_all(out: _Floats, x: _Floats, data: _Floats, places: _Ints, S: int) -> None:
    """out[a, k] = x[a] . data[places[k]]."""
    for a in range(x.shape[0]):
        for k in range(places.size):
            out[a, k] = 0.0
    for lo in range(0, S, _BLOCK):
        _dots(out, x, data, places, lo, min(lo + _BLOCK, S))


@njit(cache=True, nogil=True)
def _add_all(out: _Floats, factor: float, weights: _Floats, data: _Floats, places: _Ints, S: int) -> None:
    """`_add_rows` on all sites."""
    for lo in range(0, S, _BLOCK):
        _add_rows(out, factor, weights, data, places, lo, min(lo + _BLOCK, S))


@njit(nogil=True, fastmath=_REORDERED, **_INSIDE)
def _dot(x: _Floats, y: _Floats) -> float:
    """sum_i x_i y_i."""
    total = 0.0
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@njit(cache=True, nogil=True)
def _largest_norm2(fields: _Floats, n: int) -> float:
    """The largest <a a> of all fields, NaN or infinity if one is not finite."""
    largest = 0.0
    for a in range(fields.shape[0]):
        norm2 = _dot(fields[a, :n], fields[a, :n]) / n
        if not norm2 <= largest:
            largest = norm2
        if not np.isfinite(largest):
            break
    return largest


@njit(nogil=True, fastmath=_REORDERED, **_INSIDE)
def _mean(x: _Floats) -> float:
    """(1/n) sum_i x_i; zero where the terms cancel to rounding."""
    total = size = 0.0
    for i in range(x.size):
        total += x[i]
        size += abs(x[i])
    return 0.0 if abs(total) < _CANCELLED * size else total / x.size


@njit(cache=True, nogil=True)
def _settle(out: _Floats, largest: _Floats, last: bool, S: int) -> None:
    """Raise the largest squared norms that partial sums have had; if it was the last part, clear what has cancelled."""
    for a in range(out.shape[0]):
        norm = _dot(out[a, :S], out[a, :S])
        largest[a] = max(largest[a], norm)
        if last and norm < _CANCELLED**2 * largest[a]:
            for i in range(S):
                out[a, i] = 0.0


@njit(nogil=True, error_model="numpy")
def _softmax(x: _Floats) -> None:
    """Set x to exp(x) / sum exp(x)."""
    largest, total = x[0], 0.0
    for i in range(x.size):
        largest = max(largest, x[i])
    for i in range(x.size):
        x[i] = np.exp(x[i] - largest)
        total += x[i]
    for i in range(x.size):
        x[i] /= total


@njit(cache=True, nogil=True)
def _add_by_label(
    out: _Floats,
    to: tuple[int, ...],
    factor: float,
    weight: _Floats,
    by: tuple[int, ...],
    x: _Floats,
    source: tuple[int, ...],
    sizes: tuple[int, ...],
    n: int,
) -> None:
    """out[to + label] += factor * weight[by label] * x[source + label] on n sites, for all values of all labels.

    `to`, `by` and `source` are the first row, and how many rows it is from one value of every label to the next; the
    last label runs fastest.
    """
    last = len(sizes) - 1
    count = 1
    for label in range(last):
        count *= sizes[label]
    for number in range(count):
        a, b, c, rest = to[0], by[0], source[0], number
        for label in range(last - 1, -1, -1):
            rest, value = divmod(rest, sizes[label])
            a += value * to[label + 1]
            b += value * by[label + 1]
            c += value * source[label + 1]
        for _ in range(sizes[last]):
            y, z, w = out[a, :n], x[c, :n], factor * weight[b]
            for i in range(n):
                y[i] += w * z[i]
            a += to[last + 1]
            b += by[last + 1]
            c += source[last + 1]
