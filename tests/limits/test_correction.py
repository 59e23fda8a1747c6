"""The first correction of the lazy limit on given samples: equations, numbers, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from programs_with_averages import tied

import dmft_sym as ds
from dmft_sym.limits import lazy
from dmft_sym.solvers.solver import Solver

X = np.array([[1.0, 0.5, -0.3], [-0.4, 1.2, 0.8]])
Y = np.array([1.0, -1.0])


def correction(network, targets=Y, loss="squared", **training):
    data = ds.Samples(X, targets, loss=loss)
    return ds.derive(network, data=data, training=ds.GradientDescent(**training)).limit(lazy).correction


def extrapolated(theory, sizes, **arguments):
    """The coefficient of ``gamma^2`` of outputs, from runs at several sizes."""
    runs = np.array([Solver(theory, "numpy")(kernels=(), richness=size, **arguments).f.values for size in sizes])
    powers = np.array([[size ** (2 * k) for k in range(len(sizes))] for size in sizes])
    return np.linalg.solve(powers, runs.reshape(len(sizes), -1)).reshape(len(sizes), *runs.shape[1:])[1]


@pytest.mark.parametrize(
    ("network", "training"),
    [(ds.deep_linear(1), {}), (ds.deep_linear(2), {"momentum": 0.5}), (tied(lambda h: h), {})],
    ids=["depth 1", "depth 2, momentum", "tied"],
)
def test_exact_runs_of_linear_networks_have_it(network, training):
    made = correction(network, **training)
    arguments = {"steps": 5, "learning_rate": 0.2}
    found = made.solve(**arguments)
    expected = extrapolated(made.theory, (0.08, 0.16, 0.24, 0.32, 0.4), **arguments)
    np.testing.assert_allclose(found.f, expected, rtol=1e-6, atol=1e-7)
    assert np.abs(found.f).max() > 0.01


def by_overlaps(kernel, targets, rate, steps):
    """Outputs of one linear hidden layer as polynomials in ``gamma``: ``<w w>``, ``<w h>`` and ``<h h>`` are closed."""
    gamma, count = sp.Symbol("gamma"), len(targets)
    length, outputs, features = sp.Integer(1), sp.zeros(count, 1), kernel
    track = []
    for _ in range(steps):
        track.append((outputs / gamma).applyfunc(sp.expand))
        pull = rate * gamma / count * (targets - track[-1])  # w += pull . h, h += (kernel pull) w
        push = kernel * pull
        length, outputs, features = (
            length + 2 * (pull.T * outputs)[0] + (pull.T * features * pull)[0],
            outputs + features * pull + push * length + push * (outputs.T * pull)[0],
            features + push * outputs.T + outputs * push.T + push * push.T * length,
        )
        outputs = outputs.applyfunc(sp.expand)
    return track, gamma


def test_one_hidden_layer_as_polynomials():
    kernel = sp.Matrix([[2, 1], [1, 3]]) / 4
    track, gamma = by_overlaps(kernel, sp.Matrix([1, -1]), sp.Rational(1, 5), 4)
    root = np.linalg.cholesky(np.array(kernel, dtype=float)) * np.sqrt(2)
    data = ds.Samples(root, Y)
    found = ds.derive(ds.deep_linear(1), data=data).limit(lazy).correction.solve(steps=4, learning_rate=0.2)
    expected = [[float(f.coeff(gamma, 2)) for f in column] for column in track]
    np.testing.assert_allclose(found.f[..., 0], expected, rtol=1e-10, atol=1e-13)
