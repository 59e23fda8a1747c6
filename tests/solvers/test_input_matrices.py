"""Spectra of matrices from given inputs: closed forms, both methods, and networks of finite width."""

from __future__ import annotations

import numpy as np
import pytest
from programs_with_averages import gated

import dmft_sym as ds

RNG = np.random.default_rng(11)
X, Y = RNG.standard_normal((3, 5)), RNG.standard_normal((3, 1)) + 1
ONE_STEP = {"richness": 4.0, "learning_rate": 0.3, "steps": 2, "init_std": 0.8}


def one_sample(activation, **training):
    data = ds.Samples(X[:1], 2 * np.ones((1, 1)))
    return ds.derive(ds.mlp(1, activation), data=data, training=ds.GradientDescent(**training))


def of_step(run, step, rank=0):
    """What a run has of its first matrix at a step."""
    return run.isel(matrix=0).sel(spectrum_step=step, rank=rank)


def test_one_step_of_a_linear_network_is_a_rank_one_update():
    """``W0`` and the increment ``eta0 gamma Delta w x^T`` are independent: squares add along the sample."""
    settings = ONE_STEP | {"matrices": ["W0"], "at": [0, 1]}
    run = one_sample("linear", weight_decay=0.1).compile("numpy")(**settings)
    increment = 0.3 * 4.0 * 2.0 * 0.8 * np.sqrt(X[0] @ X[0] / 5)
    assert float(of_step(run, 1).outlier) == pytest.approx(np.hypot(0.9 * 0.8, increment), rel=1e-14)
    assert run.sizes["rank"] == 1
    assert not np.isfinite(of_step(run, 0).outlier)
    np.testing.assert_allclose(run.bulk_edge[0], [[0.8, 0.8], [0.72, 0.72]], rtol=1e-14)
    np.testing.assert_allclose(run.outlier_limit[0], [0.8, 0.72], rtol=1e-8)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_one_step_of_tanh(backend):
    """The increment is along ``w tanh'(h)``, with ``h`` Gaussian."""
    settings = ONE_STEP | {"matrices": ["W0"], "at": [0, 1], "kernels": []}
    run = one_sample("tanh").compile(backend)(**settings, sites=20_000, replicas=8)
    square = X[0] @ X[0] / 5
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    slopes = 1 - np.tanh(0.8 * np.sqrt(square) * nodes) ** 2
    increment2 = (0.3 * 4.0 * 2.0 * 0.8) ** 2 * square * (weights @ slopes**2) / weights.sum()
    found = of_step(run, 1)
    assert abs(found.outlier - np.sqrt(0.64 + increment2)) < 4 * found.outlier_sem
    assert float(found.outlier_sem) < 0.01
    assert not np.isfinite(of_step(run, 0).outlier)
    assert float(of_step(run, 0, 0).outlier_limit) == pytest.approx(0.8, rel=1e-8)


def test_untouched_directions_stay_at_the_edge():
    """Duplicated samples span one direction, in which alone there is an outlier."""
    data = ds.Samples(np.repeat(X[:1], 3, axis=0), 2 * np.ones((3, 1)))
    theory = ds.derive(ds.mlp(2, "linear"), data=data)
    run = theory.compile("numpy")(richness=4.0, learning_rate=0.3, steps=4, matrices=["W0"])
    assert run.sizes["rank"] == 1


def test_matrices_that_are_not_trained_have_no_outliers_and_do_not_decay():
    def forward(net, x):
        n = net.hidden("N")
        fixed, bias = net.matrix("A", net.inputs, n, train=False), net.vector("b", n)
        return net.readout("w", net.apply("tanh", fixed @ x + net.matrix("B", net.inputs, n) @ x + bias))

    data = ds.Samples(X, Y)
    theory = ds.derive(ds.network(forward), data=data, training=ds.GradientDescent(weight_decay=0.1))
    settings = {"richness": 3.0, "learning_rate": 0.4, "steps": 5}
    run = theory.compile("numpy")(**settings, sites=8000, replicas=4, matrices=["A", "B"])
    assert not np.isfinite(run.outlier.sel(matrix="A")).any()
    assert np.isfinite(run.outlier.sel(matrix="B", rank=0)).all()
    np.testing.assert_allclose(run.bulk_edge[:, 0], [[1, 1], [0.9**4] * 2], rtol=1e-14)
    with pytest.raises(ValueError, match="'b': allowed are A, B"):
        theory.compile("numpy")(**settings, sites=8000, matrices=["b"])


@pytest.mark.parametrize("activation", ["linear", "tanh"])
def test_finite_networks(activation):
    """Width 1000, in the same units; with momentum and weight decay."""
    training = ds.GradientDescent(momentum=0.5, weight_decay=0.02)
    theory = ds.derive(ds.mlp(2, activation), data=ds.Samples(X, Y), training=training)
    settings = {"richness": 4.0, "learning_rate": 0.06, "steps": 8, "matrices": ["W0"], "at": [0, 7]}
    sampled = {} if activation == "linear" else {"sites": 16_000, "replicas": 8}
    run = theory.compile("numpy")(**settings, **sampled)
    sim = ds.simulate(theory, **settings, width=1000, seeds=8)
    start = sim.outlier.sel(spectrum_step=0)
    assert float(abs(start - 1).max()) < 3 * np.sqrt(5 / 1000)  # Marchenko-Pastur
    found, theirs = of_step(run, 7), sim.isel(matrix=0).sel(spectrum_step=7, rank=0).outlier
    assert float(found.outlier) > 1.3
    error = np.hypot(theirs.std("seed", ddof=1) / np.sqrt(8), found.outlier_sem if sampled else 0.0)
    assert float(abs(theirs.mean("seed") - found.outlier) / error) < 4


def test_several_matrices_of_one_network():
    """Generated and plain replicas see the same matrices from inputs."""
    theory = ds.derive(ds.network(gated), data=ds.Samples(X, Y))
    settings = {"richness": 10.0, "learning_rate": 0.1, "steps": 7, "matrices": ["A", "B", "U", "V"], "at": [6]}
    plain, generated = (theory.compile(backend)(**settings, sites=4000, replicas=2) for backend in ("numpy", "numba"))
    assert np.isfinite(plain.outlier.sel(matrix=["A", "U"], rank=0)).all()
    np.testing.assert_allclose(plain.outlier, generated.outlier, rtol=1e-6)


def summed(net, x):
    """No matrix has a field that is its product with the inputs."""
    n = net.hidden("N")
    first, second = (net.matrix(name, net.inputs, n) @ x for name in "AB")
    h = first + second / 2 + net.vector("b", n)
    return net.readout("w", net.matrix("V", n, n) @ h + h)


def at_every_layer(net, x):
    """The inputs come in at every layer, by a matrix of its own."""
    n, layers = net.hidden("N"), (1, net.depth - 1)
    weights, inputs = (net.matrix(name, space, n, layers=layers) for name, space in (("W", n), ("U", net.inputs)))
    first = net.matrix("W0", net.inputs, n) @ x
    h = net.scan(lambda k, h: weights[k] @ h + inputs[k] @ x, first, layers=layers)
    return net.readout("w", h)


@pytest.mark.parametrize(
    ("network", "matrices"),
    [
        (ds.mlp(2, "linear"), ["W0", "W1"]),
        (ds.network(summed), ["A", "V", "B"]),
        (ds.network(at_every_layer, depth=3), ["U1", "U2"]),
    ],
)
def test_linear_networks_have_the_same_outliers_by_both_methods(network, matrices):
    training = ds.GradientDescent(momentum=0.5, weight_decay=0.02)
    theory = ds.derive(network, data=ds.Samples(X, Y), training=training)
    settings = {"richness": 4.0, "learning_rate": 0.06, "steps": 8, "matrices": matrices, "at": [0, 4, 7]}
    derived, exact = (theory.compile("numpy")(**settings, method=m) for m in ("equations", "conditioning"))
    assert np.isfinite(exact.outlier.sel(spectrum_step=7, rank=0)).all()
    np.testing.assert_allclose(derived.outlier, exact.outlier, rtol=1e-10)
    for name in ("bulk_edge", "outlier_limit"):
        np.testing.assert_allclose(derived[name], exact[name], rtol=1e-12)


def test_gated_network_has_the_same_outliers_by_both_methods():
    """Input matrices of two spaces, within four standard errors."""
    theory = ds.derive(ds.network(gated), data=ds.Samples(X[:2], Y[:2]))
    settings = {"richness": 10.0, "learning_rate": 0.1, "steps": 5, "matrices": ["A", "B", "U"], "at": [4]}
    derived = theory.compile("numpy")(method="equations", sites=8_000, replicas=4, **settings).isel(rank=0)
    sampled = theory.compile("numpy")(sites=32_000, replicas=8, **settings).isel(rank=0)
    assert np.isfinite(sampled.outlier).sum() >= 2
    z = abs(derived.outlier - sampled.outlier) / np.hypot(derived.outlier_sem, sampled.outlier_sem)
    assert float(z.max()) < 4


def test_tokens_are_inputs_of_one_matrix():
    """Its products with all tokens of all samples span what training moves."""

    def forward(net, x):
        token, n = net.label("token", 2), net.hidden("N")
        return net.readout("w", net.sum(net.matrix("W0", net.inputs, n) @ x, over=token))

    data = ds.Samples(RNG.standard_normal((2, 2, 5)), Y[:2], labels=("token",))
    theory = ds.derive(ds.network(forward), data=data)
    settings = {"richness": 3.0, "learning_rate": 0.1, "steps": 5, "matrices": ["W0"], "at": [4]}
    derived, exact = (theory.compile("numpy")(**settings, method=m) for m in ("equations", "conditioning"))
    assert exact.sizes["rank"] > 0
    np.testing.assert_allclose(derived.outlier, exact.outlier, rtol=1e-10)


def test_two_inputs_have_matrices_of_their_own():
    """Samples of different dimensions, one matrix alone and one in a sum; tests are not trained on."""

    def forward(net, x):
        n, x2 = net.hidden("N"), net.given("x2")
        h = net.matrix("V", x2.space, n) @ x2 / 2 + net.matrix("W0", net.inputs, n) @ x
        return net.readout("w", net.matrix("W", n, n) @ h + net.matrix("U", x2.space, n) @ x2)

    inputs, tests = ({"x": RNG.standard_normal((c, 7)), "x2": RNG.standard_normal((c, 3))} for c in (2, 1))
    data = ds.Samples(inputs, Y[:2], test_inputs=tests, test_targets=Y[2:])
    theory = ds.derive(ds.network(forward), data=data)
    settings = {"richness": 3.0, "learning_rate": 0.1, "steps": 5, "matrices": ["V", "W0", "U"], "at": [4]}
    derived, exact = (theory.compile("numpy")(**settings, method=m) for m in ("equations", "conditioning"))
    assert np.isfinite(exact.outlier.sel(rank=0)).all()
    np.testing.assert_allclose(derived.outlier, exact.outlier, rtol=1e-10)
    sim = ds.simulate(theory, **settings, width=2000, seeds=1)
    np.testing.assert_allclose(sim.outlier[0, ..., 0], exact.outlier[..., 0], rtol=0.05)
