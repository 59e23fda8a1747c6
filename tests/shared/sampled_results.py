"""Small results on given samples, computed once: a sampled theory and simulations of it."""

from __future__ import annotations

from functools import cache

import numpy as np
import xarray as xr

import dmft_sym as ds

SETTINGS = {"richness": 2.0, "learning_rate": 0.2, "steps": 6}
WANTED = {"matrices": ["W1"], "at": [0, 3, 5], "kernels": [0, 3, 5]}


def some_samples(outputs: int = 1, loss: str = "squared", tests: int = 1, samples: int = 4) -> ds.Samples:
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((samples + tests, 5)), np.sign(rng.standard_normal((samples + tests, outputs)))
    if loss == "softmax":
        y = np.arange(samples + tests) % outputs
    if not tests:
        return ds.Samples(x, y, loss)
    return ds.Samples(x[:samples], y[:samples], loss, x[samples:], y[samples:])


@cache
def theory(outputs: int = 1, loss: str = "squared", tests: int = 1, activation: str = "tanh") -> ds.Theory:
    return ds.derive(ds.mlp(2, activation, outputs), data=some_samples(outputs, loss, tests))


@cache
def made_run(outputs: int = 1, loss: str = "squared", tests: int = 1) -> xr.Dataset:
    return theory(outputs, loss, tests).compile("numpy")(sites=400, replicas=4, threads=1, **WANTED, **SETTINGS)


@cache
def made_sim(outputs: int = 1, loss: str = "squared", tests: int = 1, seeds: int = 3) -> xr.Dataset:
    return ds.simulate(theory(outputs, loss, tests), width=60, seeds=seeds, **WANTED, **SETTINGS)
