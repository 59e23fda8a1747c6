"""Long runs on given samples with momentum, weight decay and both: sampled sites, exact coordinates, two-time rows.

A replica knows its matrices on the directions that they were applied to. What a long run knows in the end is one
matrix, and the network that stores it, trained with the closed form of the optimizer, has to have taken the same steps.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import sympy as sp
from dmft_sym.codegen.programs.sampled import write
from samples_and_scores import made_samples

import dmft_sym as ds
from dmft_sym.cache.modules import load_module, program_key
from dmft_sym.execution.replicas import run_replicas
from dmft_sym.solvers.arguments import run_arguments

MEMORIES = {"momentum": (0.5, 0.0), "decay": (0.0, 0.02), "both": (0.5, 0.01)}
STEPS, DEPTH, SITES = 72, 3, 600  # more steps, directions and sites than any block or table has at first
DATA = made_samples(21, 3)
PHYSICS = {"richness": 2.0, "learning_rate": 0.1}
BOTH = ds.GradientDescent(momentum=0.5, weight_decay=0.01)  # one program, and one solver, for all
ACTIVATION = "h*tanh(h) + h/3"


def kernel_of(momentum, decay, lag):
    """``kappa``: what a past increment is worth after so many steps."""
    return ((1 - decay) ** lag - momentum**lag) / (1 - decay - momentum)


@cache
def replica_of(memory, compiled):
    """Outputs of a replica of which nothing is dropped, its first fields, and its matrices in the end."""
    theory = ds.derive(ds.mlp(DEPTH, ACTIVATION), data=DATA, training=BOTH)
    parameters = PHYSICS | dict(zip(("momentum", "weight_decay"), MEMORIES[memory], strict=True))
    generated = None
    if compiled:
        key = program_key(str(theory.program), "sampled")
        generated = load_module(key, "sampled", lambda: write(theory.program, alone=False))
    views = {}

    def keep(replica, view):
        fields = {key: np.array(rows) for key, rows in view.fields.items()}
        parts = {
            layer: [np.array(part) for part in (m.directions, m.images, m.back_directions, m.back_images)]
            for (_, layer), m in view.matrices.items()
        }
        views[view.step] = fields, parts

    (found,) = run_replicas(
        generated, theory.program, run_arguments(theory, STEPS, parameters).values, 1, STEPS, SITES, 1, 5,
        tol=1e-10, data=DATA.given, pauses=(0, STEPS - 1), inspect=keep,
    )  # fmt: skip
    return found.scalars["f"][..., 0], views[0][0], views[STEPS - 1][1]


def stored(directions, images, back_directions, back_images):
    """The matrix with these images, and with none of what it was not applied to."""
    sites = directions.shape[1]
    rest = back_images - back_images @ directions.T / sites @ directions
    return (images.T @ directions + back_directions.T @ rest) / sites


def activated(h):
    """The activation and its derivative."""
    bent = np.tanh(h)
    return h * bent + h / 3, bent + h * (1 - bent**2) + 1 / 3


def outputs_of(matrices, fields, momentum, decay):
    """``f`` of the network with these initial matrices: every trained weight is a sum over the past."""
    gamma, eta = PHYSICS["richness"], PHYSICS["learning_rate"]
    start, readout = fields["h", 1], fields["z", DEPTH][:1]
    past, found = [], []  # of every step: errors, features and gradients of all layers
    for t in range(STEPS):
        left = (1 - decay) ** t
        weights = [eta * gamma / DATA.count * kernel_of(momentum, decay, t - s) * p[0] for s, p in enumerate(past)]

        def memory(overlaps, fields_of, weights=weights):
            """``sum_s kappa c_nu(s) <.. ..> field_nu(s)``."""
            terms = (overlaps(p) * w @ fields_of(p) for w, p in zip(weights, past, strict=True))
            return sum(terms, np.zeros((DATA.count, SITES)))

        h = [left * start + memory(lambda p: DATA.gram, lambda p: p[2][1])]
        features, slopes = ([rows] for rows in activated(h[0]))
        for layer in range(1, DEPTH):
            now = features[-1]
            trained = memory(lambda p, k=layer, x=now: x @ p[1][k].T / SITES, lambda p, k=layer: p[2][k + 1])
            h.append(left * now @ matrices[layer].T + trained)
            for kept, rows in zip((features, slopes), activated(h[-1]), strict=True):
                kept.append(rows)
        w = left * readout + memory(lambda p: np.ones((1, DATA.count)), lambda p: p[1][DEPTH])[:1]
        f = features[-1] @ w[0] / SITES / gamma
        gradients = [np.repeat(w, DATA.count, axis=0) * slopes[-1]]
        for layer in range(DEPTH - 1, 0, -1):
            now = gradients[0]
            trained = memory(lambda p, k=layer, x=now: x @ p[2][k + 1].T / SITES, lambda p, k=layer: p[1][k])
            gradients.insert(0, (left * now @ matrices[layer] + trained) * slopes[layer - 1])
        past.append((DATA.targets[:, 0] - f, dict(enumerate(features, 1)), dict(enumerate(gradients, 1))))
        found.append(f)
    return np.array(found)


@pytest.mark.parametrize("compiled", [False, True], ids=["numpy", "numba"])
@pytest.mark.parametrize("memory", MEMORIES)
def test_a_replica_is_a_network_that_stores_what_it_knows(memory, compiled):
    f, fields, known = replica_of(memory, compiled)
    matrices = {layer: stored(*parts) for layer, parts in known.items()}
    assert min(len(parts[0]) for parts in known.values()) > 36
    expected = outputs_of(matrices, fields, *MEMORIES[memory])
    np.testing.assert_allclose(f, expected, rtol=0, atol=1e-9)  # directions shorter than 1e-10 are dropped
    assert np.abs(f).max() > 0.3  # features have moved


def bottleneck(net, x):
    """Linear, with a layer of a quarter of the width."""
    n, m = net.hidden("N"), net.hidden("M", sp.Rational(1, 4))
    h = net.matrix("B", n, m) @ (net.matrix("A", net.inputs, n) @ x)
    return net.readout("w", net.matrix("C", m, n) @ h)


def test_sampled_outliers_are_those_of_exact_coordinates():
    """Two of either matrix, within 4 standard errors, where decay has left 0.7 of the initial matrices."""
    theory = ds.derive(ds.network(bottleneck, outputs=2), data=made_samples(22, 3, 2), training=BOTH)
    solver = theory.compile("numpy")
    asked = {"matrices": ["B", "C"], "at": [40, STEPS - 1], "kernels": [], "steps": STEPS}
    physics = {"richness": 6.0, "learning_rate": 0.05, "momentum": 0.5, "weight_decay": 0.005}
    exact = solver(**asked, **physics)
    run = solver(method="conditioning", exact=False, sites=8000, replicas=8, **asked, **physics)
    assert exact.outlier.sizes == run.outlier.sizes
    assert exact.outlier.notnull().all()
    assert float((np.abs(run.outlier - exact.outlier) / run.outlier_sem).max()) < 4


@pytest.mark.parametrize("memory", MEMORIES)
def test_two_time_rows_are_those_of_coordinates(memory, tmp_path):
    """The direct solver of a linear network is exact, as coordinates are, whatever the number of steps."""
    theory = ds.derive(ds.mlp(2, "linear"), data=made_samples(23, 2), training=BOTH)
    momentum, decay = MEMORIES[memory]
    physics = {**PHYSICS, "momentum": momentum, "weight_decay": decay, "steps": STEPS, "kernels": []}
    solver = theory.compile("numpy")
    exact, direct = (solver(method=method, **physics) for method in ("conditioning", "equations"))
    np.testing.assert_allclose(direct.f, exact.f, rtol=0, atol=1e-6)  # coordinates drop what is below 1e-8
    assert np.abs(exact.f).max() > 0.3
