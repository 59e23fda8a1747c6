"""Mean-field equations of training: deep linear network (numba back end).

Written by dmft_sym.codegen from the closed equations; not meant to be edited. The program:

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

``march(steps=..., outputs=C, L, alpha, eta0, gamma, nu, s2, sigma_eps)`` returns observables of shape (step, output) and
two-time matrices over the joint index (step, output), step-major, with leading layer axes. Responses are
with respect to the Gaussian fields normalised by the square root of the aspect ratio (``scales`` undoes
it). All quantities are dimensionless; time is counted in gradient steps.
"""

import math
import threading
import time
from contextlib import contextmanager

import numba as nb
import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic


# Matrix kernels on the rows lo..hi (step t) of two-time matrices, which lie one after another in `store`; columns of
# static matrices lie in `fixed`. Responses are lower triangular and correlations symmetric, of which the lower triangle
# is kept, so every product reads half of a matrix, once. A row's products depend on the row's own earlier ones, so there
# is no larger matrix product to be had: memory bandwidth is the limit.
#
# Products that do not depend on each other are queued on a `desk` and done together by `_finish`, cut into pieces of rows.
# Helper threads take pieces too (`_help`). The march never waits for a helper: what one has claimed and not delivered in
# time is done again and the late result is ignored, so that a helper without a core costs nothing.

_FAST = {"reassoc", "contract", "nsz", "arcp"}
_PRODUCT, _COVARIANCE, _CORRELATION = 0, 1, 2  # y = a M, y = x M with M symmetric, y = w M^T
_QUEUE = 64  # products planned at once, and pieces
_PIECE = 24_000  # matrix elements in a piece, at least
_PATIENCE = 20_000  # polls before an unfinished piece of a helper is done again
_IDLE = 100_000  # polls before a helper without work goes to sleep
_CLOSED = 0xFFFF  # number of the next piece while none is on offer


@intrinsic
def _peek(typing_context, words, place):
    """words[place], read atomically: nothing that stands after it is read before."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = cgutils.get_item_pointer(context, builder, signature.args[0], array, [arguments[1]])
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(words, types.int64), generate


@intrinsic
def _swap(typing_context, words, place, old, new):
    """Atomically set words[place] from old to new; whether it was old."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = cgutils.get_item_pointer(context, builder, signature.args[0], array, [arguments[1]])
        pair = builder.cmpxchg(pointer, arguments[2], arguments[3], "seq_cst", "seq_cst")
        return builder.extract_value(pair, 1)

    return types.boolean(words, types.int64, types.int64, types.int64), generate


@njit(cache=True)
def _add_row(target, factor, source, lo, hi):
    """target[t] += factor * source[t]."""
    for a in range(lo, hi):
        y, x = target[a], source[a]
        for b in range(min(hi, source.shape[1])):
            y[b] += factor * x[b]


@njit(cache=True)
def _add_identity(target, factor, lo, hi):
    """target[t, t] += factor * 1."""
    shift = lo if target.shape[1] == target.shape[0] else 0
    for c in range(hi - lo):
        target[lo + c, shift + c] += factor


@njit(cache=True)
def _add_weight(W, factor, response, lo, hi):
    """W += factor * response[t]."""
    for c in range(hi - lo):
        y, x = W[c], response[lo + c]
        for b in range(min(hi, response.shape[1])):
            y[b] += factor * x[b]


@njit(cache=True)
def _add_kernel_now(A, factor, source, lo, hi):
    """A[t] += factor * source[t, t]."""
    for c in range(hi - lo):
        for b in range(lo, hi):
            A[c, b] += factor * source[lo + c, b]


@njit(cache=True)
def _add_kernel_past(A, factor, source, kappa, lo, hi):
    """A[s] += factor * kappa(t - s) * source[t, s] for s < t."""
    C = hi - lo
    t = lo // C
    for c in range(C):
        y, x = A[c], source[lo + c]
        for s in range(t):
            weight = factor * kappa[t - s]
            for b in range(s * C, (s + 1) * C):
                y[b] += weight * x[b]


@njit(cache=True)
def _add_kernel_identity(A, factor, kappa, lo, hi):
    """A[s] += factor * kappa(t - s) * 1 for s < t."""
    C = hi - lo
    t = lo // C
    for s in range(t):
        for c in range(C):
            A[c, s * C + c] += factor * kappa[t - s]


@njit(cache=True)
def _add_covariance_fresh(W, factor, response, covariance, lo, hi):
    """W += factor * response[t] @ S, of which equal steps alone count."""
    C = hi - lo
    for c in range(C):
        for k in range(hi):
            begin = (k // C) * C
            weight = factor * response[lo + c, k]
            for b in range(begin, begin + C):
                W[c, b] += weight * covariance[k, b]


@njit(cache=True, fastmath=_FAST)
def _add_product_static(target, A, source, lo, hi):
    """target[t] += A @ source, static columns."""
    for c in range(hi - lo):
        for d in range(source.shape[1]):
            total = 0.0
            for k in range(hi):
                total += A[c, k] * source[k, d]
            target[lo + c, d] += total


@njit(cache=True, fastmath=_FAST)
def _add_correlation_static(target, W, source, lo, hi):
    """target[t] += W @ source^T, static columns."""
    for c in range(hi - lo):
        for s in range(hi):
            total = 0.0
            for d in range(source.shape[1]):
                total += W[c, d] * source[s, d]
            target[lo + c, s] += total


@njit(cache=True)
def _mirror(target, source, lo, hi):
    """Equal-step block of a correlation from that of its transpose, whose row was computed later in the step."""
    for a in range(lo, hi):
        for b in range(lo, hi):
            target[b, a] = source[a, b]


@njit(cache=True, nogil=True)
def _fill_upper(target, mirrored, C):
    """Upper triangle of a correlation from the lower one of its transpose, in tiles that fit the cache."""
    n = target.shape[0]
    for tile in range(0, n, 64):
        for left in range(tile, n, 64):
            for a in range(tile, min(tile + 64, n)):
                for b in range(max(left, (a // C + 1) * C), min(left + 64, n)):
                    target[a, b] = mirrored[b, a]


@njit(cache=True, fastmath=_FAST)
def _product_piece(y, a, matrix, C, first, last):
    """y += a @ matrix for the rows first..last of a lower triangular matrix."""
    k = first
    while k + 8 <= last:
        r0, r1, r2, r3 = matrix[k], matrix[k + 1], matrix[k + 2], matrix[k + 3]
        r4, r5, r6, r7 = matrix[k + 4], matrix[k + 5], matrix[k + 6], matrix[k + 7]
        for c in range(C):
            a0, a1, a2, a3 = a[c, k], a[c, k + 1], a[c, k + 2], a[c, k + 3]
            a4, a5, a6, a7 = a[c, k + 4], a[c, k + 5], a[c, k + 6], a[c, k + 7]
            z = y[c]
            for b in range(((k + 7) // C + 1) * C):
                z[b] += (a0 * r0[b] + a1 * r1[b] + a2 * r2[b] + a3 * r3[b]) + (
                    a4 * r4[b] + a5 * r5[b] + a6 * r6[b] + a7 * r7[b]
                )
        k += 8
    while k < last:
        row = matrix[k]
        for c in range(C):
            a0 = a[c, k]
            z = y[c]
            for b in range((k // C + 1) * C):
                z[b] += a0 * row[b]
        k += 1


@njit(cache=True, fastmath=_FAST)
def _covariance_piece(y, x, lower, mirrored, C, first, last):
    """y += x @ S for the rows first..last of the lower triangles of S and of its transpose."""
    k = first
    while k < last:
        rows = 4 if k + 4 <= last else 1
        common = (k // C) * C  # columns that all of these rows have below the diagonal blocks
        if rows == 4:
            r0, r1, r2, r3 = lower[k], lower[k + 1], lower[k + 2], lower[k + 3]
            m0, m1, m2, m3 = mirrored[k], mirrored[k + 1], mirrored[k + 2], mirrored[k + 3]
            for c in range(C):
                z, w = x[c], y[c]
                z0, z1, z2, z3 = z[k], z[k + 1], z[k + 2], z[k + 3]
                t0 = t1 = t2 = t3 = 0.0
                for b in range(common):
                    zb = z[b]
                    w[b] += (z0 * r0[b] + z1 * r1[b]) + (z2 * r2[b] + z3 * r3[b])
                    t0 += zb * m0[b]
                    t1 += zb * m1[b]
                    t2 += zb * m2[b]
                    t3 += zb * m3[b]
                w[k] += t0
                w[k + 1] += t1
                w[k + 2] += t2
                w[k + 3] += t3
        done = common if rows == 4 else 0
        for j in range(k, k + rows):
            begin = (j // C) * C
            row, back = lower[j], mirrored[j]
            for c in range(C):
                z, w = x[c], y[c]
                zj = z[j]
                total = 0.0
                for b in range(done, begin):
                    w[b] += zj * row[b]
                    total += z[b] * back[b]
                for b in range(begin, begin + C):
                    w[b] += zj * row[b]
                w[j] += total
        k += rows


@njit(cache=True, fastmath=_FAST)
def _correlation_piece(y, w, matrix, C, first, last):
    """y[first:last] += w @ matrix[first:last]^T, matrix lower triangular."""
    s = first
    while s + 4 <= last:
        r0, r1, r2, r3 = matrix[s], matrix[s + 1], matrix[s + 2], matrix[s + 3]
        for c in range(C):
            z = w[c]
            t0 = t1 = t2 = t3 = 0.0
            for b in range(((s + 3) // C + 1) * C):
                zb = z[b]
                t0 += zb * r0[b]
                t1 += zb * r1[b]
                t2 += zb * r2[b]
                t3 += zb * r3[b]
            y[c, s] += t0
            y[c, s + 1] += t1
            y[c, s + 2] += t2
            y[c, s + 3] += t3
        s += 4
    while s < last:
        row = matrix[s]
        for c in range(C):
            z = w[c]
            total = 0.0
            for b in range((s // C + 1) * C):
                total += z[b] * row[b]
            y[c, s] += total
        s += 1


@njit(cache=True)
def _do_piece(y, kind, matrix, mirrored, source, lo, C, first, last, rows, store):
    """Rows first..last of a planned product, added to y."""
    if kind == _PRODUCT:
        _product_piece(y, rows[source], store[matrix], C, first, last)
    elif kind == _COVARIANCE:
        _covariance_piece(y, store[source, lo : lo + C], store[matrix], store[mirrored], C, first, last)
    else:
        _correlation_piece(y, rows[source], store[matrix], C, first, last)


@njit(cache=True, nogil=True)
def _help(helper, desk, store):
    """Take pieces until there have been none for a while; returns whether the march is over."""
    plan, factors, rows, results, board, states, pieces, drafts = desk
    idle = 0
    while idle < _IDLE:
        word = _peek(board, 0)
        epoch, i = word >> 16, word & _CLOSED
        if i >= board[1]:
            idle += 1
            continue
        # Copied before the claim: a late helper must not mix the entries of two plans.
        j, first, last, lo, C = pieces[i, 0], pieces[i, 1], pieces[i, 2], plan[0, 1], plan[0, 2]
        kind, matrix, mirrored, source = plan[j, 0], plan[j, 1], plan[j, 2], plan[j, 3]
        # Success means that nothing on the desk has changed since the word was read.
        if not _swap(board, 0, word, word + 1):
            continue
        draft = drafts[helper, i]
        for c in range(C):
            for b in range(lo + C):
                draft[c, b] = 0.0
        _do_piece(draft, kind, matrix, mirrored, source, lo, C, first, last, rows, store)
        _swap(states, i, epoch << 8, (epoch << 8) + 1 + helper)
        idle = 0
    return _peek(board, 2) == 1


@njit(inline="always")
def _offer(board, states, pieces, count, hi, C):
    """Cut the planned products into pieces of about equal area and offer them to the helpers; returns their number."""
    epoch = (board[0] >> 16) + 1
    _swap(board, 0, board[0], (epoch << 16) + _CLOSED)
    cuts = max(1, min(hi * hi // (2 * _PIECE), _QUEUE // count))
    total = 0
    for j in range(1, count + 1):
        first = 0
        for q in range(cuts):
            last = hi
            if q < cuts - 1:
                last = int((hi // C) * np.sqrt((q + 1) / cuts)) * C
            pieces[total, 0], pieces[total, 1], pieces[total, 2] = j, first, last
            states[total] = epoch << 8
            first = last
            total += 1
    board[1] = total
    _swap(board, 0, (epoch << 16) + _CLOSED, epoch << 16)
    return total


@njit(inline="always")
def _add(y, factor, x, hi):
    for b in range(hi):
        y[b] += factor * x[b]


@njit(cache=True)
def _finish(desk, store):
    """Do the planned products, large ones with the helpers, and add their results to the targets."""
    plan, factors, rows, results, board, states, pieces, drafts = desk
    count, lo, C = plan[0, 0], plan[0, 1], plan[0, 2]
    hi = lo + C
    for j in range(1, count + 1):
        for c in range(C):
            for b in range(hi):
                results[j, c, b] = 0.0
    if count == 0:
        pass
    elif drafts.shape[0] == 0 or count * hi * hi < 8 * _PIECE:
        for j in range(1, count + 1):
            kind, matrix, mirrored, source = plan[j, 0], plan[j, 1], plan[j, 2], plan[j, 3]
            _do_piece(results[j], kind, matrix, mirrored, source, lo, C, 0, hi, rows, store)
    else:
        total = _offer(board, states, pieces, count, hi, C)
        open_state = (board[0] >> 16) << 8
        while True:
            word = _peek(board, 0)
            i = word & _CLOSED
            if i >= total:
                break
            if _swap(board, 0, word, word + 1):
                states[i] = open_state + 255
                j, first, last = pieces[i, 0], pieces[i, 1], pieces[i, 2]
                kind, matrix, mirrored, source = plan[j, 0], plan[j, 1], plan[j, 2], plan[j, 3]
                _do_piece(results[j], kind, matrix, mirrored, source, lo, C, first, last, rows, store)
        for i in range(total):
            polls = 0
            while _peek(states, i) == open_state and polls < _PATIENCE:
                polls += 1
            if _swap(states, i, open_state, open_state + 255):
                j, first, last = pieces[i, 0], pieces[i, 1], pieces[i, 2]
                kind, matrix, mirrored, source = plan[j, 0], plan[j, 1], plan[j, 2], plan[j, 3]
                _do_piece(results[j], kind, matrix, mirrored, source, lo, C, first, last, rows, store)
            elif states[i] != open_state + 255:
                for c in range(C):
                    _add(results[pieces[i, 0], c], 1, drafts[states[i] - open_state - 1, i, c], hi)
    for j in range(1, count + 1):
        target = plan[j, 4]
        for c in range(C):
            x = results[j, c]
            if plan[j, 0] == _COVARIANCE:
                _add(rows[target, c], factors[j], x, hi)
            else:
                _add(store[target, lo + c], 1, x, hi)
    plan[0, 0] = 0


@njit(cache=True)
def _product(plan, target, A, source):
    """Plan target[t] += A @ source."""
    j = plan[0, 0] + 1
    plan[j, 0], plan[j, 1], plan[j, 3], plan[j, 4] = _PRODUCT, source, A, target
    plan[0, 0] = j


@njit(cache=True)
def _covariance(plan, factors, W, factor, response, covariance, transposed):
    """Plan W += factor * response[t] @ covariance."""
    j = plan[0, 0] + 1
    plan[j, 0], plan[j, 1], plan[j, 2], plan[j, 3], plan[j, 4] = _COVARIANCE, covariance, transposed, response, W
    factors[j] = factor
    plan[0, 0] = j


@njit(cache=True)
def _correlation(plan, target, W, source):
    """Plan target[t] += W @ source^T."""
    j = plan[0, 0] + 1
    plan[j, 0], plan[j, 1], plan[j, 3], plan[j, 4] = _CORRELATION, source, W, target
    plan[0, 0] = j


@njit(cache=True)
def _start_row(row, hi):
    """Zeros for a kernel or a weight."""
    for c in range(row.shape[0]):
        for b in range(hi):
            row[c, b] = 0.0


def _lay_out(axes, n, width, dtype):
    """One block of matrices, views of it by name with their layer axes, and the number of the first matrix of each."""
    counts = [math.prod(shape) for shape in axes.values()]
    places = [sum(counts[:k]) for k in range(len(counts))]
    block = np.zeros((sum(counts), n, width), dtype)
    views = [
        block[first : first + count].reshape(*shape, n, width)
        for first, count, shape in zip(places, counts, axes.values(), strict=True)
    ]
    return block, dict(zip(axes, views, strict=True)), places


def _make_desk(rows, C, n, dtype):
    """Working memory for products: their plan (its row 0 holds how many, the first row of the step, and C), their
    factors, rows of kernels and weights, results; then for helpers: a board (next piece and number of the plan in one
    word, number of pieces, end of the march), states of the pieces, pieces, drafts."""
    helpers = min(nb.config.NUMBA_NUM_THREADS, 8) - 1 if n >= 400 else 0
    plan = np.zeros((_QUEUE + 1, 5), np.int64)
    plan[0, 2] = C
    return (
        plan,
        np.ones(_QUEUE + 1, dtype),
        np.zeros((rows, C, n), dtype),
        np.zeros((_QUEUE + 1, C, n), dtype),
        np.zeros(3, np.int64),
        np.zeros(_QUEUE, np.int64),
        np.zeros((_QUEUE, 3), np.int64),
        np.zeros((helpers, _QUEUE, C, n), dtype),
    )


@contextmanager
def _helpers(desk, store):
    """Threads that help with the products of a desk, asleep while there are none."""

    def work(helper):
        while not _help(helper, desk, store):
            time.sleep(1e-4)

    team = [threading.Thread(target=work, args=(h,), daemon=True) for h in range(desk[-1].shape[0])]
    for thread in team:
        thread.start()
    try:
        yield
    finally:
        desk[4][2] = 1
        for thread in team:
            thread.join()


@njit(cache=True, nogil=True)
def _advance(first, last, C, desk, store, fixed, kappa, rho, L, s2, sigma_eps, c1, c2, c3, c4, c5, c6, c7, R_g_r_W, R_g_u_W0, R_g_u_W, R_h_r_W, R_h_u_W0, R_h_u_W, R_Delta_r_W0, R_Delta_r_X, R_v_r_W0, R_v_r_X, R_r_u_X, C_h_h, C_g_g, C_v_v, C_Delta_Delta, C_r_r, R_g_w, R_h_w, R_Delta_betastar, R_v_betastar, R_r_eps, train_loss, test_loss):
    """Rows first..last of every order parameter; the first step that is not finite, or last."""
    plan, factors, rows = desk[:3]
    for t in range(first, last):
        lo, hi = t * C, (t + 1) * C
        plan[0, 1] = lo
        # g[L] = w
        _add_identity(fixed[R_g_w], 1.0, lo, hi)
        A = 0
        _start_row(rows[A], hi)
        _add_kernel_identity(rows[A], c1, kappa, lo, hi)
        _add_product_static(fixed[R_g_w], rows[A], fixed[R_h_w], lo, hi)
        if L - 1 == 0:
            _product(plan, R_g_u_W0, A, R_h_u_W0)
        if L - 2 >= 0:
            _product(plan, R_g_u_W + L - 2, A, R_h_u_W + L - 2)
        _finish(desk, store)
        W = 0
        _start_row(rows[W], hi)
        _add_weight(rows[W], s2, fixed[R_g_w], lo, hi)
        W = 1
        _start_row(rows[W], hi)
        if L - 1 == 0:
            _covariance(plan, factors, W, s2, R_g_u_W0, C_v_v, C_v_v)
        W = 2
        _start_row(rows[W], hi)
        if L - 2 >= 0:
            _covariance(plan, factors, W, s2, R_g_u_W + L - 2, C_h_h + L - 2, C_h_h + L - 2)
        _finish(desk, store)
        W = 0
        _add_correlation_static(store[C_g_g + L - 1], rows[W], fixed[R_g_w], lo, hi)
        W = 1
        if L - 1 == 0:
            _correlation(plan, C_g_g + L - 1, W, R_g_u_W0)
        W = 2
        if L - 2 >= 0:
            _correlation(plan, C_g_g + L - 1, W, R_g_u_W + L - 2)
        _finish(desk, store)
        for l in range(L - 1, 0, -1):
            # g[l] = W[l]^T g[l + 1]
            _add_identity(store[R_g_r_W + l - 1], 1.0, lo, hi)
            A = 0
            _start_row(rows[A], hi)
            _add_weight(rows[A], s2, store[R_g_u_W + l - 1], lo, hi)
            _add_kernel_past(rows[A], c1, store[C_g_g + l], kappa, lo, hi)
            _product(plan, R_g_r_W + l - 1, A, R_h_r_W + l - 1)
            if l - 1 == 0:
                _product(plan, R_g_u_W0, A, R_h_u_W0)
            if l - 2 >= 0:
                _product(plan, R_g_u_W + l - 2, A, R_h_u_W + l - 2)
            _finish(desk, store)
            W = 0
            _start_row(rows[W], hi)
            _covariance(plan, factors, W, s2, R_g_r_W + l - 1, C_g_g + l, C_g_g + l)
            W = 1
            _start_row(rows[W], hi)
            if l - 1 == 0:
                _covariance(plan, factors, W, s2, R_g_u_W0, C_v_v, C_v_v)
            W = 2
            _start_row(rows[W], hi)
            if l - 2 >= 0:
                _covariance(plan, factors, W, s2, R_g_u_W + l - 2, C_h_h + l - 2, C_h_h + l - 2)
            _finish(desk, store)
            W = 0
            _correlation(plan, C_g_g + l - 1, W, R_g_r_W + l - 1)
            W = 1
            if l - 1 == 0:
                _correlation(plan, C_g_g + l - 1, W, R_g_u_W0)
            W = 2
            if l - 2 >= 0:
                _correlation(plan, C_g_g + l - 1, W, R_g_u_W + l - 2)
            _finish(desk, store)
        # Delta = betastar + (-1/(gamma*nu)) W0^T g[1]
        _add_identity(fixed[R_Delta_betastar], 1.0, lo, hi)
        _add_identity(store[R_Delta_r_W0], c2, lo, hi)
        A = 0
        _start_row(rows[A], hi)
        _add_weight(rows[A], c3, store[R_g_u_W0], lo, hi)
        _add_kernel_past(rows[A], c4, store[C_g_g], kappa, lo, hi)
        _add_product_static(fixed[R_Delta_betastar], rows[A], fixed[R_v_betastar], lo, hi)
        _product(plan, R_Delta_r_W0, A, R_v_r_W0)
        _product(plan, R_Delta_r_X, A, R_v_r_X)
        _finish(desk, store)
        W = 0
        _start_row(rows[W], hi)
        _add_weight(rows[W], 1.0, fixed[R_Delta_betastar], lo, hi)
        W = 1
        _start_row(rows[W], hi)
        _covariance(plan, factors, W, s2, R_Delta_r_W0, C_g_g, C_g_g)
        W = 2
        _start_row(rows[W], hi)
        _covariance(plan, factors, W, 1.0, R_Delta_r_X, C_r_r, C_r_r)
        _finish(desk, store)
        W = 0
        _add_correlation_static(store[C_Delta_Delta], rows[W], fixed[R_Delta_betastar], lo, hi)
        W = 1
        _correlation(plan, C_Delta_Delta, W, R_Delta_r_W0)
        W = 2
        _correlation(plan, C_Delta_Delta, W, R_Delta_r_X)
        _finish(desk, store)
        # r = X Delta + sigma_eps eps
        _add_identity(store[R_r_u_X], 1.0, lo, hi)
        _add_identity(fixed[R_r_eps], sigma_eps, lo, hi)
        A = 0
        _start_row(rows[A], hi)
        _add_weight(rows[A], c5, store[R_Delta_r_X], lo, hi)
        _product(plan, R_r_u_X, A, R_r_u_X)
        _add_product_static(fixed[R_r_eps], rows[A], fixed[R_r_eps], lo, hi)
        _finish(desk, store)
        W = 0
        _start_row(rows[W], hi)
        _covariance(plan, factors, W, 1.0, R_r_u_X, C_Delta_Delta, C_Delta_Delta)
        W = 1
        _start_row(rows[W], hi)
        _add_weight(rows[W], 1.0, fixed[R_r_eps], lo, hi)
        _finish(desk, store)
        W = 0
        _correlation(plan, C_r_r, W, R_r_u_X)
        W = 1
        _add_correlation_static(store[C_r_r], rows[W], fixed[R_r_eps], lo, hi)
        _finish(desk, store)
        # v = (1/alpha) X^T r
        _add_identity(store[R_v_r_X], c5, lo, hi)
        A = 0
        _start_row(rows[A], hi)
        _add_weight(rows[A], 1.0, store[R_r_u_X], lo, hi)
        _add_product_static(fixed[R_v_betastar], rows[A], fixed[R_Delta_betastar], lo, hi)
        _product(plan, R_v_r_W0, A, R_Delta_r_W0)
        _product(plan, R_v_r_X, A, R_Delta_r_X)
        _finish(desk, store)
        W = 0
        _start_row(rows[W], hi)
        _add_weight(rows[W], 1.0, fixed[R_v_betastar], lo, hi)
        W = 1
        _start_row(rows[W], hi)
        _covariance(plan, factors, W, s2, R_v_r_W0, C_g_g, C_g_g)
        W = 2
        _start_row(rows[W], hi)
        _covariance(plan, factors, W, 1.0, R_v_r_X, C_r_r, C_r_r)
        _finish(desk, store)
        W = 0
        _add_correlation_static(store[C_v_v], rows[W], fixed[R_v_betastar], lo, hi)
        W = 1
        _correlation(plan, C_v_v, W, R_v_r_W0)
        W = 2
        _correlation(plan, C_v_v, W, R_v_r_X)
        _finish(desk, store)
        # h[1] = W0 v
        _add_identity(store[R_h_u_W0], 1.0, lo, hi)
        A = 0
        _start_row(rows[A], hi)
        _add_weight(rows[A], c6, store[R_v_r_W0], lo, hi)
        _add_kernel_past(rows[A], c1, store[C_v_v], kappa, lo, hi)
        if 0 == L - 1:
            _add_product_static(fixed[R_h_w], rows[A], fixed[R_g_w], lo, hi)
        if L - 2 >= 0:
            _product(plan, R_h_r_W, A, R_g_r_W)
        _product(plan, R_h_u_W0, A, R_g_u_W0)
        _finish(desk, store)
        W = 0
        _start_row(rows[W], hi)
        if 0 == L - 1:
            _add_weight(rows[W], s2, fixed[R_h_w], lo, hi)
        W = 1
        _start_row(rows[W], hi)
        if L - 2 >= 0:
            _covariance(plan, factors, W, s2, R_h_r_W, C_g_g + 1, C_g_g + 1)
        W = 2
        _start_row(rows[W], hi)
        _covariance(plan, factors, W, s2, R_h_u_W0, C_v_v, C_v_v)
        _finish(desk, store)
        W = 0
        if 0 == L - 1:
            _add_correlation_static(store[C_h_h], rows[W], fixed[R_h_w], lo, hi)
        W = 1
        if L - 2 >= 0:
            _correlation(plan, C_h_h, W, R_h_r_W)
        W = 2
        _correlation(plan, C_h_h, W, R_h_u_W0)
        _finish(desk, store)
        for l in range(1, L):
            # h[l + 1] = W[l] h[l]
            _add_identity(store[R_h_u_W + l - 1], 1.0, lo, hi)
            A = 0
            _start_row(rows[A], hi)
            _add_weight(rows[A], s2, store[R_h_r_W + l - 1], lo, hi)
            _add_kernel_past(rows[A], c1, store[C_h_h + l - 1], kappa, lo, hi)
            if l == L - 1:
                _add_product_static(fixed[R_h_w], rows[A], fixed[R_g_w], lo, hi)
            if L - l - 2 >= 0:
                _product(plan, R_h_r_W + l, A, R_g_r_W + l)
            _product(plan, R_h_u_W + l - 1, A, R_g_u_W + l - 1)
            _finish(desk, store)
            W = 0
            _start_row(rows[W], hi)
            if l == L - 1:
                _add_weight(rows[W], s2, fixed[R_h_w], lo, hi)
            W = 1
            _start_row(rows[W], hi)
            if L - l - 2 >= 0:
                _covariance(plan, factors, W, s2, R_h_r_W + l, C_g_g + l + 1, C_g_g + l + 1)
            W = 2
            _start_row(rows[W], hi)
            _covariance(plan, factors, W, s2, R_h_u_W + l - 1, C_h_h + l - 1, C_h_h + l - 1)
            _finish(desk, store)
            W = 0
            if l == L - 1:
                _add_correlation_static(store[C_h_h + l], rows[W], fixed[R_h_w], lo, hi)
            W = 1
            if L - l - 2 >= 0:
                _correlation(plan, C_h_h + l, W, R_h_r_W + l)
            W = 2
            _correlation(plan, C_h_h + l, W, R_h_u_W + l - 1)
            _finish(desk, store)
        for c in range(C):
            train_loss[t, c] = store[C_r_r, lo + c, lo + c]
        for c in range(C):
            test_loss[t, c] = store[C_Delta_Delta, lo + c, lo + c] + c7
        if not (np.all(np.isfinite(train_loss[t])) and np.all(np.isfinite(test_loss[t]))):
            return t
    return last


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
    C = outputs
    n = steps * C
    kappa = np.ones(steps + 1, dtype)
    rho = np.ones(steps, dtype)
    s2 = dtype(s2)
    sigma_eps = dtype(sigma_eps)
    c1 = dtype(eta0*gamma)
    c2 = dtype(-1/(gamma*(nu) ** (1/2)))
    c3 = dtype(-s2/gamma)
    c4 = dtype(-eta0)
    c5 = dtype((alpha) ** (-1/2))
    c6 = dtype(s2/(nu) ** (1/2))
    c7 = dtype((sigma_eps) ** (2))
    c8 = dtype((nu) ** (-1/2))
    # Layers of the two-time matrices, and of those with static columns.
    wide = {
        "R_g_r_W": (max(0, L - 1),),  # response of g to r_W
        "R_g_u_W0": (),  # response of g to u_W0
        "R_g_u_W": (max(0, L - 1),),  # response of g to u_W
        "R_h_r_W": (max(0, L - 1),),  # response of h to r_W
        "R_h_u_W0": (),  # response of h to u_W0
        "R_h_u_W": (max(0, L - 1),),  # response of h to u_W
        "R_Delta_r_W0": (),  # response of Delta to r_W0
        "R_Delta_r_X": (),  # response of Delta to r_X
        "R_v_r_W0": (),  # response of v to r_W0
        "R_v_r_X": (),  # response of v to r_X
        "R_r_u_X": (),  # response of r to u_X
        "C_h_h": (max(0, L),),  # correlation of h and h
        "C_g_g": (max(0, L),),  # correlation of g and g
        "C_v_v": (),  # correlation of v and v
        "C_Delta_Delta": (),  # correlation of Delta and Delta
        "C_r_r": (),  # correlation of r and r
    }
    narrow = {
        "R_g_w": (),  # response of g to w
        "R_h_w": (),  # response of h to w
        "R_Delta_betastar": (),  # response of Delta to betastar
        "R_v_betastar": (),  # response of v to betastar
        "R_r_eps": (),  # response of r to eps
    }
    store, arrays, places = _lay_out(wide, n, n, dtype)
    fixed, static_arrays, static_places = _lay_out(narrow, n, C, dtype)
    places += static_places
    desk = _make_desk(len(store) + len(fixed) + 1, C, n, dtype)
    train_loss = np.zeros((steps, C), dtype)
    test_loss = np.zeros((steps, C), dtype)
    done = 0
    with _helpers(desk, store):
        while done < steps:
            last = steps if progress is None else min(steps, done + max(1, 20_000 // (done + 20)))
            done = _advance(done, last, C, desk, store, fixed, kappa, rho, L, s2, sigma_eps, c1, c2, c3, c4, c5, c6, c7, *places, train_loss, test_loss)
            if progress is not None:
                progress(done, steps)
            if done < last:
                break
    for place in np.ndindex(arrays["C_h_h"].shape[:1]):
        _fill_upper(arrays["C_h_h"][place], arrays["C_h_h"][place], C)
    for place in np.ndindex(arrays["C_g_g"].shape[:1]):
        _fill_upper(arrays["C_g_g"][place], arrays["C_g_g"][place], C)
    _fill_upper(arrays["C_v_v"], arrays["C_v_v"], C)
    _fill_upper(arrays["C_Delta_Delta"], arrays["C_Delta_Delta"], C)
    _fill_upper(arrays["C_r_r"], arrays["C_r_r"], C)
    return {
        "steps": done,
        "train_loss": train_loss,
        "test_loss": test_loss,
        **arrays,
        **static_arrays,
        "scales": {"R_g_u_W0": 1, "R_g_u_W": 1, "R_h_r_W": 1, "R_Delta_r_X": c5, "R_v_r_W0": c8, "R_r_u_X": 1, "C_h_h": 1, "C_g_g": 1, "C_v_v": 1, "C_Delta_Delta": 1, "C_r_r": 1},
    }

# source: f82e0684a9e804354cfedb47ec543c40c9b6572649cf411b1b1bb4a238a44829
