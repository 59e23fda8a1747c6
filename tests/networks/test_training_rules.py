"""Training rules: what is allowed, and runs of all methods against trainers that are written out here."""

from __future__ import annotations

import numpy as np
import pytest

import dmft_sym as ds
from dmft_sym.program import ProgramError
from dmft_sym.spec.objects import training_of
from dmft_sym.spec.reading import SpecError, parse_spec

PHYSICS = {"samples_per_dim": 3.0, "width_per_dim": 0.8, "richness": 2.0, "learning_rate": 0.03, "label_noise": 0.2}
SPEC = """
[network]
kind = "deep-linear"
depth = 1
richness = 2.0
[data]
samples_per_dim = 3.0
width_per_dim = 0.8
[training]
learning_rate = 0.03
steps = 5
"""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"nesterov": True}, "nesterov = True with momentum = 0.0: allowed is a momentum > 0"),
        ({"nesterov": 1, "momentum": 0.5}, "nesterov = 1: allowed is True or False"),
    ],
)
def test_refusals(given, words):
    with pytest.raises(ProgramError) as found:
        ds.GradientDescent(**given)
    assert str(found.value) == words


def of_spec(more: str):
    return training_of(parse_spec(SPEC + more))


def test_nesterov_in_specs():
    assert of_spec("momentum = 0.5\nnesterov = true") == ds.GradientDescent(momentum=0.5, nesterov=True)
    with pytest.raises(SpecError, match=r"\[training\] nesterov = true: allowed is false; it needs a momentum > 0"):
        of_spec("nesterov = true")


def deep_linear_by_hand(alpha, nu, gamma, rate, noise, steps, dim, stream, momentum):
    """Mean squared errors of two linear layers under Nesterov's method, whose gradients are taken ahead.

    In the usual form: ``V = m V - rate * gradient(W + m V)``, ``W = W + V``; results are at the points ahead.
    """
    count, width = round(alpha * dim), round(nu * dim)
    teacher, eps = stream.standard_normal(dim), stream.standard_normal(count)
    x, matrix, vector = (stream.standard_normal(shape) for shape in ((count, dim), (width, dim), width))
    y = x @ teacher / np.sqrt(dim) + noise * eps
    normal = gamma * np.sqrt(nu)  # gamma_N
    eta, scale = rate * normal**2 * dim, 1 / (normal * width**0.5 * dim**0.5)
    velocities, losses = [np.zeros_like(matrix), np.zeros_like(vector)], []
    for _ in range(steps):
        ahead = [a + momentum * v for a, v in zip((matrix, vector), velocities, strict=True)]
        error = y - scale * ahead[1] @ ahead[0] @ x.T
        losses.append(np.mean(error**2))
        mean = error @ x / count
        increments = eta * scale * np.outer(ahead[1], mean), eta * scale * ahead[0] @ mean
        velocities = [momentum * v + g for v, g in zip(velocities, increments, strict=True)]
        matrix, vector = matrix + velocities[0], vector + velocities[1]
    return np.array(losses)


def test_nesterov_is_the_gradient_ahead():
    """Both methods agree, and so does the textbook's form of the method in finite networks."""
    theory = ds.derive(ds.deep_linear(1), training=ds.GradientDescent(momentum=0.8, nesterov=True))
    options = {**PHYSICS, "steps": 25}
    march = theory.compile("numpy")(**options)
    exact = theory.compile("numpy")(**options, method="conditioning", tol=1e-12)
    np.testing.assert_allclose(exact.train_loss, march.train_loss, rtol=1e-11)
    runs = [
        deep_linear_by_hand(3.0, 0.8, 2.0, 0.03, 0.2, 25, 300, np.random.default_rng(seed), 0.8) for seed in range(12)
    ]
    mean, error = np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1) / np.sqrt(len(runs))
    assert np.abs((mean - march.train_loss[:, 0].values) / error).max() < 4
    assert march.attrs["nesterov"] == 1
