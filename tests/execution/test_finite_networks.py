"""Finite networks against the infinite one, with z-scores at fixed seeds.

Random vectors have their norms normalised; what remains between a mean over seeds and the limit is allowed to be 4
standard errors plus ``2/D`` of the loss (the ``O(1/D)`` correction of a finite network).
"""

from __future__ import annotations

import numpy as np
import pytest
from averages import correlation, field
from execution_support import program, values, worst_z

from dmft_sym.execution import finite_memory, run_coordinates, run_finite
from dmft_sym.networks import GradientDescent, OnlineSGD, deep_linear, network
from dmft_sym.support.outcomes import Failure


def residual(net, x):
    """``h -> h + (b/sqrt(L)) W h``."""
    n = net.hidden("N")
    weights = net.matrix("W", n, n, layers=(1, net.depth))
    start = net.matrix("W0", net.inputs, n) @ x
    branch = 0.8 / net.depth**0.5
    h = net.scan(lambda layer, h: h + branch * (weights[layer] @ h), start, layers=(1, net.depth))
    return net.readout("w", h)


def weight_tied(net, x):
    """The same hidden matrix at every layer."""
    n = net.hidden("N")
    tied = net.matrix("W", n, n)
    start = net.matrix("W0", net.inputs, n) @ x
    h = net.scan(lambda layer, h: tied @ h, start, layers=(1, net.depth))
    return net.readout("w", h)


def input_skip(net, x):
    """A hidden path, and the input again at the second layer; unequal widths."""
    n, m = net.hidden("N"), net.hidden("M", 0.5)
    h = net.matrix("A", net.inputs, n) @ x
    return net.readout("w", net.matrix("B", n, m) @ h + 0.5 * (net.matrix("S", net.inputs, m) @ x))


def branches(net, x):
    """Two parallel paths with readouts of their own, one of them straight from the input."""
    n, m = net.hidden("N"), net.hidden("M", 2)
    h = net.matrix("A", net.inputs, n) @ x
    k = net.matrix("B", net.inputs, m) @ x
    return net.readout("w", h) + 0.5 * net.readout("z", k) + net.readout("s", x, init=0)


NETWORKS = [residual, weight_tied, input_skip, branches]


@pytest.mark.parametrize("forward", NETWORKS, ids=lambda forward: forward.__name__)
@pytest.mark.parametrize("online", [False, True], ids=["batch", "online"])
def test_networks_written_here(forward, online):
    prog = program(network(forward), OnlineSGD() if online else GradientDescent())
    numbers = values(depth=2, eta=0.05, nu=0.75, alpha=2.0)
    assert worst_z(prog, numbers, dim=300, seeds=16, steps=15) < 4


@pytest.mark.parametrize(
    ("training", "changes"),
    [
        (GradientDescent(), {}),
        (GradientDescent(momentum=0.8), {"momentum": 0.8, "eta": 0.02}),
        (GradientDescent(weight_decay=0.02), {"decay": 0.02}),
        (GradientDescent(momentum=0.8, weight_decay=0.02), {"momentum": 0.8, "decay": 0.02, "eta": 0.02}),
        (OnlineSGD(momentum=0.5, weight_decay=0.01), {"momentum": 0.5, "decay": 0.01, "alpha": 0.5, "eta": 0.03}),
    ],
    ids=["plain", "momentum", "decay", "both", "online"],
)
def test_optimizers(training, changes):
    assert worst_z(program(None, training), values(**changes), dim=400, seeds=16) < 4


def test_several_outputs():
    assert worst_z(program(), values(depth=1), dim=300, seeds=16, outputs=3) < 4


def test_small_initialization_in_single_precision():
    assert worst_z(program(), values(s2=0.5, depth=3), dim=400, seeds=16, dtype=np.float32) < 4


def test_two_time_correlations():
    numbers, recorded, seeds = values(depth=2), [0, 5, 19], 16
    infinite = run_coordinates(program(), numbers, 1, 20, record_steps=recorded)
    runs = [
        run_finite(program(), numbers, 1, 20, 300, seed, normalise=True, record_steps=recorded) for seed in range(seeds)
    ]
    for ref in infinite.fields:
        theory = correlation(infinite, ref)
        sample = np.array([correlation(run, ref) for run in runs])
        error = sample.std(axis=0, ddof=1) / np.sqrt(seeds) + 2 / 300 * np.abs(theory).max() / 4
        assert (np.abs(sample.mean(axis=0) - theory) < 4 * error).all(), ref


def test_linear_regression_of_one_step():
    """After one step the weights are ``eta0 v(0)``: the step of the program is the step of the formula."""
    prog = program(deep_linear(0))
    run = run_finite(prog, values(), 1, 2, 50, 0, record_steps=[0, 1])
    moved = run.fields[field(run, "Delta")][0] - run.fields[field(run, "Delta")][1]
    np.testing.assert_allclose(moved, 0.05 * run.fields[field(run, "v")][0], rtol=1e-12)


def test_seeds_repeat_and_differ():
    first, again, other = (
        run_finite(program(), values(), 1, 5, 60, seed).observables["test_loss"] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_divergence_is_named():
    run = run_finite(program(), values(eta=3.0), 1, 100, 60, 0)
    assert run.outcome.failure is Failure.DIVERGED
    assert len(run.observables["train_loss"]) == run.outcome.step < 100


def test_infinite_ratios_are_refused():
    with pytest.raises(ValueError, match=r"space P is infinite.*coordinates"):
        run_finite(program(), values(alpha=np.inf), 1, 5, 60, 0)


def test_progress_is_reported():
    seen = []
    run_finite(program(), values(), 1, 4, 30, 0, progress=seen.append)
    assert seen == [1, 2, 3, 4]


def test_memory_of_matrices():
    """One hidden layer: ``W0`` with its momentum buffer and ``X``."""
    prog = program(None, GradientDescent(momentum=0.5))
    numbers = values(depth=1, momentum=0.5)
    assert finite_memory(prog, numbers, 1, 100, np.float32) == 4 * (2 * 70 * 100 + 200 * 100)
