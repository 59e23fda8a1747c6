"""Random ways to train the networks of `random_forward`: data, losses, rules and parameters of a run."""

from __future__ import annotations

import random

import numpy as np
import pytest
import sympy as sp
from independent_trainer import SCHEDULES
from random_forward import forward_pass

import dmft_sym as ds

COUNT = 50
FAST = {
    "proportional": (0, 5, 6, 9, 12, 13, 18, 22, 25, 31, 33, 37, 38, 39, 42, 47),
    "gaussian": (4, 6, 7, 10, 15, 16, 17, 23, 24, 27, 28, 30, 33, 34, 40, 43),
    "sampled": (21, 22, 24, 28, 34, 37, 41, 47),
}
"""Of every kind, how many there are, and which of them `make test` has: 40 of 150, short ones that have everything."""
T = sp.Symbol("t")
SYMPY = 1 / (1 + T**2 / 5)


def numbers(kind, named=False):
    """Cases of a test, with the kind in front if they are ``named``."""
    cases = [((kind, n) if named else (n,), () if n in FAST[kind] else pytest.mark.slow) for n in range(COUNT)]
    return [pytest.param(*values, marks=marks) for values, marks in cases]


def drawn_samples(rng, forward, outputs, loss):
    """Samples that fit a forward pass; some of them are for testing."""
    draw = np.random.default_rng(rng.randint(0, 10**6))
    shape = (2, 4) if forward.tokens else (4,)

    def inputs(count):
        main = draw.standard_normal((count, *shape))
        return {"x": main, "x2": draw.standard_normal((count, 2))} if forward.further else main

    def targets(count):
        if loss == "softmax":
            return np.arange(count) % outputs
        return (
            np.sign(draw.standard_normal((count, outputs)))
            if loss == "logistic"
            else draw.standard_normal((count, outputs))
        )

    tests = rng.random() < 0.3
    more = {"test_inputs": inputs(1), "test_targets": targets(1)} if tests else {}
    return ds.Samples(inputs(3), targets(3), loss, labels=("token",) if forward.tokens else (), **more)


def drawn_rule(rng, kind="gradient descent", squared=False):
    """A rule of training by everything that it may have, and its schedule as a function."""
    momentum = rng.choice([0.0, 0.5])
    given = {"momentum": momentum, "nesterov": bool(momentum) and rng.random() < 0.5, "centered": rng.random() < 0.2}
    schedule = rng.choice([None, None, *SCHEDULES, SYMPY])
    given |= rng.choice([{}, {}, {"clip": 0.3}, {"normalised": True}])
    given |= {"schedule": schedule, "weight_decay": rng.choice([0.0, 0.0, 0.03])}
    factor = (lambda t, _: 1 / (1 + t**2 / 5)) if schedule is SYMPY else SCHEDULES[schedule]
    if kind == "samples":
        given |= {"batch": rng.choice([None, None, 2]), "seed": rng.randint(0, 99)}
        given |= {"label_noise": rng.choice([0.0, 0.0, 0.3]) if squared else 0.0}
        return ds.GradientDescent(**given), factor
    return rng.choice([ds.GradientDescent, ds.OnlineSGD])(**given), factor


def on_samples(number, kind):
    """A forward pass, what `ds.derive` takes, parameters of a run, and the schedule."""
    rng = random.Random(f"training {number} {kind}")
    forward = forward_pass(number, kind)
    loss = rng.choice(["squared", "squared", "logistic", "softmax"])
    outputs = 2 if loss == "softmax" else rng.choice([1, 1, 2])
    data, (rule, factor) = drawn_samples(rng, forward, outputs, loss), drawn_rule(rng, "samples", loss == "squared")
    network = ds.network(forward, name="random", outputs=outputs, depth=3 if forward.layered else None)
    return forward, (network, data, rule), {**drawn_parameters(rng), "steps": 4}, factor


def drawn_parameters(rng):
    """Those that every run has; steps are small enough to be stable mostly."""
    return {
        "learning_rate": rng.choice([0.02, 0.05]),
        "richness": rng.choice([0.8, 1.5]),
        "init_std": rng.choice([0.8, 1.0]),
    }


def in_proportion(number):
    """The same in the proportional regime."""
    rng = random.Random(f"training {number}")
    forward, (rule, factor) = forward_pass(number, "proportional"), drawn_rule(rng)
    sizes = {"samples_per_dim": rng.choice([0.5, 2.0]), "width_per_dim": rng.choice([0.5, 1.0, 2.0])}
    parameters = {
        **sizes,
        **drawn_parameters(rng),
        "label_noise": rng.choice([0.0, 0.3]),
        "outputs": rng.choice([1, 2]),
    }
    network = ds.network(
        forward, name="random", depth=3 if forward.layered else None, parametrization=rng.choice([ds.MUP, ds.NTK])
    )
    return forward, (network, ds.Proportional(), rule), {**parameters, "steps": 6}, factor
