"""Mean-field equations of training: deep linear network (numpy back end).

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

import numpy as np


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
    one = np.eye(C, dtype=dtype)
    zero_row = np.zeros((C, n), dtype)
    one_row = np.tile(one, steps)
    same_step = np.kron(np.eye(steps, dtype=dtype), np.ones((C, C), dtype))
    alpha = dtype(alpha)
    eta0 = dtype(eta0)
    gamma = dtype(gamma)
    nu = dtype(nu)
    s2 = dtype(s2)
    sigma_eps = dtype(sigma_eps)
    # (7.1) S_kappa(t, s)
    kappa = np.ones(steps + 1, dtype)
    c1 = eta0*gamma
    c2 = -1/(gamma*nu**0.5)
    c3 = -s2/gamma
    c4 = -eta0
    c5 = alpha**-0.5
    c6 = s2/nu**0.5
    c7 = sigma_eps**2
    c8 = nu**-0.5
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
    R_r_eps = np.zeros((n, C), dtype)  # response of r to eps
    C_h_h = np.zeros((max(0, L), n, n), dtype)  # correlation of h and h
    C_g_g = np.zeros((max(0, L), n, n), dtype)  # correlation of g and g
    C_v_v = np.zeros((n, n), dtype)  # correlation of v and v
    C_Delta_Delta = np.zeros((n, n), dtype)  # correlation of Delta and Delta
    C_r_r = np.zeros((n, n), dtype)  # correlation of r and r
    train_loss = np.zeros((steps, C), dtype)
    test_loss = np.zeros((steps, C), dtype)
    done = steps
    for t in range(steps):
        i = slice(t * C, (t + 1) * C)
        past = np.repeat(np.concatenate([kappa[t:0:-1], np.zeros(steps - t, dtype)]), C)
        # g[L] = w
        # (7.3) R_g_w(L, t, c, c')
        R_g_w[i] += one
        # (7.2) A_g_h(L, t, c, L, s, c')
        A = zero_row.copy()
        A += c1 * past * one_row
        # (7.3) R_g_w(L, t, c, c')
        R_g_w[i] += A @ R_h_w
        # (7.4) R_g_u_W0(1, t, c, s, c')
        if L - 1 == 0:
            R_g_u_W0[i] += A @ R_h_u_W0
        # (7.5) R_g_u_W(L, t, c, L - 1, s, c')
        if L - 2 >= 0:
            R_g_u_W[L - 2][i] += A @ R_h_u_W[L - 2]
        # (7.6) C_g(L, t, c, L, s, c')
        W = 0 * one
        W += s2 * R_g_w[i]
        C_g_g[L - 1][i] += W @ R_g_w.T
        if L == 1:
            W = zero_row.copy()
            W += s2 * R_g_u_W0[i] @ C_v_v
            C_g_g[L - 1][i] += W @ R_g_u_W0.T
        if L >= 2:
            W = zero_row.copy()
            W += s2 * R_g_u_W[L - 2][i] @ C_h_h[L - 2]
            C_g_g[L - 1][i] += W @ R_g_u_W[L - 2].T
        C_g_g[L - 1][:, i] = C_g_g[L - 1][i].T
        for l in range(L - 1, 0, -1):
            # g[l] = W[l]^T g[l + 1]
            # (7.8) R_g_r_W(l, t, c, l, s, c')
            R_g_r_W[l - 1][i, i] += one
            # (7.7) A_g_h(l, t, c, l, s, c')
            A = zero_row.copy()
            A += s2 * R_g_u_W[l - 1][i]
            A += c1 * past * C_g_g[l][i]
            # (7.8) R_g_r_W(l, t, c, l, s, c')
            R_g_r_W[l - 1][i] += A @ R_h_r_W[l - 1]
            # (7.9) R_g_u_W0(1, t, c, s, c')
            if l == 1:
                R_g_u_W0[i] += A @ R_h_u_W0
            # (7.10) R_g_u_W(l, t, c, l - 1, s, c')
            if l - 2 >= 0:
                R_g_u_W[l - 2][i] += A @ R_h_u_W[l - 2]
            # (7.11) C_g(l, t, c, l, s, c')
            W = zero_row.copy()
            W += s2 * R_g_r_W[l - 1][i] @ C_g_g[l]
            C_g_g[l - 1][i] += W @ R_g_r_W[l - 1].T
            if l == 1:
                W = zero_row.copy()
                W += s2 * R_g_u_W0[i] @ C_v_v
                C_g_g[l - 1][i] += W @ R_g_u_W0.T
            if l >= 2:
                W = zero_row.copy()
                W += s2 * R_g_u_W[l - 2][i] @ C_h_h[l - 2]
                C_g_g[l - 1][i] += W @ R_g_u_W[l - 2].T
            C_g_g[l - 1][:, i] = C_g_g[l - 1][i].T
        # Delta = betastar + (-1/(gamma*nu)) W0^T g[1]
        # (7.13) R_Delta_betastar(t, c, c')
        R_Delta_betastar[i] += one
        # (7.14) R_Delta_rbar_W0(t, c, s, c')
        R_Delta_r_W0[i, i] += c2 * one
        # (7.12) A_Delta_v(t, c, s, c')
        A = zero_row.copy()
        A += c3 * R_g_u_W0[i]
        A += c4 * past * C_g_g[0][i]
        # (7.13) R_Delta_betastar(t, c, c')
        R_Delta_betastar[i] += A @ R_v_betastar
        # (7.14) R_Delta_rbar_W0(t, c, s, c')
        R_Delta_r_W0[i] += A @ R_v_r_W0
        # (7.15) R_Delta_rbar_X(t, c, s, c')
        R_Delta_r_X[i] += A @ R_v_r_X
        # (7.16) C_Delta(t, c, s, c')
        W = 0 * one
        W += R_Delta_betastar[i]
        C_Delta_Delta[i] += W @ R_Delta_betastar.T
        W = zero_row.copy()
        W += s2 * R_Delta_r_W0[i] @ C_g_g[0]
        C_Delta_Delta[i] += W @ R_Delta_r_W0.T
        W = zero_row.copy()
        W += R_Delta_r_X[i] @ C_r_r
        C_Delta_Delta[i] += W @ R_Delta_r_X.T
        C_Delta_Delta[:, i] = C_Delta_Delta[i].T
        # r = X Delta + sigma_eps eps
        # (7.18) R_r_u_X(t, c, s, c')
        R_r_u_X[i, i] += one
        # (7.19) R_r_eps(t, c, c')
        R_r_eps[i] += sigma_eps * one
        # (7.17) A_r(t, c, s, c')
        A = zero_row.copy()
        A += c5 * R_Delta_r_X[i]
        # (7.18) R_r_u_X(t, c, s, c')
        R_r_u_X[i] += A @ R_r_u_X
        # (7.19) R_r_eps(t, c, c')
        R_r_eps[i] += A @ R_r_eps
        # (7.20) C_r(t, c, s, c')
        W = zero_row.copy()
        W += R_r_u_X[i] @ C_Delta_Delta
        C_r_r[i] += W @ R_r_u_X.T
        W = 0 * one
        W += R_r_eps[i]
        C_r_r[i] += W @ R_r_eps.T
        C_r_r[:, i] = C_r_r[i].T
        # v = (1/alpha) X^T r
        # (7.24) R_v_rbar_X(t, c, s, c')
        R_v_r_X[i, i] += c5 * one
        # (7.21) A_v_Delta(t, c, s, c')
        A = zero_row.copy()
        A += R_r_u_X[i]
        # (7.22) R_v_betastar(t, c, c')
        R_v_betastar[i] += A @ R_Delta_betastar
        # (7.23) R_v_rbar_W0(t, c, s, c')
        R_v_r_W0[i] += A @ R_Delta_r_W0
        # (7.24) R_v_rbar_X(t, c, s, c')
        R_v_r_X[i] += A @ R_Delta_r_X
        # (7.25) C_v(t, c, s, c')
        W = 0 * one
        W += R_v_betastar[i]
        C_v_v[i] += W @ R_v_betastar.T
        W = zero_row.copy()
        W += s2 * R_v_r_W0[i] @ C_g_g[0]
        C_v_v[i] += W @ R_v_r_W0.T
        W = zero_row.copy()
        W += R_v_r_X[i] @ C_r_r
        C_v_v[i] += W @ R_v_r_X.T
        C_v_v[:, i] = C_v_v[i].T
        # h[1] = W0 v
        # (7.29) R_h_u_W0(1, t, c, s, c')
        R_h_u_W0[i, i] += one
        # (7.26) A_h_g(1, t, c, 1, s, c')
        A = zero_row.copy()
        A += c6 * R_v_r_W0[i]
        A += c1 * past * C_v_v[i]
        # (7.27) R_h_w(L, t, c, c')
        if 0 == L - 1:
            R_h_w[i] += A @ R_g_w
        # (7.28) R_h_r_W(1, t, c, 1, s, c')
        if L - 2 >= 0:
            R_h_r_W[0][i] += A @ R_g_r_W[0]
        # (7.29) R_h_u_W0(1, t, c, s, c')
        R_h_u_W0[i] += A @ R_g_u_W0
        # (7.30) C_h(1, t, c, 1, s, c')
        if L == 1:
            W = 0 * one
            W += s2 * R_h_w[i]
            C_h_h[0][i] += W @ R_h_w.T
        if L >= 2:
            W = zero_row.copy()
            W += s2 * R_h_r_W[0][i] @ C_g_g[1]
            C_h_h[0][i] += W @ R_h_r_W[0].T
        W = zero_row.copy()
        W += s2 * R_h_u_W0[i] @ C_v_v
        C_h_h[0][i] += W @ R_h_u_W0.T
        C_h_h[0][:, i] = C_h_h[0][i].T
        for l in range(1, L):
            # h[l + 1] = W[l] h[l]
            # (7.34) R_h_u_W(l + 1, t, c, l, s, c')
            R_h_u_W[l - 1][i, i] += one
            # (7.31) A_h_g(l + 1, t, c, l + 1, s, c')
            A = zero_row.copy()
            A += s2 * R_h_r_W[l - 1][i]
            A += c1 * past * C_h_h[l - 1][i]
            # (7.32) R_h_w(L, t, c, c')
            if l == L - 1:
                R_h_w[i] += A @ R_g_w
            # (7.33) R_h_r_W(l + 1, t, c, l + 1, s, c')
            if L - l - 2 >= 0:
                R_h_r_W[l][i] += A @ R_g_r_W[l]
            # (7.34) R_h_u_W(l + 1, t, c, l, s, c')
            R_h_u_W[l - 1][i] += A @ R_g_u_W[l - 1]
            # (7.35) C_h(l + 1, t, c, l + 1, s, c')
            if l == L - 1:
                W = 0 * one
                W += s2 * R_h_w[i]
                C_h_h[l][i] += W @ R_h_w.T
            if L - l >= 2:
                W = zero_row.copy()
                W += s2 * R_h_r_W[l][i] @ C_g_g[l + 1]
                C_h_h[l][i] += W @ R_h_r_W[l].T
            W = zero_row.copy()
            W += s2 * R_h_u_W[l - 1][i] @ C_h_h[l - 1]
            C_h_h[l][i] += W @ R_h_u_W[l - 1].T
            C_h_h[l][:, i] = C_h_h[l][i].T
        # (7.36) train_loss(t, c)
        train_loss[t] = C_r_r[i, i].diagonal()
        # (7.37) test_loss(t, c)
        test_loss[t] = C_Delta_Delta[i, i].diagonal() + c7
        if progress is not None:
            progress(t + 1, steps)
        if not (np.all(np.isfinite(train_loss[t])) and np.all(np.isfinite(test_loss[t]))):
            done = t
            break
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
        "scales": {
            "R_g_u_W0": 1, "R_g_u_W": 1, "R_h_r_W": 1, "R_Delta_r_X": c5, "R_v_r_W0": c8, "R_r_u_X": 1, "C_h_h": 1,
            "C_g_g": 1, "C_v_v": 1, "C_Delta_Delta": 1, "C_r_r": 1,
        },
    }

# source: 1f503acd7ad592dbc919ffa7564d7ed82a7ce1e2f063c063f686e4237adcdd44
