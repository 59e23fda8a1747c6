"""Products of a march that are done together, with helper threads.

Products that do not depend on each other are planned on a desk and done together by `_finish`, cut into pieces of
chunks. Helper threads take pieces too (`_help`). The march never waits for a helper: what one has claimed and not
delivered in time is done again and the late result is ignored, so that a helper without a core costs nothing. Pieces
have places of their own and are added up in their order: results do not depend on who did them, or on how many.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numba as nb
import numpy as np
from dmft_sym.codegen.library.common import _INSIDE, _Floats, _Ints
from dmft_sym.codegen.library.numba_history import _CHUNK, _History
from dmft_sym.codegen.library.numba_products import (
    _CORRELATION,
    _COVARIANCE,
    _PRODUCT,
    _TRANSPOSED,
    _chunks_product,
    _Scratch,
)
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

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
