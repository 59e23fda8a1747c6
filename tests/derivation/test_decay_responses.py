"""Responses under weight decay are to the Gaussian fields with what decay has left of them (theory, section 2)."""

from __future__ import annotations

import numpy as np
import pytest
from averages import response

import dmft_sym as ds
from dmft_sym.execution import run_coordinates
from dmft_sym.solvers.arguments import run_arguments

STEPS, DECAY = 6, 0.15  # rho = 0.44 at the last step
PHYSICS = {"samples_per_dim": 2.0, "width_per_dim": 0.8, "richness": 1.5, "learning_rate": 0.2, "label_noise": 0.3}
TRAININGS = {
    "decay": ds.GradientDescent(weight_decay=DECAY),
    "momentum": ds.GradientDescent(momentum=0.4, weight_decay=DECAY),
    "online": ds.OnlineSGD(weight_decay=DECAY),
    "plain": ds.GradientDescent(),
}


def theory_of(name, depth=1):
    return ds.derive(ds.deep_linear(depth), training=TRAININGS[name])


def two_times(array):
    return array.isel(output=0, output2=0).values


@pytest.mark.parametrize("name", TRAININGS)
def test_the_response_at_equal_times_does_not_decay(name):
    """``R_v(t, t) = -1/(gamma nu)``: q(t) is the predictor's Gaussian field itself, whatever is left of it."""
    run = theory_of(name).compile("numpy")(steps=STEPS, **PHYSICS)
    expected = -1 / (PHYSICS["richness"] * PHYSICS["width_per_dim"])
    np.testing.assert_allclose(np.diag(two_times(run.R_v)), expected, rtol=1e-12)


@pytest.mark.parametrize("name", TRAININGS)
def test_responses_are_those_of_coordinates(name):
    theory = theory_of(name, depth=2)
    run = theory.compile("numpy")(steps=STEPS, outputs=2, **PHYSICS)
    arguments = run_arguments(theory, STEPS, {**PHYSICS, "outputs": 2})
    program = theory.program
    result = run_coordinates(program, arguments.values, 2, STEPS, tol=1e-14, record_steps=range(STEPS))
    refs = {str(ref): ref for ref in result.fields}
    pairs = [
        (run.R_v, "v", "g[1]", ("W0", None)),
        (run.R_g.sel(layer=1), "g[1]", "v", ("W0", None)),
        (run.R_h.sel(layer=1), "h[1]", "g[2]", ("W", 1)),
        (run.R_g.sel(layer=2), "g[2]", "h[1]", ("W", 1)),
    ]
    for reported, row, operand, matrix in pairs:
        expected = response(result, refs[row], refs[operand], matrix)
        scale = abs(expected).max()
        np.testing.assert_allclose(reported.values, expected, rtol=0, atol=1e-4 * scale, err_msg=row)


def finite_responses(dim, seed, decay):
    """Estimates of ``R_g`` and ``R_v``: the network is run with small sources in its products and without them."""
    rng = np.random.default_rng(seed)
    width, samples = round(dim * PHYSICS["width_per_dim"]), round(dim * PHYSICS["samples_per_dim"])
    draws = {name: rng.standard_normal(shape) for name, shape in {
        "W": (width, dim), "w": width, "X": (samples, dim), "beta": dim, "eps": samples,
    }.items()}  # fmt: skip
    in_h, in_q = rng.standard_normal((STEPS, width)), rng.standard_normal((STEPS, dim))
    small = 1e-4
    above, below = (finite_run(draws, decay, sign * small * in_h, sign * small * in_q) for sign in (1, -1))
    g, v = ((a - b) / (2 * small) for a, b in zip(above, below, strict=True))
    return g @ in_h.T / width, v @ in_q.T / dim


def finite_run(draws, decay, in_h, in_q):
    """One hidden layer as written in section 2 of the theory, with sources added to ``h`` and to ``q``."""
    W, w, X = draws["W"].copy(), draws["w"].copy(), draws["X"]
    dim, alpha, nu = W.shape[1], PHYSICS["samples_per_dim"], PHYSICS["width_per_dim"]
    gamma, eta = PHYSICS["richness"], PHYSICS["learning_rate"]
    g, v = [], []
    for step in range(STEPS):
        q = W.T @ w / np.sqrt(dim) + in_q[step]
        r = X @ (draws["beta"] - q / (gamma * nu)) / np.sqrt(dim) + PHYSICS["label_noise"] * draws["eps"]
        g.append(w.copy())
        v.append(X.T @ r / np.sqrt(dim) / alpha)
        h = W @ v[-1] / np.sqrt(dim) + in_h[step]
        W = (1 - decay) * W + eta * gamma / np.sqrt(dim) * np.outer(w, v[-1])
        w = (1 - decay) * w + eta * gamma * h
    return np.array(g), np.array(v)


@pytest.mark.parametrize("name", ["decay", "plain"])
def test_responses_are_those_of_finite_networks(name):
    """Within four standard errors and an allowance for corrections of order 1/D, with a coefficient of order one."""
    dim, seeds = 600, 16
    run = theory_of(name).compile("numpy")(steps=STEPS, **PHYSICS)
    decay = TRAININGS[name].weight_decay
    measured = [finite_responses(dim, seed, decay) for seed in range(seeds)]
    for reported, values in zip((run.R_g.sel(layer=1), run.R_v), zip(*measured, strict=True), strict=True):
        mean, error = np.mean(values, 0), np.std(values, 0, ddof=1) / np.sqrt(seeds)
        theory = two_times(reported)
        scale = abs(theory).max()
        assert abs(mean - theory).max() < 4 * error.max() + 5 / dim * scale
        assert 4 * error.max() < 0.15 * scale  # the measurement would see a missing factor of rho


@pytest.mark.parametrize(("dtype", "last"), [("float64", 290), ("float32", 30)])
def test_decay_that_leaves_nothing_has_no_response(dtype, last):
    """``rho(s) = 10**-s`` next to the smallest number: there is no field to respond to."""
    theory = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(weight_decay=0.9))
    run = theory.compile("numpy")(steps=300, dtype=dtype, **PHYSICS)
    diagonal = np.diag(two_times(run.R_v))
    np.testing.assert_allclose(diagonal[:last], diagonal[0], rtol=1e-5)
    assert np.isnan(diagonal[last + 5 :]).all()
    assert np.isfinite(run.R_r).all()  # the data do not decay
