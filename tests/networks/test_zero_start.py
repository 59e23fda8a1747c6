"""Matrices that start at zero: nothing of them is left in the averaged action, all they do is learned."""

from __future__ import annotations

import re

import numpy as np
import pytest
import sympy as sp

import dmft_sym as ds
from dmft_sym.derivation.symbols import Correlation, Response
from dmft_sym.support.errors import ArgumentError

PARAMETERS = {
    "samples_per_dim": 4.0,
    "width_per_dim": 1.0,
    "richness": 2.0,
    "learning_rate": 0.01,
    "label_noise": 0.3,
    "steps": 30,
}


def branch(net, x):
    hidden = net.hidden("N")
    h = net.matrix("A", net.inputs, hidden) @ x
    return net.readout("w", h + net.matrix("B", hidden, hidden, init=0) @ h)


def shared(net, x):
    hidden = net.hidden("N")
    weights = net.matrix("B", hidden, hidden, init=0)
    h = net.matrix("A", net.inputs, hidden) @ x
    return net.readout("w", net.scan(lambda _, h: h + weights @ h, h, layers=(1, 2)))


def first(net, x):
    return net.readout("w", net.matrix("A", net.inputs, net.hidden("N"), init=0) @ x)


@pytest.mark.parametrize("forward", [branch, shared, first])
def test_march_agrees_with_coordinates(forward):
    solver = ds.derive(ds.network(forward)).compile("numpy")
    march, coordinates = solver(**PARAMETERS), solver(**PARAMETERS, method="conditioning", tol=1e-10)
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(march[name], coordinates[name], rtol=1e-9)


@pytest.mark.parametrize("outputs", [1, 2])
def test_few_outliers_of_a_branch(outputs, numpy_march):
    """Nothing at the start, then one, then two: both routes find the same ones, as often as there are outputs."""
    theory = ds.derive(ds.network(branch))
    options = {**PARAMETERS, "learning_rate": 0.04, "steps": 8, "outputs": outputs}
    found = [
        ds.spectrum(theory, matrices=["B"], at=[0, 1, 2, 7], method=method, **options)
        for method in ("equations", "conditioning")
    ]
    np.testing.assert_allclose(found[0]["outlier"], found[1]["outlier"], rtol=1e-5)
    assert list(found[0]["outlier"].notnull().sum("rank").values[0]) == [0, outputs, 2 * outputs, 2 * outputs]
    simulated = ds.simulate(theory, dim=300, seeds=2, matrices=["B"], at=[0, 7], values=4, normalise=True, **options)
    first = simulated["outlier"].sel(matrix="B", rank=0)
    assert np.all(first.sel(spectrum_step=0) == 0)
    expected = float(found[0]["outlier"].sel(matrix="B", rank=0, spectrum_step=7))
    assert float(first.sel(spectrum_step=7).mean()) == pytest.approx(expected, rel=0.15)


def test_more_values_than_there_are():
    """A matrix with fewer singular values than are asked for: what there is not is NaN."""
    found = ds.simulate(
        ds.derive(ds.network(branch)), dim=6, seeds=1, matrices=["B"], at=[0, 1], values=9, **PARAMETERS | {"steps": 2}
    )
    assert found["outlier"].notnull().sum("rank").values.tolist() == [[[6, 6]]]


def returning(net, x):
    """The result goes back through the input space: the number of hidden units enters an update."""
    hidden = net.hidden("N")
    weights, back = net.matrix("W", net.inputs, hidden), net.matrix("R", hidden, net.inputs)
    return net.readout("w", weights @ (x + back @ (weights @ x)))


def test_a_ratio_without_a_limit_is_named():
    solver = ds.derive(ds.network(returning)).compile("numpy")
    with pytest.raises(ArgumentError, match="nu = inf: the equations of this network have no limit there"):
        solver(**PARAMETERS | {"width_per_dim": float("inf")})


def test_the_trained_matrix_is_one_outlier(numpy_march):
    """Its bulk is the point zero, and both routes see the singular value that training made."""
    theory = ds.derive(ds.network(first))
    found = [
        ds.spectrum(theory, matrices=["A"], at=[10, 29], method=method, **PARAMETERS)
        for method in ("equations", "conditioning")
    ]
    for spectra in found:
        assert spectra["bulk_edge"].sel(side="upper").values == pytest.approx(0.0, abs=1e-12)
        assert spectra.sizes["rank"] == 1
        assert not spectra.attrs["spectrum_failures"]
    np.testing.assert_allclose(found[0]["outlier"], found[1]["outlier"], rtol=1e-6)


def nonlinear(net, x):
    hidden = net.hidden("N")
    h = net.matrix("A", net.inputs, hidden) @ x
    return net.readout("w", net.apply(sp.tanh, h + net.matrix("B", hidden, hidden, init=0) @ net.apply(sp.tanh, h)))


def nothing_random(net, x):
    return net.readout("w", net.apply(sp.tanh, net.matrix("B", net.inputs, net.hidden("N"), init=0) @ x))


@pytest.mark.parametrize("forward", [branch, shared, nonlinear, nothing_random])
def test_terms_without_variance_are_neither_printed_nor_computed(forward):
    """A matrix that starts at zero is the sum of its updates: no Gaussian field, no response, no term of the action."""
    samples = ds.Samples(np.eye(3), np.ones(3)) if forward in (nonlinear, nothing_random) else None
    theory = ds.derive(ds.network(forward), data=samples)
    text, latex = "\n".join(stage.plain(140) for stage in theory.steps), theory.to_latex()
    assert re.search(r"B: (N|D) → N that starts at zero", text)
    for printed, zeros in ((text, r"(= |\+ |- |' )0( |$)"), (latex, r"(=|\+|-|\}) 0( |$)")):
        assert not re.search(zeros, printed, re.MULTILINE)
        assert not re.search(r"variance \$?0", printed)
        for field in ("u_B", "r_B", "u_{B", "r_{B", "x̂_B", "B(0)", "{B}(0)"):
            assert field not in printed
    source = theory.source() if samples is None else theory.direct_source()
    assert not re.search(r"\b[ru]_B", source)
    assert "B" not in theory.saddle_points


def test_spike_conditions_of_a_matrix_that_starts_at_zero():
    """Its bulk is a point, and its outliers are singular values of the sum of its updates: ``z^2 = theta^2``."""
    spikes = ds.derive(ds.network(branch)).spikes("B")
    assert not any(e.has(Response) for e in spikes)
    condition = spikes.one_step()
    (z,) = (s for s in condition.free_symbols if s.name == "z")
    c_h, c_g = (next(c for c in condition.atoms(Correlation) if c.name == name) for name in ("C_h1", "C_g2"))
    gamma, eta = (next(s for s in condition.free_symbols if s.name == name) for name in ("gamma", "eta0"))
    assert sp.simplify(condition - (1 - gamma**2 * eta**2 * c_h * c_g / z**2)) == 0
