"""Matrices that start at zero: nothing of them is left in the averaged action, all they do is learned."""

from __future__ import annotations

import numpy as np
import pytest

import dmft_sym as ds

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
    march, coordinates = solver(**PARAMETERS), solver(**PARAMETERS, method="coordinates", tol=1e-10)
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(march[name], coordinates[name], rtol=1e-9)


def test_the_trained_matrix_is_one_outlier():
    """Its bulk is the point zero, and both routes see the singular value that training made."""
    theory = ds.derive(ds.network(first))
    found = [
        ds.spectrum(theory, matrices=["A"], at=[10, 29], method=method, **PARAMETERS)
        for method in ("march", "coordinates")
    ]
    for spectra in found:
        assert spectra["bulk_edge"].sel(side="upper").values == pytest.approx(0.0, abs=1e-12)
        assert spectra.sizes["rank"] == 1
        assert not spectra.attrs["spectrum_failures"]
    np.testing.assert_allclose(found[0]["outlier"], found[1]["outlier"], rtol=1e-6)
