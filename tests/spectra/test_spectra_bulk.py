"""The Dyson equation of pencils: laws with closed forms, edges, several intervals, failures."""

from __future__ import annotations

import numpy as np
import pytest
from execution_support import program, values
from scipy.integrate import quad

from dmft_sym.spectra import operator
from dmft_sym.spectra.numerics.continuation import AmbiguousBranchError
from dmft_sym.spectra.numerics.supports import NormalisationError, density, support, upper_edge
from dmft_sym.spectra.pencil.coordinates import coordinate_spectra
from dmft_sym.spectra.pencil.dyson import PencilDyson
from dmft_sym.spectra.pencil.pencil import Coupling, GaussianBlock, Input, Pencil


def initial(matrix, **changes):
    """The bulk of a matrix of an untrained network."""
    prog = program()
    name = matrix if isinstance(matrix, str) else matrix(prog)
    tracks, _ = coordinate_spectra(prog, values(**changes), 1, 1, [name], [0])
    (track,) = tracks.values()
    assert not track.failures
    assert not len(track.spectra[0].outliers)
    return track.spectra[0]


@pytest.mark.parametrize("tau", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("s2", [1.0, 0.5])
def test_one_matrix_gives_marchenko_pastur(tau, s2):
    bulk = initial("W0", nu=tau, s2=s2)
    low, high = np.sqrt(s2) * abs(1 - np.sqrt(tau)), np.sqrt(s2) * (1 + np.sqrt(tau))
    found = bulk.support()
    np.testing.assert_allclose(found.bands, [[low, high]], atol=1e-11)
    assert bulk.edge == pytest.approx(high, rel=1e-11)
    x = np.linspace(low + 1e-3, high - 1e-3, 60)
    law = np.sqrt((high**2 - x**2) * (x**2 - low**2)) / (np.pi * s2 * min(tau, 1.0) * x)
    np.testing.assert_allclose(bulk.density(x), law, rtol=1e-6)
    assert not bulk.density(np.array([high + 1e-3])).any()


def test_product_of_two_matrices_gives_fuss_catalan():
    def two(prog):
        return operator(prog, lambda m, x: m["W1"] @ (m["W0"] @ x), "D")

    bulk = initial(two, nu=1.0)
    assert bulk.edge == pytest.approx(np.sqrt(27) / 2, rel=1e-11)
    x = np.linspace(0.05, 2.55, 40)
    root = 27 + 3 * np.sqrt(81 - 12 * x**2)
    law = 2 ** (1 / 3) * np.sqrt(3) * (2 ** (1 / 3) * root ** (2 / 3) - 6 * x ** (2 / 3))
    law *= 2 * x / (12 * np.pi * x ** (4 / 3) * root ** (1 / 3))
    np.testing.assert_allclose(bulk.density(x), law, rtol=1e-6)
    assert bulk.support().masses.sum() == pytest.approx(1, abs=1e-4)


def test_fixed_population_gives_silverstein():
    """``X Theta X^T / alpha`` with ``Theta = 1 + W0^T W0``: ``z = 1/G + (1/alpha) E theta / (1 - theta G)``."""
    nu, alpha = 0.5, 2.0

    def sample_covariance(prog):
        def function(m, p):
            y = m["X"].T @ p
            y = (1 / alpha) * (y + m["W0"].T @ (m["W0"] @ y))
            return m["X"] @ y

        return operator(prog, function, "P", symmetric=True)

    bulk = initial(sample_covariance, nu=nu, alpha=alpha)
    (dyson, _), x = bulk.dysons[0], np.array([0.3, 1.0, 3.0, 6.0])
    g = dyson.full(dyson.above_axis(x, 1e-9))[:, dyson.pencil.probe, dyson.pencil.probe]
    low, high = (1 - np.sqrt(nu)) ** 2, (1 + np.sqrt(nu)) ** 2

    def average(function):
        def weight(s):
            return np.sqrt((high - s) * (s - low)) / (2 * np.pi * s)

        parts = [quad(lambda s, p=p: weight(s) * p(function(1 + s)), low, high)[0] for p in (np.real, np.imag)]
        return parts[0] + 1j * parts[1] + (1 - nu) * function(1.0)

    for z, resolvent in zip(x, g, strict=True):
        rhs = 1 / resolvent + average(lambda theta, r=resolvent: theta / (1 - theta * r)) / alpha
        assert rhs == pytest.approx(z, rel=1e-6)
    found = bulk.support()
    assert found.atom == pytest.approx(1 - 1 / alpha, abs=1e-8)
    assert found.masses.sum() == pytest.approx(1 / alpha, abs=1e-6)


def two_bands():
    """``z p = X^T X p + 30 Y^T Y p``, in symmetric form with the fields ``X p`` and ``Y p``."""
    couplings = (Coupling(0, 1, 0, 1.0), Coupling(1, 2, 0, 1.0))
    block = GaussianBlock(1.0, 4.0)
    constant, slope = np.diag([0.0, 1.0, 1 / 30]), np.diag([1.0, 0.0, 0.0])
    inputs = (Input("p", 0, 0),)
    return Pencil(("p", "Xp", "Yp"), (0, 1, 2), constant, slope, couplings, {0: block, 1: block}, 0, inputs, False)


def test_several_intervals_are_found():
    """Eigenvalues of ``X^T X + 30 Y^T Y`` (a quarter of the rank each) against a large random matrix."""
    dyson = PencilDyson(two_bands())
    found = support(dyson)
    assert len(found.bands) == 2
    assert found.atom == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_allclose(found.masses, [0.25, 0.25], atol=1e-6)
    rng, n = np.random.default_rng(0), 1200
    x, y = rng.standard_normal((2, n // 4, n)) / np.sqrt(n // 4)
    sample = np.linalg.eigvalsh(x.T @ x + 30 * y.T @ y)[n // 2 :]
    # Extreme eigenvalues scatter around the edges on the scale n^(-2/3).
    for band, part in zip(found.bands, (sample[: n // 4], sample[n // 4 :]), strict=True):
        # Extreme eigenvalues scatter around the edges on the scale n^(-2/3) of the width.
        np.testing.assert_allclose([part[0], part[-1]], band, rtol=0, atol=3 * n ** (-2 / 3) * (band[1] - band[0]))
    assert upper_edge(dyson) == pytest.approx(found.bands[-1, 1], rel=1e-10)
    middle = np.array([found.bands[:, 1][0] + 0.1, found.bands[1, 0] - 0.1])
    np.testing.assert_allclose(density(dyson, middle), 0, atol=1e-12)


def test_a_point_of_the_bulk_has_no_real_solution():
    (dyson, _) = initial("W0").dysons[0]
    with pytest.raises(AmbiguousBranchError, match=r"z = 1 is not outside of the bulk"):
        dyson.outside(1.0)


def test_a_missing_part_of_the_support_is_noticed(monkeypatch):
    from dmft_sym.spectra.numerics import supports

    bands = supports._bands
    monkeypatch.setattr(supports, "_bands", lambda *args: bands(*args)[1:])
    with pytest.raises(NormalisationError, match=r"integrates to 0\.75"):
        support(PencilDyson(two_bands()))
