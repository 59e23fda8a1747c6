"""Inputs whose modes differ: classes of modes with their eigenvalues and variances of the teacher."""

from __future__ import annotations

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym.execution.finite import class_of_sites
from dmft_sym.program import ProgramError
from tests.shared.structured_inputs import SPECTRUM, VALUES, by_hand

DATA = ds.Proportional(spectrum=SPECTRUM)
STEPS = 16


def arguments(depth):
    """Those that a run of this depth takes."""
    unused = () if depth else ("width_per_dim", "richness", "init_std")
    return {key: value for key, value in VALUES.items() if key not in unused}


@pytest.mark.parametrize("depth", [0, 1])
def test_conditioning_has_the_losses_of_the_equations_by_hand(depth):
    theory = ds.derive(ds.deep_linear(depth), data=DATA)
    run = theory.compile("numpy")(method="conditioning", steps=STEPS, tol=1e-11, **arguments(depth))
    train, test, _ = by_hand(SPECTRUM, depth, STEPS, **VALUES)
    np.testing.assert_allclose(run.train_loss.values[:, 0], train, rtol=1e-10)
    np.testing.assert_allclose(run.test_loss.values[:, 0], test, rtol=1e-10)


@pytest.mark.parametrize("depth", [0, 1])
def test_finite_networks_have_them_within_errors(depth):
    theory = ds.derive(ds.deep_linear(depth), data=DATA)
    options = {"dim": 300, "seeds": 24, "seed": 7, "normalise": True, "order_parameters": False}
    found = ds.simulate(theory, steps=STEPS, **options, **arguments(depth))
    for name, exact in zip(("train_loss", "test_loss"), by_hand(SPECTRUM, depth, STEPS, **VALUES)[:2], strict=True):
        lines = found[name].values[:, ::5, 0]
        error = lines.std(axis=0, ddof=1) / np.sqrt(len(lines))
        assert np.abs((lines.mean(axis=0) - exact[::5]) / error).max() < 4, name


def test_classes_have_their_shares_of_the_sites():
    assert np.bincount(class_of_sites(np.array([0.5, 0.3, 0.2]), 11)).tolist() == [6, 3, 2]
    assert np.bincount(class_of_sites(np.array([1.0]), 7)).tolist() == [7]


def test_a_class_is_one_of_modes_alike():
    """Cutting a class into two changes nothing."""
    cut = ((0.1, 2.0, 1.0), *SPECTRUM[1:], (0.2, 2.0, 1.0))
    runs = [
        ds.derive(ds.deep_linear(1), data=ds.Proportional(spectrum=spectrum))
        .compile("numpy")(method="conditioning", steps=STEPS, tol=1e-11, **arguments(1))
        .test_loss
        for spectrum in (SPECTRUM, cut)
    ]
    np.testing.assert_allclose(*runs, rtol=1e-11)


@pytest.mark.parametrize("wrong", [[], [(1.0, 0.0, 1.0)], [(0.0, 1.0, 1.0)], [(1.0, 1.0, -1.0)], [(1.0, 2.0)], 3])
def test_a_spectrum_that_is_none_is_refused(wrong):
    with pytest.raises(ProgramError, match="spectrum"):
        ds.Proportional(spectrum=wrong)
