"""Spectra where sites of a space are of several classes: both routes, closed forms, finite networks."""

from __future__ import annotations

import numpy as np
import pytest
from structured_inputs import SPECTRUM

import dmft_sym as ds
from dmft_sym.program import ProgramError
from dmft_sym.solvers.spectrum_routes import two_time_spectra

GIVEN = {"samples_per_dim": 3, "width_per_dim": 0.8, "richness": 6, "learning_rate": 0.03}
STEPS = 15


def theory_of(depth, spectrum):
    return ds.derive(ds.deep_linear(depth), data=ds.Proportional(spectrum=spectrum, label_noise=0.3))


def marched(theory, steps=STEPS, **given):
    return two_time_spectra(theory, steps=steps, backend="numpy", **{**GIVEN, **given})


def kernel(theory, step=STEPS - 1):
    return marched(theory, step + 1).at("NTK", step)


@pytest.fixture(scope="module")
def theory():
    return theory_of(1, SPECTRUM)


@pytest.fixture(scope="module")
def run(theory):
    return marched(theory)


@pytest.mark.parametrize("names", [["W0"], pytest.param(["W0", "W1"], marks=pytest.mark.slow)])
def test_weight_matrices_have_the_spectra_and_vectors_of_growing_coordinates(names):
    theory = theory_of(len(names), SPECTRUM)
    run = marched(theory)
    given = {**GIVEN, "matrices": names, "at": [STEPS - 1], "steps": STEPS, "points": 0}
    found = ds.spectrum(theory, method="conditioning", overlaps=True, tol=1e-11, **given)
    compared = set()
    for name in names:
        mine, other = run.at(name, STEPS - 1), found.sel(matrix=name, spectrum_step=STEPS - 1)
        assert mine.edge == pytest.approx(float(other.bulk_edge[-1]), rel=1e-10)
        np.testing.assert_allclose(mine.outliers, other.outlier.values[: len(mine.outliers)], rtol=1e-8)
        assert np.isnan(other.outlier.values[len(mine.outliers) :]).all()
        for side, field in mine.directions():
            column = other.overlap.sel(direction=f"{side} {field}") if f"{side} {field}" in other.direction else None
            if column is not None and np.isfinite(column).any():
                cosines = mine.overlap(side, field)[:, -1]
                np.testing.assert_allclose(cosines, column.values[: len(cosines), 0], atol=1e-7)
                compared.add(f"{side} {field}")
    assert {"a Delta", "a z", "a v", "a betastar", "b g[1]"} <= compared


def test_the_kernel_of_regression_is_a_sample_covariance():
    """``X Lambda X^T/P``: its edge by Silverstein's equation, ``x = -1/m + sum w t/(1 + t m)`` of slope zero."""
    theory = ds.derive(ds.deep_linear(0), data=ds.Proportional(spectrum=SPECTRUM))
    alpha = 3.0
    run = two_time_spectra(theory, steps=1, backend="numpy", samples_per_dim=alpha, learning_rate=0.03)
    share, eigenvalue, _ = np.array(SPECTRUM).T
    share = share / share.sum()
    u = eigenvalue.max() * np.linspace(1.0001, 20, 2_000_001)  # -1/m, beyond all poles
    above = u + (share[:, None] * eigenvalue[:, None] * u / (u - eigenvalue[:, None])).sum(axis=0) / alpha
    assert run.at("NTK", 0).edge == pytest.approx(above.min(), rel=1e-9)


(SHARE, *FIRST), *REST = SPECTRUM
CUT = ((SHARE / 3, *FIRST), *REST, (2 * SHARE / 3, *FIRST))
ALIKE = ((0.4, 1.0, 1.0), (0.6, 1.0, 1.0))


@pytest.mark.parametrize(
    ("spectrum", "whole"), [(ALIKE, None), pytest.param(CUT, SPECTRUM, marks=pytest.mark.slow)], ids=["alike", "cut"]
)
def test_cutting_a_class_changes_nothing(spectrum, whole):
    parts, one = (kernel(theory_of(1, law)) for law in (spectrum, whole))
    assert len(one.outliers)
    assert parts.edge == pytest.approx(one.edge, rel=1e-10)
    np.testing.assert_allclose(parts.outliers, one.outliers, rtol=1e-9)


@pytest.mark.parametrize(("dim", "seeds"), [(150, 4), pytest.param(600, 16, marks=pytest.mark.slow)])
def test_finite_networks_have_the_sharpness(theory, run, dim, seeds):
    """Three standard errors, and ``dim^(-2/3)`` of the value, by which edges of finite matrices move."""
    at = [0, STEPS - 1]
    options = {"order_parameters": False, "normalise": True, "steps": STEPS, "matrices": ["NTK"], "at": at}
    networks = ds.simulate(theory, dim=dim, seeds=seeds, seed=1, **options, **GIVEN).sharpness.values
    for step, column in zip(at, networks.T, strict=True):
        error = column.std(ddof=1) / np.sqrt(seeds)
        assert abs(column.mean() - run.at("NTK", step).leading) < 3 * error + column.mean() * dim ** (-2 / 3)


def test_the_kernel_is_found_by_the_route_that_knows_it(theory):
    given = {**GIVEN, "matrices": ["NTK"], "at": [0], "steps": 1, "points": 0}
    assert ds.spectrum(theory, **given).attrs["method"] == "equations"
    with pytest.raises(ProgramError, match=r"classes of sites.*method='equations'"):
        ds.spectrum(theory, method="conditioning", **given)
    with pytest.raises(ProgramError, match=r"equations of NTK.*ds\.spectrum"):
        theory.equations.bulk("NTK")
    assert theory.equations.spikes("W0").unknowns
