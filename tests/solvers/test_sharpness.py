"""Sharpness on given samples: eigenvalues of the Gauss-Newton matrix, and where gradient descent becomes unstable."""

import numpy as np
import pytest
import sympy as sp
import xarray as xr

import dmft_sym as ds
from dmft_sym.networks.losses import LOSSES, Loss
from dmft_sym.program import Optimizer
from dmft_sym.solvers.sharpness import leading_eigenvalues

RNG = np.random.default_rng(3)
INPUTS = RNG.standard_normal((6, 8))
TARGETS = {"squared": np.sign(INPUTS[:, 0]), "logistic": np.sign(INPUTS[:, 0]), "softmax": np.arange(6) % 3}


def gauss_newton(features, hessians):
    """``J^T H J / P`` of a linear model, all entries: features (P, C, parameters), hessians (P, C, C)."""
    return sum(j.T @ h @ j for j, h in zip(features, hessians, strict=True)) / len(features)


@pytest.mark.parametrize("samples", [5, 260])
@pytest.mark.parametrize("loss", [*LOSSES, "(f - y)**4/4 + (f - y)**2/2", "1 - exp(-(f - y)**2)"])
def test_eigenvalues_are_those_of_the_gauss_newton_matrix(loss, samples):
    """Of a linear model, with second derivatives by differences; also of a loss that is not convex."""
    chosen = LOSSES.get(loss) or Loss.of(loss)
    outputs, rng = 2, np.random.default_rng(samples)
    features = rng.standard_normal((samples, outputs, 7))
    f, y = rng.standard_normal((2, samples, outputs))
    y = np.eye(outputs)[np.argmax(y, 1)] if loss == "softmax" else np.sign(y)
    kernel = np.einsum("pax,qbx->paqb", features, features)
    dims = ("sample", "output", "sample2", "output2")

    found = leading_eigenvalues(xr.DataArray(kernel, dims=dims), xr.DataArray(f, dims=dims[:2]), y, chosen)

    matrix = gauss_newton(features, chosen.hessian(f, y))
    assert float(found["sharpness"]) == pytest.approx(np.linalg.eigvalsh(matrix)[-1], rel=1e-9)
    plain = np.linalg.eigvalsh(gauss_newton(features, np.tile(np.eye(outputs), (samples, 1, 1))))
    np.testing.assert_allclose(found["NTK_eigenvalue"][:7], plain[::-1], rtol=1e-9)


@pytest.mark.parametrize("loss", [*LOSSES, "(f - y)**4/4"])
def test_second_derivatives_are_slopes_of_errors(loss):
    """By differences of the error, which is minus the gradient."""
    chosen = LOSSES.get(loss) or Loss.of(loss)
    f, y = np.random.default_rng(0).standard_normal((2, 3, 2))

    def error(at):
        share = np.exp(at) / np.exp(at).sum(-1, keepdims=True)
        return {
            "squared": lambda: y - at,
            "logistic": lambda: y / (1 + np.exp(y * at)),
            "softmax": lambda: y - share,
            "(f - y)**4/4": lambda: -((at - y) ** 3),
        }[loss]()

    for c in range(2):
        step = 1e-6 * np.eye(2)[c]
        slope = (error(f + step) - error(f - step)) / 2e-6
        np.testing.assert_allclose(chosen.hessian(f, y)[:, :, c], -slope, atol=1e-8)


@pytest.mark.parametrize(
    ("optimizer", "limit"),
    [
        (Optimizer(), 2),
        (Optimizer(decay=sp.Rational(1, 10)), sp.Rational(19, 10)),
        (Optimizer(sp.Rational(9, 10)), sp.Rational(38, 10)),
        (Optimizer(sp.Rational(1, 2), from_memory=sp.Rational(1, 2), from_increment=sp.Integer(1)), sp.Rational(3, 2)),
    ],
    ids=["descent", "decay", "heavy ball", "Nesterov"],
)
def test_steps_are_stable_up_to_the_edge(optimizer, limit):
    """In closed form, and by the spectral radius of the step on both sides of it."""
    assert optimizer.recursion.stable_below == limit
    numbers = optimizer.numbers(lambda expression, _: float(expression))

    def radius(x):
        m, a, b = numbers.memory, numbers.from_memory, numbers.from_increment
        step = np.array([[m, -x], [a * m, numbers.keep - (a + b) * x]])
        return np.abs(np.linalg.eigvals(step)).max()

    assert radius(0.999 * float(limit)) < 1 < radius(1.001 * float(limit))


@pytest.mark.parametrize("loss", TARGETS)
def test_theory_and_networks_have_the_same_sharpness(loss):
    """With standard errors, at every step at which kernels are kept, and times the learning rate."""
    outputs = 3 if loss == "softmax" else 1
    data = ds.Samples(inputs=INPUTS, targets=TARGETS[loss], loss=loss)
    theory = ds.derive(ds.mlp(1, activation="tanh", outputs=outputs), data=data)
    settings = {"steps": 6, "richness": 2, "learning_rate": 0.5, "kernels": [0, 5]}

    run = theory.solve(sites=4000, replicas=4, **settings)
    sim = ds.simulate(theory, width=1000, seeds=4, **settings)

    assert run.sharpness.dims == ("kernel_step",)
    np.testing.assert_allclose(run.rate_sharpness, 0.5 * run.sharpness)
    np.testing.assert_allclose(run.rate_sharpness_sem, 0.5 * run.sharpness_sem)
    assert run.attrs["stable_below"] == 2
    error = np.hypot(run.sharpness_sem, sim.sharpness.std("seed", ddof=1) / 2)
    assert (abs(sim.sharpness.mean("seed") - run.sharpness) < 4 * error + 0.01 * run.sharpness).all()
    assert "sharpness" in ds.compare(run, sim).theory


def test_gradient_descent_diverges_beyond_the_edge_of_a_linear_model():
    """Features frozen, the readout trained: stable just below ``2/sharpness``, not above."""

    def frozen(net, x):
        n = net.hidden("N")
        return net.readout("w", net.apply("tanh", net.matrix("W0", net.inputs, n, train=False) @ x))

    theory = ds.derive(ds.network(frozen), data=ds.Samples(inputs=INPUTS, targets=TARGETS["squared"]))
    settings = {"steps": 60, "richness": 1, "sites": 800, "replicas": 2, "seed": 1, "kernels": [0]}
    sharpness = float(theory.solve(learning_rate=0.01, **settings).sharpness[0])

    def grows(factor):
        # replicas scatter around their mean, which the margins are for
        loss = theory.solve(learning_rate=factor * 2 / sharpness, **settings).train_loss.squeeze()
        return bool(loss[-1] > loss[-10])

    assert not grows(0.9)
    assert grows(1.2)
