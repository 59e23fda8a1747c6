"""What a wide two-layer linear network does to its features: a spike along the targets, ``sqrt(1 + gamma0^2 y^2) - 1``.

Bordelon and Pehlevan (2022), *Self-consistent dynamical field theory of kernel evolution*, arXiv:2205.09653: infinite
width, white inputs, gradient flow. At the end of training

    H = 1 + (sqrt(1 + gamma0^2 y^2) - 1) y y^T / y^2.

At any time ``f`` stands in place of ``y``: sites move along hyperbolas, ``<w^2>^2 - (gamma0 f)^2 = 1`` is conserved.
"""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import dmft_sym as ds

GAMMA = 1.5
TIMES = [0.0, 0.3, 1.0, 3.0, 30.0]
TARGETS = np.array([0.9, -0.5, 0.7])


def spike(f):
    """The feature kernel when the outputs are ``f``."""
    norm2 = f @ f
    return np.eye(len(f)) + (np.sqrt(1 + GAMMA**2 * norm2) - 1) * np.outer(f, f) / (norm2 or 1)


def test_sites_move_along_hyperbolas():
    """``a' = w c``, ``w' = a c`` (SymPy): ``<a w> = sinh``, ``<w w> = <a a> = cosh`` of twice the integral of ``c``."""
    theta, a, w = sp.symbols("theta a w", real=True)
    grown = sp.Matrix([[0, theta], [theta, 0]]).exp() * sp.Matrix([a, w])
    average = [sp.expand(e).coeff(a, 2) + sp.expand(e).coeff(w, 2) for e in (grown[0] * grown[1], grown[1] ** 2)]
    assert sp.simplify((average[0] - sp.sinh(2 * theta)).rewrite(sp.exp)) == 0
    assert sp.simplify((average[1] - sp.cosh(2 * theta)).rewrite(sp.exp)) == 0


@pytest.mark.parametrize("targets", [TARGETS, TARGETS[:1]], ids=["three samples", "one sample"])
def test_feature_kernel_of_given_samples(targets):
    """Along the whole flow, and at its end with the targets themselves."""
    count = len(targets)
    data = ds.Samples(np.sqrt(count) * np.eye(count), targets)
    theory = ds.derive(ds.deep_linear(1), data=data, training=ds.GradientFlow(rtol=1e-9))
    run = theory.compile()(time=TIMES, kernels=TIMES, richness=GAMMA)
    for time in TIMES:
        outputs = run.f.sel(time=time, output=0).values
        found = run.H.sel(kernel_time=time, layer=1).values
        np.testing.assert_allclose(found, spike(outputs), atol=1e-7)
        gradients = run.G.sel(kernel_time=time, layer=1, output=0, output2=0).values
        np.testing.assert_allclose(gradients, np.sqrt(1 + GAMMA**2 * outputs @ outputs), atol=1e-7)
    np.testing.assert_allclose(found, spike(targets), atol=1e-7)


@pytest.mark.parametrize("init_std", [1.0, 0.6])
def test_readout_of_the_proportional_regime(init_std):
    """The same in the derived equations, at infinite ratios: ``C_g = sqrt(s2^2 + (gamma0 beta)^2)`` up to ``O(eta0)``.

    Two learning rates are extrapolated to none.
    """
    solver, found = ds.derive(ds.deep_linear(1)).compile("numpy"), []
    for rate in (0.02, 0.01):
        steps = round(3 / rate) + 1
        run = solver(
            method="equations", steps=steps, learning_rate=rate, richness=GAMMA, init_std=init_std,
            samples_per_dim=np.inf, width_per_dim=np.inf,
        )  # fmt: skip
        size = np.diagonal(run.C_g.sel(layer=1, output=0, output2=0).values)
        beta = 1 - np.sqrt(run.test_loss.sel(output=0).values)
        found.append((size - np.sqrt(init_std**4 + (GAMMA * beta) ** 2))[:: round(0.5 / rate)])
    assert np.abs(found[1]).max() < 0.05
    assert np.abs(2 * found[1] - found[0]).max() < 2e-3
    assert beta[-1] > 0.99
