"""The infinite network in growing coordinates: reference numbers, closed forms, limits, tolerance."""

from __future__ import annotations

import numpy as np
import pytest
from averages import correlation, field, response
from execution_support import REFERENCE, program, reference_run, values

from dmft_sym.execution import run_coordinates
from dmft_sym.networks import GradientDescent, OnlineSGD, deep_linear, network
from dmft_sym.support.outcomes import Failure


@pytest.mark.parametrize("case", REFERENCE, ids=lambda case: case["name"])
def test_reference_losses_and_correlations(case):
    run = reference_run(case, tol=1e-10)
    for kind in ("train", "test"):
        found = run.observables[f"{kind}_loss"][case["times"]]
        np.testing.assert_allclose(found, case[kind], rtol=0, atol=1e-7)
    depth = case["parameters"]["depth"]
    forward = [field(run, "v")] + [field(run, "h", layer) for layer in range(1, depth + 1)]
    backward = [field(run, "g", layer) for layer in range(1, depth + 1)]
    for fields, key in ((forward, "C_h_last"), (backward, "C_g_last")):
        for ref, row in zip(fields, case[key], strict=True):
            found = correlation(run, ref)[-1, -1].ravel()
            np.testing.assert_allclose(found, row, rtol=0, atol=1e-7 * np.abs(row).max())


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_initial_losses(depth):
    numbers = values(depth=depth, s2=0.8, gamma=1.3, nu=0.6)
    run = run_coordinates(program(), numbers, outputs=2, steps=1)
    expected = 1 + 0.8 ** (depth + 1) / (1.3**2 * 0.6) + 0.3**2
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(run.observables[name], np.full((1, 2), expected), rtol=1e-13)


def marchenko_pastur(alpha, function):
    """``int rho(l) function(l)`` for the eigenvalues of ``X^T X / P``, without the atom at 0."""
    edges = (1 + np.array([-1, 1]) / np.sqrt(alpha)) ** 2
    angles = (np.arange(2000) + 0.5) * np.pi / 2000
    point = edges.mean() - np.diff(edges) / 2 * np.cos(angles)
    weight = alpha / (2 * np.pi * point) * (np.diff(edges) / 2 * np.sin(angles)) ** 2
    return float(np.sum(weight * function(point)) * np.pi / 2000)


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_linear_regression_follows_marchenko_pastur(alpha):
    eta, noise, steps = 0.1, 0.3, 40
    numbers = values(alpha=alpha, eta=eta, label_noise=noise)
    run = run_coordinates(program(deep_linear(0)), numbers, outputs=1, steps=steps, tol=1e-12)
    atom = max(0.0, 1 - alpha)
    for t in range(steps):
        bias = marchenko_pastur(alpha, lambda point, t=t: (1 - eta * point) ** (2 * t)) + atom
        variance = marchenko_pastur(alpha, lambda point, t=t: (1 - (1 - eta * point) ** t) ** 2 / point)
        expected = bias + noise**2 / alpha * variance + noise**2
        assert run.observables["test_loss"][t, 0] == pytest.approx(expected, abs=1e-10)


def test_error_falls_with_the_tolerance():
    case = REFERENCE[2]
    exact = reference_run(case, tol=1e-12).observables["test_loss"]
    errors = [np.abs(reference_run(case, tol).observables["test_loss"] - exact).max() for tol in (1e-3, 1e-5, 1e-7)]
    assert errors[0] < 1e-2
    assert errors[1] < 1e-2 * errors[0]
    assert errors[2] < 1e-2 * errors[1]


def test_bases_saturate():
    """Doubling the time adds few directions, and ever fewer."""
    ranks = run_coordinates(program(), values(eta=0.02), outputs=1, steps=3201, tol=1e-6).ranks
    for rank in ranks.values():
        assert rank[3200] - rank[1600] < rank[400] - rank[200] < 0.3 * rank[200]


def test_infinite_width_and_infinite_samples_are_limits():
    for key in ("nu", "alpha"):
        losses = [
            run_coordinates(program(), values(**{key: size}), 1, 30, tol=1e-11).observables["test_loss"]
            for size in (1e4, 1e6, np.inf)
        ]
        gaps = [np.abs(loss - losses[-1]).max() for loss in losses]
        assert gaps[1] < 2e-2 * gaps[0] < 2e-3


def test_width_and_samples_may_both_be_infinite():
    """Population gradient flow of a wide network: no randomness is left but that of the initial weights."""
    run = run_coordinates(program(), values(nu=np.inf, alpha=np.inf, label_noise=0.2), 1, 30, tol=1e-10)
    np.testing.assert_allclose(run.observables["train_loss"], run.observables["test_loss"], rtol=1e-10)
    assert run.observables["test_loss"][0, 0] == pytest.approx(1 + 0.2**2)


def test_infinite_ratio_without_a_limit_is_refused():
    with pytest.raises(ValueError, match=r"not finite for nu = inf.*finite value"):
        run_coordinates(program(deep_linear(0)), values(nu=np.inf), 1, 5)


@pytest.mark.parametrize("eta", [3.0, 1e200])
@pytest.mark.parametrize("depth", [0, 2])
def test_divergence_is_named_with_its_step(eta, depth):
    numbers = values(eta=eta)
    run = run_coordinates(program(deep_linear(depth)), numbers, outputs=1, steps=100)
    assert run.outcome.failure is Failure.DIVERGED
    step = run.outcome.step
    assert 0 < step < 100
    assert f"step {step}" in str(run.outcome)
    assert run.observables["train_loss"].shape == (step, 1)
    assert np.isfinite(run.observables["train_loss"]).all()


def test_oscillating_run_finishes():
    numbers = values(depth=3, nu=1.0, alpha=2.0, gamma=15.0, eta=0.012)
    run = run_coordinates(program(), numbers, outputs=1, steps=60)
    assert run.outcome.completed


def test_outputs_are_equivalent():
    """Outputs have independent teachers of the same law: all have the same losses and overlaps."""
    run = run_coordinates(program(), values(depth=1), outputs=3, steps=25, tol=1e-11, record_steps=[0, 10, 24])
    loss = run.observables["test_loss"]
    np.testing.assert_allclose(loss, np.broadcast_to(loss[:, :1], loss.shape), rtol=1e-9)
    overlap = correlation(run, field(run, "h", 1))
    order = [2, 0, 1]
    relabelled = overlap[:, order][:, :, :, order]
    np.testing.assert_allclose(relabelled, overlap, atol=1e-9)


def test_switched_off_optimizer_is_gradient_descent():
    """Without momentum and decay the general optimizer is plain gradient descent."""
    general = program(None, GradientDescent(momentum=0.5, weight_decay=0.5))
    switched_off = run_coordinates(general, values(momentum=0.0, decay=0.0), 1, 30)
    plain = run_coordinates(program(), values(), 1, 30)
    np.testing.assert_array_equal(switched_off.observables["test_loss"], plain.observables["test_loss"])


def test_single_precision_agrees_to_its_rounding():
    double = run_coordinates(program(), values(), 1, 40, tol=1e-9).observables["test_loss"]
    single = run_coordinates(program(), values(), 1, 40, tol=1e-5, dtype=np.float32).observables["test_loss"]
    np.testing.assert_allclose(single, double, rtol=2e-5)


def exact_responses(training, steps, tol, **changes):
    numbers = values(depth=1, nu=0.7, alpha=1.5, eta=0.2, s2=0.8, **changes)
    return run_coordinates(program(None, training), numbers, 1, steps, tol=tol, record_steps=range(steps))


@pytest.mark.parametrize("training", [GradientDescent(), OnlineSGD()], ids=["batch", "online"])
def test_responses_satisfy_the_averaging_rule(training):
    """``<h g> = s2 C_v R_g^T + (s2 R_v + eta0 gamma S o C_v) C_g`` (Stein's identity on ``h = u + A g``)."""
    run = exact_responses(training, 8, tol=1e-13)
    v, h, g = field(run, "v"), field(run, "h", 1), field(run, "g", 1)

    def c(a, b):
        return correlation(run, a, b)[:, 0, :, 0]

    r_v = response(run, v, g, ("W0", None))[:, 0, :, 0]
    r_g = response(run, g, v, ("W0", None))[:, 0, :, 0]
    np.testing.assert_allclose(np.diag(r_v), -1 / (2.0 * 0.7), rtol=1e-10)  # equal time: -1/(gamma nu)
    for matrix in (np.triu(r_v, 1), np.triu(r_g)):
        np.testing.assert_allclose(matrix, 0, atol=1e-10)
    memory = 0.8 * r_v + 0.2 * 2.0 * np.tril(c(v, v), -1)
    np.testing.assert_allclose(c(h, g), 0.8 * c(v, v) @ r_g.T + memory @ c(g, g), atol=1e-10)


def test_responses_with_momentum_and_decay():
    """The same identity with the optimizer's kernel and the retention of the initial matrix."""
    momentum, decay, steps = 0.5, 0.05, 8
    training = GradientDescent(momentum=momentum, weight_decay=decay)
    run = exact_responses(training, steps, tol=1e-13, momentum=momentum, decay=decay)
    v, h, g = field(run, "v"), field(run, "h", 1), field(run, "g", 1)
    r_v, r_g = (
        response(run, v, g, ("W0", None))[:, 0, :, 0],
        response(run, g, v, ("W0", None))[:, 0, :, 0],
    )
    c_v, c_g, c_hg = (correlation(run, a, b)[:, 0, :, 0] for a, b in ((v, v), (g, g), (h, g)))
    t = np.arange(steps)
    lag = np.maximum(t[:, None] - t, 0)
    kernel = ((1 - decay) ** lag - momentum**lag) / (1 - decay - momentum)
    retention = np.outer((1 - decay) ** t, (1 - decay) ** t)
    memory = 0.8 * retention * r_v + 0.2 * 2.0 * kernel * c_v
    np.testing.assert_allclose(c_hg, (0.8 * retention * c_v) @ r_g.T + memory @ c_g, atol=1e-9)


def test_responses_of_slow_fields_are_refused():
    numbers = values(depth=1, eta=0.001)
    run = run_coordinates(program(), numbers, 1, 30, tol=1e-8, record_steps=range(30))
    with pytest.raises(ValueError, match="condition number"):
        response(run, field(run, "v"), field(run, "g", 1), ("W0", None))


def test_fields_of_different_layers_are_orthogonal():
    run = run_coordinates(program(), values(), 1, 5, record_steps=[0, 4])
    assert not correlation(run, field(run, "h", 1), field(run, "h", 2)).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, r"steps = 0: allowed is an integer >= 1"),
        ({"outputs": 1.5}, r"outputs = 1.5"),
        ({"tol": 1e-17}, r"tol = 1e-17"),
        ({"record_steps": [10]}, r"record_steps: 10 is not a step"),
        ({"values": values(nu=np.nan)}, r"nu = nan"),
        ({"values": {}}, r"no value given for L"),
    ],
)
def test_bad_input_gets_one_line(changes, message):
    arguments = {"program": program(), "values": values(), "outputs": 1, "steps": 10, **changes}
    with pytest.raises(ValueError, match=message) as error:
        run_coordinates(**arguments)
    assert "\n" not in str(error.value)


def test_infinite_width_into_the_input_space_is_refused():
    def back_and_forth(net, x):
        n = net.hidden("N")
        back = net.matrix("B", n, net.inputs) @ (net.matrix("A", net.inputs, n) @ x)
        return net.readout("w", net.matrix("E", net.inputs, n) @ back)

    with pytest.raises(ValueError, match=r"not finite for nu = inf"):
        run_coordinates(program(network(back_and_forth)), values(nu=np.inf), 1, 3)
