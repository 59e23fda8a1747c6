"""Outliers on given samples from the printed spike conditions, against those of conditioning."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from programs_with_averages import gated

import dmft_sym as ds

REFERENCE = json.loads((Path(__file__).parents[1] / "data" / "nonlinear.json").read_text())


def samples(count, outputs):
    rng = np.random.default_rng(11)
    return ds.Samples(rng.standard_normal((count, 5)), 2 * rng.standard_normal((count, outputs)))


def forward(net, x):
    """A hidden matrix that is used twice, and a bottleneck."""
    n, m = net.hidden("N"), net.hidden("M", 0.5)
    h = net.matrix("W0", net.inputs, n) @ x
    v = net.matrix("V", n, m)
    return net.readout("w", h + v.T @ (v @ h))


@pytest.mark.parametrize(
    ("network", "outputs", "training", "matrix", "rate"),
    [
        ("deep", 1, ds.GradientDescent(), "W1", 0.02),
        ("deep", 2, ds.GradientDescent(momentum=0.5, weight_decay=0.02), "W1", 0.01),
        ("deep", 1, ds.GradientDescent(weight_decay=0.05), "W2", 0.02),
        ("autoencoder", 1, ds.GradientDescent(momentum=0.3), "V", 0.01),
    ],
)
def test_linear_networks_have_the_outliers_of_exact_coordinates(network, outputs, training, matrix, rate):
    made = ds.mlp(3, "linear", outputs=outputs) if network == "deep" else ds.network(forward)
    theory = ds.derive(made, data=samples(2, outputs), training=training)
    wanted = {"matrices": [matrix], "at": [0, 4, 9], "steps": 10, "richness": 6.0, "learning_rate": rate}
    derived, exact = (theory.compile("numpy")(method=method, **wanted) for method in ("equations", "conditioning"))
    assert exact.outlier.sizes["rank"] > 0
    np.testing.assert_allclose(derived.outlier, exact.outlier, rtol=1e-8)
    np.testing.assert_allclose(derived.bulk_edge, exact.bulk_edge, rtol=1e-12)
    assert not np.isfinite(derived.outlier.sel(spectrum_step=0)).any()


def z_scores(derived, other, other_error):
    return np.abs(derived.outlier - other) / np.hypot(derived.outlier_sem, other_error)


def test_tanh_has_the_outlier_of_wide_networks():
    """Those of width 3000 at t = 5 and 10, within four standard errors."""
    data = ds.Samples(np.array(REFERENCE["inputs"]), np.array(REFERENCE["targets"]))
    theory = ds.derive(ds.mlp(2, "tanh"), data=data)
    steps = {"richness": REFERENCE["richness"], "learning_rate": REFERENCE["learning_rate"], "steps": 11}
    derived = theory.compile("numpy")(method="equations", sites=4000, replicas=4, matrices=["W1"], at=[5, 10], **steps)
    values, errors = ([REFERENCE[name][step][0] for step in ("5", "10")] for name in ("sv", "sv_sem"))
    found = z_scores(derived.isel(matrix=0, rank=0), np.array(values), np.array(errors))
    assert float(found.max()) < 4
    assert float(derived.outlier_sem.max()) < 0.05


def test_gated_network_has_the_outliers_of_sampled_sites():
    """Two spaces of different size and a normalisation: both methods within four standard errors."""
    theory = ds.derive(ds.network(gated), data=samples(2, 1))
    wanted = {"matrices": ["V"], "at": [6], "steps": 7, "richness": 10.0, "learning_rate": 0.1}
    derived = theory.compile("numpy")(method="equations", sites=16_000, replicas=4, **wanted)
    sampled = theory.compile("numpy")(sites=32_000, replicas=8, **wanted)
    assert sampled.outlier.sizes["rank"] > 0
    for rank in range(sampled.outlier.sizes["rank"]):
        one, other = (run.isel(matrix=0, spectrum_step=0, rank=rank) for run in (derived, sampled))
        assert float(z_scores(one, other.outlier, other.outlier_sem)) < 4
