"""Mean-field equations of training: deep linear network (numba back end).

Written by dmft_sym.codegen from the closed equations; not meant to be edited. The program:

    program deep linear network
      space N: nu * n sites
      space D: 1 * n sites
      space P: alpha * n sites
      matrix W[1..L - 1]: N -> N, entries N(0, s2/n_N)
      matrix W0: D -> N, entries N(0, s2/n_D)
      matrix X: D -> P, entries N(0, 1/n_D), drawn anew at every step
      vector w in N: sites N(0, s2)
      vector betastar in D: sites N(0, 1)
      vector eps in P: sites N(0, 1), drawn anew at every step
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

import numba as nb
import numpy as np
from numba import njit, prange


# Matrix kernels on the rows lo..hi of two-time matrices. Responses are lower triangular and correlations are
# symmetric, of which the lower triangle is kept, so every product reads half of a matrix, once, in pieces of
# equal area for the threads. A row's products depend on the row's own earlier ones, so there is no larger
# matrix product to be had: memory bandwidth is the limit, and reading every matrix once per use the remedy.

_FAST = {"reassoc", "contract", "nsz", "arcp"}
_SERIAL = 160  # below this many columns a second thread costs more than it saves


@njit(cache=True)
def _add_row(target, factor, source, lo, hi):
    for a in range(lo, hi):
        for b in range(min(hi, source.shape[1])):
            target[a, b] += factor * source[a, b]


@njit(cache=True)
def _add_identity(target, factor, lo, hi):
    shift = lo if target.shape[1] == target.shape[0] else 0
    for c in range(hi - lo):
        target[lo + c, shift + c] += factor


@njit(cache=True)
def _zero(row, hi):
    for c in range(row.shape[0]):
        for b in range(min(hi, row.shape[1])):
            row[c, b] = 0.0


@njit(cache=True)
def _add_kernel(A, factor, source, lo, hi):
    for c in range(hi - lo):
        for b in range(hi):
            A[c, b] += factor * source[lo + c, b]


@njit(cache=True)
def _add_kernel_now(A, factor, source, lo, hi):
    for c in range(hi - lo):
        for b in range(lo, hi):
            A[c, b] += factor * source[lo + c, b]


@njit(cache=True)
def _add_kernel_past(A, factor, source, kappa, lo, hi):
    C = hi - lo
    t = lo // C
    for c in range(C):
        for s in range(t):
            weight = factor * kappa[t - s]
            for b in range(s * C, (s + 1) * C):
                A[c, b] += weight * source[lo + c, b]


@njit(cache=True)
def _add_kernel_identity(A, factor, kappa, lo, hi):
    C = hi - lo
    t = lo // C
    for s in range(t):
        for c in range(C):
            A[c, s * C + c] += factor * kappa[t - s]


@njit(cache=True, fastmath=_FAST, inline="never")
def _product_piece(target, A, source, lo, hi, first, last):
    """target[lo:hi, first:last] += A[:, :hi] @ source[:hi, first:last], source lower triangular."""
    C = hi - lo
    for start in range(first, last, 512):
        stop = min(start + 512, last)
        k = (start // C) * C
        while k + 8 <= hi:
            r0, r1, r2, r3 = source[k], source[k + 1], source[k + 2], source[k + 3]
            r4, r5, r6, r7 = source[k + 4], source[k + 5], source[k + 6], source[k + 7]
            for c in range(C):
                a0, a1, a2, a3 = A[c, k], A[c, k + 1], A[c, k + 2], A[c, k + 3]
                a4, a5, a6, a7 = A[c, k + 4], A[c, k + 5], A[c, k + 6], A[c, k + 7]
                y = target[lo + c]
                for b in range(start, min(stop, ((k + 7) // C + 1) * C)):
                    y[b] += (a0 * r0[b] + a1 * r1[b] + a2 * r2[b] + a3 * r3[b]) + (
                        a4 * r4[b] + a5 * r5[b] + a6 * r6[b] + a7 * r7[b]
                    )
            k += 8
        while k < hi:
            for c in range(C):
                a0 = A[c, k]
                y = target[lo + c]
                row = source[k]
                for b in range(start, min(stop, (k // C + 1) * C)):
                    y[b] += a0 * row[b]
            k += 1


@njit(cache=True, parallel=True)
def _product_threads(target, A, source, lo, hi, threads):
    for q in prange(threads):
        first = int(hi * (1.0 - np.sqrt(1.0 - q / threads)))
        last = int(hi * (1.0 - np.sqrt(1.0 - (q + 1) / threads)))
        _product_piece(target, A, source, lo, hi, first, last)


@njit(cache=True)
def _product(target, A, source, lo, hi, threads):
    """target[t] += A @ source."""
    if hi < _SERIAL or threads == 1:
        _product_piece(target, A, source, lo, hi, 0, hi)
    else:
        _product_threads(target, A, source, lo, hi, threads)


@njit(cache=True, fastmath=_FAST)
def _product_static(target, A, source, lo, hi):
    for c in range(hi - lo):
        for d in range(source.shape[1]):
            total = 0.0
            for k in range(hi):
                total += A[c, k] * source[k, d]
            target[lo + c, d] += total


@njit(cache=True, fastmath=_FAST, inline="never")
def _covariance_piece(W, x, lower, mirrored, C, first, last):
    """W += x @ S over rows first..last of the lower triangles of S and of its transpose."""
    for k in range(first, last):
        begin = (k // C) * C
        row, back = lower[k], mirrored[k]
        for c in range(C):
            xk = x[c, k]
            y, z = W[c], x[c]
            total = 0.0
            for b in range(begin):
                y[b] += xk * row[b]
                total += z[b] * back[b]
            for b in range(begin, begin + C):
                y[b] += xk * row[b]
            y[k] += total


@njit(cache=True, parallel=True, fastmath=_FAST)
def _covariance_threads(W, x, lower, mirrored, C, hi, threads, buffer):
    for q in prange(threads):
        first = int((hi // C) * np.sqrt(q / threads)) * C
        last = hi if q == threads - 1 else int((hi // C) * np.sqrt((q + 1) / threads)) * C
        part = buffer[q]
        for c in range(C):
            for b in range(last):
                part[c, b] = 0.0
        _covariance_piece(part, x, lower, mirrored, C, first, last)
    for q in range(threads):
        last = hi if q == threads - 1 else int((hi // C) * np.sqrt((q + 1) / threads)) * C
        for c in range(C):
            for b in range(last):
                W[c, b] += buffer[q, c, b]


@njit(cache=True)
def _add_covariance(W, factor, response, lower, mirrored, lo, hi, threads, x, buffer):
    """W += factor * response[t] @ S, S given by the lower triangles of itself and of its transpose."""
    C = hi - lo
    for c in range(C):
        for b in range(hi):
            x[c, b] = factor * response[lo + c, b]
    if hi < _SERIAL or threads == 1:
        _covariance_piece(W, x, lower, mirrored, C, 0, hi)
    else:
        _covariance_threads(W, x, lower, mirrored, C, hi, threads, buffer)


@njit(cache=True)
def _add_covariance_fresh(W, factor, response, covariance, lo, hi):
    C = hi - lo
    for c in range(C):
        for k in range(hi):
            begin = (k // C) * C
            weight = factor * response[lo + c, k]
            for b in range(begin, begin + C):
                W[c, b] += weight * covariance[k, b]


@njit(cache=True)
def _add_weight(W, factor, response, lo, hi):
    for c in range(hi - lo):
        for b in range(min(hi, response.shape[1])):
            W[c, b] += factor * response[lo + c, b]


@njit(cache=True, fastmath=_FAST, inline="never")
def _correlation_piece(target, W, source, lo, hi, first, last):
    """target[lo:hi, first:last] += W @ source[first:last].T, source lower triangular."""
    C = hi - lo
    for s in range(first, last):
        row = source[s]
        width = (s // C + 1) * C
        for c in range(C):
            w = W[c]
            total = 0.0
            for b in range(width):
                total += w[b] * row[b]
            target[lo + c, s] += total


@njit(cache=True, parallel=True)
def _correlation_threads(target, W, source, lo, hi, threads):
    for q in prange(threads):
        first = int(hi * np.sqrt(q / threads))
        last = hi if q == threads - 1 else int(hi * np.sqrt((q + 1) / threads))
        _correlation_piece(target, W, source, lo, hi, first, last)


@njit(cache=True)
def _add_correlation(target, W, source, lo, hi, threads):
    """target[t] += W @ source^T."""
    if hi < _SERIAL or threads == 1:
        _correlation_piece(target, W, source, lo, hi, 0, hi)
    else:
        _correlation_threads(target, W, source, lo, hi, threads)


@njit(cache=True, fastmath=_FAST)
def _add_correlation_static(target, W, source, lo, hi):
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


@njit(cache=True)
def _fill_upper(target, mirrored, C):
    """Upper triangle of a correlation from the lower one of its transpose."""
    n = target.shape[0]
    for a in range(n):
        for b in range((a // C + 1) * C, n):
            target[a, b] = mirrored[b, a]


@njit(cache=True)
def _advance(first, last, C, threads, kappa, rho, A, W, x, buffer, L, s2, sigma_eps, c1, c2, c3, c4, c5, c6, c7, R_g_w, R_g_r_W, R_g_u_W0, R_g_u_W, R_h_w, R_h_r_W, R_h_u_W0, R_h_u_W, R_Delta_betastar, R_Delta_r_W0, R_Delta_r_X, R_v_betastar, R_v_r_W0, R_v_r_X, R_r_u_X, R_r_eps, C_h_h, C_g_g, C_v_v, C_Delta_Delta, C_r_r, train_loss, test_loss):
    """Rows first..last of every order parameter; the first step that is not finite, or last."""
    for t in range(first, last):
        lo, hi = t * C, (t + 1) * C
        # g[L] = w
        _add_identity(R_g_w, 1.0, lo, hi)
        _zero(A, hi)
        _add_kernel_identity(A, c1, kappa, lo, hi)
        _product_static(R_g_w, A, R_h_w, lo, hi)
        if L - 1 == 0:
            _product(R_g_u_W0, A, R_h_u_W0, lo, hi, threads)
        if L - 2 >= 0:
            _product(R_g_u_W[L - 2], A, R_h_u_W[L - 2], lo, hi, threads)
        _zero(W, hi)
        _add_weight(W, s2, R_g_w, lo, hi)
        _add_correlation_static(C_g_g[L - 1], W, R_g_w, lo, hi)
        _zero(W, hi)
        if L - 1 == 0:
            _add_covariance(W, s2, R_g_u_W0, C_v_v, C_v_v, lo, hi, threads, x, buffer)
        if L - 1 == 0:
            _add_correlation(C_g_g[L - 1], W, R_g_u_W0, lo, hi, threads)
        _zero(W, hi)
        if L - 2 >= 0:
            _add_covariance(W, s2, R_g_u_W[L - 2], C_h_h[L - 2], C_h_h[L - 2], lo, hi, threads, x, buffer)
        if L - 2 >= 0:
            _add_correlation(C_g_g[L - 1], W, R_g_u_W[L - 2], lo, hi, threads)
        for l in range(L - 1, 0, -1):
            # g[l] = W[l]^T g[l + 1]
            _add_identity(R_g_r_W[l - 1], 1.0, lo, hi)
            _zero(A, hi)
            _add_kernel(A, s2, R_g_u_W[l - 1], lo, hi)
            _add_kernel_past(A, c1, C_g_g[l], kappa, lo, hi)
            _product(R_g_r_W[l - 1], A, R_h_r_W[l - 1], lo, hi, threads)
            if l - 1 == 0:
                _product(R_g_u_W0, A, R_h_u_W0, lo, hi, threads)
            if l - 2 >= 0:
                _product(R_g_u_W[l - 2], A, R_h_u_W[l - 2], lo, hi, threads)
            _zero(W, hi)
            _add_covariance(W, s2, R_g_r_W[l - 1], C_g_g[l], C_g_g[l], lo, hi, threads, x, buffer)
            _add_correlation(C_g_g[l - 1], W, R_g_r_W[l - 1], lo, hi, threads)
            _zero(W, hi)
            if l - 1 == 0:
                _add_covariance(W, s2, R_g_u_W0, C_v_v, C_v_v, lo, hi, threads, x, buffer)
            if l - 1 == 0:
                _add_correlation(C_g_g[l - 1], W, R_g_u_W0, lo, hi, threads)
            _zero(W, hi)
            if l - 2 >= 0:
                _add_covariance(W, s2, R_g_u_W[l - 2], C_h_h[l - 2], C_h_h[l - 2], lo, hi, threads, x, buffer)
            if l - 2 >= 0:
                _add_correlation(C_g_g[l - 1], W, R_g_u_W[l - 2], lo, hi, threads)
        # Delta = betastar + (-1/(gamma*nu)) W0^T g[1]
        _add_identity(R_Delta_betastar, 1.0, lo, hi)
        _add_identity(R_Delta_r_W0, c2, lo, hi)
        _zero(A, hi)
        _add_kernel(A, c3, R_g_u_W0, lo, hi)
        _add_kernel_past(A, c4, C_g_g[0], kappa, lo, hi)
        _product_static(R_Delta_betastar, A, R_v_betastar, lo, hi)
        _product(R_Delta_r_W0, A, R_v_r_W0, lo, hi, threads)
        _product(R_Delta_r_X, A, R_v_r_X, lo, hi, threads)
        _zero(W, hi)
        _add_weight(W, 1.0, R_Delta_betastar, lo, hi)
        _add_correlation_static(C_Delta_Delta, W, R_Delta_betastar, lo, hi)
        _zero(W, hi)
        _add_covariance(W, s2, R_Delta_r_W0, C_g_g[0], C_g_g[0], lo, hi, threads, x, buffer)
        _add_correlation(C_Delta_Delta, W, R_Delta_r_W0, lo, hi, threads)
        _zero(W, hi)
        _add_covariance_fresh(W, 1.0, R_Delta_r_X, C_r_r, lo, hi)
        _add_correlation(C_Delta_Delta, W, R_Delta_r_X, lo, hi, threads)
        # r = X Delta + sigma_eps eps
        _add_identity(R_r_u_X, 1.0, lo, hi)
        _add_identity(R_r_eps, sigma_eps, lo, hi)
        _zero(W, hi)
        _add_covariance_fresh(W, 1.0, R_r_u_X, C_Delta_Delta, lo, hi)
        _add_correlation(C_r_r, W, R_r_u_X, lo, hi, threads)
        _zero(W, hi)
        _add_weight(W, 1.0, R_r_eps, lo, hi)
        _add_correlation(C_r_r, W, R_r_eps, lo, hi, threads)
        # v = (1/alpha) X^T r
        _add_identity(R_v_r_X, c5, lo, hi)
        _zero(A, hi)
        _add_kernel_now(A, 1.0, R_r_u_X, lo, hi)
        _product_static(R_v_betastar, A, R_Delta_betastar, lo, hi)
        _product(R_v_r_W0, A, R_Delta_r_W0, lo, hi, threads)
        _product(R_v_r_X, A, R_Delta_r_X, lo, hi, threads)
        _zero(W, hi)
        _add_weight(W, 1.0, R_v_betastar, lo, hi)
        _add_correlation_static(C_v_v, W, R_v_betastar, lo, hi)
        _zero(W, hi)
        _add_covariance(W, s2, R_v_r_W0, C_g_g[0], C_g_g[0], lo, hi, threads, x, buffer)
        _add_correlation(C_v_v, W, R_v_r_W0, lo, hi, threads)
        _zero(W, hi)
        _add_covariance_fresh(W, 1.0, R_v_r_X, C_r_r, lo, hi)
        _add_correlation(C_v_v, W, R_v_r_X, lo, hi, threads)
        # h[1] = W0 v
        _add_identity(R_h_u_W0, 1.0, lo, hi)
        _zero(A, hi)
        _add_kernel(A, c6, R_v_r_W0, lo, hi)
        _add_kernel_past(A, c1, C_v_v, kappa, lo, hi)
        if 0 == L - 1:
            _product_static(R_h_w, A, R_g_w, lo, hi)
        if L - 2 >= 0:
            _product(R_h_r_W[0], A, R_g_r_W[0], lo, hi, threads)
        _product(R_h_u_W0, A, R_g_u_W0, lo, hi, threads)
        _zero(W, hi)
        if 0 == L - 1:
            _add_weight(W, s2, R_h_w, lo, hi)
        if 0 == L - 1:
            _add_correlation_static(C_h_h[0], W, R_h_w, lo, hi)
        _zero(W, hi)
        if L - 2 >= 0:
            _add_covariance(W, s2, R_h_r_W[0], C_g_g[1], C_g_g[1], lo, hi, threads, x, buffer)
        if L - 2 >= 0:
            _add_correlation(C_h_h[0], W, R_h_r_W[0], lo, hi, threads)
        _zero(W, hi)
        _add_covariance(W, s2, R_h_u_W0, C_v_v, C_v_v, lo, hi, threads, x, buffer)
        _add_correlation(C_h_h[0], W, R_h_u_W0, lo, hi, threads)
        for l in range(1, L):
            # h[l + 1] = W[l] h[l]
            _add_identity(R_h_u_W[l - 1], 1.0, lo, hi)
            _zero(A, hi)
            _add_kernel(A, s2, R_h_r_W[l - 1], lo, hi)
            _add_kernel_past(A, c1, C_h_h[l - 1], kappa, lo, hi)
            if l == L - 1:
                _product_static(R_h_w, A, R_g_w, lo, hi)
            if L - l - 2 >= 0:
                _product(R_h_r_W[l], A, R_g_r_W[l], lo, hi, threads)
            _product(R_h_u_W[l - 1], A, R_g_u_W[l - 1], lo, hi, threads)
            _zero(W, hi)
            if l == L - 1:
                _add_weight(W, s2, R_h_w, lo, hi)
            if l == L - 1:
                _add_correlation_static(C_h_h[l], W, R_h_w, lo, hi)
            _zero(W, hi)
            if L - l - 2 >= 0:
                _add_covariance(W, s2, R_h_r_W[l], C_g_g[l + 1], C_g_g[l + 1], lo, hi, threads, x, buffer)
            if L - l - 2 >= 0:
                _add_correlation(C_h_h[l], W, R_h_r_W[l], lo, hi, threads)
            _zero(W, hi)
            _add_covariance(W, s2, R_h_u_W[l - 1], C_h_h[l - 1], C_h_h[l - 1], lo, hi, threads, x, buffer)
            _add_correlation(C_h_h[l], W, R_h_u_W[l - 1], lo, hi, threads)
        for c in range(C):
            train_loss[t, c] = C_r_r[lo + c, lo + c]
        for c in range(C):
            test_loss[t, c] = C_Delta_Delta[lo + c, lo + c] + c7
        if not (np.all(np.isfinite(train_loss[t])) and np.all(np.isfinite(test_loss[t]))):
            return t
    return last


def labels(*, L):
    """Order parameters by name: array, first layer of every axis, and the layer of arrays without an axis."""
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
    C = outputs
    n = steps * C
    threads = nb.get_num_threads()
    A, W, x = np.zeros((3, C, n), dtype)
    buffer = np.zeros((threads, C, n), dtype)
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
    R_g_w = np.zeros((n, C), dtype)  # response of g to w
    R_g_r_W = np.zeros((max(0, L - 1), n, n), dtype)  # response of g to r_W
    R_g_u_W0 = np.zeros((n, n), dtype)  # response of g to u_W0
    R_g_u_W = np.zeros((max(0, L - 1), n, n), dtype)  # response of g to u_W
    R_h_w = np.zeros((n, C), dtype)  # response of h to w
    R_h_r_W = np.zeros((max(0, L - 1), n, n), dtype)  # response of h to r_W
    R_h_u_W0 = np.zeros((n, n), dtype)  # response of h to u_W0
    R_h_u_W = np.zeros((max(0, L - 1), n, n), dtype)  # response of h to u_W
    R_Delta_betastar = np.zeros((n, C), dtype)  # response of Delta to betastar
    R_Delta_r_W0 = np.zeros((n, n), dtype)  # response of Delta to r_W0
    R_Delta_r_X = np.zeros((n, n), dtype)  # response of Delta to r_X
    R_v_betastar = np.zeros((n, C), dtype)  # response of v to betastar
    R_v_r_W0 = np.zeros((n, n), dtype)  # response of v to r_W0
    R_v_r_X = np.zeros((n, n), dtype)  # response of v to r_X
    R_r_u_X = np.zeros((n, n), dtype)  # response of r to u_X
    R_r_eps = np.zeros((n, n), dtype)  # response of r to eps
    C_h_h = np.zeros((max(0, L), n, n), dtype)  # correlation of h and h
    C_g_g = np.zeros((max(0, L), n, n), dtype)  # correlation of g and g
    C_v_v = np.zeros((n, n), dtype)  # correlation of v and v
    C_Delta_Delta = np.zeros((n, n), dtype)  # correlation of Delta and Delta
    C_r_r = np.zeros((n, n), dtype)  # correlation of r and r
    train_loss = np.zeros((steps, C), dtype)
    test_loss = np.zeros((steps, C), dtype)
    done = 0
    while done < steps:
        last = steps if progress is None else min(steps, done + max(1, 20_000 // (done + 20)))
        reached = _advance(done, last, C, threads, kappa, rho, A, W, x, buffer, L, s2, sigma_eps, c1, c2, c3, c4, c5, c6, c7, R_g_w, R_g_r_W, R_g_u_W0, R_g_u_W, R_h_w, R_h_r_W, R_h_u_W0, R_h_u_W, R_Delta_betastar, R_Delta_r_W0, R_Delta_r_X, R_v_betastar, R_v_r_W0, R_v_r_X, R_r_u_X, R_r_eps, C_h_h, C_g_g, C_v_v, C_Delta_Delta, C_r_r, train_loss, test_loss)
        done = reached
        if progress is not None:
            progress(done, steps)
        if reached < last:
            break
    for place in np.ndindex(C_h_h.shape[:1]):
        _fill_upper(C_h_h[place], C_h_h[place], C)
    for place in np.ndindex(C_g_g.shape[:1]):
        _fill_upper(C_g_g[place], C_g_g[place], C)
    _fill_upper(C_v_v, C_v_v, C)
    _fill_upper(C_Delta_Delta, C_Delta_Delta, C)
    _fill_upper(C_r_r, C_r_r, C)
    return {
        "steps": done,
        "train_loss": train_loss,
        "test_loss": test_loss,
        "R_g_w": R_g_w,
        "R_g_r_W": R_g_r_W,
        "R_g_u_W0": R_g_u_W0,
        "R_g_u_W": R_g_u_W,
        "R_h_w": R_h_w,
        "R_h_r_W": R_h_r_W,
        "R_h_u_W0": R_h_u_W0,
        "R_h_u_W": R_h_u_W,
        "R_Delta_betastar": R_Delta_betastar,
        "R_Delta_r_W0": R_Delta_r_W0,
        "R_Delta_r_X": R_Delta_r_X,
        "R_v_betastar": R_v_betastar,
        "R_v_r_W0": R_v_r_W0,
        "R_v_r_X": R_v_r_X,
        "R_r_u_X": R_r_u_X,
        "R_r_eps": R_r_eps,
        "C_h_h": C_h_h,
        "C_g_g": C_g_g,
        "C_v_v": C_v_v,
        "C_Delta_Delta": C_Delta_Delta,
        "C_r_r": C_r_r,
        "scales": {"R_g_u_W0": 1, "R_g_u_W": 1, "R_h_r_W": 1, "R_Delta_r_X": c5, "R_v_r_W0": c8, "R_r_u_X": 1, "C_h_h": 1, "C_g_g": 1, "C_v_v": 1, "C_Delta_Delta": 1, "C_r_r": 1},
    }

# source: 203dc698fef6fed2509db2350f11ae5480f7c03996384bd1818a2b0a956b3d12
