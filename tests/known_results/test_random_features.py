"""Random features of structured inputs: what a finite width leaves of the loss when the readout has converged."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

import dmft_sym as ds

SPECTRUM = ((0.2, 3.0, 1.0), (0.5, 0.6, 2.0), (0.3, 0.3, 0.5))


def features(net, x):
    """A frozen first layer."""
    n = net.hidden("N")
    return net.readout("w", net.matrix("W0", net.inputs, n, train=False) @ x)


@pytest.mark.parametrize("width", [0.25, 0.5])
def test_a_finite_width_leaves_what_ridge_regression_would(width):
    """``sum rho lambda b kappa/(lambda + kappa)`` with ``sum rho lambda/(lambda + kappa) = nu`` (arXiv:2402.01092)."""
    rho, eigenvalues, variances = np.array(SPECTRUM).T
    kappa = brentq(lambda k: (rho * eigenvalues / (eigenvalues + k)).sum() - width, 1e-9, 1e3)
    left = (rho * eigenvalues * variances * kappa / (eigenvalues + kappa)).sum()
    data = ds.Proportional(spectrum=SPECTRUM)
    theory = ds.derive(ds.network(features), data=data, training=ds.GradientFlow())
    run = theory.solve(time=400.0, samples_per_dim=float("inf"), width_per_dim=width, richness=1e5)
    assert run.test_loss.values[-1, 0] == pytest.approx(left, rel=1e-6)
