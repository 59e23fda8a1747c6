"""What the writers make of any program: valid source, checked arguments."""

from __future__ import annotations

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


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize(
    ("argument", "value"),
    [("L", 0), ("L", -1), ("outputs", 0), ("steps", 0), ("alpha", -1.0), ("gamma", 0.0), ("eta0", float("nan"))],
)
def test_generated_modules_check_their_arguments(backend, argument, value):
    module = ds.derive(ds.deep_linear()).compile(backend).module
    with pytest.raises(ValueError, match=f"^{argument} = .*: allowed is"):
        module.march(**{"steps": 2, "outputs": 1, "L": 1, **SETTINGS, argument: value})
