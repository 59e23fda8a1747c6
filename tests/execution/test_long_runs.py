"""Runs longer than the blocks that computations work in, with momentum, weight decay and both.

Growing coordinates keep the increments of some thirty steps as factors before they add them to their matrices, and
marches compress history in chunks of 64 steps. What goes wrong only after the first block is seen here.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from agreement import compare_routes
from execution_support import program, values
from spectrum_tracks import measured_spectra

import dmft_sym as ds
from dmft_sym.execution import run_finite
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.solvers.spectrum_routes import two_time_spectra
from dmft_sym.spectra.pencil.coordinates import coordinate_spectra

STEPS = 80
MEMORIES = {"momentum": (0.5, 0.0), "decay": (0.0, 0.02), "both": (0.5, 0.01)}
RULES = {"batch": ds.GradientDescent, "online": ds.OnlineSGD}
PHYSICS = {"samples_per_dim": 2.0, "width_per_dim": 0.7, "label_noise": 0.3}


@cache
def theory_of(batches, memory):
    momentum, decay = MEMORIES[memory]
    return ds.derive(ds.deep_linear(2), training=RULES[batches](momentum=momentum, weight_decay=decay))


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("batches", RULES)
def test_march_and_coordinates_agree(batches, memory):
    """Losses, correlations and responses; coordinates drop directions of relative length 1e-11."""
    found = compare_routes(theory_of(batches, memory), {**PHYSICS, "richness": 2.0, "learning_rate": 0.03}, STEPS)
    assert found.worst()[1] < 1e-9, found.worst()


@pytest.mark.parametrize(("batches", "memory"), [("batch", "momentum"), ("batch", "decay"), ("online", "both")])
def test_outliers_of_both_routes_agree(batches, memory):
    """Matrices of coordinates as they are inside a block, with a velocity and factors that are not added yet."""
    theory, last = theory_of(batches, memory), 59
    parameters = {**PHYSICS, "samples_per_dim": 4.0, "richness": 8.0, "learning_rate": 0.004}
    run = two_time_spectra(theory, steps=last + 1, backend="numpy", **parameters)
    arguments = run_arguments(theory, last + 1, parameters)
    asked = ["W0", "W1"], [last]
    tracks, _ = coordinate_spectra(theory.program, arguments.values, 1, last + 1, *asked, tol=1e-9, overlaps=False)
    for name, track in tracks.items():
        here, there = run.at(name, last), track.spectra[last]
        assert len(there.outliers) == 1
        assert here.edge == pytest.approx(there.edge, rel=1e-10)
        np.testing.assert_allclose(here.outliers, there.outliers, rtol=1e-9)


def kernel_of(momentum, decay, lag):
    """``kappa``: what a past increment is worth after so many steps."""
    return ((1 - decay) ** lag - momentum**lag) / (1 - decay - momentum)


def by_closed_form(seen, numbers, momentum, decay):
    """Two hidden layers whose weights are sums over the past: losses at every step, and the last ``W1``.

    ``seen`` has the initial weights and teacher, and the data and label noise of every step.
    """
    gamma, nu, alpha, eta, noise = (numbers[key] for key in ("gamma", "nu", "alpha", "eta", "label_noise"))
    W0, W1, w, beta = (seen[0][name] for name in ("W0", "W1", "w", "betastar"))
    past, losses = [], []
    for t, now in enumerate(seen):
        left = (1 - decay) ** t
        kappa = [eta * gamma * kernel_of(momentum, decay, t - s) for s in range(t)]
        trained = {name: left * start for name, start in (("W0", W0), ("W1", W1), ("w", w))}
        for k, (v, g1, h1, g2, h2) in zip(kappa, past, strict=True):
            trained["W0"] = trained["W0"] + k * np.outer(g1, v) / len(v)
            trained["W1"] = trained["W1"] + k * np.outer(g2, h1) / len(h1)
            trained["w"] = trained["w"] + k * h2
        g2 = trained["w"]
        g1 = trained["W1"].T @ g2
        error = beta - trained["W0"].T @ g1 / (gamma * nu)
        r = now["X"] @ error + noise * now["eps"]
        v = now["X"].T @ r / alpha
        h1 = trained["W0"] @ v
        past.append((v, g1, h1, g2, trained["W1"] @ h1))
        losses.append((np.mean(r**2), np.mean(error**2) + noise**2))
    return np.array(losses), trained["W1"]


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("batches", RULES)
def test_finite_networks_follow_the_closed_form_of_the_optimizer(batches, memory):
    """``W(t) = rho(t) W(0) + sum kappa(t - s) increment(s)``, with the random numbers of the network; to rounding."""
    momentum, decay = MEMORIES[memory]
    numbers = {"gamma": 2.0, "nu": 0.7, "alpha": 2.0, "eta": 0.03, "label_noise": 0.3}
    symbols = values(depth=2, momentum=momentum, decay=decay, **numbers)
    prog = program(ds.deep_linear(2), RULES[batches](momentum=momentum, weight_decay=decay))
    seen = []

    def keep(step, network):
        plan = network.plan
        found = {f"{name}{'' if layer is None else layer}": m.copy() for (name, layer), m in matrices(network)}
        found |= {v.name: network.values[p.slot][0].copy() for v, p in zip(prog.vectors, plan.vectors, strict=True)}
        seen.append(found)

    run = run_finite(prog, symbols, 1, STEPS, 40, 3, inspect=keep)
    losses, last = by_closed_form(seen, numbers, momentum, decay)
    for column, name in enumerate(("train_loss", "test_loss")):
        np.testing.assert_allclose(run.observables[name][:, 0], losses[:, column], rtol=1e-9)
    tracks, _ = measured_spectra(prog, symbols, 1, STEPS, 40, 3, ["W1"], [STEPS - 1], full=True)
    np.testing.assert_allclose(tracks["W1"].values[0], np.linalg.svd(last, compute_uv=False), rtol=1e-9, atol=1e-12)


def matrices(network):
    return zip((spec.key for spec in network.plan.matrices), network.matrices, strict=True)
