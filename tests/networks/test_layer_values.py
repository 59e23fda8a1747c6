"""Initial standard deviations and learning rates of single arrays, and by layer."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from agreement import compare_routes
from samples_and_scores import made_samples

import dmft_sym as ds
from dmft_sym.limits import site_checks
from dmft_sym.program import ProgramError

RUN = {"richness": 2.0, "learning_rate": 0.1, "steps": 6}
PROPORTIONAL = {"richness": 2.0, "learning_rate": 0.05, "samples_per_dim": 2.0, "width_per_dim": 0.8}


def linear(net, x):
    n, strength = net.hidden("N"), net.parameter("strength", 0.5)
    weights = net.matrix(
        "W",
        n,
        n,
        layers=(1, net.depth - 1),
        init=lambda layer: 1 / sp.sqrt(layer + 1),
        learning_rate=(sp.Symbol("l") + strength) / net.depth,
    )
    first = net.matrix("W0", net.inputs, n, init=strength, learning_rate=2) @ x
    h = net.scan(lambda layer, h: weights[layer] @ h, first, layers=(1, net.depth - 1))
    return net.readout("w", h, init=0.7, learning_rate=strength)


def nonlinear(net, x):
    """As `linear`, with biases."""
    n, strength = net.hidden("N"), net.parameter("strength", 0.5)
    span = (1, net.depth - 1)
    weights = net.matrix(
        "W", n, n, layers=span, init=lambda layer: 1 / sp.sqrt(layer), learning_rate=lambda layer: layer + strength
    )
    bias = net.vector("b", n, layers=span, init=lambda layer: 1 / layer, learning_rate=lambda layer: 2 * layer)
    first = net.matrix("W0", net.inputs, n, init=strength, learning_rate=2) @ x
    h = net.scan(lambda layer, h: weights[layer] @ np.tanh(h) + bias[layer], first, layers=span)
    return net.readout("w", np.tanh(h), init=0.7, learning_rate=strength)


def samples_theory(forward=nonlinear, **options):
    return ds.derive(ds.network(forward, depth=3), data=made_samples(60, 3), **options)


def test_the_program_says_what_they_are():
    text = str(ds.derive(ds.network(linear, depth=3)).program)
    assert "matrix W[1..L - 1]: N -> N, entries N(0, s2/(l + 1)/n_N)" in text
    assert "matrix W0: D -> N, entries N(0, s2*strength**2/n_D)" in text
    assert "learn W[l]: (eta0*gamma*(l + strength)/L) g[l + 1] h[l]^T" in text
    assert "learn W0: (2*eta0*gamma) g[1] v^T" in text
    assert "learn w: (eta0*gamma*strength) h[L]" in text


@pytest.mark.parametrize(
    "training", [ds.GradientDescent(), ds.OnlineSGD(momentum=0.4, weight_decay=0.02)], ids=["batch", "online"]
)
@pytest.mark.parametrize("depth", [1, 3])
def test_both_methods_agree_in_the_proportional_regime(depth, training):
    theory = ds.derive(ds.network(linear), training=training)
    found = compare_routes(theory, {**PROPORTIONAL, "depth": depth, "outputs": 2, "strength": 0.8}, steps=8)
    assert found.worst()[1] < 1e-12, found.worst()


def test_initial_standard_deviations_may_be_sums():
    """A variance that is a sum is one coefficient of the action, and not several."""

    def skips(net, x):
        n, strength = net.hidden("N"), net.parameter("strength", -0.3)
        weights = net.matrix("W", n, n, layers=(1, net.depth - 1), init=lambda layer: (layer + strength) / 3)
        first = net.matrix("W0", net.inputs, n, init=net.depth + 1) @ x
        return net.readout("w", net.scan(lambda layer, h: h + weights[layer] @ h, first, layers=(1, net.depth - 1)))

    run = {**PROPORTIONAL, "learning_rate": 0.001, "depth": 3, "outputs": 1, "strength": -0.3}
    found = compare_routes(ds.derive(ds.network(skips)), run, steps=6)
    assert found.worst()[1] < 1e-12, found.worst()


def test_both_methods_agree_on_given_samples():
    theory = samples_theory(linear)
    runs = [theory.compile("numpy")(method=m, kernels=[0, 5], **RUN) for m in ("conditioning", "equations")]
    for name in ("f", "NTK"):
        np.testing.assert_allclose(runs[0][name], runs[1][name], rtol=0, atol=1e-12 * abs(runs[0][name]).max())


@pytest.mark.parametrize("matrices", [["W0", "W1", "W2"], pytest.param(["W1", "W2", "NTK"], marks=pytest.mark.slow)])
def test_spectra_know_the_variance_of_every_layer(matrices):
    theory = ds.derive(ds.network(linear, depth=3))
    found = [
        ds.spectrum(theory, matrices=matrices, method=method, at=[20], steps=21, points=0, **PROPORTIONAL)
        for method in ("equations", "conditioning")
    ]
    np.testing.assert_allclose(found[0].bulk_edge, found[1].bulk_edge, rtol=1e-6)
    np.testing.assert_allclose(found[0].outlier, found[1].outlier, rtol=1e-6)
    edges = found[0].bulk_edge.sel(side="upper", matrix=["W1", "W2"]).squeeze().values
    np.testing.assert_allclose(edges, 2 / np.sqrt([2, 3]), rtol=1e-6)


def test_finite_networks_in_the_proportional_regime():
    theory = ds.derive(ds.network(linear, depth=3))
    run = theory.compile("numpy")(steps=12, **PROPORTIONAL)
    sim = ds.simulate(theory, steps=12, dim=600, seeds=6, normalise=True, **PROPORTIONAL)
    losses = ds.compare(run[["train_loss", "test_loss"]], sim[["train_loss", "test_loss"]])
    assert losses.within(4, 5 / 600), str(losses)


def test_generated_sampled_solver_is_the_plain_one():
    arguments = {**RUN, "sites": 400, "replicas": 2, "kernels": [5], "matrices": ["W1", "W2"], "at": [5]}
    plain, generated = (samples_theory().compile(backend)(**arguments) for backend in ("numpy", "numba"))
    for part in ("f", "NTK"):
        np.testing.assert_allclose(plain[part], generated[part], rtol=0, atol=1e-11)
    edges = plain.bulk_edge.sel(side="upper").squeeze().values
    np.testing.assert_allclose(edges, 2 / np.sqrt([1, 2]), rtol=1e-12)


@pytest.mark.parametrize("sites", [2_000, pytest.param(16_000, marks=pytest.mark.slow)])
def test_equations_of_sampled_sites_agree_with_conditioning(sites):
    theory = samples_theory()
    first = theory.compile("numpy")(sites=3 * sites // 2, replicas=8, **RUN)
    second = theory.compile("numpy")(method="equations", sites=sites, replicas=8, **RUN)
    z = (first.f - second.f) / np.hypot(first.f_sem, second.f_sem)
    assert abs(z.isel(step=slice(1, None))).max() < 4


@pytest.mark.parametrize("rate", [1e-4, 1e-5])
def test_the_tangent_kernel_has_every_rate_once(rate):
    theory = samples_theory()
    run = ds.simulate(theory, learning_rate=rate, width=20, seeds=1, richness=2.0, steps=2, kernels=[0])
    f = run.f.values[0]
    predicted = np.tensordot(run.NTK.values[0, 0], theory.data.targets - f[0], axes=2) / 3
    gap = np.abs((f[1] - f[0]) / rate - predicted).max() / np.abs(predicted).max()
    assert gap < 100 * rate


def test_the_lazy_limit_has_every_rate_once():
    verdict = site_checks.structural(samples_theory().limit(ds.limits.lazy), 3)
    assert verdict.holds, verdict


def hand_written(seed, width, data, richness, learning_rate, steps, strength=0.5):
    """Training of `nonlinear` at depth three by its formulas: nothing of the toolkit is used."""
    rng = np.random.default_rng(seed)
    x, y = data.inputs, data.targets[:, 0]
    count, dim = x.shape
    first = strength * rng.standard_normal((width, dim)) / np.sqrt(dim)
    inner = [rng.standard_normal((width, width)) / np.sqrt(width * layer) for layer in (1, 2)]
    bias = [rng.standard_normal(width) / layer for layer in (1, 2)]
    w = 0.7 * rng.standard_normal(width)
    found = []
    for _ in range(steps):
        h = [x @ first.T]
        for matrix, b in zip(inner, bias, strict=True):
            h.append(np.tanh(h[-1]) @ matrix.T + b)
        found.append(np.tanh(h[2]) @ w / (richness * width))
        error = y - found[-1]
        g = [None, None, w * (1 - np.tanh(h[2]) ** 2)]
        for layer in (1, 0):
            g[layer] = (g[layer + 1] @ inner[layer]) * (1 - np.tanh(h[layer]) ** 2)
        rate = learning_rate * richness / count
        w = w + strength * rate * error @ np.tanh(h[2])
        for layer in (1, 2):
            weighted = error[:, None] * g[layer]
            inner[layer - 1] = inner[layer - 1] + (layer + strength) * rate * weighted.T @ np.tanh(h[layer - 1]) / width
            bias[layer - 1] = bias[layer - 1] + 2 * layer * rate * weighted.sum(0)
        first = first + 2 * rate * (error[:, None] * g[0]).T @ x / dim
    return np.array(found)


def test_a_trainer_written_by_hand():
    width, seeds = 400, 24
    theory = samples_theory()
    run = theory.compile("numpy")(sites=24_000, replicas=16, **RUN)
    f = np.array([hand_written(seed, width, theory.data, **RUN) for seed in range(seeds)])
    gap = np.abs(f.mean(0) - run.f.values[..., 0]) - 4 * (1 / width + 16 / 24_000) * abs(run.f.values).max()
    errors = np.hypot(f.std(0, ddof=1) / np.sqrt(seeds), run.f_sem.values[..., 0])
    assert np.max(gap / errors) < 4
    assert np.abs(run.f.values[-1, :, 0]).max() > 10 * run.f_sem.max()


def test_what_is_refused():
    def of(**options):
        def forward(net, x):
            n = net.hidden("N")
            return net.readout("w", net.matrix("W0", net.inputs, n, **options) @ x)

        with pytest.raises(ProgramError) as caught:
            ds.derive(ds.network(forward))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert of(init=-1) == "matrix W0: init = -1: allowed is a number >= 0"
    assert of(learning_rate=-0.5) == "matrix W0: learning_rate = -1/2: allowed is a number >= 0"
    assert "init = 'one': allowed is a number, a SymPy expression, or a function of the layer" in of(init="one")
    assert "allowed in the layer l is that of a family" in of(init=lambda layer: 1 / layer)
    assert "learning_rate = nan: allowed is a number" in of(learning_rate=float("nan"))


def test_a_formula_with_cases_is_refused():
    """Conditions on the layer have no place in equations that hold for every layer."""

    def forward(net, x):
        n = net.hidden("N")
        w = net.matrix("W", n, n, layers=(1, net.depth - 1), init=lambda one: sp.Piecewise((2, one < 2), (1, True)))
        h = net.matrix("W0", net.inputs, n) @ x
        return net.readout("w", net.scan(lambda layer, h: w[layer] @ h, h, layers=(1, net.depth - 1)))

    with pytest.raises(ProgramError, match="allowed is one formula for all layers"):
        ds.network(forward).trace()
