"""Gradient flows of programs: closed forms, gradient descent in small steps, and an independent integrator."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from execution_support import program, values
from scipy.integrate import quad, solve_ivp

import dmft_sym as ds
from dmft_sym.execution import flow_coordinates, flow_finite, run_coordinates, run_finite
from dmft_sym.support.errors import ExecutionError
from dmft_sym.support.outcomes import Failure

TIMES = [0.0, 0.3, 0.8, 2.0]
RATES = (0.02, 0.01, 0.005, 0.0025, 0.00125)


def tied(net, x):
    """The same matrix twice, and a skip around both products."""
    n = net.hidden("N")
    weights = net.matrix("W", n, n)
    h = net.matrix("W0", net.inputs, n) @ x
    return net.readout("w", h + weights @ (weights @ h))


def residual(net, x):
    n = net.hidden("N")
    weights = net.matrix("W", n, n, layers=(1, net.depth - 1))
    h = net.matrix("W0", net.inputs, n) @ x
    return net.readout("w", net.scan(lambda layer, h: h + weights[layer] @ h / net.depth, h, layers=(1, net.depth - 1)))


NETWORKS = {
    "deep linear": (ds.deep_linear(2), {}),
    "tied": (ds.network(tied), {"depth": None}),
    "residual": (ds.network(residual, depth=3), {"depth": 3}),
}


def numbers(changes, **more):
    """Values of the symbols of a network, which has no depth if that is ``None``."""
    found = values(**{**changes, **more})
    return {symbol: value for symbol, value in found.items() if value is not None}


def table(result):
    """Losses, shape (times, outputs, 2)."""
    return np.stack([result.observables[name] for name in ("train_loss", "test_loss")], -1)


def extrapolated(at_rate):
    """The limit of small rates from five of them, each half of the one before (Richardson)."""
    rows, order = [at_rate(rate) for rate in RATES], 1
    while len(rows) > 1:
        rows = [(2**order * b - a) / (2**order - 1) for a, b in pairwise(rows)]
        order += 1
    return rows[0]


SHORT, LONG = [0.0, 0.2, 0.4], pytest.param(TIMES, marks=pytest.mark.slow)


@pytest.mark.parametrize("times", [SHORT, LONG])
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_coordinates_are_the_limit_of_gradient_descent(name, centered, times):
    network, changes = NETWORKS[name]
    prog = program(network, ds.GradientDescent(centered=centered))

    def at_rate(rate):
        found = run_coordinates(prog, numbers(changes, eta=rate), 1, round(times[-1] / rate) + 1, tol=1e-11)
        return table(found)[[round(time / rate) for time in times]]

    found = flow_coordinates(prog, numbers(changes, eta=1.0), 1, times)
    assert found.outcome.completed
    np.testing.assert_allclose(table(found), extrapolated(at_rate), rtol=0, atol=1e-6)


def test_more_outputs():
    prog = program(ds.deep_linear(1))

    def at_rate(rate):
        found = run_coordinates(prog, values(depth=1, eta=rate), 2, round(SHORT[-1] / rate) + 1, tol=1e-11)
        return table(found)[[round(time / rate) for time in SHORT]]

    found = flow_coordinates(prog, values(depth=1, eta=1.0), 2, SHORT)
    assert table(found).shape == (3, 2, 2)
    np.testing.assert_allclose(table(found), extrapolated(at_rate), rtol=0, atol=1e-6)


def marchenko_pastur(alpha, noise, time):
    """Train and test loss of linear regression by gradient flow, from the spectrum of ``X^T X / P``."""
    ratio = 1 / alpha
    low, high = (1 - np.sqrt(ratio)) ** 2, (1 + np.sqrt(ratio)) ** 2

    def average(function):
        def at(angle):
            value = low + (high - low) * np.sin(angle) ** 2
            weight = (high - low) ** 2 * 2 * (np.sin(angle) * np.cos(angle)) ** 2 / (2 * np.pi * ratio * value)
            return function(value) * weight

        return quad(at, 0, np.pi / 2, epsabs=1e-13, epsrel=1e-13, limit=400)[0]

    unseen = max(0.0, 1 - alpha)
    left, taken = average(lambda x: np.exp(-2 * time * x)), average(lambda x: (1 - np.exp(-time * x)) ** 2 / x)
    fitted = average(lambda x: 1 - np.exp(-2 * time * x))
    signal = average(lambda x: x * np.exp(-2 * time * x))
    return signal + noise**2 * (1 - ratio * fitted), left + unseen + noise**2 * (1 + ratio * taken)


@pytest.mark.parametrize(("alpha", "noise"), [(2.0, 0.0), (2.0, 0.5), (0.5, 0.3)])
def test_without_hidden_layers_it_is_a_matrix_exponential(alpha, noise):
    """Every eigenvalue of the covariance of the samples relaxes by itself."""
    times = [0.0, 0.5, 2.0, 10.0, 100.0]
    symbols = values(depth=0, alpha=alpha, label_noise=noise, eta=1.0)
    found = flow_coordinates(program(ds.deep_linear(0), ds.GradientDescent()), symbols, 1, times)
    expected = [marchenko_pastur(alpha, noise, time) for time in times]
    np.testing.assert_allclose(table(found)[:, 0], expected, rtol=0, atol=1e-6)


def starting_point(prog, symbols, dim, seed):
    """Matrices and vectors of a finite network at initialization, by name."""
    seen = {}

    def keep(step, network):
        plan = network.plan
        keys = (spec.key for spec in plan.matrices)
        for (name, layer), matrix in zip(keys, network.matrices, strict=True):
            seen[f"{name}{'' if layer is None else layer}"] = matrix.copy()
        for vector, planned in zip(prog.vectors, plan.vectors, strict=True):
            seen[vector.name] = network.values[planned.slot][0].copy()

    run_finite(prog, symbols, 1, 1, dim, seed, inspect=keep)
    return seen


def test_finite_networks_follow_an_independent_integrator():
    """Two hidden layers, the gradient written by hand, by an implicit method of SciPy."""
    symbols = values(eta=1.0)
    gamma, nu, alpha, noise = 2.0, 0.7, 2.0, 0.3
    seen = starting_point(program(), symbols, 20, 5)
    W0, W1, w, beta, X, eps = (seen[name] for name in ("W0", "W1", "w", "betastar", "X", "eps"))
    shapes = [W0.shape, W1.shape, w.shape]
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])

    def parts(state):
        return (state[a:b].reshape(s) for a, b, s in zip(ends, ends[1:], shapes, strict=False))

    def fields(state):
        W0, W1, w = parts(state)
        error = beta - W0.T @ (W1.T @ w) / (gamma * nu)
        return W0, W1, w, error, X @ error + noise * eps

    def gradient(_, state):
        W0, W1, w, _, r = fields(state)
        v, g1 = X.T @ r / alpha, W1.T @ w
        h1 = W0 @ v
        changes = np.outer(g1, v) / len(v), np.outer(w, h1) / len(h1), W1 @ h1
        return gamma * np.concatenate([change.ravel() for change in changes])

    start = np.concatenate([part.ravel() for part in (W0, W1, w)])
    solution = solve_ivp(gradient, (0, TIMES[-1]), start, "DOP853", t_eval=TIMES, rtol=1e-11, atol=1e-12)
    expected = []
    for state in solution.y.T:
        *_, error, r = fields(state)
        expected.append((np.mean(r**2), np.mean(error**2) + noise**2))
    found = flow_finite(program(), symbols, 1, TIMES, 20, 5)
    np.testing.assert_allclose(table(found)[:, 0], expected, rtol=0, atol=1e-6)


def test_finite_networks_approach_the_infinite_one():
    symbols = values(eta=1.0)
    exact = table(flow_coordinates(program(), symbols, 1, TIMES))[:, 0]
    runs = [table(flow_finite(program(), symbols, 1, TIMES, 300, seed, normalise=True))[:, 0] for seed in range(6)]
    error = np.std(runs, axis=0, ddof=1) / np.sqrt(len(runs))
    assert (np.abs(np.mean(runs, axis=0) - exact) < 4 * error + 2 / 300 * exact).all()


def test_results_do_not_depend_on_the_times_asked_for():
    """What is looked at between steps leaves no trace."""
    few = flow_coordinates(program(), values(eta=1.0), 1, [0.0, 1.0, 6.0])
    many = flow_coordinates(program(), values(eta=1.0), 1, [0.0, *np.linspace(0.1, 6.0, 60)])
    assert [rank[-1] for rank in few.ranks.values()] == [rank[-1] for rank in many.ranks.values()]
    np.testing.assert_allclose(table(few)[[0, -1]], table(many)[[0, -1]], rtol=1e-12)
    np.testing.assert_allclose(table(few)[1], table(many)[10], rtol=1e-7)


@pytest.mark.parametrize("end", [100.0, pytest.param(4000.0, marks=pytest.mark.slow)])
def test_long_flows_end_at_the_minimum_with_few_directions(end):
    """Label noise that is not fitted stays, ``sigma^2 (1 - 1/alpha)``; what stages open does not grow for ever."""
    times = [0.0, 30.0, end]
    found = flow_coordinates(program(), values(eta=1.0), 1, times)
    noise, alpha = 0.3**2, 2.0
    train, test = table(found)[-1, 0]
    assert train == pytest.approx(noise * (1 - 1 / alpha), abs=1e-8)
    assert test == pytest.approx(noise * (1 + 1 / (alpha - 1)), abs=1e-8)
    for rank in found.ranks.values():
        assert rank[2] < 1.25 * rank[1]


def test_progress_and_a_limit_of_steps():
    seen = []
    flow_coordinates(program(), values(eta=1.0), 1, TIMES, progress=seen.append)
    assert seen == [1, 2, 3, 4]
    found = flow_coordinates(program(), values(eta=1.0), 1, TIMES, max_steps=10)
    assert found.outcome.failure is Failure.TOO_MANY_STEPS
    assert found.outcome.time < TIMES[1]
    assert len(table(found)) == 1


@pytest.mark.parametrize(
    "rule", [ds.GradientDescent(momentum=0.5), ds.GradientDescent(weight_decay=0.1), ds.OnlineSGD()]
)
def test_programs_of_steps_are_refused(rule):
    changes = {"momentum": 0.5} if rule.momentum else {"decay": 0.1} if rule.weight_decay else {}
    with pytest.raises(ExecutionError, match="a gradient flow: allowed are programs without momentum"):
        flow_coordinates(program(None, rule), values(eta=1.0, **changes), 1, TIMES)
