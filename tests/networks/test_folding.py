"""Statements that a user wrote out in Python become a scan; results are those of what was written."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import sympy as sp
from samples_and_scores import made_samples

import dmft_sym as ds
from dmft_sym.execution import run_finite
from dmft_sym.program import ForLayers
from dmft_sym.solvers.arguments import run_arguments

PROPORTIONAL = {"richness": 2.0, "learning_rate": 0.002, "samples_per_dim": 2.0, "width_per_dim": 0.8}
RUN = {"richness": 2.0, "learning_rate": 0.2, "steps": 6}


def residual(blocks):
    def forward(net, x):
        n = net.hidden("N")
        h = net.matrix("W0", net.inputs, n) @ x
        for block in range(1, blocks + 1):
            h = h + 0.5 * (net.matrix(f"W{block}", n, n) @ h)
        return net.readout("w", h)

    return ds.network(forward)


def shared(blocks):
    """One matrix, used in every block, with the input once more."""

    def forward(net, x):
        n = net.hidden("N")
        w, first = net.matrix("W", n, n), (net.matrix("W0", net.inputs, n) @ x).named("first")
        h = first
        for _ in range(blocks):
            h = w @ h / 2 + first
        return net.readout("w", h)

    return ds.network(forward)


def by_block(net, x):
    """Blocks of two layers with names that count otherwise than the blocks do, rates and deviations of their own."""
    n, m = net.hidden("N"), net.hidden("M", 0.5)
    h = (net.matrix("A", net.inputs, n) @ x).named("k1")
    for block in range(1, 4):
        up = net.matrix(f"W{2 * block}", n, m, init=1 + block / 10, learning_rate=sp.Rational(1, block))
        down = net.matrix(f"W{2 * block + 1}", m, n, train=False)
        h = (h / (block + 1) + down @ (up @ h)).named(f"k{block + 1}")
    return net.readout("w", net.matrix("B", n, n) @ h)


def two_streams(net, x):
    """Two carries, of which one is used in its own block."""
    n = net.hidden("N")
    h, total = net.matrix("W0", net.inputs, n) @ x, net.matrix("V0", net.inputs, n) @ x
    for block in range(1, 5):
        h = (net.matrix(f"W{block}", n, n).T @ h).named(f"k{block}")
        total = (total / 2 + h).named(f"s{block}")
    return net.readout("w", total + h)


def dense(net, x):
    """Every layer reads the sum of all layers before it, which is a carry."""
    n = net.hidden("N")
    layers = [net.matrix("W0", net.inputs, n) @ x]
    for block in range(1, 5):
        layers.append(net.matrix(f"W{block}", n, n, init=0.1 * block**2) @ sum(layers))
    return net.readout("w", layers[-1])


RATES = {2: 1.0, 3: 0.3, 4: 2.0, 5: 0.7}


def tanh_blocks(net, x):
    """Pre-activation residual blocks with biases, and rates and deviations of every block."""
    n = net.hidden("N")
    h = net.matrix("W1", net.inputs, n) @ x
    for block in range(2, 6):
        weights = net.matrix(f"W{block}", n, n, learning_rate=RATES[block])
        h = h + weights @ np.tanh(h) / 2 + net.vector(f"b{block}", n, init=RATES[block] / 2)
    return net.readout("w", np.tanh(h))


def normalised(net, x):
    """Averages inside of blocks."""
    n = net.hidden("N")
    h = net.matrix("W0", net.inputs, n) @ x
    for block in range(1, 4):
        size = net.mean(f"size{block}", lambda a: a**2, h)
        h = h + net.matrix(f"W{block}", n, n) @ net.apply(lambda a, s: sp.tanh(a) / sp.sqrt(1 + s), h, size)
    return net.readout("w", h)


LINEAR = {
    "residual": residual(3),
    "shared": shared(3),
    "by block": ds.network(by_block),
    "streams": ds.network(two_streams),
    "dense": ds.network(dense),
}
NONLINEAR = {"tanh": ds.network(tanh_blocks), "normalised": ds.network(normalised)}


def both(network, **options):
    """Theories of the scan, and of the statements as they were written."""
    as_scan = ds.derive(network, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["dmft_sym.networks.trace"], "folded", lambda trace, *_: trace)
        as_written = ds.derive(network, **options)
    assert any(isinstance(statement, ForLayers) for statement in as_scan.program.statements)
    assert not any(isinstance(statement, ForLayers) for statement in as_written.program.statements)
    return as_scan, as_written


@pytest.mark.parametrize(
    "name", ["residual", "streams", *(pytest.param(n, marks=pytest.mark.slow) for n in ("shared", "dense", "by block"))]
)
def test_both_methods_have_the_losses_of_the_statements_as_written(name):
    as_scan, as_written = both(LINEAR[name])
    expected = as_written.compile("numpy")(method="conditioning", steps=6, **PROPORTIONAL)
    for method in ("equations", "conditioning"):
        found = as_scan.compile("numpy")(method=method, steps=6, **PROPORTIONAL)
        for loss in ("train_loss", "test_loss"):
            np.testing.assert_allclose(found[loss], expected[loss], rtol=1e-12)


def trained(theory, steps, seed=5, size=30, **parameters):
    """A finite network: its initial arrays by their keys, and what it reported at every step."""
    arguments = run_arguments(theory, steps, parameters)
    initial = {}

    def inspect(step, network):
        if step == 0:
            keys = [spec.key for spec in network.plan.matrices]
            initial.update({key: matrix.copy() for key, matrix in zip(keys, network.matrices, strict=True)})
            initial["w"] = network.values[network.plan.vectors[0].slot][0].copy()

    data = theory.data.given
    run = run_finite(theory.program, arguments.values, 1, steps, size, seed, inspect=inspect, data=data)
    return initial, {**run.observables, **{str(ref): values.reshape(steps, -1) for ref, values in run.scalars.items()}}


@pytest.mark.parametrize("name", [*LINEAR, *NONLINEAR])
def test_finite_networks_draw_what_they_drew(name):
    """From the same seed they have the same numbers."""
    if name in LINEAR:
        theories, arguments, seen = both(LINEAR[name]), PROPORTIONAL, "train_loss"
    else:
        theories, arguments, seen = both(NONLINEAR[name], data=made_samples(70, 3)), RUN, "f"
    found, expected = (trained(theory, **{**arguments, "steps": 5})[1] for theory in theories)
    np.testing.assert_allclose(found[seen], expected[seen], rtol=1e-11)


def test_equations_of_sampled_sites_agree_with_conditioning():
    theory = ds.derive(NONLINEAR["tanh"], data=made_samples(71, 2))
    first = theory.compile("numpy")(sites=3_000, replicas=6, **RUN)
    second = theory.compile("numpy")(method="equations", sites=1_500, replicas=6, **RUN)
    z = (first.f - second.f) / np.hypot(first.f_sem, second.f_sem)
    assert abs(z.isel(step=slice(1, None))).max() < 4


def test_matrices_keep_their_names():
    """In programs and in spectra, whether they count as the layers do or not."""
    as_scan, as_written = both(residual(3))
    assert "matrix W[1..3]: N -> N" in str(as_scan.program)
    arguments = {"points": 0, "at": [10], "steps": 11, "method": "conditioning", **PROPORTIONAL}
    found, expected = (ds.spectrum(theory, matrices=["W3", "W0"], **arguments) for theory in (as_scan, as_written))
    np.testing.assert_allclose(found.bulk_edge, expected.bulk_edge, rtol=1e-10)
    np.testing.assert_allclose(found.outlier, expected.outlier, rtol=1e-9)
    as_scan, as_written = both(LINEAR["by block"])
    assert "called W2, W4, W6" in str(as_scan.program)
    found, expected = (ds.spectrum(theory, matrices=["W4", "W7"], **arguments) for theory in (as_scan, as_written))
    assert found.matrix.values.tolist() == ["W4", "W7"]
    np.testing.assert_allclose(found.bulk_edge, expected.bulk_edge, rtol=1e-10)


def test_layers_are_counted_as_fields_are_named():
    lines = str(ds.network(two_streams).trace().statements[-2]).splitlines()
    assert [line.strip() for line in lines] == [
        "for l = 2 to 4:",  # the first block starts from two products, and not from fields
        "k_new[l - 1] = W[l]^T k[l - 1]",
        "s[l] = (1/2) s[l - 1] + k_new[l - 1]",
        "k[l] = k_new[l - 1]",
    ]


def test_sources_do_not_grow_with_the_blocks():
    short, long = (ds.derive(residual(blocks)).source("numpy").count("\n") for blocks in (3, 40))
    assert long == short


def test_what_does_not_repeat_stays_as_it_is():
    def of(body):
        def forward(net, x):
            n = net.hidden("N")
            return net.readout("w", body(net, n, net.matrix("W0", net.inputs, n) @ x))

        return [str(statement) for statement in ds.network(forward).trace().statements]

    def two(net, n, h):
        for block in (1, 2):
            h = net.matrix(f"W{block}", n, n) @ h
        return h

    def heads(net, n, h):
        """Something behind the blocks reads all of them."""
        layers = [h]
        for block in (1, 2, 3, 4):
            layers.append(net.matrix(f"W{block}", n, n) @ layers[-1])
        return sum(net.matrix(f"V{k}", n, n) @ layer for k, layer in enumerate(layers) if k != 2)

    def by_name(net, n, h):
        for name in ("a", "b", "c", "d"):
            h = (net.matrix(f"W_{name}", n, n) @ h).named(name)
        return h

    for body in (two, heads, by_name):
        assert not any(line.startswith("for ") for line in of(body)), body


def test_a_skip_from_a_block_parts_the_scan():
    def forward(net, x):
        n = net.hidden("N")
        h, kept = net.matrix("W0", net.inputs, n) @ x, None
        for block in range(1, 9):
            h = net.matrix(f"W{block}", n, n) @ h
            kept = h if block == 4 else kept
        return net.readout("w", h + kept)

    as_scan, as_written = both(ds.network(forward))
    assert sum(isinstance(statement, ForLayers) for statement in as_scan.program.statements) == 4
    runs = [theory.compile("numpy")(method="conditioning", steps=6, **PROPORTIONAL) for theory in (as_scan, as_written)]
    np.testing.assert_allclose(runs[0].test_loss, runs[1].test_loss, rtol=1e-12)


def hand_written(arrays, x, y, richness, learning_rate, steps):
    """Training of `tanh_blocks` from given arrays by its formulas: nothing of the toolkit is used."""
    w, first, inner, bias = arrays
    count, dim = x.shape
    width, found = len(w), []
    for _ in range(steps):
        h = [x @ first.T]
        for matrix, b in zip(inner, bias, strict=True):
            h.append(h[-1] + np.tanh(h[-1]) @ matrix.T / 2 + b)
        found.append(np.tanh(h[-1]) @ w / (richness * width))
        error, rate = y - found[-1], learning_rate * richness / count
        g = error[:, None] * w * (1 - np.tanh(h[-1]) ** 2)
        w = w + rate * error @ np.tanh(h[-1])
        for place in reversed(range(len(inner))):
            slope = 1 - np.tanh(h[place]) ** 2
            before = g + (g @ inner[place]) * slope / 2
            inner[place] = inner[place] + RATES[place + 2] * rate * g.T @ np.tanh(h[place]) / (2 * width)
            bias[place] = bias[place] + rate * g.sum(0)
            g = before
        first = first + rate * g.T @ x / dim
    return np.array(found)


def test_a_trainer_written_by_hand():
    """From the same initial arrays, so that it is the same network and not one of the same law."""
    theory = ds.derive(NONLINEAR["tanh"], data=made_samples(72, 3))
    initial, found = trained(theory, **RUN)
    layers = range(2, 6)
    arrays = (
        initial["w"],
        initial["W1", None],
        [initial["W", layer] for layer in layers],
        [initial["b", layer][:, 0] for layer in layers],
    )
    expected = hand_written(arrays, theory.data.inputs, theory.data.targets[:, 0], **RUN)
    np.testing.assert_allclose(found["f"], expected, rtol=0, atol=1e-13)
    assert np.abs(expected[-1] - expected[0]).max() > 0.1
