"""What the tests of the execution share: programs, values of their symbols, z-scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from dmft_sym.execution import run_coordinates, run_finite
from dmft_sym.networks import GradientDescent, OnlineSGD, deep_linear
from dmft_sym.networks.parameters import ALPHA, DECAY, ETA, GAMMA, INIT_VARIANCE, LABEL_NOISE, MOMENTUM, NU
from dmft_sym.program import DEPTH
from dmft_sym.regimes import Proportional

REFERENCE = json.loads((Path(__file__).parents[1] / "data" / "proportional.json").read_text())["cases"]

SYMBOLS = {
    "depth": DEPTH,
    "nu": NU,
    "alpha": ALPHA,
    "gamma": GAMMA,
    "eta": ETA,
    "s2": INIT_VARIANCE,
    "label_noise": LABEL_NOISE,
    "momentum": MOMENTUM,
    "decay": DECAY,
}

DEFAULTS = {"depth": 2, "nu": 0.7, "alpha": 2.0, "gamma": 2.0, "eta": 0.05, "s2": 1.0, "label_noise": 0.3}


def values(**changes):
    """Values of the program's symbols by plain names."""
    return {SYMBOLS[key]: value for key, value in {**DEFAULTS, **changes}.items()}


def program(network=None, training=None):
    """The training program of a network (of the deep linear one by default)."""
    network = deep_linear(2) if network is None else network
    return Proportional().program(network.trace(), training or GradientDescent(), "test")


def reference_run(case, tol):
    """Coordinates at the parameters of a reference case, every step recorded."""
    given = case["parameters"]
    names = ("depth", "nu", "alpha", "gamma", "eta", "label_noise")
    numbers = values(**{key: given[key] for key in names}, s2=given.get("sigma", 1.0) ** 2)
    training = OnlineSGD() if given.get("online") else GradientDescent()
    steps = given["steps"]
    outputs = given.get("outputs", 1)
    return run_coordinates(program(None, training), numbers, outputs, steps, tol=tol, record_steps=range(steps))


def worst_z(prog, numbers, *, dim, seeds, outputs=1, steps=20, allowance=2.0, **options):
    """Largest ``(|mean - theory| - allowance/D * theory) / standard error`` over losses, steps and outputs."""
    theory = run_coordinates(prog, numbers, outputs, steps, tol=1e-9).observables
    runs = [run_finite(prog, numbers, outputs, steps, dim, seed, normalise=True, **options) for seed in range(seeds)]
    worst = 0.0
    for name, line in theory.items():
        sample = np.array([run.observables[name] for run in runs])
        error = sample.std(axis=0, ddof=1) / np.sqrt(seeds)
        gap = np.abs(sample.mean(axis=0) - line) - allowance / dim * line
        worst = max(worst, float((gap / error).max()))
    return worst
