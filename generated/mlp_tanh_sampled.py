"""Infinite-width training on sampled sites: MLP with activation tanh.

Written by dmft_sym.codegen from the program of one training step; not meant to be edited. The program:

    program MLP with activation tanh
      space D: given inputs
      space N: 1 * n sites
      matrix W0: D -> N, entries N(0, s2/n_D)
      matrix W[1..L - 1]: N -> N, entries N(0, s2/n_N)
      vector w in N: sites N(0, s2)
      field h[mu] in N
      field phi[mu] in N
      field z[mu, c] in N
      field g[mu, c] in N
      scalar f[mu, c]
      scalar Delta[mu, c]
      scalar y[mu, c], given
      at every step t, for every sample mu and output c:
        h[1] = W0 x
        for l = 1 to L - 1:
            phi[l] = tanh(h[l])
            h[l + 1] = W[l] phi[l]
        phi[L] = tanh(h[L])
        f = (1/gamma) <phi[L]*w>
        Delta = -f + y
        z[L] = w
        g[L] = z[L]*(1 - tanh(h[L])**2)
        for l = L - 1 down to 1:
            z[l] = W[l]^T g[l + 1]
            g[l] = z[l]*(1 - tanh(h[l])**2)
        learn w: (eta0*gamma/P) Delta phi[L]
        learn W[l]: (eta0*gamma/P) Delta g[l + 1] phi[l]^T
        learn W0: (eta0*gamma/P) Delta g[1] x^T

Fields are vectors of S sites, averages are means over sites, and Gaussian matrices are known on the directions that
they were applied to (see below). This is the limit of infinite width (arXiv:2205.09653) with fluctuations of
O(1/sqrt(S)). They differ from replica to replica, and one call of

    run(stream, steps=T, sites=S, tol=0.01, outputs=C, inputs=.., targets=.., L=.., P=.., eta0=.., gamma=..,
        s2=..)

trains one. All quantities are dimensionless; time is counted in gradient steps.
"""

import itertools
import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numba import njit, types
from numba.extending import intrinsic


# The library of dmft_sym, the same in all modules. One that does not stand alone only imports:
#
#     import itertools
#     import math
#     from typing import NamedTuple
#
#     import numpy as np
#     from numba import njit
#     from dmft_sym.codegen.library.numba_math import _tanh
#     from dmft_sym.codegen.library.sampled_products import _mean
#     from dmft_sym.codegen.library.sampled_replica import _Inputs, _Labels, _Replica
#     from dmft_sym.codegen.library.sampled_walk import _Contents, _begin, _check, _given, _walk


# Arrays in annotations, and options of compiled functions.

_Floats: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]
_Ints: TypeAlias = np.ndarray[Any, np.dtype[np.integer[Any]]]
_INSIDE = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # called by compiled functions alone


# Elementary functions for loops of generated modules: no branches and no calls, so that LLVM makes vectors of them.
#
# Numba's own ``math.tanh`` calls the C library once an element. The functions here are sums, products, a division and
# selections. A loop that calls them belongs into a function with ``error_model="numpy"``. They take float64 and are
# right to 2 ulp where the result is a normal number; limits at infinity are exact and nan stays nan. ``_sin`` and
# ``_cos`` are nan beyond 2^45, where neighbouring numbers are far apart in phase. The products inside `_fma` are exact
# on every machine; one without such an instruction (x86 before 2013) takes long.
#
# The reductions are classical (Cody and Waite, "Software manual for the elementary functions", 1980); the coefficients
# come from ``tools/numba_math_coefficients.py``.

_LN2 = 0.6931471805599453
_LN2_REST = 2.3190468138462996e-17  # ln 2 - _LN2
_ROUNDER = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer, which then stands in the last bits
_ROUNDER_BITS = 0x4338000000000000
_SIGN = -(1 << 63)  # the bit that holds the sign
# Polynomials, from the constant term up:
# (e^r - 1 - r) / r^2, |r| <= ln(2) / 2
_EXP = (
    0.5,
    0.1666666666666667,
    0.04166666666666667,
    0.008333333333326112,
    0.0013888888888880816,
    0.00019841269874903354,
    2.480158733336395e-05,
    2.7557255295378197e-06,
    2.755726527318689e-07,
    2.5105260589562095e-08,
    2.0917784372806686e-09,
)
# (tanh(x) - x) / x^3, |x| <= 0.55, in x^2
_TANH = (
    -0.3333333333333333,
    0.13333333333332714,
    -0.053968253967434016,
    0.021869488493666944,
    -0.008863234397814355,
    0.003592110378689024,
    -0.001455661830100716,
    0.0005889360520074057,
    -0.0002346347410887237,
    8.511313685577672e-05,
    -2.060276537636634e-05,
)


@intrinsic
def _fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), generate


@intrinsic
def _select(typing_context: Any, condition: Any, a: Any, b: Any) -> Any:
    """The number a if condition, else b; both are computed."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(*arguments)

    return types.float64(types.boolean, types.float64, types.float64), generate


@intrinsic
def _bits(typing_context: Any, x: Any) -> Any:
    """The 64 bits of a number, as an integer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.int64))

    return types.int64(types.float64), generate


@intrinsic
def _number(typing_context: Any, bits: Any) -> Any:
    """The number that 64 bits stand for."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float64))

    return types.float64(types.int64), generate


@intrinsic
def _polynomial(typing_context: Any, x: Any, terms: Any) -> Any:
    """terms[0] + terms[1] * x + terms[2] * x**2 + ..."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, terms = arguments
        result = builder.extract_value(terms, signature.args[1].count - 1)
        for k in reversed(range(signature.args[1].count - 1)):
            result = builder.fma(result, x, builder.extract_value(terms, k))
        return result

    return types.float64(types.float64, terms), generate


@njit(forceinline=True, error_model="numpy")
def _with_sign(size: float, x: float) -> float:
    """A number of size >= 0, with the sign of x."""
    return _number(_bits(size) | (_bits(x) & _SIGN))


@njit(forceinline=True, error_model="numpy")
def _power_of_two(n: int) -> float:
    """2^n for integers -1022 <= n <= 1023."""
    return _number((n + 1023) << 52)


@njit(forceinline=True, error_model="numpy")
def _reduce(x: float) -> tuple[float, float, int]:
    """r, rest and n with x = n ln 2 + r + rest and |r| <= ln(2) / 2."""
    shifted = _fma(x, 1.4426950408889634, _ROUNDER)
    n = shifted - _ROUNDER
    high = _fma(-n, _LN2, x)  # exact: a multiple of 2^-54 below 1/2
    r = _fma(-n, _LN2_REST, high)
    rest = _fma(-n, _LN2_REST, high - r)
    return r, rest, _bits(shifted) - _ROUNDER_BITS


@njit(forceinline=True, error_model="numpy")
def _exp_parts(x: float) -> tuple[float, int]:
    """Numbers p and n with e^x = 2^n p and p between 0.7 and 1.42."""
    r, rest, n = _reduce(x)
    return 1.0 + (r + _fma(r * r, _polynomial(r, _EXP), rest)), n


@njit(forceinline=True, error_model="numpy")
def _tanh(x: float) -> float:
    """= x + x^3 (...) or 1 - 2 / (e^2x + 1)."""
    a = abs(x)
    z = a * a
    small = _fma(a * z, _polynomial(z, _TANH), a)
    p, n = _exp_parts(2.0 * _select(a > 20.0, 20.0, a))
    large = 1.0 - 2.0 / (p * _power_of_two(n) + 1.0)
    return _with_sign(_select(a < 0.55, small, large), x)


# Products of a few rows of sampled sites with many others, on one block of sites.
#
# Rows stay in the cache from one pass over the block to the next. Sums over sites are made in several parts at once, in
# an order that is always the same.

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


# Gaussian matrices on sampled sites: known on the directions that they were applied to, and nowhere else.
#
# This is Bolthausen conditioning, with the inner product <a b> = (1/S) sum_i a_i b_i:
#
#     A p  = x          p orthonormal directions of the source, images x in the target
#     A^T q = tau y     q orthonormal directions of the target, images y in the source
#     a new p gets   x = sum_j <y_j p> q_j + sqrt(s2) e         e standard normal, projected off the q_j
#     a new q gets   y = sum_k <x_k q> p_k + sqrt(s2/tau) e     e standard normal, projected off the p_k
#
# The factor tau of transposed products is in their coefficients. What is left of a field outside of the directions, if
# it is too short to open one, acts by its conditional mean, A rest = sum_j <y_j rest> q_j: only its noise is dropped.
# All directions and images are rows of one array.

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


# A replica: fields, weights, and what a statement does to them. What takes time is done by compiled functions.

_ONE = np.ones(1)


class _Labels(NamedTuple):
    """Labels of a program: the rows of a field follow each other label by label, the last one fastest.

    sizes: numbers of values of all labels.
    outputs: number of values of the one that random vectors have.
    vectors: of these, how many rows it is from one value of every label to the next.
    """

    sizes: tuple[int, ...]
    outputs: int
    vectors: tuple[int, ...]


class _Inputs:
    """Given inputs by their coordinates, and the matrices from them: one row of weights for each coordinate.

    name: what they are called.
    labels: how many rows it is from one value of every label to the next.
    """

    def __init__(self, name: str, coordinates: _Floats, labels: tuple[int, ...], matrices: int) -> None:
        self.name, self.labels, self.matrices = name, labels, matrices
        self.rows, self.columns = coordinates, np.ascontiguousarray(coordinates.T)
        self.rank = coordinates.shape[1]
        self.weights, self.velocity = _rows(0, 0), _rows(0, 0)

    def begin(self, sites: int, momentum: bool) -> None:
        """Room for weights, and for the memory of the optimizer."""
        count = self.matrices * self.rank
        self.weights, self.velocity = _rows(count, sites), _rows(count if momentum else 0, sites)

    def of(self, number: int) -> slice:
        """The rows of one matrix."""
        return slice(number * self.rank, (number + 1) * self.rank)


def _rows(count: int, sites: int) -> _Floats:
    """Rows of zeros that begin at multiples of 64 bytes, not of 4 kB: those would compete for places of the cache."""
    width = -(-sites // 8) * 8
    width += 8 if width % 512 == 0 else 0
    block = np.zeros(count * width + 8)
    start = (-block.ctypes.data // 8) % 8
    return block[start : start + count * width].reshape(count, width)


class _Replica:
    """Fields and weights of a network of width S whose matrices are not stored.

    Matrix number m has the side 2 m, directions p and images x, and the side 2 m + 1, q and y. Its trained part is
    sum_jk B_jk q_j p_k^T.

    fields              one row for each label of every field and random vector; rows are longer than S, see `_rows`
    inputs              what is given, each with the matrices from it
    pool, used          all directions and images, and how many rows are taken
    basis, images       where in the pool directions and images of a side are
    counts, deviation   number of directions of a side, standard deviation of the noise in its images
    trained, kept       B, shape (matrix, j, k), and what weight decay has left of the initial matrix
    velocity            memory of the optimizer for B
    scales              squares of the largest norms that the fields have had
    coefficients        of the operands of this step along directions
    overlaps            of what is left of them with images of the other side, <y_j rest>
    """

    def __init__(
        self,
        stream: np.random.Generator,
        sites: int,
        tol: float,
        paired: bool,
        labels: _Labels,
        inputs: list[_Inputs],
        at: Any,
        deviation: _Floats,
        learns: np.ndarray,
        momentum: bool,
        shares: int,
    ) -> None:
        rank, rows = max(given.rank for given in inputs), math.prod(labels.sizes)
        self.stream, self.S, self.tol2, self.paired = stream, sites, tol**2, paired
        self.labels, self.rows, self.rank, self.momentum = labels, rows, rank, momentum
        self.inputs = inputs
        for given in inputs:
            given.begin(sites, momentum)
        self.order = np.arange(max(rows, *(len(given.weights) for given in inputs), 64))
        self.fields, self.line, self.work = _rows(at.rows, sites), np.zeros(sites), np.zeros((shares, labels.sizes[-1]))
        self.pool, self.used = _rows(0, sites), 0
        sides = len(deviation)
        self.basis, self.images = np.zeros((sides, 0), np.int64), np.zeros((sides, 0), np.int64)
        self.counts, self.deviation = np.zeros(sides, np.int64), deviation
        self.trained, self.velocity = np.zeros((sides // 2, 0, 0)), np.zeros((sides // 2 if momentum else 0, 0, 0))
        self.kept, self.learns = np.ones(sides // 2), learns
        self.scales = np.zeros(at.rows)
        self.coefficients, self.overlaps, self.top = np.zeros((0, 0)), np.zeros((0, 0)), 0
        self.known: dict[tuple[int, int], int] = {}
        self.along, self.again = np.zeros((rows, rank)), np.zeros((rows, rank))
        self.rest, self.noise = _rows(rows, sites), _rows(rows, sites)
        self.norms, self.lengths, self.largest = np.zeros(rows), np.zeros(rows), np.zeros(rows)

    def draw(self, row: _Floats, sign: float, deviation: float = 1.0) -> None:
        """Normal at every site; the same (sign 1) or opposite (-1) at both sites of a pair."""
        drawn = self.S // 2 if self.paired else self.S
        self.stream.standard_normal(out=row[:drawn])
        if deviation != 1.0:
            row[:drawn] *= deviation
        row[drawn : self.S] = sign * row[: self.S - drawn]

    def embed(self, rows: _Floats) -> None:
        """Orthogonal rows with mean squares of one, the same at both sites of a pair."""
        half = self.S // 2
        if len(rows) > half:
            raise ValueError(f"sites = {self.S}: allowed are at least {2 * len(rows)}, twice the independent inputs")
        for place, row in enumerate(rows):
            row[place] = row[half + place] = math.sqrt(self.S / 2)

    def begin(self) -> None:
        """Forget the coefficients of the last step's operands."""
        self.known.clear()
        self.top = 0

    def clear(self, row: int, rows: int) -> None:
        """Set fields to zero."""
        self.fields[row : row + rows, : self.S] = 0.0
        self.largest[:rows] = 0.0

    def settle(self, row: int, rows: int, last: bool) -> None:
        """After a part of a sum: once all are added, fields whose parts cancel to rounding are zero."""
        _settle(self.fields[row : row + rows], self.largest, last, self.S)

    def add(self, target: tuple[int, ...], factor: float, source: tuple[int, ...], labels: tuple[int, ...]) -> None:
        """Add factor * a field to a field, label by label."""
        by = (0,) * len(source)
        _add_by_label(self.fields, target, factor, _ONE, by, self.fields, source, labels, self.S)

    def find(self, side: int, row: int, rows: int) -> int:
        """Where in `coefficients` those of the fields row, row + 1, ... are; directions that they need are opened.

        What is left of a field, shorter than `tol`, acts by its conditional mean: A rest = sum_j <y_j rest> q_j.
        """
        if (side, row) in self.known:
            return self.known[side, row]
        at, first, S = self.top, int(self.counts[side]), self.S
        self._make_room(side, rows)
        self.top += rows
        self.known[side, row] = at
        fields, rest, found = self.fields[row : row + rows], self.rest[:rows], self.coefficients[at : at + rows]
        places = self.basis[side, :first]
        _project(fields, self.pool, places, found, self.again, rest, self.norms, self.lengths, S)
        scales = self.scales[row : row + rows]
        np.maximum(scales, self.norms[:rows], out=scales)
        smallest = self.tol2 * scales
        if np.any(self.lengths[:rows] > smallest):
            table = self.basis[side]
            fresh = _open(rest, self.lengths, smallest, self.pool, table, first, self.used, found, self.again, S)
            self._add_images(side, first, fresh)
            self._project_on_new(side, first, fresh, found, rest, smallest)
        overlaps, far = self.overlaps[at : at + rows], self.counts[side ^ 1]
        overlaps[:] = 0.0
        if not np.all(self.lengths[:rows] > smallest):
            _dots_all(overlaps, rest, self.pool, self.images[side ^ 1, :far], S)
            overlaps /= S
        return at

    def _project_on_new(
        self, side: int, first: int, fresh: int, found: _Floats, rest: _Floats, smallest: _Floats
    ) -> None:
        """Leave to new directions their part of every rest: equal fields get equal coefficients."""
        rows, places, S = len(rest), self.basis[side, first : first + fresh], self.S
        rest[self.lengths[:rows] > smallest, :S] = 0.0
        along = self.along[:rows]
        _dots_all(along, rest, self.pool, places, S)
        along /= S
        found[:, first : first + fresh] += along[:, :fresh]
        _add_all(rest, -1.0, along, self.pool, places, S)

    def _add_images(self, side: int, first: int, opened: int) -> None:
        """Images of the directions that stand last in the pool."""
        start, other, S = self.used, side ^ 1, self.S
        known, noise = self.counts[other], self.noise[:opened]
        for row in noise:
            self.draw(row, -1.0 if side & 1 else 1.0)
        self.counts[side] += opened
        self.used += 2 * opened
        directions, images = self.pool[start : start + opened], self.pool[start + opened : self.used]
        self.images[side, first : first + opened] = np.arange(start + opened, self.used)
        along, again, places = self.along[:opened], self.again[:opened], self.basis[other, :known]
        std = self.deviation[side]
        _dots_all(again, directions, self.pool, self.images[other, :known], S)
        _dots_all(along, noise, self.pool, places, S)
        again[:, :known] -= std * along[:, :known]
        np.multiply(noise[:, :S], std, out=images[:, :S])
        _add_all(images, 1 / S, again, self.pool, places, S)

    def _make_room(self, side: int, rows: int) -> None:
        """Room for as many new directions as there are operands. Rows of zeros take no memory before they are used."""
        have = len(self.pool)
        if self.used + 2 * rows > have:
            pool = _rows(max(self.used + 2 * rows, 3 * have, 512), self.S)
            pool[: self.used] = self.pool[: self.used]
            self.pool = pool
        if self.top + rows > len(self.coefficients):
            tables = (_padded(table, self.top + rows, table.shape[1]) for table in (self.coefficients, self.overlaps))
            self.coefficients, self.overlaps = tables
        have = self.basis.shape[1]
        needed = int(self.counts[side]) + rows
        if needed > have:
            count = max(needed, have + have // 2, 16)
            self.basis, self.images = (_padded(table, len(table), count) for table in (self.basis, self.images))
            tables = (_padded(table, len(table), count) for table in (self.coefficients, self.overlaps))
            self.coefficients, self.overlaps = tables
            wide = max(count, self.rank)
            self.along, self.again = np.zeros((self.rows, wide)), np.zeros((self.rows, wide))
            self.trained = _padded(self.trained, len(self.trained), count, count)
            self.velocity = _padded(self.velocity, len(self.velocity), count, count)
            self.order = np.arange(max(count, len(self.order)))

    def multiply(self, side: int, row: int, rows: int, target: int, targets: int, run: int, factor: float) -> None:
        """Add factor * (matrix, or its transpose) times the fields from row on to those from target on.

        Field b of the targets takes field (b // run) % rows.
        """
        at, number, S = self.find(side, row, rows), side >> 1, self.S
        count, far = self.counts[side], self.counts[side ^ 1]
        out, found = self.fields[target : target + targets], self.coefficients[at : at + rows]
        left = self.overlaps[at : at + rows]
        if targets != rows:
            labels = (np.arange(targets) // run) % rows
            found, left = found[labels], left[labels]
        _add_all(out, factor * self.kept[number], found, self.pool, self.images[side, :count], S)
        along, B = self.along[:targets], self.trained[number]
        along[:, :far] = 0.0
        if self.learns[number] and side & 1:
            _add_all(along, 1.0, found, B, self.order[:count], far)
        elif self.learns[number]:
            _dots_all(along, found, B, self.order[:far], count)
        along[:, :far] += self.kept[number] * left[:, :far]
        _add_all(out, factor, along, self.pool, self.basis[side ^ 1, :far], S)

    def multiply_inputs(self, which: int, number: int, target: int, targets: int, run: int, factor: float) -> None:
        """Add factor * (matrix from these inputs) times the samples to the fields target, target + 1, ..."""
        given = self.inputs[which]
        inputs = given.rows
        if targets != len(inputs):
            inputs = inputs[(np.arange(targets) // run) % len(inputs)]
        places = self.order[given.of(number)]
        _add_all(self.fields[target : target + targets], factor, inputs, given.weights, places, self.S)

    def learn_vector(
        self,
        row: int,
        memory: int | None,
        terms: list[Any],
        momentum: float,
        decay: float,
        direct: float = 0.0,
        first: float = 1.0,
    ) -> None:
        """Update a random vector as `learn` does a matrix; its velocity is in the fields from memory on."""
        S, C = self.S, self.labels.outputs
        vector = self.fields[row : row + C, :S]
        velocity = vector if memory is None else self.fields[memory : memory + C, :S]
        self._decay(vector, velocity, momentum, decay, direct)
        to = (row if memory is None else memory, *self.labels.vectors)
        for factor, weight, by, source, labels in terms:
            _add_by_label(self.fields, to, factor, weight, by, self.fields, source, labels, S)
        self._move(vector, velocity, first)

    def learn_inputs(
        self,
        which: int,
        number: int,
        terms: list[Any],
        momentum: float,
        decay: float,
        direct: float = 0.0,
        first: float = 1.0,
    ) -> None:
        """Update a matrix from the inputs as `learn` does others, G = sum_mu left_mu x_mu^T."""
        S, given = self.S, self.inputs[which]
        rows, count = given.of(number), len(given.rows)
        weights = given.weights[rows]
        total = given.velocity[rows] if self.momentum else weights
        self._decay(weights[:, :S], total[:, :S], momentum, decay, direct)
        for factor, weight, by, source, labels in terms:
            left = self.rest[:count]
            left[:, :S] = 0.0
            _add_by_label(left, (0, *given.labels), factor, weight, by, self.fields, source, labels, S)
            _add_all(total, 1.0, given.columns, left, self.order[:count], S)
        self._move(weights[:, :S], total[:, :S], first)

    def learn(
        self,
        number: int,
        terms: list[Any],
        momentum: float,
        decay: float,
        direct: float = 0.0,
        first: float = 1.0,
    ) -> None:
        """B = (1 - l) B + (first - direct) m V + first G, V = m V + G, with G = sum_a left_a right_a^T in coefficients.

        A term is (factor, weight, its places, left, right, labels): left and right are (row, rows, steps from one value
        of every label to the next); the left factor is summed over labels that the right one lacks.
        """
        for *_, left, right, _ in terms:  # open what is missing before coefficients are put together
            self.find(2 * number + 1, *left[:2])
            self.find(2 * number, *right[:2])
        rows, columns = self.counts[2 * number + 1], self.counts[2 * number]
        B = self.trained[number]
        total = self.velocity[number] if self.momentum else B
        self._decay(B, total, momentum, decay, direct)
        for factor, weight, by, left, right, labels in terms:
            at, to = self.find(2 * number + 1, *left[:2]), self.find(2 * number, *right[:2])
            lefts, source = np.zeros((right[1], rows)), (at, *left[2:])
            _add_by_label(lefts, (0, *right[2:]), factor, weight, by, self.coefficients, source, labels, rows)
            places = self.order[: right[1]]
            rights = self.coefficients[to : to + right[1]]
            _add_all(total[:rows], 1.0, np.ascontiguousarray(lefts.T), rights, places, columns)
        self._move(B, total, first)
        self.kept[number] *= 1 - decay

    def _decay(self, weights: _Floats, velocity: _Floats, momentum: float, decay: float, direct: float) -> None:
        """What is done to weights and their velocity before an increment is added to the latter."""
        if decay:
            weights *= 1 - decay
        if self.momentum:
            velocity *= momentum
            if direct:
                weights -= direct * velocity

    def _move(self, weights: _Floats, velocity: _Floats, first: float) -> None:
        """Add the velocity; without memory, increments were added to the weights themselves."""
        if self.momentum:
            weights += velocity if first == 1 else first * velocity


def _padded(array: np.ndarray, *shape: int) -> Any:
    """The array with zeros behind it."""
    return np.pad(array, [(0, size - have) for size, have in zip(shape, array.shape, strict=True)])


# The walk over the steps of a replica, what it starts from and what can be seen on the way.

_DIVERGENCE = 1e12  # a scalar beyond this multiple of the largest first one counts as divergence
_LARGEST_NORM2 = 1e75  # of a field: products of two kernels, and their squares, have to be finite numbers


def _check(**counts: tuple[int, int]) -> None:
    """Refuse numbers for which there is no run."""
    for name, (value, low) in counts.items():
        if not value >= low:
            raise ValueError(f"{name} = {value!r}: allowed is an integer >= {low}")


def _given(given: dict[str, Any], name: str, shape: tuple[int, ...]) -> _Floats:
    """A given scalar, by label."""
    values = np.ascontiguousarray(given[name], dtype=np.float64)
    if values.shape != shape:
        raise ValueError(f"{name} of shape {values.shape}: allowed is {shape}")
    return values.reshape(-1)


def _begin(replica: _Replica, inputs: dict[tuple[int, int], float | None], vectors: dict[int, float]) -> None:
    """Draw the weights from the inputs, and random vectors, in the order of their first use.

    A matrix without a deviation keeps overlaps of inputs.
    """
    C = replica.labels.outputs
    for (which, number), deviation in inputs.items():
        given = replica.inputs[which]
        if deviation is None:
            replica.embed(given.weights[given.of(number)])
            continue
        for row in given.weights[given.of(number)]:
            replica.draw(row, 1.0, deviation)
    for first, deviation in vectors.items():
        for row in replica.fields[first : first + C]:
            replica.draw(row, -1.0, deviation)


class _Contents(NamedTuple):
    """What can be seen of a replica, by (name, layer).

    fields: first row and number of rows, of random vectors too.
    scalars: their values at all steps.
    matrices: their numbers.
    inputs: of matrices from given inputs, number of the inputs and of the matrix.
    """

    fields: dict[tuple[str, int | None], tuple[int, int]]
    scalars: dict[tuple[str, int | None], _Floats]
    matrices: dict[tuple[str, int | None], int]
    inputs: dict[tuple[str, int | None], tuple[int, int]]

    def shown(self, step: int, replica: _Replica) -> dict[str, Any]:
        """Fields by (name, layer), for every matrix p, x, q, y, B, and what is kept, and weights from given inputs."""
        S, found = replica.S, {}
        for key, number in self.matrices.items():
            counts = replica.counts[2 * number : 2 * number + 2]
            parts = []
            for side, count in zip((2 * number, 2 * number + 1), counts, strict=True):
                parts += [replica.pool[table[side, :count], :S] for table in (replica.basis, replica.images)]
            found[key] = (*parts, replica.trained[number, : counts[1], : counts[0]], float(replica.kept[number]))
        shown = {key: replica.fields[row : row + rows, :S] for key, (row, rows) in self.fields.items()}
        given = {(inputs.name, None): inputs.rows for inputs in replica.inputs}
        sources = {key: (replica.inputs[which], number) for key, (which, number) in self.inputs.items()}
        weights = {key: source.weights[source.of(number), :S] for key, (source, number) in sources.items()}
        scalars = {key: values[step] for key, values in self.scalars.items()}
        return {"step": step, "fields": {**shown, **given}, "scalars": scalars, "matrices": found, "inputs": weights}


def _largest(scalars: list[_Floats], step: int) -> float:
    """Largest absolute value of a step, inf if one is not finite."""
    values = [float(np.max(np.abs(rows[step]), initial=0.0)) for rows in scalars]
    return max(values, default=0.0) if all(map(math.isfinite, values)) else math.inf


def _walk(
    replica: _Replica,
    steps: int,
    compute: Any,
    update: Any,
    arguments: tuple[Any, ...],
    scalars: list[_Floats],
    contents: _Contents,
    *,
    pauses: Any = (),
    inspect: Any = None,
    progress: Any = None,
) -> tuple[int, np.ndarray]:
    """Take the steps; the number of those that are done, and of directions by step and side.

    compute, update: functions of the step and the arguments, which compute all scalars, and change the weights.
    pauses, inspect: steps at which inspect is called with what the contents show.
    """
    directions = np.zeros((steps, len(replica.counts)), np.int64)
    limit = math.inf
    for t in range(steps):
        replica.begin()
        compute(t, *arguments)
        largest = _largest(scalars, t)
        if t == 0 and largest > 0:
            limit = _DIVERGENCE * largest
        bounded = _largest_norm2(replica.fields, replica.S) <= _LARGEST_NORM2  # outputs may be small if fields are not
        if not (math.isfinite(largest) and largest <= limit and bounded):
            return t, directions
        directions[t] = replica.counts
        if inspect is not None and t in pauses:
            inspect(contents.shown(t, replica))
        if t + 1 < steps:
            update(t, *arguments)
        if progress is not None:
            progress(t + 1)
    return steps, directions


# From here on this network's own.


# What `run` calls the symbols of the program, and what is given.
PARAMETERS = {"L": "L", "P": "P", "eta0": "eta0", "gamma": "gamma", "s2": "s2"}
DATA = {"x": "inputs", "y": "targets"}


@njit(cache=True, nogil=True, error_model="numpy")
def _map_phi(fields, n, M, C, at_out, at_h):
    """At every site and label, tanh(h)."""
    for mu in range(M):
        out = fields[at_out + mu, :n]
        h = fields[at_h + mu, :n]
        for i in range(n):
            h_i = h[i]
            out[i] = _tanh(h_i)


@njit(cache=True, nogil=True, error_model="numpy")
def _average_f(total, factor, out, fields, n, M, C, at_w, at_phi):
    """Add factor * the average of phi*w."""
    for mu in range(M):
        for c in range(C):
            w = fields[at_w + c, :n]
            phi = fields[at_phi + mu, :n]
            for i in range(n):
                w_i = w[i]
                phi_i = phi[i]
                out[i] = phi_i * w_i
            total[mu * C + c] += factor * _mean(out)


@njit(cache=True, nogil=True, error_model="numpy")
def _compute_Delta(total, work, M, C, all_f, all_y):
    """For every label, -f + y."""
    for mu in range(M):
        out = total[mu * C : mu * C + C]
        f = all_f[mu * C : mu * C + C]
        y = all_y[mu * C : mu * C + C]
        for i in range(out.size):
            f_i = f[i]
            y_i = y[i]
            out[i] = y_i - f_i


@njit(cache=True, nogil=True, error_model="numpy")
def _map_g(fields, n, M, C, at_out, at_h, at_z):
    """At every site and label, z*(1 - tanh(h)**2)."""
    for mu in range(M):
        for c in range(C):
            out = fields[at_out + mu * C + c, :n]
            h = fields[at_h + mu, :n]
            z = fields[at_z + mu * C + c, :n]
            for i in range(n):
                h_i = h[i]
                z_i = z[i]
                s0 = _tanh(h_i)
                out[i] = z_i * (1.0 - s0 * s0)


class Layout(NamedTuple):
    """First rows of fields and vectors, first numbers of matrices."""

    h: int  # h[1..L], M rows each
    phi: int  # phi[1..L], M rows each
    z: int  # z[1..L], M * C rows each
    g: int  # g[1..L], M * C rows each
    w: int  # w, C rows
    rows: int  # number of rows
    W0: int  # W0: D -> N
    input_matrices: int  # number of them
    W: int  # W[1..L - 1]: N -> N
    matrices: int  # number of them


def _layout(M, C, L):
    """Where things are, for M samples and C outputs."""
    rows = [
        max(0, L) * M,
        max(0, L) * M,
        max(0, L) * (M * C),
        max(0, L) * (M * C),
        C,
    ]
    input_matrices = [
        1,
    ]
    matrices = [
        max(0, L - 1),
    ]
    return Layout(
        *itertools.accumulate(rows, initial=0), *itertools.accumulate(input_matrices, initial=0),
        *itertools.accumulate(matrices, initial=0),
    )


class Numbers(NamedTuple):
    """Coefficients; those that depend on a layer are arrays."""

    c1: float
    c2: float
    c3: float
    one: float


def _numbers(C, L, P, eta0, gamma, s2):
    """Evaluate the coefficients."""
    return Numbers(
        c1=float(1/gamma),
        c2=float(eta0*gamma/P),
        c3=float(math.sqrt(s2)),
        one=1.0,
    )


class Scalars(NamedTuple):
    """Scalars of all steps."""

    f: np.ndarray  # (steps, M * C)
    Delta: np.ndarray  # (steps, M * C)
    y: np.ndarray  # (M * C,), given


def _scalars(steps, given, M, C, L):
    """Zeros, and what is given."""
    return Scalars(
        f=np.zeros((steps, M * C)),
        Delta=np.zeros((steps, M * C)),
        y=_given(given, "targets", (M, C)),
    )


def _sides(at, numbers, M, C, L):
    """Standard deviation of the noise of every side, and which matrices are trained."""
    deviation, learns = np.zeros(2 * at.matrices), np.zeros(at.matrices, np.bool_)
    deviation[2 * at.W : 2 * (at.W + max(0, L - 1)) : 2] = numbers.c3
    deviation[2 * at.W + 1 : 2 * (at.W + max(0, L - 1)) : 2] = numbers.c3
    learns[at.W : at.W + max(0, L - 1)] = True
    return deviation, learns


def _first_uses(at, numbers, M, C, L):
    """Matrices from the inputs and vectors by their place, with standard deviations, in the order of their use."""
    inputs, vectors = {}, {}
    inputs.setdefault((0, at.W0), numbers.c3)
    vectors.setdefault(at.w, numbers.c3)
    vectors.setdefault(at.w, numbers.c3)
    vectors.setdefault(at.w, numbers.c3)
    inputs.setdefault((0, at.W0), numbers.c3)
    return inputs, vectors


def _contents(at, scalars, M, C, L):
    """First row and number of rows of every field, scalars, numbers of every matrix; by name and layer."""
    fields, matrices, inputs, known = {}, {}, {}, {}
    for l in range(1, L + 1):
        fields["h", l] = (at.h + (l - 1) * M, M)
    for l in range(1, L + 1):
        fields["phi", l] = (at.phi + (l - 1) * M, M)
    for l in range(1, L + 1):
        fields["z", l] = (at.z + (l - 1) * (M * C), M * C)
    for l in range(1, L + 1):
        fields["g", l] = (at.g + (l - 1) * (M * C), M * C)
    fields["w", None] = (at.w, C)
    known["f", None] = scalars.f
    known["Delta", None] = scalars.Delta
    for l in range(1, L):
        matrices["W", l] = at.W + (l - 1)
    inputs["W0", None] = (0, at.W0)
    return _Contents(fields, known, matrices, inputs)


def _fields(t, replica, at, numbers, scalars, M, C, L):
    """Fields and scalars of step t."""
    n, fields, line = replica.S, replica.fields, replica.line
    # h[1] = W0 x
    replica.clear(at.h, M)
    replica.multiply_inputs(0, at.W0, at.h, M, 1, 1.0)
    for l in range(1, L):
        # phi[l] = tanh(h[l])
        _map_phi(fields, n, M, C, at.phi + (l - 1) * M, at.h + (l - 1) * M)
        # h[l + 1] = W[l] phi[l]
        replica.clear(at.h + l * M, M)
        replica.multiply(2 * (at.W + l - 1), at.phi + (l - 1) * M, M, at.h + l * M, M, 1, 1.0)
    # phi[L] = tanh(h[L])
    _map_phi(fields, n, M, C, at.phi + (L - 1) * M, at.h + (L - 1) * M)
    # f = (1/gamma) <phi[L]*w>
    _average_f(scalars.f[t], numbers.c1, line, fields, n, M, C, at.w, at.phi + (L - 1) * M)
    # Delta = -f + y
    _compute_Delta(scalars.Delta[t], replica.work, M, C, scalars.f[t], scalars.y)
    # z[L] = w
    replica.clear(at.z + (L - 1) * (M * C), M * C)
    replica.add((at.z + (L - 1) * (M * C), C, 1), 1.0, (at.w, 0, 1), (M, C))
    # g[L] = z[L]*(1 - tanh(h[L])**2)
    _map_g(fields, n, M, C, at.g + (L - 1) * (M * C), at.h + (L - 1) * M, at.z + (L - 1) * (M * C))
    for l in range(L - 1, 0, -1):
        # z[l] = W[l]^T g[l + 1]
        replica.clear(at.z + (l - 1) * (M * C), M * C)
        replica.multiply(2 * (at.W + l - 1) + 1, at.g + l * (M * C), M * C, at.z + (l - 1) * (M * C), M * C, 1, 1.0)
        # g[l] = z[l]*(1 - tanh(h[l])**2)
        _map_g(fields, n, M, C, at.g + (l - 1) * (M * C), at.h + (l - 1) * M, at.z + (l - 1) * (M * C))


def _update(t, replica, at, numbers, scalars, M, C, L):
    """Change the weights at the end of step t."""
    # learn w: (eta0*gamma/P) Delta phi[L]
    terms = [
        (numbers.c2, scalars.Delta[t], (0, C, 1), (at.phi + (L - 1) * M, 1, 0), (M, C)),
    ]
    replica.learn_vector(at.w, None, terms, 0.0, 0.0)
    # learn W[l]: (eta0*gamma/P) Delta g[l + 1] phi[l]^T
    for l in range(1, L):
        terms = [
            (
                numbers.c2, scalars.Delta[t], (0, C, 1), (at.g + l * (M * C), M * C, C, 1),
                (at.phi + (l - 1) * M, M, 1, 0), (M, C),
            ),
        ]
        replica.learn(at.W + l - 1, terms, 0.0, 0.0)
    # learn W0: (eta0*gamma/P) Delta g[1] x^T
    terms = [
        (numbers.c2, scalars.Delta[t], (0, C, 1), (at.g, C, 1), (M, C)),
    ]
    replica.learn_inputs(0, at.W0, terms, 0.0, 0.0)


def run(
    stream, *, steps, sites, tol, outputs, inputs, targets, L, P, eta0, gamma, s2, antithetic=True, pauses=(),
    inspect=None, progress=None,
):
    """Train one replica.

    stream: numpy.random.Generator
    steps, sites, outputs: how many; an even number of sites if they are paired (antithetic)
    tol: directions shorter than this, in units of the largest norm that a field has had, are dropped
    inputs: shape (samples, rank), coordinates of the samples with dot products x_mu . x_nu / D
    targets: shape (sample, output)
    L, P, eta0, gamma, s2: symbols of the program
    antithetic: whether sites i and i + S/2 share the Gaussian fields of forward products, and have opposite ones of
        transposed products and random vectors
    pauses, inspect: steps at which inspect is called with a dict of what there is, when the fields of a step are
        computed and before its updates: "step", and "fields", "scalars", "matrices", "inputs" by (name, layer), see
        `_Contents`
    progress: called with the number of finished steps after each

    Returns a dict: "steps", the number of those done, fewer than asked for if a scalar is not finite or has become 1e12
    times the largest first one; "directions", by (name, layer) of a matrix: how many it, and its transpose, are known
    on, shape (step, 2); and "scalars" of these steps:

    f, shape (step, sample, output)
    Delta, shape (step, sample, output)
    """
    _check(steps=(steps, 1), sites=(sites, 2), outputs=(outputs, 1), L=(L, 1))
    if antithetic and sites % 2:
        raise ValueError(f"sites = {sites}: allowed is an even number")
    M, C = len(inputs), outputs
    at, numbers = _layout(M, C, L), _numbers(C, L, P, eta0, gamma, s2)
    scalars = _scalars(steps, {"targets": targets}, M, C, L)
    labels = _Labels((M, C), C, vectors=(0, 1))
    inputs = [
        _Inputs("x", np.ascontiguousarray(inputs, np.float64), (1, 0), at.input_matrices),
    ]
    deviation, learns = _sides(at, numbers, M, C, L)
    replica = _Replica(stream, sites, tol, antithetic, labels, inputs, at, deviation, learns, momentum=False, shares=0)
    _begin(replica, *_first_uses(at, numbers, M, C, L))
    contents = _contents(at, scalars, M, C, L)
    with np.errstate(all="ignore"):  # a run that diverges is ended
        done, directions = _walk(
            replica, steps, _fields, _update, (replica, at, numbers, scalars, M, C, L), [scalars.f, scalars.Delta],
            contents, pauses=pauses, inspect=inspect, progress=progress,
        )
    return {
        "steps": done,
        "scalars": {
            "f": scalars.f[:done].reshape(done, M, C),
            "Delta": scalars.Delta[:done].reshape(done, M, C),
        },
        "directions": {key: directions[:done, 2 * m : 2 * m + 2] for key, m in contents.matrices.items()},
    }

# source: a7c619b3309ad9bc2c7ef0f614f4913a2f50ff17625bc092a8d72d228aba4438
