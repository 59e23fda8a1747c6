"""Steps of a march, as a table says: what one step does is the same at every step.

Every network has a table of its own (see `_Step`), and the machine code is that of all networks.
"""

from typing import NamedTuple

import numpy as np
from dmft_sym.codegen.library.common import _INSIDE, _Floats
from dmft_sym.codegen.library.numba_history import _History
from dmft_sym.codegen.library.numba_rows import (
    _add_correlation_static,
    _add_covariance_fresh,
    _add_first_row,
    _add_identity,
    _add_kernel_identity,
    _add_kernel_now,
    _add_kernel_past,
    _add_product_static,
    _add_row,
    _add_weight,
    _mirror,
    _start_row,
)
from dmft_sym.codegen.library.numba_sharing import _QUEUE, _correlation, _covariance, _Desk, _finish, _product
from numba import njit

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
