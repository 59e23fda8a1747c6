"""Element-wise work of a march on the rows lo..hi (step t) of matrices."""

from dmft_sym.codegen.library.common import _Floats
from numba import njit

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
