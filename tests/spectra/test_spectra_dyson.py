"""Bulk of two-time spectra against laws that are known: Marchenko-Pastur, quarter circle, Fuss-Catalan, Silverstein."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

import dmft_sym as ds
from dmft_sym.solvers.spectrum_routes import two_time_spectra
from dmft_sym.spectra import operator

PARAMETERS = {"samples_per_dim": 3.0, "richness": 2.0, "learning_rate": 0.01, "label_noise": 0.2}


@pytest.fixture(scope="module")
def theory():
    return ds.derive(ds.deep_linear(3))


@pytest.fixture(scope="module")
def square(theory):
    return two_time_spectra(theory, steps=4, backend="numpy", width_per_dim=1.0, **PARAMETERS)


@pytest.fixture(scope="module")
def narrow(theory):
    return two_time_spectra(theory, steps=4, backend="numpy", width_per_dim=0.36, depth=1, init_std=0.5, **PARAMETERS)


def test_square_matrix_has_the_quarter_circle(square):
    bulk = square.at("W1", 2).bulk
    x = np.linspace(0.01, 2.3, 101)
    np.testing.assert_allclose(bulk.density(x), np.sqrt(np.maximum(4 - x**2, 0)) / np.pi, atol=1e-7)
    assert bulk.upper_edge == pytest.approx(2, abs=1e-12)
    assert bulk.masses() == pytest.approx([1], abs=1e-4)


def test_rectangular_matrix_has_marchenko_pastur(narrow):
    """``tau = 0.36``, ``s2 = 1/4``: singular values in ``(1 -+ 0.6)/2``, and a fraction 0.64 of zeros."""
    bulk = narrow.at("W0", 2).bulk
    ((low, high),) = bulk.intervals()
    np.testing.assert_allclose([low, high], [0.2, 0.8], atol=1e-10)
    assert bulk.support.atom == pytest.approx(0.64, abs=1e-8)
    x = np.linspace(0.21, 0.79, 59)
    expected = np.sqrt((0.64 - x**2) * (x**2 - 0.04)) / (np.pi * 0.25 * x)
    np.testing.assert_allclose(bulk.density(x), expected, rtol=1e-9)


def test_product_of_two_has_fuss_catalan(theory, square):
    product = operator(theory.program, lambda m, x: m["W2"] @ (m["W1"] @ x), "N", name="W2 W1")
    bulk = square.at(product, 0).bulk
    assert bulk.upper_edge == pytest.approx(np.sqrt(27 / 4), abs=1e-10)
    # The density diverges as s^(-1/3); s = u^3 makes the integrand smooth.
    nodes, weights = np.polynomial.legendre.leggauss(80)
    top = bulk.upper_edge ** (1 / 3)
    u = 0.5 * top * (nodes + 1)
    u_weights = 0.5 * top * weights * 3 * u**2 * bulk.density(u**3)
    moments = [float(np.sum(u_weights * u ** (6 * k))) for k in range(4)]
    # Moments of the squared singular values: 1, 1, 3, 12; the square root at the edge limits the quadrature.
    np.testing.assert_allclose(moments, [1, 1, 3, 12], rtol=1e-4)


def test_sum_of_a_matrix_and_its_transpose_is_a_semicircle(theory, square):
    made = operator(theory.program, lambda m, x: m["W1"] @ x + m["W1"].T @ x, "N", name="sum", symmetric=True)
    bulk = square.at(made, 0).bulk
    x = np.linspace(-3, 3, 61)
    np.testing.assert_allclose(bulk.density(x), np.sqrt(np.maximum(8 - x**2, 0)) / (4 * np.pi), atol=1e-7)
    np.testing.assert_allclose(bulk.intervals(), [(-np.sqrt(8), np.sqrt(8))], atol=1e-6)


def test_bulks_below_zero(theory, square):
    """Supports away from zero and with a hard edge at zero."""
    shifted = operator(
        theory.program, lambda m, x: -5 * x + 0.5 * (m["W1"] @ x + m["W1"].T @ x), "N", name="shifted", symmetric=True
    )
    np.testing.assert_allclose(square.at(shifted, 0).bulk.intervals(), [(-5 - np.sqrt(2), -5 + np.sqrt(2))], atol=1e-9)
    negative = operator(theory.program, lambda m, x: -(m["W1"].T @ (m["W1"] @ x)), "N", name="negative", symmetric=True)
    bulk = square.at(negative, 0).bulk
    assert bulk.upper_edge == 0
    np.testing.assert_allclose(bulk.intervals(), [(-4, 0)], atol=1e-9)


def test_a_matrix_without_random_part_has_a_point_for_a_bulk(theory):
    run = two_time_spectra(theory, steps=3, backend="numpy", width_per_dim=1.0, init_std=0.0, **PARAMETERS)
    assert run.at("W1", 2).edge == 0
    assert len(run.at("W1", 2).outliers) == 0


def test_tangent_kernel_obeys_silverstein(narrow):
    """``S = X Theta X^T / (alpha D)`` with ``Theta = C_g1 + (C_g2 / nu) W0^T W0`` known: a sample covariance."""
    step, alpha, nu, variance = 3, 3.0, 0.36, 0.25
    spectrum = narrow.at("NTK", step)
    first = float(narrow.run.correlation(*[field(narrow, "g")] * 2)[step, step])
    second = 1.0 / nu

    def population(function):
        """Average over the law of ``Theta`` without spikes."""
        low, high = (variance * (1 + sign * np.sqrt(nu)) ** 2 for sign in (-1, 1))

        def weight(x):
            return np.sqrt((high - x) * (x - low)) / (2 * np.pi * variance * x)

        part = quad(lambda x: weight(x) * function(first + second * readout * x), low, high, limit=200)[0]
        return part + (1 - nu) * function(first)

    # The last backward field is the readout w itself at depth one: C_g2 = 1.
    readout = 1.0
    for z in (1.1 * spectrum.edge, 2 * spectrum.edge):
        _, green = spectrum.bulk.outside(z)
        start = spectrum.bulk.dyson.probe
        m = float(green[start, start])
        expected = 1 / (z - population(lambda theta, m=m: theta / (1 - theta * m)) / alpha)
        assert m == pytest.approx(expected, rel=1e-9)


def field(spectra, name):
    from dmft_sym.program import FieldRef

    (found,) = [f for f in spectra.theory.program.fields if f.name == name]
    return FieldRef(found, 1)


def test_kernel_with_an_atom_and_its_mass(narrow):
    """More samples than dimensions: a fraction ``1 - 1/alpha`` of the eigenvalues of ``S`` is zero."""
    bulk = narrow.at("NTK", 3).bulk
    assert bulk.support.atom == pytest.approx(2 / 3, abs=1e-8)
    assert sum(bulk.masses()) == pytest.approx(1 / 3, abs=1e-4)


def test_several_intervals_are_found(theory):
    """Few wide directions: the eigenvalues of ``S`` with and without a hidden direction are apart."""
    run = two_time_spectra(
        theory, steps=2, backend="numpy", width_per_dim=0.02, depth=1, init_std=1.0,
        **{**PARAMETERS, "samples_per_dim": 40.0},
    )  # fmt: skip
    intervals = run.at("NTK", 0).bulk.intervals()
    assert len(intervals) == 2
    assert intervals[0][1] < intervals[1][0]
    # A fraction nu of the D = P / alpha directions sees the hidden layer.
    assert run.at("NTK", 0).bulk.masses() == pytest.approx([0.98 / 40, 0.02 / 40], rel=1e-2)
