"""Networks that use a matrix and its transpose: reverse mode, and three routes in the proportional regime.

What they do on given samples is tested with the other made-up networks (`unseen_networks`).
"""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from agreement import compare_routes

import dmft_sym as ds
from dmft_sym.networks import Vector
from dmft_sym.program import DEPTH, Linear, MatrixRef, Product, ProgramError
from dmft_sym.support.errors import ArgumentError

SETTINGS = {
    "samples_per_dim": 2.0,
    "width_per_dim": 0.8,
    "richness": 3.0,
    "learning_rate": 0.02,
    "label_noise": 0.3,
    "init_std": 0.9,
}


def autoencoder(net, x):
    """A narrow layer that is read back through the transpose of the matrix that made it."""
    wide, narrow = net.hidden("N"), net.hidden("M", sp.Rational(1, 2))
    weights = net.matrix("W", wide, narrow)
    h = (net.matrix("W0", net.inputs, wide) @ x).named("h")
    return net.readout("w", weights.T @ (weights @ h))


def through_the_inputs(net, x):
    """Back to the space of the inputs, which is read out too."""
    n = net.hidden("N")
    first = net.matrix("W0", net.inputs, n)
    back = (first.T @ (first @ x)).named("back")
    return net.readout("w", net.matrix("W1", n, n) @ (first @ (x - back / 2))) + net.readout("u", back)


def symmetric_blocks(net, x):
    """``h[l+1] = h[l] + W[l]^T W[l] h[l] / 2`` with matrices of their own."""
    n, m = net.hidden("N"), net.hidden("M", sp.Rational(3, 2))
    weights = net.matrix("W", n, m, layers=(1, net.depth - 1))
    first = net.matrix("W0", net.inputs, n) @ x
    last = net.scan(lambda layer, h: h + weights[layer].T @ (weights[layer] @ h) / 2, first, layers=(1, net.depth - 1))
    return net.readout("w", last)


def symmetric_tied(net, x):
    """The same with one matrix at every layer, which is written ``W.T[l]`` of a family otherwise."""
    n, m = net.hidden("N"), net.hidden("M", sp.Rational(3, 2))
    weights = net.matrix("W", n, m)
    first = net.matrix("W0", net.inputs, n) @ x
    last = net.scan(lambda layer, h: h + weights.T @ (weights @ h) / 2, first, layers=(1, net.depth - 1))
    return net.readout("w", last)


def backwards(net, x):
    """All matrices are declared the other way round."""
    n = net.hidden("N")
    first, second = net.matrix("W0", n, net.inputs, init=1), net.matrix("W1", n, n)
    return net.readout("w", second.T @ (first.T @ x))


NETWORKS = [autoencoder, through_the_inputs, symmetric_blocks, symmetric_tied, backwards]


def by_hand(net, x):
    """``W^T h`` from the parts of the language, as a user may write it who does not know of ``W.T``."""
    n = net.hidden("N")
    weights = net.matrix("W", n, n)
    h = (net.matrix("W0", net.inputs, n) @ x).named("h1")
    product = Product(MatrixRef(weights.matrix), net.as_field(h), transpose=True)
    return net.readout("w", (net.matrix("A", n, n) @ Vector(net, Linear.of(product), n).named("h2")).named("h3"))


def test_reverse_mode_of_a_transposed_product():
    """``h2 = W^T h1``: the adjoint of ``h1`` is ``W g2``, and the update of ``W`` is ``h1 g2^T``."""
    statements = [str(s) for s in ds.derive(ds.network(by_hand)).program.statements]
    assert "g1 = W g2" in statements
    assert "learn W: (eta0*gamma) h1 g2^T" in statements


def test_the_transpose_of_the_transpose():
    def forward(net, x):
        n = net.hidden("N")
        first, weights = net.matrix("W0", net.inputs, n), net.matrix("W", n, n, layers=(1, net.depth - 1))
        last = net.scan(lambda layer, h: weights.T[layer].T @ h, first.T.T @ x, layers=(1, net.depth - 1))
        return net.readout("w", last)

    texts = [str(ds.derive(network).program) for network in (ds.network(forward, name="x"), ds.deep_linear())]
    assert texts[0].splitlines()[1:] == texts[1].splitlines()[1:]


@pytest.mark.parametrize("training", [ds.GradientDescent(momentum=0.5, weight_decay=0.03), ds.OnlineSGD()], ids=str)
@pytest.mark.parametrize("forward", NETWORKS)
def test_march_agrees_with_coordinates(forward, training):
    theory = ds.derive(ds.network(forward), training=training)
    depth = {"depth": 3} if DEPTH in theory.program.parameters else {}
    found = compare_routes(theory, {**SETTINGS, **depth, "outputs": 2}, steps=8)
    assert found.worst()[1] < 1e-10, found.worst()


@pytest.mark.parametrize("forward", [autoencoder, symmetric_blocks])
def test_infinite_width(forward):
    """Gaussian fields of transposed products stay finite where a ratio does not."""
    theory = ds.derive(ds.network(forward))
    depth = {"depth": 2} if DEPTH in theory.program.parameters else {}
    found = compare_routes(theory, {**SETTINGS, **depth, "width_per_dim": np.inf}, steps=6)
    assert found.worst()[1] < 1e-10, found.worst()


@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_back_ends(backend):
    found = compare_routes(ds.derive(ds.network(autoencoder)), SETTINGS, steps=12, backend=backend)
    assert found.worst()[1] < 1e-10, found.worst()


def trained_by_hand(dim, seed, steps, symmetric):
    """Losses of ``f = w . (W^T W h) / (gamma_N sqrt(N))``, plus ``w . h`` if ``symmetric``, from plain matrices."""
    stream = np.random.default_rng(seed)
    p = SETTINGS
    n, samples = round(p["width_per_dim"] * dim), round(p["samples_per_dim"] * dim)
    m = round((1.5 if symmetric else 0.5) * n)
    half = 0.5 if symmetric else 1.0
    gamma = p["richness"] * np.sqrt(p["width_per_dim"])
    rate = p["learning_rate"] * gamma**2 * dim
    first, weights, readout = (stream.standard_normal(size) * p["init_std"] for size in ((n, dim), (m, n), n))
    teacher = stream.standard_normal(dim)
    teacher *= np.sqrt(dim) / np.linalg.norm(teacher)
    readout *= p["init_std"] * np.sqrt(n) / np.linalg.norm(readout)
    x = stream.standard_normal((samples, dim))
    noise = stream.standard_normal(samples)
    y = x @ teacher / np.sqrt(dim) + p["label_noise"] * noise * np.sqrt(samples) / np.linalg.norm(noise)
    losses = []
    for _ in range(steps):
        h = x @ first.T / np.sqrt(dim)
        code = h @ weights.T / np.sqrt(n)
        out = half * code @ weights / np.sqrt(n) + (h if symmetric else 0)
        error = y - out @ readout / (gamma * np.sqrt(n))
        losses.append(np.mean(error**2))
        # d(loss)/d(array) with loss = (1/2P) sum error^2
        outer = error[:, None] * readout / (samples * gamma * np.sqrt(n))
        d_code = half * outer @ weights.T / np.sqrt(n)
        d_weights = (half * code.T @ outer + d_code.T @ h) / np.sqrt(n)
        d_h = d_code @ weights / np.sqrt(n) + (outer if symmetric else 0)
        readout = readout + rate * out.T @ error / (samples * gamma * np.sqrt(n))
        first, weights = first + rate * d_h.T @ x / np.sqrt(dim), weights + rate * d_weights
    return losses


@pytest.mark.parametrize(("forward", "depth"), [(autoencoder, {}), (symmetric_blocks, {"depth": 2})])
def test_a_network_trained_by_hand(forward, depth):
    """Plain matrices and a gradient written on paper; 5/D is allowed for corrections of finite size."""
    dim, seeds, steps = 300, 8, 12
    run = ds.derive(ds.network(forward)).compile("numpy")(steps=steps, **SETTINGS, **depth)
    losses = np.array([trained_by_hand(dim, seed, steps, bool(depth)) for seed in range(seeds)])
    error = losses.std(axis=0, ddof=1) / np.sqrt(seeds)
    gap = np.abs(losses.mean(axis=0) - run.train_loss.values.squeeze())
    assert (gap < 4 * error + 5 / dim * run.train_loss.values.squeeze()).all()
    assert run.train_loss[-1] < 0.8 * run.train_loss[0]


@pytest.mark.parametrize("forward", [through_the_inputs, symmetric_tied])
def test_finite_networks_of_the_same_program(forward):
    theory = ds.derive(ds.network(forward))
    depth = {"depth": 3} if DEPTH in theory.program.parameters else {}
    # At twice this rate the tied network is beyond the edge of stability, where seeds part from each other.
    arguments = {**SETTINGS, **depth, "learning_rate": 0.01, "steps": 12}
    run = theory.compile("numpy")(**arguments)
    sim = ds.simulate(theory, dim=400, seeds=8, seed=0, normalise=True, **arguments)
    losses = ["train_loss", "test_loss"]
    assert ds.compare(run[losses], sim[losses]).within(4, 5 / 400)


def test_spectra_of_both_routes(numpy_march):
    """The matrix whose transpose is used has an outlier; either route finds it, and finite networks have it."""
    theory = ds.derive(ds.network(autoencoder))
    arguments = {**SETTINGS, "width_per_dim": 1.2, "samples_per_dim": 3.0, "richness": 4.0, "learning_rate": 0.01}
    options = {"matrices": ["W0", "W"], "at": [0, 19], "steps": 20}
    march, other = (ds.spectrum(theory, method=m, **options, **arguments) for m in ("equations", "conditioning"))
    np.testing.assert_allclose(march.outlier, other.outlier, rtol=1e-7)
    predicted = float(march.outlier.sel(matrix="W", spectrum_step=19)[0])
    assert predicted > 1.02 * float(march.bulk_edge.sel(matrix="W", spectrum_step=19, side="upper").max())
    sim = ds.simulate(theory, dim=500, seeds=8, normalise=True, **options, **arguments)
    measured = sim.outlier.sel(matrix="W", spectrum_step=19).isel(rank=0)
    error = float(measured.std("seed", ddof=1)) / np.sqrt(8)
    assert abs(float(measured.mean()) - predicted) < 4 * error + 5 / 500 * predicted
    with pytest.raises(ArgumentError, match=r"matrix = 'NTK': the update of W moves .* a matrix and its transpose"):
        ds.spectrum(theory, **{**options, "matrices": ["NTK"]}, **arguments)


def test_given_inputs_have_no_transpose():
    def forward(net, x):
        first = net.matrix("W0", net.inputs, net.hidden("N"))
        return net.readout("w", first @ (first.T @ (first @ x)))

    with pytest.raises(ProgramError, match=r"W0\.T: the inputs are given.* between hidden spaces"):
        ds.derive(ds.network(forward), data=ds.Samples([[1.0, 2.0]], [1.0]))


def test_given_inputs_are_not_computed():
    def forward(net, x):
        return net.readout("w", net.matrix("W0", net.hidden("N"), net.inputs).T @ x)

    with pytest.raises(ProgramError, match=r"matrix W0: no vector of the space D is computed.* between hidden spaces"):
        ds.derive(ds.network(forward), data=ds.Samples([[1.0, 2.0]], [1.0]))


def test_sides_of_a_transpose():
    def forward(net, x):
        n, m = net.hidden("N"), net.hidden("M")
        weights = net.matrix("W", n, m)
        return net.readout("w", weights.T @ (net.matrix("W0", net.inputs, n) @ x))

    with pytest.raises(
        ProgramError, match=r"W\^T h1: h1 lives in space N, but this side of W \(N -> M\) takes space M"
    ):
        ds.derive(ds.network(forward))


def twice_after(net, h, weights):
    return net.readout("w", (weights + weights.T) @ h)


def there_and_back_after(net, h, weights):
    return net.readout("w", weights.T @ (weights @ h))


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("last", [twice_after, there_and_back_after])
def test_a_matrix_used_twice_beside_a_scan_without_skips(last, depth):
    """Equations of the last layer of the scan have no terms of other layers; the march against conditioning."""

    def forward(net, x):
        n = net.hidden("N")
        family, weights = net.matrix("V", n, n, layers=(1, net.depth - 1)), net.matrix("W", n, n)
        first = net.matrix("A", net.inputs, n) @ x
        return last(net, net.scan(lambda layer, h: family[layer] @ h, first, layers=(1, net.depth - 1)), weights)

    theory = ds.derive(ds.network(forward))
    assert not any(term == 0 for equation in theory.equations.closed.items for term in equation.terms)
    solve = theory.compile("numpy")
    march, other = (solve(method=name, depth=depth, steps=5, **SETTINGS) for name in ("equations", "conditioning"))
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(march[name], other[name], rtol=1e-10)
