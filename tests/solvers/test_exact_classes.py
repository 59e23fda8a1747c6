"""Exact first steps with classes of sites: those of a march, and of isotropic inputs where classes are alike."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import dmft_sym as ds

GIVEN = {"samples_per_dim": 2, "width_per_dim": "4/5", "richness": 2, "learning_rate": "1/20", "label_noise": "1/10"}
NUMBERS = {name: float(sp.Rational(value)) for name, value in GIVEN.items()}


@pytest.mark.parametrize("spectrum", [((2.0, 1.5, 1.0), (1.0, 0.3, 2.0)), ((0.4, 4.0, 1.0), (0.6, 0.25, 2.0))])
def test_they_are_those_of_a_march_in_numbers(spectrum):
    theory = ds.derive(ds.deep_linear(1), data=ds.Proportional(spectrum=spectrum))
    exact = theory.exact(steps=3, init_std=1, **GIVEN)
    run = theory.compile("numpy")(method="equations", steps=3, **NUMBERS)
    np.testing.assert_allclose([float(loss) for loss in exact.test_loss], run.test_loss.values[:, 0], rtol=1e-13)
    assert exact.test_loss[2].is_Rational


def test_equal_classes_are_isotropic_inputs():
    first, second = (
        ds.derive(ds.deep_linear(1), data=data).exact(steps=2)
        for data in (ds.Proportional(), ds.Proportional(spectrum=[(1.0, 1.0, 1.0), (2.0, 1.0, 1.0)]))
    )
    assert list(first.test_loss) == list(second.test_loss)
    assert list(first.train_loss) == list(second.train_loss)


def test_the_first_step_of_regression_in_the_population():
    """``Delta_k (1 - eta0 Lambda_k)``, of which roots of eigenvalues cancel."""
    theory = ds.derive(ds.deep_linear(0), data=ds.Proportional(spectrum=[(1.0, 3.0, 1.0), (3.0, 0.5, 2.0)]))
    loss, eta = theory.exact(steps=2).test_loss[1], theory.symbols.eta0
    noise, alpha = theory.symbols.sigma_eps, theory.symbols.alpha
    left = sp.limit(loss.subs(noise, 0), alpha, sp.oo)
    assert sp.expand(left - sp.Rational(3, 4) * (1 - 3 * eta) ** 2 - sp.Rational(3, 4) * (1 - eta / 2) ** 2) == 0
