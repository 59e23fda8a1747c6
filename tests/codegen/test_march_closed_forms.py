"""The march against formulas that can be written down."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from mpmath import mp

import dmft_sym as ds

BASE = {"samples_per_dim": 2.0, "width_per_dim": 0.7, "richness": 2.0, "learning_rate": 0.03, "label_noise": 0.3}


def march(network, steps, training=None, backend="numpy", **changes):
    return ds.derive(network, training=training).compile(backend)(steps=steps, **{**BASE, **changes})


def marchenko_pastur(alpha, function):
    """``int rho(l) function(l)`` over the bulk of the eigenvalues of ``X^T X / P``, by quadrature in an angle."""
    low, high = (1 - 1 / mp.sqrt(alpha)) ** 2, (1 + 1 / mp.sqrt(alpha)) ** 2
    half, middle = (high - low) / 2, (high + low) / 2

    def integrand(angle):
        point = middle - half * mp.cos(angle)
        return alpha / (2 * mp.pi * point) * (half * mp.sin(angle)) ** 2 * function(point)

    return mp.quad(integrand, [0, mp.pi / 2, mp.pi])


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_linear_regression_follows_marchenko_pastur(alpha):
    eta, noise, steps = 0.1, 0.3, 31
    run = march(ds.deep_linear(0), steps, samples_per_dim=alpha, learning_rate=eta, label_noise=noise)
    for t in (0, 1, 7, 30):
        bias = marchenko_pastur(alpha, lambda point, t=t: (1 - eta * point) ** (2 * t)) + max(0, 1 - alpha)
        variance = marchenko_pastur(alpha, lambda point, t=t: (1 - (1 - eta * point) ** t) ** 2 / point)
        expected = bias + noise**2 / alpha * variance + noise**2
        assert float(run.test_loss[t, 0]) == pytest.approx(float(expected), abs=1e-10)


@pytest.mark.parametrize("parametrization", [ds.MUP, ds.NTK, ds.Parametrization(0.25)], ids=str)
@pytest.mark.parametrize("training", [ds.GradientDescent(), ds.OnlineSGD()], ids=["batch", "online"])
@pytest.mark.parametrize("depth", [1, 3, 6])
def test_initial_losses(depth, training, parametrization):
    std, nu, gamma0, noise = 0.8, 0.6, 1.3, 0.2
    run = march(
        ds.deep_linear(depth, 2, parametrization), 1, training,
        init_std=std, width_per_dim=nu, richness=gamma0, label_noise=noise,
    )  # fmt: skip
    gamma = gamma0 * nu ** (parametrization.exponent - 0.5)
    expected = 1 + std ** (2 * (depth + 1)) / (gamma**2 * nu) + noise**2
    for loss in (run.train_loss, run.test_loss):
        np.testing.assert_allclose(loss.values, [[expected, expected]], rtol=1e-14)


@pytest.mark.parametrize("key", ["width_per_dim", "samples_per_dim"])
@pytest.mark.parametrize("training", [ds.GradientDescent(), ds.OnlineSGD()], ids=["batch", "online"])
def test_infinite_ratios_are_limits(key, training):
    """``inf`` is a number like others, approached at the rate 1/nu, 1/alpha."""
    sizes = 10.0 ** np.arange(2, 6)
    runs = [march(ds.deep_linear(2), 20, training, **{key: size}) for size in (*sizes, np.inf)]
    gaps = [float(np.abs(run.test_loss - runs[-1].test_loss).max()) for run in runs[:-1]]
    slope = np.polyfit(np.log(sizes), np.log(gaps), 1)[0]
    assert slope == pytest.approx(-1, abs=0.01)


def test_infinite_samples_leave_no_generalisation_gap():
    run = march(ds.deep_linear(2), 20, samples_per_dim=np.inf)
    np.testing.assert_allclose(run.train_loss, run.test_loss, rtol=1e-13)
    batch, online = (march(ds.deep_linear(2), 20, t, samples_per_dim=np.inf) for t in (None, ds.OnlineSGD()))
    np.testing.assert_allclose(batch.test_loss, online.test_loss, rtol=1e-13)


@pytest.mark.parametrize("depth", [1, 2])
def test_infinitely_wide_networks_do_not_feel_their_initial_output(depth):
    """``nu = inf``: the response of v to the noise of W0^T vanishes."""
    run = march(ds.deep_linear(depth), 15, width_per_dim=np.inf)
    assert float(np.abs(run.R_v).max()) == 0
    assert float(run.test_loss[0, 0]) == pytest.approx(1 + BASE["label_noise"] ** 2, rel=1e-14)


def test_lazy_limit_is_a_static_kernel():
    """Small richness at infinite width: linear regression with the kernel of the initial network, ``L + 1``."""
    depth, steps, eta = 2, 30, 0.01
    regression = march(ds.deep_linear(0), steps, learning_rate=(depth + 1) * eta)
    gaps = []
    for richness in (0.1, 0.05, 0.025):
        lazy = march(ds.deep_linear(depth), steps, richness=richness, width_per_dim=np.inf, learning_rate=eta)
        gaps.append(float(np.abs(lazy.test_loss - regression.test_loss).max()))
    assert gaps[-1] < 1e-4
    slope = np.polyfit(np.log([0.1, 0.05, 0.025]), np.log(gaps), 1)[0]
    assert slope == pytest.approx(2, abs=0.02)


def first_online_step(eta, nu, alpha, gamma):
    """``C_v(1,1) / C_v(0,0)`` of one hidden layer without label noise, from moments of Wishart matrices.

    ``Delta(1) = (1 - eta M S - a S) Delta(0)`` with ``M = W0^T W0 / nu`` at initialization, ``S = X^T X / alpha`` of
    the fresh batch, ``a = eta - eta^2/nu`` from the readout's own step, and ``Delta(0) = beta* - W0^T w / (gamma nu)``.
    """
    a = eta - eta**2 / nu
    start = 1 / (gamma**2 * nu)
    norm = 1 + start
    first = 1 + start * (1 + 1 / nu)
    second = 1 + 1 / nu + start * (1 + 3 / nu + 1 / nu**2)
    total = norm - 2 * eta * first - 2 * a * norm
    total += eta**2 * (second + norm * (1 + 1 / nu) / alpha)
    total += 2 * eta * a * (first + norm / alpha) + a**2 * norm * (1 + 1 / alpha)
    return total / norm


@pytest.mark.parametrize(
    ("eta", "nu", "alpha", "gamma"), [(0.07, 0.6, 0.5, 1.3), (0.3, 2.0, 3.0, 0.4), (0.9, 0.3, 1.0, 5.0)]
)
def test_first_step_of_online_training(eta, nu, alpha, gamma):
    """A polynomial in eta0, 1/nu and 1/alpha_B (arXiv:2502.02531, appendix D)."""
    run = march(
        ds.deep_linear(1), 2, ds.OnlineSGD(), samples_per_dim=alpha, width_per_dim=nu, richness=gamma,
        learning_rate=eta, label_noise=0.0,
    )  # fmt: skip
    ratio = float(run.C_v[1, 0, 1, 0] / run.C_v[0, 0, 0, 0])
    assert ratio == pytest.approx(first_online_step(eta, nu, alpha, gamma), rel=1e-13)


def test_feature_kernel_of_gradient_flow():
    """Two layers, infinitely wide, whitened data: ``H -> I + (sqrt(1 + gamma0^2 y^2) - 1) yy^T / y^2``.

    Here y = beta* has norm one, ``w`` learns the same amount by balance, and ``w(inf)^2 = H_yy``.
    """
    gamma0, rates = 1.5, (0.08, 0.04, 0.02)
    found = []
    for eta in rates:
        run = march(
            ds.deep_linear(1), round(5 / eta), width_per_dim=np.inf, samples_per_dim=np.inf, richness=gamma0,
            learning_rate=eta, label_noise=0.0,
        )  # fmt: skip
        found.append(float(run.C_g.isel(layer=0, step=-1, output=0, step2=-1, output2=0)))
    limit = np.sqrt(1 + gamma0**2)
    errors = [abs(value - limit) for value in found]
    assert errors[-1] < 0.01 * limit
    # first order in the step of the flow
    assert np.polyfit(np.log(rates), np.log(errors), 1)[0] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("depth", [1, 3])
def test_parametrizations_differ_by_a_rescaling_of_richness(depth):
    nu = 0.4
    mup = march(ds.deep_linear(depth), 20, width_per_dim=nu, richness=2.0)
    ntk = march(ds.deep_linear(depth, 1, ds.NTK), 20, width_per_dim=nu, richness=2.0 * np.sqrt(nu))
    for name in mup:
        np.testing.assert_allclose(mup[name], ntk[name], rtol=1e-13, atol=1e-13)


def test_momentum_and_decay_at_zero_are_plain_descent():
    training = ds.GradientDescent(momentum=0.5, weight_decay=0.1)
    plain = march(ds.deep_linear(2), 15)
    memory = march(ds.deep_linear(2), 15, training, momentum=0.0, weight_decay=0.0)
    np.testing.assert_allclose(plain.test_loss, memory.test_loss, rtol=1e-14)


@pytest.mark.parametrize(("momentum", "decay"), [(0.9, 0.1), (0.4, 0.0), (0.0, 0.05), (0.3, 0.2)])
def test_linear_regression_with_memory(momentum, decay):
    """One mode at a time: the recursion of the optimizer over the Marchenko-Pastur law (m = 1 - l included)."""
    eta, alpha, steps = 0.1, 2.0, 12
    training = ds.GradientDescent(momentum=momentum, weight_decay=decay)
    run = march(ds.deep_linear(0), steps, training, samples_per_dim=alpha, learning_rate=eta, label_noise=0.0)

    def error(point):
        beta, velocity = mp.mpf(0), mp.mpf(0)
        for _ in range(steps - 1):
            velocity = momentum * velocity + eta * point * (1 - beta)
            beta = (1 - decay) * beta + velocity
        return (1 - beta) ** 2

    assert float(run.test_loss[-1, 0]) == pytest.approx(float(marchenko_pastur(alpha, error)), abs=1e-10)


def rotated(run, name, rotation):
    values = run[name].transpose(..., "step", "output", "step2", "output2").values
    return np.einsum("ac,...tcsd,bd->...tasb", rotation, values, rotation)


def test_outputs_may_be_rotated():
    """Teachers and readouts are isotropic: no order parameter has a preferred basis of outputs."""
    run = march(ds.deep_linear(2, 3), 12)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    for name in run:
        if name.startswith(("C_", "R_")):
            values = run[name].transpose(..., "step", "output", "step2", "output2").values
            np.testing.assert_allclose(rotated(run, name, rotation), values, atol=1e-12)


def test_unrolled_network_is_the_same():
    """The scan of symbolic depth at L = 3, and three matrices written out by hand."""

    def by_hand(net, x):
        n = net.hidden("N")
        h = x
        for name, source in (("W0", net.inputs), ("W1", n), ("W2", n)):
            h = (net.matrix(name, source, n) @ h).named(f"h{name[1]}")
        return net.readout("w", h)

    scan = march(ds.deep_linear(3, 2), 15)
    hand = march(ds.network(by_hand, outputs=2), 15)
    for loss in ("train_loss", "test_loss"):
        np.testing.assert_allclose(hand[loss], scan[loss], rtol=1e-13)
    for layer in (1, 2, 3):
        for family in "hg" if layer < 3 else "g":  # alone, the last field is no operand of a matrix
            one, other = hand[f"C_{family}{layer - 1}"], scan[f"C_{family}"].sel(layer=layer)
            np.testing.assert_allclose(one.values, other.values, rtol=0, atol=1e-13 * float(abs(other).max()))
    for layer in (1, 2):
        other = scan.R_h.sel(layer=layer)
        np.testing.assert_allclose(hand[f"R_h{layer - 1}"].values, other.values, rtol=0, atol=1e-13)
    for layer in (1, 2, 3):
        other = scan.R_g.sel(layer=layer)
        np.testing.assert_allclose(hand[f"R_g{layer - 1}"].values, other.values, rtol=0, atol=1e-13)


def test_split_product_is_the_same():
    """``W h = W (h/2) + W (h/2)``: one use or two of the same matrix."""

    def split(net, x):
        n = net.hidden("N")
        h = net.matrix("A", net.inputs, n) @ x
        w = net.matrix("W", n, n)
        halves = [(sp.Rational(k, 5) * h).named(f"part{k}") for k in (2, 3)]
        return net.readout("w", w @ halves[0] + w @ halves[1])

    two, plain = march(ds.network(split), 15), march(ds.deep_linear(2), 15)
    for loss in ("train_loss", "test_loss"):
        np.testing.assert_allclose(two[loss], plain[loss], rtol=1e-12)
