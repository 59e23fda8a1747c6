"""Closed equations of structured inputs by hand, docs/mathematics.md, for no or one hidden layer.

Matrices over the steps, iterated from zero: a sweep makes one more row final, as many sweeps as steps are exact.
"""

from __future__ import annotations

import numpy as np

SPECTRUM = ((0.3, 2.0, 1.0), (0.5, 0.5, 1.5), (0.2, 0.1, 4.0))
VALUES = {
    "samples_per_dim": 2.0,
    "width_per_dim": 0.8,
    "richness": 2.5,
    "learning_rate": 0.05,
    "label_noise": 0.2,
    "init_std": 0.9,
}


def by_hand(spectrum, depth, steps, *, samples_per_dim, width_per_dim, richness, learning_rate, label_noise, init_std):
    """Training and test losses, and the correlations ``C_v``, of squared error and gradient descent."""
    rho, lam, b = np.array(spectrum).T
    rho = rho / rho.sum()
    alpha, nu, gamma, eta, s2 = samples_per_dim, width_per_dim, richness, learning_rate, init_std**2
    unit, ones, past = np.eye(steps), np.ones((steps, steps)), np.tril(np.ones((steps, steps)), -1)
    response_d, response_h, c_v, c_z = (np.zeros((steps, steps)) for _ in range(4))
    for _ in range(steps + 2):
        if depth:
            first, second = s2 * response_h + eta * gamma * past * c_v, eta * gamma * past
            inverse = np.linalg.inv(unit - second @ first)
            c_g = inverse @ (s2 * ones + s2 * second @ c_v @ second.T) @ inverse.T
            kernel = s2 * inverse @ second / gamma + eta * past * c_g
            start = s2 * c_g / (gamma**2 * nu)
        else:
            kernel, start = eta * past, np.zeros((steps, steps))
        j = np.linalg.inv(unit - response_d)
        c_r = j @ (c_z + label_noise**2 * ones) @ j.T
        response_d, response_h, c_v, c_z = (np.zeros((steps, steps)) for _ in range(4))
        for share, eigenvalue, variance in zip(rho, lam, b, strict=True):
            inverse = np.linalg.inv(unit + eigenvalue * kernel @ j)
            of_u = -np.sqrt(eigenvalue) * inverse @ kernel / alpha
            v_of_u = np.sqrt(eigenvalue) * unit / alpha + eigenvalue * j @ of_u
            source = inverse @ (variance * ones + start) @ inverse.T
            c_z += share * eigenvalue * (source + alpha * of_u @ c_r @ of_u.T)
            c_v += share * (eigenvalue**2 * j @ source @ j.T + alpha * v_of_u @ c_r @ v_of_u.T)
            response_d += share * np.sqrt(eigenvalue) * of_u
            response_h -= share * eigenvalue * j @ inverse / (gamma * nu)
    return np.diag(c_r), np.diag(c_z) + label_noise**2, c_v
