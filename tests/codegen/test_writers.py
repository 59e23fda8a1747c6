"""What the writers make of any program: valid source, checked arguments."""

from __future__ import annotations

import numpy as np
import pytest
from dmft_sym.codegen import BACKENDS

import dmft_sym as ds

SETTINGS = {"alpha": 2.0, "eta0": 0.01, "gamma": 2.0, "nu": 0.7, "s2": 1.0, "sigma_eps": 0.1}


def scanned(first, last):
    def forward(net, x):
        n = net.hidden("N")
        weights = net.matrix("W", n, n, layers=(first(net.depth), last(net.depth)))
        start = net.matrix("A", net.inputs, n) @ x
        layers = (first(net.depth), last(net.depth))
        return net.readout("w", net.scan(lambda layer, h: weights[layer] @ h, start, layers=layers))

    return forward


RANGES = [
    (lambda depth: 1, lambda depth: depth - 1),
    (lambda depth: 2, lambda depth: depth - 1),
    (lambda depth: 1, lambda depth: depth - 2),
    (lambda depth: 2, lambda depth: depth),
    (lambda depth: 0, lambda depth: depth - 1),
    (lambda depth: 1, lambda depth: 3),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("span", RANGES)
def test_source_is_valid_for_every_range_of_layers(span, backend):
    source = ds.derive(ds.network(scanned(*span))).source(backend)
    compile(source, "generated", "exec")


@pytest.mark.parametrize("span", RANGES[3:5])
def test_layers_may_begin_anywhere(span):
    """The first one is zero, or two; conditioning knows no equations."""
    solver = ds.derive(ds.network(scanned(*span)), training=ds.GradientDescent(weight_decay=0.1)).compile("numpy")
    settings = {"samples_per_dim": 2.0, "width_per_dim": 0.7, "richness": 2.0, "learning_rate": 0.05}
    runs = [solver(**settings, depth=3, steps=6, method=method) for method in ("equations", "conditioning")]
    for loss in ("train_loss", "test_loss"):
        np.testing.assert_allclose(runs[0][loss], runs[1][loss], rtol=1e-10)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize(
    ("argument", "value"),
    [("L", 0), ("L", -1), ("outputs", 0), ("steps", 0), ("alpha", -1.0), ("gamma", 0.0), ("eta0", float("nan"))],
)
def test_generated_modules_check_their_arguments(backend, argument, value):
    module = ds.derive(ds.deep_linear()).compile(backend).module
    with pytest.raises(ValueError, match=f"^{argument} = .*: allowed is"):
        module.march(**{"steps": 2, "outputs": 1, "L": 1, **SETTINGS, argument: value})
