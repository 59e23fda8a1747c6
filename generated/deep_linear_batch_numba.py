"""Mean-field equations of training: deep linear network (numba back end).

Written by dmft_sym.codegen from the closed equations; not meant to be edited. Lines stand below the numbers of the
equations that they compute, as `dmft-sym derive` prints them: (7.k) is number k of `theory.equations.closed`. The
program:

    program deep linear network
      space N: nu * n sites
      space D: 1 * n sites
      space P: alpha * n sites
      matrix W[1..L - 1]: N -> N, entries N(0, s2/n_N)
      matrix W0: D -> N, entries N(0, s2/n_D)
      matrix X: D -> P, entries N(0, 1/n_D)
      vector w in N: sites N(0, s2)
      vector betastar in D: sites N(0, 1)
      vector eps in P: sites N(0, 1)
      at every step t, for every output c:
        g[L] = w
        for l = L - 1 down to 1:
            g[l] = W[l]^T g[l + 1]
        Delta = betastar + (-1/(gamma*nu)) W0^T g[1]
        r = X Delta + sigma_eps eps
        v = (1/alpha) X^T r
        h[1] = W0 v
        for l = 1 to L - 1:
            h[l + 1] = W[l] h[l]
        learn w: (eta0*gamma) h[L]
        learn W[l]: (eta0*gamma) g[l + 1] h[l]^T
        learn W0: (eta0*gamma) g[1] v^T
        observe train_loss = <r r>
        observe test_loss = <Delta Delta> + sigma_eps**2

``march(steps=..., outputs=C, L, alpha, eta0, gamma, nu, s2, sigma_eps)`` returns observables of shape (step, output)
and two-time matrices over the joint index (step, output), step-major, with leading layer axes. Responses are with
respect to the Gaussian fields normalised by the square root of the aspect ratio (``scales`` undoes it). All quantities
are dimensionless; time is counted in gradient steps.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import numba as nb
import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic


# The library of dmft_sym, the same in all modules. One that does not stand alone only imports:
#
#     import numpy as np
#     from dmft_sym.codegen.library.numba_march import _Step


# Arrays in annotations, and options of compiled functions.

_Floats: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]
_Ints: TypeAlias = np.ndarray[Any, np.dtype[np.integer[Any]]]
_INSIDE = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # called by compiled functions alone


# Element-wise work of a march on the rows lo..hi (step t) of matrices.

_FAST = {"reassoc", "contract", "nsz", "arcp"}


@njit(cache=True)
def _start_row(row: _Floats, hi: int) -> None:
    """Zeros for a kernel or a weight."""
    for c in range(row.shape[0]):
        for b in range(hi):
            row[c, b] = 0.0


@njit(cache=True)
def _add_row(target: _Floats, factor: float, source: _Floats, lo: int, hi: int) -> None:
    """target[t] += factor * source[t]."""
    for a in range(lo, hi):
        y, x = target[a], source[a]
        for b in range(min(hi, source.shape[1])):
            y[b] += factor * x[b]


@njit(cache=True)
def _add_first_row(target: _Floats, factor: float, source: _Floats, lo: int, hi: int) -> None:
    """target[t] += factor * source[0], of which the columns of the first step are not zero."""
    for a in range(hi - lo):
        for b in range(hi - lo):
            target[lo + a, b] += factor * source[a, b]


@njit(cache=True)
def _add_identity(target: _Floats, factor: float, lo: int, hi: int) -> None:
    """target[t, t] += factor * 1."""
    shift = lo if target.shape[1] == target.shape[0] else 0
    for c in range(hi - lo):
        target[lo + c, shift + c] += factor


@njit(cache=True)
def _add_weight(W: _Floats, factor: float, response: _Floats, lo: int, hi: int) -> None:
    """W += factor * response[t]."""
    for c in range(hi - lo):
        y, x = W[c], response[lo + c]
        for b in range(min(hi, response.shape[1])):
            y[b] += factor * x[b]


@njit(cache=True)
def _add_kernel_now(A: _Floats, factor: float, source: _Floats, lo: int, hi: int) -> None:
    """A[t] += factor * source[t, t]."""
    for c in range(hi - lo):
        for b in range(lo, hi):
            A[c, b] += factor * source[lo + c, b]


@njit(cache=True)
def _add_kernel_past(A: _Floats, factor: float, source: _Floats, past: _Floats, lo: int, hi: int) -> None:
    """A[s] += factor * past[s] * source[t, s] for s < t, `past` being what increments are worth."""
    C = hi - lo
    t = lo // C
    for c in range(C):
        y, x = A[c], source[lo + c]
        for s in range(t):
            weight = factor * past[s]
            for b in range(s * C, (s + 1) * C):
                y[b] += weight * x[b]


@njit(cache=True)
def _add_kernel_identity(A: _Floats, factor: float, past: _Floats, lo: int, hi: int) -> None:
    """A[s] += factor * past[s] * 1 for s < t."""
    C = hi - lo
    t = lo // C
    for s in range(t):
        for c in range(C):
            A[c, s * C + c] += factor * past[s]


@njit(cache=True)
def _add_covariance_fresh(W: _Floats, factor: float, response: _Floats, covariance: _Floats, lo: int, hi: int) -> None:
    """W += factor * response[t] @ S, of which equal steps alone count."""
    C = hi - lo
    for c in range(C):
        for k in range(hi):
            begin = (k // C) * C
            weight = factor * response[lo + c, k]
            for b in range(begin, begin + C):
                W[c, b] += weight * covariance[k, b]


@njit(cache=True, fastmath=_FAST)
def _add_product_static(target: _Floats, A: _Floats, source: _Floats, lo: int, hi: int) -> None:
    """target[t] += A @ source, static columns."""
    for c in range(hi - lo):
        for d in range(source.shape[1]):
            total = 0.0
            for k in range(hi):
                total += A[c, k] * source[k, d]
            target[lo + c, d] += total


@njit(cache=True, fastmath=_FAST)
def _add_correlation_static(target: _Floats, W: _Floats, source: _Floats, lo: int, hi: int) -> None:
    """target[t] += W @ source^T, static columns."""
    for c in range(hi - lo):
        for s in range(hi):
            total = 0.0
            for d in range(source.shape[1]):
                total += W[c, d] * source[s, d]
            target[lo + c, s] += total


@njit(cache=True)
def _mirror(target: _Floats, source: _Floats, lo: int, hi: int) -> None:
    """Equal-step block of a correlation from that of its transpose, whose row was computed later in the step."""
    for a in range(lo, hi):
        for b in range(lo, hi):
            target[b, a] = source[a, b]


@njit(cache=True, nogil=True)
def _fill_upper(target: _Floats, mirrored: _Floats, C: int) -> None:
    """Upper triangle of a correlation from the lower one of its transpose, in tiles that fit the cache."""
    n = target.shape[0]
    for tile in range(0, n, 64):
        for left in range(tile, n, 64):
            for a in range(tile, min(tile + 64, n)):
                for b in range(max(left, (a // C + 1) * C), min(left + 64, n)):
                    target[a, b] = mirrored[b, a]


# Past steps of a march in compressed form.
#
# History in blocks of steps. A row of step t passes through one matrix after another (kernel, response, covariance,
# correlation, next layer), and the next step starts from the result, so that the rows of a block of steps do not exist
# before the block is done, and there is no product of matrices to be had for them. What can be had is fewer rows: order
# parameters are smooth in time. Once a chunk of steps is closed, all of its rows, in every matrix, are combinations of
# the rows of a few of its steps (the same steps and the same factors for all matrices), up to rounding. This is
# verified, and chunks for which it does not hold stay as they are. Chosen rows of the chunks of a span are compressed
# once more. A product with history then reads a few rows for each chunk, and the dense tiles at the diagonal.

_CHUNK = 64  # steps whose rows are compressed together
_SPAN = 4  # chunks that are compressed once more, together


class _History(NamedTuple):
    """Compressed rows of all matrices.

    combinations: for chunks and for spans, factors of the chosen rows, (2, n * most).
    chosen, ranks: the chosen rows (chunks, 2, most) and how many (0: not compressed), (chunks, 2).
    packed: what products read, in that order, (matrices, ...).
    places: there, of the diagonal tile, of the chunk's chosen rows, their first column, of the span's chosen rows, of
    the blocks of equal steps, (chunks, 5).
    costs: matrix elements that a product reads before each chunk.
    counts: rows in a chunk, closed chunks, end of what is packed.
    sizes, signs: largest norm of a row of every matrix; signs of columns, for sketches, (matrices, n).
    """

    combinations: np.ndarray
    chosen: np.ndarray
    ranks: np.ndarray
    places: np.ndarray
    costs: np.ndarray
    counts: np.ndarray
    packed: np.ndarray
    sizes: np.ndarray
    signs: np.ndarray


def _remainder(dtype: Any) -> float:
    """Norm that the remainder of a row may have, relative to the largest row: 1.5e-13 in double precision."""
    return np.finfo(dtype).eps ** 0.82


def _make_history(matrices: int, C: int, n: int, dtype: Any) -> _History:
    chunk = _CHUNK * C
    chunks = n // chunk
    return _History(
        np.zeros((2, chunk * n), dtype),
        np.zeros((chunks, 2, chunk), np.int64),
        np.zeros((chunks, 2), np.int64),
        np.zeros((chunks, 5), np.int64),
        np.zeros(chunks + 1, np.int64),
        np.array([chunk, 0, 0]),
        np.zeros((matrices, chunks * chunk * (chunk + C + chunks * chunk // 4)), dtype),
        np.zeros(matrices, dtype),
        np.random.default_rng(0).choice(np.array([-1, 1], dtype), (matrices, n)),
    )


def _find_skeleton(panel: _Floats, bound: float, most: int) -> tuple[list[int], _Floats] | None:
    """Rows of a panel of which all its rows are combinations up to a remainder of norm `bound`, and the factors.

    Gram-Schmidt, longest remainder first; None if there are more than `most`. There is at least one.
    """
    rest, directions = panel.copy(), []
    chosen: list[int] = []
    norms = np.sqrt(np.sum(rest * rest, axis=1))
    while not chosen or norms.max() > bound:
        if len(chosen) == most:
            return None
        chosen.append(int(np.argmax(norms)))
        directions.append(rest[chosen[-1]] / (norms[chosen[-1]] or 1))
        rest -= np.outer(rest @ directions[-1], directions[-1])
        rest[chosen] = 0
        norms = np.sqrt(np.sum(rest * rest, axis=1))
    overlaps = panel @ np.array(directions).T
    if not overlaps.any():
        return chosen, np.zeros((1, len(panel)), panel.dtype)
    return chosen, np.linalg.solve(overlaps[chosen].T, overlaps.T)


def _compress(store: _Floats, rows: _Ints, columns: int, most: int, history: _History) -> tuple[_Ints, _Floats] | None:
    """A few of the given rows of which, left of `columns`, all are combinations in every matrix, and the factors.

    The rows are found in a sketch, sums of columns with random signs, and verified in the matrices.
    """
    bound = _remainder(store.dtype)
    sketch = np.zeros((len(rows), history.counts[0]), store.dtype)
    for matrix, signs, size in zip(store, history.signs, history.sizes, strict=True):
        if size > 0:
            signed = matrix[rows, :columns] * (signs[:columns] / size)
            sketch += signed.reshape(len(rows), -1, history.counts[0]).sum(axis=1)
    if not np.all(np.isfinite(sketch)) or not np.all(np.isfinite(history.sizes)):
        return None
    found = _find_skeleton(sketch, bound, most)
    if found is None:
        return None
    chosen, factors = rows[found[0]], found[1]
    for matrix, size in zip(store, history.sizes, strict=True):
        remainder = matrix[rows, :columns] - factors.T @ matrix[chosen, :columns]
        if not np.sqrt(np.max(np.sum(remainder * remainder, axis=1), initial=0)) <= 8 * bound * size:
            return None
    return chosen, factors


def _blocks(panels: _Floats) -> _Floats:
    """Panels (..., rows, columns) in blocks of eight columns, one after another, all rows of each."""
    *axes, rows, columns = panels.shape
    return np.swapaxes(panels.reshape(*axes, rows, columns // 8, 8), -3, -2).reshape(*axes, rows * columns)


def _pack(store: _Floats, rows: _Ints, begin: int, end: int, place: int, history: _History) -> int:
    """Copy columns of rows of every matrix to `place`; returns where that ends."""
    stop = place + len(rows) * (end - begin)
    history.packed[:, place:stop] = _blocks(store[:, rows, begin:end])
    return stop


def _pack_tile(store: _Floats, lower: int, upper: int, C: int, place: int, history: _History) -> int:
    """Copy the diagonal tile of every matrix to `place`, without rows that end left of a block of eight columns."""
    for b in range(lower, upper, 8):
        first = (b - lower) // C * C + lower
        place = _pack(store, np.arange(first, upper), b, b + 8, place, history)
    return place


def _pack_chunk(store: _Floats, q: int, begin: int, place: int, history: _History) -> int:
    """Copy what products use of a compressed chunk from column begin on to `place`; returns where that ends."""
    chunk = history.counts[0]
    lower, upper = q * chunk, (q + 1) * chunk
    C = chunk // _CHUNK
    blocks = _pack_tile(store, lower, upper, C, place, history)
    panel = blocks + chunk * C
    equal = store[:, lower:upper, lower:upper].reshape(-1, _CHUNK, C, _CHUNK, C)
    history.packed[:, blocks:panel] = np.einsum("mtctd->mtcd", equal).reshape(len(store), -1)
    history.places[q, :3], history.places[q, 4] = (place, panel, begin), blocks
    return _pack(store, history.chosen[q, 0, : history.ranks[q, 0]], begin, lower, panel, history)


def _close_chunk(store: _Floats, q: int, history: _History) -> None:
    """Compress the rows of chunk q left of it."""
    chunk = history.counts[0]
    lower, upper = q * chunk, (q + 1) * chunk
    rows = store[:, lower:upper, :upper]
    np.maximum(history.sizes, np.sqrt(np.einsum("mkb,mkb->mk", rows, rows)).max(axis=1), out=history.sizes)
    found = _compress(store, np.arange(lower, upper), lower, chunk // 2, history)
    if found is None:
        return
    chosen, factors = found
    history.chosen[q, 0, : len(chosen)], history.ranks[q, 0] = chosen, len(chosen)
    history.combinations[0, lower * chunk : lower * chunk + factors.size] = _blocks(factors)
    history.counts[2] = _pack_chunk(store, q, 0, history.counts[2], history)


def _close_span(store: _Floats, q: int, history: _History) -> None:
    """Compress the chosen rows of the chunks of the span that ends with chunk q once more, left of the span."""
    chunk = history.counts[0]
    chunks = range(q + 1 - _SPAN, q + 1)
    ranks = history.ranks[chunks.start : q + 1, 0]
    if not np.all(ranks):
        return
    lower = chunks.start * chunk
    rows = np.concatenate([history.chosen[o, 0, : history.ranks[o, 0]] for o in chunks])
    found = _compress(store, rows, lower, chunk, history)
    if found is None:
        return
    chosen, factors = found
    history.chosen[q, 1, : len(chosen)], history.ranks[q, 1] = chosen, len(chosen)
    place = history.places[chunks.start, 0]
    parts = []
    for o, part in zip(chunks, np.split(factors, np.cumsum(ranks)[:-1], axis=1), strict=True):
        near = history.combinations[0, o * chunk * chunk : o * chunk * chunk + part.shape[1] * chunk]
        parts.append(part @ np.swapaxes(near.reshape(-1, part.shape[1], 8), 0, 1).reshape(part.shape[1], chunk))
        place = _pack_chunk(store, o, lower, place, history)
    far = np.hstack(parts)
    history.combinations[1, lower * chunk : lower * chunk + far.size] = _blocks(far)
    history.places[q, 3] = place
    history.counts[2] = _pack(store, chosen, 0, lower, place, history)


def _close(store: _Floats, hi: int, history: _History) -> None:
    """Compress the chunk of rows that ends before hi, if one does, and the span if one ends there."""
    chunk = history.counts[0]
    if hi % chunk:
        return
    q = hi // chunk - 1
    with np.errstate(all="ignore"):
        _close_chunk(store, q, history)
        if (q + 1) % _SPAN == 0 and q >= _SPAN:
            _close_span(store, q, history)
    history.counts[1] = q + 1
    lower, begin = np.arange(q + 1) * chunk, history.places[: q + 1, 2]
    near, far = history.ranks[: q + 1].T
    compressed = chunk * chunk // 2 + near * (lower - begin) + far * begin
    history.costs[1 : q + 2] = np.cumsum(np.where(near > 0, compressed, lower * chunk))


# Products of a march: rows with two-time matrices.
#
# Responses are lower triangular and correlations symmetric, of which the
# lower triangle is kept, so that a product reads half of a matrix. The rows of closed chunks of steps are read in their
# compressed form (see `_History`): a tile at the diagonal, and few rows of which the others are combinations. These
# panels are laid out in the order in which they are read: blocks of eight columns, all rows of each.
#
# Matrices lie in a two-dimensional array `data`, one a line; a row of a matrix is the place in the line where its
# column 0 is (or would be). Places are unsigned: indices that may be negative cost the loops their vector instructions.

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


# Products of a march that are done together, with helper threads.
#
# Products that do not depend on each other are planned on a desk and done together by `_finish`, cut into pieces of
# chunks. Helper threads take pieces too (`_help`). The march never waits for a helper: what one has claimed and not
# delivered in time is done again and the late result is ignored, so that a helper without a core costs nothing. Pieces
# have places of their own and are added up in their order: results do not depend on who did them, or on how many.

_QUEUE = 64  # products planned at once, and pieces
_PIECE = 10_000  # matrix elements in a piece, at least
_PATIENCE = 20_000  # polls before an unfinished piece of a helper is done again
_IDLE = 100_000  # polls before a helper without work goes to sleep
_CLOSED = 0xFFFF  # number of the next piece while none is on offer


class _Desk(NamedTuple):
    """Working memory for products.

    plan: kind, matrix, transposed matrix, source and target of each; row 0: how many, first row of the step, C.
    factors, rows: of covariances; kernels and weights.
    board: next piece and number of the plan in one word, number of pieces, end of the march.
    pieces, states: product, first and last chunk; whether a piece is open, or who did it.
    drafts: results of pieces, by worker, the march itself last.
    numbers, places: scratch of the workers.
    """

    plan: np.ndarray
    factors: np.ndarray
    rows: np.ndarray
    board: np.ndarray
    states: np.ndarray
    pieces: np.ndarray
    drafts: np.ndarray
    numbers: np.ndarray
    places: np.ndarray


@intrinsic
def _peek(typing_context: Any, words: Any, place: Any) -> Any:
    """words[place], read atomically: nothing that stands after it is read before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = cgutils.get_item_pointer(context, builder, signature.args[0], array, [arguments[1]])
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(words, types.int64), generate


@intrinsic
def _swap(typing_context: Any, words: Any, place: Any, old: Any, new: Any) -> Any:
    """Atomically set words[place] from old to new; whether it was old."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = cgutils.get_item_pointer(context, builder, signature.args[0], array, [arguments[1]])
        pair = builder.cmpxchg(pointer, arguments[2], arguments[3], "seq_cst", "seq_cst")
        return builder.extract_value(pair, 1)

    return types.boolean(words, types.int64, types.int64, types.int64), generate


@njit(cache=True, **_INSIDE)
def _product(plan: _Ints, target: int, A: int, source: int) -> None:
    """Plan target[t] += A @ source."""
    j = plan[0, 0] + 1
    plan[j, 0], plan[j, 1], plan[j, 3], plan[j, 4] = _PRODUCT, source, A, target
    plan[0, 0] = j


@njit(cache=True, **_INSIDE)
def _covariance(
    plan: _Ints, factors: _Floats, W: int, factor: float, response: int, covariance: int, transposed: int
) -> None:
    """Plan W += factor * response[t] @ covariance."""
    j = plan[0, 0] + 1
    plan[j, 0], plan[j, 1], plan[j, 2], plan[j, 3], plan[j, 4] = _COVARIANCE, covariance, transposed, response, W
    factors[j] = factor
    plan[0, 0] = j


@njit(cache=True, **_INSIDE)
def _correlation(plan: _Ints, target: int, W: int, source: int) -> None:
    """Plan target[t] += W @ source^T."""
    j = plan[0, 0] + 1
    plan[j, 0], plan[j, 1], plan[j, 3], plan[j, 4] = _CORRELATION, source, W, target
    plan[0, 0] = j


@njit(cache=True, **_INSIDE)
def _do_piece(
    desk: _Desk,
    worker: int,
    i: int,
    j: int,
    first: int,
    last: int,
    lo: int,
    kind: int,
    matrix: int,
    mirrored: int,
    source: int,
    store: _Floats,
    flat: _Floats,
    history: _History,
) -> None:
    """Chunks first..last of the planned product j, as piece i."""
    y = desk.drafts[worker, i]
    hi = lo + y.shape[0]
    for c in range(y.shape[0]):
        for b in range(min(hi, last * history.counts[0])):
            y[c, b] = 0
    scratch = _Scratch(desk.numbers[worker, 0], desk.numbers[worker, 1], desk.places[worker])
    x = store[source, lo:hi] if kind == _COVARIANCE else desk.rows[source]
    # The rows that stand for others need not be the same in a matrix and in its transpose.
    apart = kind == _COVARIANCE and matrix != mirrored
    if apart:
        kind = _PRODUCT
    for _ in range(2 if apart else 1):
        _chunks_product(kind, y, x, flat, matrix, first, last, hi, history, scratch)
        kind, matrix = _TRANSPOSED, mirrored


@njit(cache=True, nogil=True)
def _help(worker: int, desk: _Desk, store: _Floats, flat: _Floats, history: _History) -> bool:
    """Take pieces until there have been none for a while; returns whether the march is over."""
    board, pieces, plan = desk.board, desk.pieces, desk.plan
    idle = 0
    while idle < _IDLE:
        word = _peek(board, 0)
        epoch, i = word >> 16, word & _CLOSED
        if i >= board[1]:
            idle += 1
            continue
        # Copied before the claim: a late helper must not mix the entries of two plans.
        j, first, last, lo = pieces[i, 0], pieces[i, 1], pieces[i, 2], plan[0, 1]
        kind, matrix, mirrored, source = plan[j, 0], plan[j, 1], plan[j, 2], plan[j, 3]
        # Success means that nothing on the desk has changed since the word was read.
        if not _swap(board, 0, word, word + 1):
            continue
        _do_piece(desk, worker, i, j, first, last, lo, kind, matrix, mirrored, source, store, flat, history)
        _swap(desk.states, i, epoch << 8, (epoch << 8) + 1 + worker)
        idle = 0
    return _peek(board, 2) == 1


@njit(cache=True, **_INSIDE)
def _cut(desk: _Desk, history: _History) -> int:
    """Cut the planned products into pieces of chunks that cost about as much; returns the number of pieces."""
    costs, closed = history.costs, history.counts[1]
    count, hi = desk.plan[0, 0], desk.plan[0, 1] + desk.plan[0, 2]
    open_rows = hi - closed * history.counts[0]
    cost = costs[closed] + open_rows * hi
    cuts = max(1, min(cost // _PIECE, _QUEUE // count)) if count * cost > _PIECE else 1
    end = closed + 1 if open_rows > 0 else closed
    total = first = 0
    for cut in range(1, cuts + 1):
        last = first
        while last < end and (cut == cuts or costs[min(last, closed)] * cuts < cost * cut):
            last += 1
        for j in range(1, count + 1 if last > first else 1):
            desk.pieces[total, 0], desk.pieces[total, 1], desk.pieces[total, 2] = j, first, last
            total += 1
        first = last
    return total


@njit(cache=True, **_INSIDE)
def _offer(desk: _Desk, total: int) -> None:
    """Offer the pieces to the helpers."""
    board = desk.board
    epoch = (board[0] >> 16) + 1
    _swap(board, 0, board[0], (epoch << 16) + _CLOSED)
    for i in range(total):
        desk.states[i] = epoch << 8
    board[1] = total
    _swap(board, 0, (epoch << 16) + _CLOSED, epoch << 16)


@njit(cache=True, **_INSIDE)
def _claim(desk: _Desk, total: int) -> int:
    """A piece that nobody has taken, or that has not been delivered in time; -1 if there is none."""
    board, states = desk.board, desk.states
    opened = (board[0] >> 16) << 8
    mine = opened + desk.drafts.shape[0]
    while True:
        word = _peek(board, 0)
        i = word & _CLOSED
        if i >= total:
            break
        if _swap(board, 0, word, word + 1):
            states[i] = mine
            return i
    for i in range(total):
        polls = 0
        while _peek(states, i) == opened and polls < _PATIENCE:
            polls += 1
        if _swap(states, i, opened, mine):
            return i
    return -1


@njit(cache=True, **_INSIDE)
def _add_draft(target: _Floats, m: int, k: int, factor: float, drafts: _Floats, worker: int, i: int, end: int) -> None:
    """target[m, k] += factor * draft i, before column end."""
    c = k % drafts.shape[2]
    for b in range(np.uint64(end)):
        target[m, k, b] += factor * drafts[worker, i, c, b]


@njit(cache=True, **_INSIDE)
def _finish(desk: _Desk, store: _Floats, flat: _Floats, history: _History) -> None:
    """Do the planned products, large ones with the helpers, and add their results to the targets."""
    plan, pieces = desk.plan, desk.pieces
    count, lo, C = plan[0, 0], plan[0, 1], plan[0, 2]
    if count == 0:
        return
    own = desk.drafts.shape[0] - 1
    total = _cut(desk, history)
    helped = own > 0 and total > count
    if helped:
        _offer(desk, total)
    done = 0
    while True:
        i = _claim(desk, total) if helped else done
        if i < 0 or done == total:
            break
        j, first, last = pieces[i, 0], pieces[i, 1], pieces[i, 2]
        kind, matrix, mirrored, source = plan[j, 0], plan[j, 1], plan[j, 2], plan[j, 3]
        _do_piece(desk, own, i, j, first, last, lo, kind, matrix, mirrored, source, store, flat, history)
        done += 1
    for i in range(total):
        j, worker = pieces[i, 0], (desk.states[i] & 0xFF) - 1 if helped else own
        target, end = plan[j, 4], min(lo + C, pieces[i, 2] * history.counts[0])
        for c in range(C):
            if plan[j, 0] == _COVARIANCE:
                _add_draft(desk.rows, target, c, desk.factors[j], desk.drafts, worker, i, end)
            else:
                _add_draft(store, target, lo + c, desk.factors[0], desk.drafts, worker, i, end)
    plan[0, 0] = 0


def _make_desk(rows: int, C: int, n: int, dtype: Any) -> _Desk:
    helpers = min(nb.config.NUMBA_NUM_THREADS, 8) - 1 if n >= 400 else 0
    plan = np.zeros((_QUEUE + 1, 5), np.int64)
    plan[0, 2] = C
    return _Desk(
        plan,
        np.ones(_QUEUE + 1, dtype),
        np.zeros((rows, C, n), dtype),
        np.zeros(3, np.int64),
        np.zeros(_QUEUE, np.int64),
        np.zeros((_QUEUE, 3), np.int64),
        np.zeros((helpers + 1, _QUEUE, C, n), dtype),
        np.zeros((helpers + 1, 2, _CHUNK * C), dtype),
        np.zeros((helpers + 1, 8), np.uint64),
    )


@contextmanager
def _helpers(desk: _Desk, store: _Floats, flat: _Floats, history: _History) -> Iterator[None]:
    """Threads that help with the products of a desk, asleep while there are none."""

    def work(worker: int) -> None:
        while not _help(worker, desk, store, flat, history):
            time.sleep(1e-4)

    team = [threading.Thread(target=work, args=(h,), daemon=True) for h in range(len(desk.drafts) - 1)]
    for thread in team:
        thread.start()
    try:
        yield
    finally:
        desk.board[2] = 1
        for thread in team:
            thread.join()


# Steps of a march, as a table says: what one step does is the same at every step.
#
# Every network has a table of its own (see `_Step`), and the machine code is that of all networks.

# Lines that work on a kernel or weight row; on rows of matrices; that plan products, and do them; observables.
_START, _KERNEL_IDENTITY, _KERNEL_PAST, _KERNEL_NOW, _WEIGHT, _FRESH = range(6)
_ROW, _FIRST_ROW, _IDENTITY, _STATIC_PRODUCT, _STATIC_CORRELATION, _MIRROR = range(6, 12)
_PLAN_PRODUCT, _PLAN_COVARIANCE, _PLAN_CORRELATION, _FINISH = range(12, 16)
_OBSERVE, _CONSTANT = range(16, 18)


class _Table(NamedTuple):
    """What one step does, line by line.

    codes: what a line does.
    places: target first, numbers of matrices and of kernel or weight rows, (lines, 4).
    static: whether its matrices are those with static columns; of two kinds of matrices, the second.
    retained: whether the factor is multiplied by what is left of the initial weights.
    factors: of what is added.
    """

    codes: np.ndarray
    places: np.ndarray
    static: np.ndarray
    retained: np.ndarray
    factors: np.ndarray


@njit(cache=True, **_INSIDE)
def _row_line(
    code: int, a: int, b: int, c: int, factor: float, rows: _Floats, block: _Floats, past: _Floats, lo: int, hi: int
) -> None:
    """A line of a kernel or weight row, the sources of which lie in a block."""
    if code == _START:
        _start_row(rows[a], hi)
    elif code == _KERNEL_IDENTITY:
        _add_kernel_identity(rows[a], factor, past, lo, hi)
    elif code == _KERNEL_PAST:
        _add_kernel_past(rows[a], factor, block[b], past, lo, hi)
    elif code == _KERNEL_NOW:
        _add_kernel_now(rows[a], factor, block[b], lo, hi)
    elif code == _WEIGHT:
        _add_weight(rows[a], factor, block[b], lo, hi)
    else:
        _add_covariance_fresh(rows[a], factor, block[b], block[c], lo, hi)


@njit(cache=True, **_INSIDE)
def _matrix_line(
    code: int, a: int, b: int, c: int, factor: float, rows: _Floats, store: _Floats, block: _Floats, lo: int, hi: int
) -> None:
    """A line of rows of matrices."""
    if code == _ROW:
        _add_row(block[a], factor, block[b], lo, hi)
    elif code == _FIRST_ROW:
        _add_first_row(block[a], factor, block[b], lo, hi)
    elif code == _IDENTITY:
        _add_identity(block[a], factor, lo, hi)
    elif code == _STATIC_PRODUCT:
        _add_product_static(block[a], rows[c], block[b], lo, hi)
    elif code == _STATIC_CORRELATION:
        _add_correlation_static(store[a], rows[c], block[b], lo, hi)
    else:
        _mirror(block[a], block[b], lo, hi)


@njit(cache=True, **_INSIDE)
def _plan_line(code: int, a: int, b: int, c: int, d: int, factor: float, plan: _Floats, factors: _Floats) -> None:
    """A line that plans a product."""
    if code == _PLAN_PRODUCT:
        _product(plan, a, c, b)
    elif code == _PLAN_COVARIANCE:
        _covariance(plan, factors, a, factor, b, c, d)
    else:
        _correlation(plan, a, c, b)


@njit(cache=True, **_INSIDE)
def _finite(results: _Floats, t: int) -> bool:
    """Whether all observables of a step are."""
    for a in range(results.shape[0]):
        for e in range(results.shape[2]):
            if not np.isfinite(results[a, t, e]):
                return False
    return True


@njit(cache=True, nogil=True)
def _advance(
    first: int,
    last: int,
    table: _Table,
    desk: _Desk,
    store: _Floats,
    flat: _Floats,
    fixed: _Floats,
    history: _History,
    kappa: _Floats,
    rho: _Floats,
    weights: _Floats,
    results: _Floats,
) -> int:
    """Rows first..last of every order parameter; the first step whose observables are not finite, or last.

    `results` are the observables, (observable, step, output).
    """
    plan, rows, C = desk.plan, desk.rows, results.shape[2]
    past = np.empty(last, kappa.dtype)
    for t in range(first, last):
        lo, hi = t * C, (t + 1) * C
        for s in range(t):
            past[s] = kappa[t - s] * weights[s]
        plan[0, 1] = lo
        for k in range(len(table.codes)):
            code, block = table.codes[k], fixed if table.static[k] else store
            a, b, c, d = table.places[k, 0], table.places[k, 1], table.places[k, 2], table.places[k, 3]
            factor = table.factors[k] * rho[t] if table.retained[k] else table.factors[k]
            if code < _ROW:
                _row_line(code, a, b, c, factor, rows, block, past, lo, hi)
            elif code < _PLAN_PRODUCT:
                _matrix_line(code, a, b, c, factor, rows, store, block, lo, hi)
            elif code < _FINISH:
                _plan_line(code, a, b, c, d, factor, plan, desk.factors)
            elif code == _OBSERVE:
                for e in range(C):
                    results[a, t, e] += factor * store[b, lo + e, lo + e]
            elif code == _CONSTANT:
                for e in range(C):
                    results[a, t, e] += factor
            if code == _FINISH or plan[0, 0] == _QUEUE:
                _finish(desk, store, flat, history)
        if not _finite(results, t):
            return t
    return last


# A march from beginning to end: what one step does, written down once, and the walk over the steps.

class _Family:
    """Matrices of one kind, named by number, all layers of an array one after another."""

    def __init__(self) -> None:
        self.layers: dict[str, tuple[int, ...]] = {}
        self.count = 0

    def declare(self, name: str, layers: tuple[int, ...]) -> int:
        """Number of the first matrix of an array."""
        first, self.layers[name] = self.count, layers
        self.count += math.prod(layers)
        return first

    def room(self, n: int, width: int, dtype: Any) -> tuple[_Floats, dict[str, _Floats]]:
        """One block of all matrices, and views of it by name with their layer axes."""
        block, views, first = np.zeros((self.count, n, width), dtype), {}, 0
        for name, layers in self.layers.items():
            stop = first + math.prod(layers)
            views[name] = block[first:stop].reshape(*layers, n, width)
            first = stop
        return block, views


class _Step:
    """What one step of a march does, written down in order: a table for `_advance`.

    Matrices are numbers: of two-time matrices, and by themselves of those with static columns, one draw for all steps.
    A kernel ``A`` and a weight ``W`` are rows that the lines after `start_kernel` and `start_weight` speak of. Products
    of a statement that do not depend on each other are done together: those of all its kernels, then the weights of all
    its noises, then the correlations with them.
    """

    def __init__(self, steps: int, outputs: int, dtype: Any) -> None:
        self.steps, self.outputs, self.dtype = steps, outputs, dtype
        self._two_time, self._static = _Family(), _Family()
        self._transposed: dict[str, str] = {}
        self._observables: list[str] = []
        self._lines: list[tuple[int, tuple[int, ...], bool, bool, float]] = []
        self._correlations: list[tuple[int, tuple[int, ...], bool]] = []  # of the weights since the statement began
        self._kind, self._row, self._most_rows = "", -1, 1

    # Arrays: name, numbers of layers; the number of their first matrix

    def response(self, name: str, *layers: int) -> int:
        """Lower triangular two-time matrices."""
        return self._two_time.declare(name, tuple(max(0, count) for count in layers))

    def correlation(self, name: str, *layers: int, transposed: str = "") -> int:
        """Two-time matrices of which the lower triangle is kept; the array itself has the transposes, or another."""
        self._transposed[name] = transposed or name
        return self.response(name, *layers)

    def static_response(self, name: str, *layers: int) -> int:
        """Matrices with static columns."""
        return self._static.declare(name, tuple(max(0, count) for count in layers))

    # Statements

    def begin(self) -> None:
        """A statement begins: what those before it have planned is done."""
        self._finish()

    def add_row(self, target: int, factor: float, source: int, static: bool = False) -> None:
        """target[t] += factor * source[t]."""
        self._finish()
        self._line(_ROW, target, source, factor=factor, static=static)

    def add_first_row(self, target: int, factor: float, source: int, static: bool = False) -> None:
        """target[t] += factor * source[0]."""
        self._finish()
        self._line(_FIRST_ROW, target, source, factor=factor, static=static)

    def add_identity(self, target: int, factor: float, static: bool = False, retained: bool = False) -> None:
        """target[t, t] += factor * 1."""
        self._finish()
        self._line(_IDENTITY, target, factor=factor, static=static, retained=retained)

    def mirror(self, target: int, source: int) -> None:
        """target[t, t] = source[t, t]^T."""
        self._finish()
        self._line(_MIRROR, target, source)

    def start_kernel(self) -> None:
        """A = 0."""
        self._start("kernel")

    def add_kernel(self, factor: float, source: int, retained: bool = False) -> None:
        """A += factor * source[t]."""
        self._line(_WEIGHT, self._row, source, factor=factor, retained=retained)

    def add_kernel_now(self, factor: float, source: int, retained: bool = False) -> None:
        """A[t] += factor * source[t, t]."""
        self._line(_KERNEL_NOW, self._row, source, factor=factor, retained=retained)

    def add_kernel_past(self, factor: float, source: int, retained: bool = False) -> None:
        """A[s] += factor * kappa(t - s) * weight(s) * source[t, s] for s < t."""
        self._line(_KERNEL_PAST, self._row, source, factor=factor, retained=retained)

    def add_kernel_identity(self, factor: float, retained: bool = False) -> None:
        """A[s] += factor * kappa(t - s) * weight(s) * 1 for s < t."""
        self._line(_KERNEL_IDENTITY, self._row, factor=factor, retained=retained)

    def add_product(self, target: int, source: int, static: bool = False) -> None:
        """target[t] += A @ source."""
        self._line(_STATIC_PRODUCT if static else _PLAN_PRODUCT, target, source, self._row, static=static)

    def start_weight(self) -> None:
        """W = 0."""
        self._start("weight")

    def add_weight(self, factor: float, response: int, static: bool = False) -> None:
        """W += factor * response[t]."""
        self._line(_WEIGHT, self._row, response, factor=factor, static=static)

    def add_covariance(self, factor: float, response: int, covariance: int, transposed: int) -> None:
        """W += factor * response[t] @ covariance."""
        self._line(_PLAN_COVARIANCE, self._row, response, covariance, transposed, factor=factor)

    def add_fresh_covariance(self, factor: float, response: int, covariance: int) -> None:
        """W += factor * response[t] @ covariance, of which equal steps alone count."""
        self._line(_FRESH, self._row, response, covariance, factor=factor)

    def add_correlation(self, target: int, source: int, static: bool = False) -> None:
        """target[t] += W @ source^T."""
        code = _STATIC_CORRELATION if static else _PLAN_CORRELATION
        self._correlations.append((code, (target, source, self._row), static))

    def observe(self, name: str, constant: float, *terms: tuple[float, int]) -> None:
        """An observable: constant + sum of factor * matrix[t, t], output by output."""
        self._finish()
        number = len(self._observables)
        self._observables.append(name)
        for factor, matrix in terms:
            self._line(_OBSERVE, number, matrix, factor=factor)
        self._line(_CONSTANT, number, factor=constant)

    def _line(self, code: int, *places: int, factor: float = 1.0, static: bool = False, retained: bool = False) -> None:
        self._lines.append((code, (*places, *(0,) * (4 - len(places))), static, retained, factor))

    def _start(self, kind: str) -> None:
        if kind != self._kind:
            self._finish()
        self._kind, self._row = kind, self._row + 1
        self._most_rows = max(self._most_rows, self._row + 1)
        self._line(_START, self._row)

    def _finish(self) -> None:
        """Do what is planned, and then the correlations with the weights."""
        if self._kind:
            self._line(_FINISH)
        if self._correlations:
            for code, places, static in self._correlations:
                self._line(code, *places, static=static)
            self._line(_FINISH)
        self._correlations, self._kind, self._row = [], "", -1

    # The march

    def march(
        self,
        kappa: _Floats,
        rho: _Floats,
        progress: Callable[[int, int], object] | None = None,
        weights: _Floats | None = None,
        weigh: Callable[[int, dict[str, _Floats]], object] | None = None,
    ) -> dict[str, Any]:
        """Number of steps done, observables, and all arrays.

        `kappa` has the response of the weights to one increment by lag, `rho` what is left of the initial weights,
        `weights` by what the increments of a step are multiplied. If they depend on the step, `weigh` computes that of
        a step from all arrays, when its rows are done.
        """
        self._finish()
        weights = np.ones(self.steps, self.dtype) if weights is None else weights
        C, n, dtype = self.outputs, self.steps * self.outputs, self.dtype
        store, arrays = self._two_time.room(n, n, dtype)
        fixed, static = self._static.room(n, C, dtype)
        results = np.zeros((len(self._observables), self.steps, C), dtype)
        desk, history = _make_desk(self._most_rows, C, n, dtype), _make_history(len(store), C, n, dtype)
        given = kappa, rho, weights, results
        each = None if weigh is None else lambda step: weigh(step, {**arrays, **static})
        done = _take_steps(self._table(), desk, store, fixed, history, *given, progress, each)
        for name, transposed in self._transposed.items():
            target, back = arrays[name], arrays[transposed]
            for place in np.ndindex(target.shape[:-2]):
                _fill_upper(target[place], back[place[::-1]], C)
        return {"steps": done, **dict(zip(self._observables, results, strict=True)), **arrays, **static}

    def _table(self) -> _Table:
        codes, places, static, retained, factors = zip(*self._lines, strict=True)
        return _Table(
            np.array(codes),
            np.array(places),
            np.array(static),
            np.array(retained),
            np.array([float(factor) for factor in factors], self.dtype),
        )


def _take_steps(
    table: _Table,
    desk: _Desk,
    store: _Floats,
    fixed: _Floats,
    history: _History,
    kappa: _Floats,
    rho: _Floats,
    weights: _Floats,
    results: _Floats,
    progress: Callable[[int, int], object] | None,
    each: Callable[[int], object] | None,
) -> int:
    """Take the steps, and call `each` after every one of them; the number of those that are done."""
    _, steps, C = results.shape
    flat, done = store.reshape(len(store), (steps * C) ** 2), 0
    with _helpers(desk, store, flat, history):
        while done < steps:
            last = min(steps, (done // _CHUNK + 1) * _CHUNK)
            if progress is not None:
                last = min(last, done + max(1, 20_000 // (done + 20)))
            if each is not None:
                last = done + 1
            done = _advance(done, last, table, desk, store, flat, fixed, history, kappa, rho, weights, results)
            if progress is not None:
                progress(done, steps)
            if done < last:
                break
            if each is not None:
                each(done - 1)
            if done < steps:
                _close(store, done * C, history)
    return done


# From here on this network's own.


def labels(*, L):
    """Order parameters by name: array, first layer of every axis, layer of arrays without an axis."""
    return [
        ("R_g", "R_g_u_W0", (), 1),
        ("R_g", "R_g_u_W", (2,), None),
        ("R_h", "R_h_r_W", (1,), None),
        ("R_Delta", "R_Delta_r_X", (), None),
        ("R_v", "R_v_r_W0", (), None),
        ("R_r", "R_r_u_X", (), None),
        ("C_h", "C_h_h", (1,), None),
        ("C_g", "C_g_g", (1,), None),
        ("C_v", "C_v_v", (), None),
        ("C_Delta", "C_Delta_Delta", (), None),
        ("C_r", "C_r_r", (), None),
    ]


def march(*, steps, outputs, L, alpha, eta0, gamma, nu, s2, sigma_eps, dtype=np.float64, progress=None):
    """March the closed equations; see the module docstring."""
    if not steps >= 1:
        raise ValueError(f"steps = {steps!r}: allowed is an integer >= 1")
    if not outputs >= 1:
        raise ValueError(f"outputs = {outputs!r}: allowed is an integer >= 1")
    if not L >= 1:
        raise ValueError(f"L = {L!r}: allowed is an integer >= 1")
    if not alpha > 0:
        raise ValueError(f"alpha = {alpha!r}: allowed is a number > 0")
    if not eta0 > 0:
        raise ValueError(f"eta0 = {eta0!r}: allowed is a number > 0")
    if not gamma > 0:
        raise ValueError(f"gamma = {gamma!r}: allowed is a number > 0")
    if not nu > 0:
        raise ValueError(f"nu = {nu!r}: allowed is a number > 0")
    if not s2 >= 0:
        raise ValueError(f"s2 = {s2!r}: allowed is a number >= 0")
    if not sigma_eps >= 0:
        raise ValueError(f"sigma_eps = {sigma_eps!r}: allowed is a number >= 0")
    # (7.1) S_kappa(t, s)
    kappa = np.ones(steps + 1, dtype)
    rho = np.ones(steps, dtype)
    s2 = dtype(s2)
    sigma_eps = dtype(sigma_eps)
    c1 = dtype(eta0*gamma)
    c2 = dtype(-1/(gamma*nu**0.5))
    c3 = dtype(-s2/gamma)
    c4 = dtype(-eta0)
    c5 = dtype(alpha**-0.5)
    c6 = dtype(s2/nu**0.5)
    c7 = dtype(sigma_eps**2)
    c8 = dtype(nu**-0.5)
    step = _Step(steps, outputs, dtype)
    R_g_w = step.static_response("R_g_w")  # response of g to w
    R_g_r_W = step.response("R_g_r_W", L - 1)  # response of g to r_W
    R_g_u_W0 = step.response("R_g_u_W0")  # response of g to u_W0
    R_g_u_W = step.response("R_g_u_W", L - 1)  # response of g to u_W
    R_h_w = step.static_response("R_h_w")  # response of h to w
    R_h_r_W = step.response("R_h_r_W", L - 1)  # response of h to r_W
    R_h_u_W0 = step.response("R_h_u_W0")  # response of h to u_W0
    R_h_u_W = step.response("R_h_u_W", L - 1)  # response of h to u_W
    R_Delta_betastar = step.static_response("R_Delta_betastar")  # response of Delta to betastar
    R_Delta_r_W0 = step.response("R_Delta_r_W0")  # response of Delta to r_W0
    R_Delta_r_X = step.response("R_Delta_r_X")  # response of Delta to r_X
    R_v_betastar = step.static_response("R_v_betastar")  # response of v to betastar
    R_v_r_W0 = step.response("R_v_r_W0")  # response of v to r_W0
    R_v_r_X = step.response("R_v_r_X")  # response of v to r_X
    R_r_u_X = step.response("R_r_u_X")  # response of r to u_X
    R_r_eps = step.static_response("R_r_eps")  # response of r to eps
    C_h_h = step.correlation("C_h_h", L)  # correlation of h and h
    C_g_g = step.correlation("C_g_g", L)  # correlation of g and g
    C_v_v = step.correlation("C_v_v")  # correlation of v and v
    C_Delta_Delta = step.correlation("C_Delta_Delta")  # correlation of Delta and Delta
    C_r_r = step.correlation("C_r_r")  # correlation of r and r
    # g[L] = w
    step.begin()
    # (7.3) R_g_w(L, t, c, c')
    step.add_identity(R_g_w, 1, static=True)
    # (7.2) A_g_h(L, t, c, L, s, c')
    step.start_kernel()
    step.add_kernel_identity(c1)
    # (7.3) R_g_w(L, t, c, c')
    step.add_product(R_g_w, R_h_w, static=True)
    # (7.4) R_g_u_W0(1, t, c, s, c')
    if L - 1 == 0:
        step.add_product(R_g_u_W0, R_h_u_W0)
    # (7.5) R_g_u_W(L, t, c, L - 1, s, c')
    if L - 2 >= 0:
        step.add_product(R_g_u_W + L - 2, R_h_u_W + L - 2)
    # (7.6) C_g(L, t, c, L, s, c')
    step.start_weight()
    step.add_weight(s2, R_g_w, static=True)
    step.add_correlation(C_g_g + L - 1, R_g_w, static=True)
    if L - 1 == 0:
        step.start_weight()
        step.add_covariance(s2, R_g_u_W0, C_v_v, C_v_v)
        step.add_correlation(C_g_g + L - 1, R_g_u_W0)
    if L - 2 >= 0:
        step.start_weight()
        step.add_covariance(s2, R_g_u_W + L - 2, C_h_h + L - 2, C_h_h + L - 2)
        step.add_correlation(C_g_g + L - 1, R_g_u_W + L - 2)
    for l in range(L - 1, 0, -1):
        # g[l] = W[l]^T g[l + 1]
        step.begin()
        # (7.8) R_g_r_W(l, t, c, l, s, c')
        step.add_identity(R_g_r_W + l - 1, 1)
        # (7.7) A_g_h(l, t, c, l, s, c')
        step.start_kernel()
        step.add_kernel(s2, R_g_u_W + l - 1)
        step.add_kernel_past(c1, C_g_g + l)
        # (7.8) R_g_r_W(l, t, c, l, s, c')
        step.add_product(R_g_r_W + l - 1, R_h_r_W + l - 1)
        # (7.9) R_g_u_W0(1, t, c, s, c')
        if l == 1:
            step.add_product(R_g_u_W0, R_h_u_W0)
        # (7.10) R_g_u_W(l, t, c, l - 1, s, c')
        if l - 2 >= 0:
            step.add_product(R_g_u_W + l - 2, R_h_u_W + l - 2)
        # (7.11) C_g(l, t, c, l, s, c')
        step.start_weight()
        step.add_covariance(s2, R_g_r_W + l - 1, C_g_g + l, C_g_g + l)
        step.add_correlation(C_g_g + l - 1, R_g_r_W + l - 1)
        if l - 1 == 0:
            step.start_weight()
            step.add_covariance(s2, R_g_u_W0, C_v_v, C_v_v)
            step.add_correlation(C_g_g + l - 1, R_g_u_W0)
        if l - 2 >= 0:
            step.start_weight()
            step.add_covariance(s2, R_g_u_W + l - 2, C_h_h + l - 2, C_h_h + l - 2)
            step.add_correlation(C_g_g + l - 1, R_g_u_W + l - 2)
    # Delta = betastar + (-1/(gamma*nu)) W0^T g[1]
    step.begin()
    # (7.13) R_Delta_betastar(t, c, c')
    step.add_identity(R_Delta_betastar, 1, static=True)
    # (7.14) R_Delta_rbar_W0(t, c, s, c')
    step.add_identity(R_Delta_r_W0, c2)
    # (7.12) A_Delta_v(t, c, s, c')
    step.start_kernel()
    step.add_kernel(c3, R_g_u_W0)
    step.add_kernel_past(c4, C_g_g)
    # (7.13) R_Delta_betastar(t, c, c')
    step.add_product(R_Delta_betastar, R_v_betastar, static=True)
    # (7.14) R_Delta_rbar_W0(t, c, s, c')
    step.add_product(R_Delta_r_W0, R_v_r_W0)
    # (7.15) R_Delta_rbar_X(t, c, s, c')
    step.add_product(R_Delta_r_X, R_v_r_X)
    # (7.16) C_Delta(t, c, s, c')
    step.start_weight()
    step.add_weight(1, R_Delta_betastar, static=True)
    step.add_correlation(C_Delta_Delta, R_Delta_betastar, static=True)
    step.start_weight()
    step.add_covariance(s2, R_Delta_r_W0, C_g_g, C_g_g)
    step.add_correlation(C_Delta_Delta, R_Delta_r_W0)
    step.start_weight()
    step.add_covariance(1, R_Delta_r_X, C_r_r, C_r_r)
    step.add_correlation(C_Delta_Delta, R_Delta_r_X)
    # r = X Delta + sigma_eps eps
    step.begin()
    # (7.18) R_r_u_X(t, c, s, c')
    step.add_identity(R_r_u_X, 1)
    # (7.19) R_r_eps(t, c, c')
    step.add_identity(R_r_eps, sigma_eps, static=True)
    # (7.17) A_r(t, c, s, c')
    step.start_kernel()
    step.add_kernel(c5, R_Delta_r_X)
    # (7.18) R_r_u_X(t, c, s, c')
    step.add_product(R_r_u_X, R_r_u_X)
    # (7.19) R_r_eps(t, c, c')
    step.add_product(R_r_eps, R_r_eps, static=True)
    # (7.20) C_r(t, c, s, c')
    step.start_weight()
    step.add_covariance(1, R_r_u_X, C_Delta_Delta, C_Delta_Delta)
    step.add_correlation(C_r_r, R_r_u_X)
    step.start_weight()
    step.add_weight(1, R_r_eps, static=True)
    step.add_correlation(C_r_r, R_r_eps, static=True)
    # v = (1/alpha) X^T r
    step.begin()
    # (7.24) R_v_rbar_X(t, c, s, c')
    step.add_identity(R_v_r_X, c5)
    # (7.21) A_v_Delta(t, c, s, c')
    step.start_kernel()
    step.add_kernel(1, R_r_u_X)
    # (7.22) R_v_betastar(t, c, c')
    step.add_product(R_v_betastar, R_Delta_betastar, static=True)
    # (7.23) R_v_rbar_W0(t, c, s, c')
    step.add_product(R_v_r_W0, R_Delta_r_W0)
    # (7.24) R_v_rbar_X(t, c, s, c')
    step.add_product(R_v_r_X, R_Delta_r_X)
    # (7.25) C_v(t, c, s, c')
    step.start_weight()
    step.add_weight(1, R_v_betastar, static=True)
    step.add_correlation(C_v_v, R_v_betastar, static=True)
    step.start_weight()
    step.add_covariance(s2, R_v_r_W0, C_g_g, C_g_g)
    step.add_correlation(C_v_v, R_v_r_W0)
    step.start_weight()
    step.add_covariance(1, R_v_r_X, C_r_r, C_r_r)
    step.add_correlation(C_v_v, R_v_r_X)
    # h[1] = W0 v
    step.begin()
    # (7.29) R_h_u_W0(1, t, c, s, c')
    step.add_identity(R_h_u_W0, 1)
    # (7.26) A_h_g(1, t, c, 1, s, c')
    step.start_kernel()
    step.add_kernel(c6, R_v_r_W0)
    step.add_kernel_past(c1, C_v_v)
    # (7.27) R_h_w(L, t, c, c')
    if 0 == L - 1:
        step.add_product(R_h_w, R_g_w, static=True)
    # (7.28) R_h_r_W(1, t, c, 1, s, c')
    if L - 2 >= 0:
        step.add_product(R_h_r_W, R_g_r_W)
    # (7.29) R_h_u_W0(1, t, c, s, c')
    step.add_product(R_h_u_W0, R_g_u_W0)
    # (7.30) C_h(1, t, c, 1, s, c')
    if 0 == L - 1:
        step.start_weight()
        step.add_weight(s2, R_h_w, static=True)
        step.add_correlation(C_h_h, R_h_w, static=True)
    if L - 2 >= 0:
        step.start_weight()
        step.add_covariance(s2, R_h_r_W, C_g_g + 1, C_g_g + 1)
        step.add_correlation(C_h_h, R_h_r_W)
    step.start_weight()
    step.add_covariance(s2, R_h_u_W0, C_v_v, C_v_v)
    step.add_correlation(C_h_h, R_h_u_W0)
    for l in range(1, L):
        # h[l + 1] = W[l] h[l]
        step.begin()
        # (7.34) R_h_u_W(l + 1, t, c, l, s, c')
        step.add_identity(R_h_u_W + l - 1, 1)
        # (7.31) A_h_g(l + 1, t, c, l + 1, s, c')
        step.start_kernel()
        step.add_kernel(s2, R_h_r_W + l - 1)
        step.add_kernel_past(c1, C_h_h + l - 1)
        # (7.32) R_h_w(L, t, c, c')
        if l == L - 1:
            step.add_product(R_h_w, R_g_w, static=True)
        # (7.33) R_h_r_W(l + 1, t, c, l + 1, s, c')
        if L - l - 2 >= 0:
            step.add_product(R_h_r_W + l, R_g_r_W + l)
        # (7.34) R_h_u_W(l + 1, t, c, l, s, c')
        step.add_product(R_h_u_W + l - 1, R_g_u_W + l - 1)
        # (7.35) C_h(l + 1, t, c, l + 1, s, c')
        if l == L - 1:
            step.start_weight()
            step.add_weight(s2, R_h_w, static=True)
            step.add_correlation(C_h_h + l, R_h_w, static=True)
        if L - l - 2 >= 0:
            step.start_weight()
            step.add_covariance(s2, R_h_r_W + l, C_g_g + l + 1, C_g_g + l + 1)
            step.add_correlation(C_h_h + l, R_h_r_W + l)
        step.start_weight()
        step.add_covariance(s2, R_h_u_W + l - 1, C_h_h + l - 1, C_h_h + l - 1)
        step.add_correlation(C_h_h + l, R_h_u_W + l - 1)
    # (7.36) train_loss(t, c)
    step.observe("train_loss", 0, (1, C_r_r))
    # (7.37) test_loss(t, c)
    step.observe("test_loss", c7, (1, C_Delta_Delta))
    return {
        **step.march(kappa, rho, progress),
        "scales": {
            "R_g_u_W0": 1, "R_g_u_W": 1, "R_h_r_W": 1, "R_Delta_r_X": c5, "R_v_r_W0": c8, "R_r_u_X": 1, "C_h_h": 1,
            "C_g_g": 1, "C_v_v": 1, "C_Delta_Delta": 1, "C_r_r": 1,
        },
    }

# source: faa71cafc056df274a5792684a3a9e6da081ab0e6c31388fcde643fbd2166fd4
