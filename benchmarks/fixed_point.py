"""Block fixed-point iteration of the closed equations of a deep linear network, one output.

All T x T matrices are iterated at once with dense inverses and damping until they stop changing, as notebooks do. It
exists for comparison alone: nothing in the package uses it. Responses are those of fields to bare noises.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FixedPoint:
    """How an iteration ended: losses, sweeps, and whether the last sweep changed less than the tolerance."""

    train_loss: np.ndarray
    test_loss: np.ndarray
    sweeps: int
    converged: bool


@np.errstate(all="ignore")
def iterate(
    *,
    steps: int,
    depth: int,
    alpha: float,
    nu: float,
    gamma: float,
    eta0: float,
    sigma_eps: float,
    s2: float = 1.0,
    damping: float = 0.5,
    tol: float = 1e-10,
    sweeps: int = 300,
) -> FixedPoint:
    """Iterate from the network at initialization, for at least one hidden layer.

    Parameters
    ----------
    damping
        Weight of the old value in a sweep.
    tol
        Largest change of the kernels relative to their largest entry, at which the iteration ends.
    """
    one, past, flat = np.eye(steps), np.tri(steps, k=-1), np.ones((steps, steps))
    # Kernels by layer: forward ones of v, h^1 .. h^L, backward ones of g^1 .. g^L and the readout.
    C_h = [s2**layer * flat for layer in range(depth + 1)]
    R_h = [np.zeros_like(flat) for _ in range(depth + 1)]
    C_g = [s2 ** (depth + 1 - layer) * flat for layer in range(1, depth + 1)] + [flat]
    R_g = [np.zeros_like(flat) for _ in range(depth + 1)]
    scale = 1 / (gamma * nu)
    C_r = C_delta = flat
    R_delta = np.zeros_like(flat)
    for sweep in range(1, sweeps + 1):
        old = [matrix.copy() for matrix in (*C_h, *R_h, *C_g, *R_g, C_delta, R_delta)]
        # Data: Delta = beta - scale r0 - K v, v = u_b/alpha + J Delta, r = J (u_a + noise).
        K = s2 * R_g[0] / gamma + eta0 * past * C_g[0]
        J = np.linalg.inv(one - R_delta)
        back = np.linalg.inv(one + K @ J)
        noise = s2 * nu * scale**2 * C_g[0]
        R_delta = -back @ K / alpha
        C_r = J @ (C_delta + sigma_eps**2) @ J.T
        C_delta = back @ (flat + noise + K @ C_r @ K.T / alpha) @ back.T
        to_noise = one / alpha + J @ R_delta
        C_h[0] = alpha * to_noise @ C_r @ to_noise.T + J @ back @ (flat + noise) @ back.T @ J.T
        R_h[0] = -scale * J @ back
        # Layers: h = u + A g, g = r + B h.
        for layer in range(1, depth + 1):
            A = s2 * R_h[layer - 1] + eta0 * gamma * past * C_h[layer - 1]
            B = s2 * R_g[layer] + eta0 * gamma * past * C_g[layer]
            try:
                X, Y = np.linalg.inv(one - A @ B), np.linalg.inv(one - B @ A)
            except np.linalg.LinAlgError:  # the kernels have grown beyond what can be inverted
                return FixedPoint(C_r.diagonal(), C_delta.diagonal() + sigma_eps**2, sweep, False)
            below, above = s2 * C_h[layer - 1], s2 * C_g[layer]
            C_h[layer] = X @ (below + A @ above @ A.T) @ X.T
            C_g[layer - 1] = Y @ (above + B @ below @ B.T) @ Y.T
            R_h[layer], R_g[layer - 1] = X @ A, Y @ B
        new = [*C_h, *R_h, *C_g, *R_g, C_delta, R_delta]
        if not all(np.all(np.isfinite(matrix)) for matrix in new):
            return FixedPoint(C_r.diagonal(), C_delta.diagonal() + sigma_eps**2, sweep, False)
        change = max(np.abs(a - b).max() / max(np.abs(b).max(), 1e-300) for a, b in zip(new, old, strict=True))
        if change < tol:
            return FixedPoint(C_r.diagonal(), C_delta.diagonal() + sigma_eps**2, sweep, True)
        mixed = [damping * a + (1 - damping) * b for a, b in zip(old, new, strict=True)]
        count = depth + 1
        C_h, R_h, C_g, R_g = (mixed[k * count : (k + 1) * count] for k in range(4))
        C_delta, R_delta = mixed[-2:]
    return FixedPoint(C_r.diagonal(), C_delta.diagonal() + sigma_eps**2, sweeps, False)
