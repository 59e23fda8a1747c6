"""Results of the shape that solvers and simulations return, with made-up numbers."""

from __future__ import annotations

import numpy as np
import xarray as xr

TWO_TIME = ("layer", "step", "output", "step2", "output2")


def made_up(
    steps: int = 6, outputs: int = 2, depth: int = 2, seeds: int = 0, noise: float = 0.01, **attrs: object
) -> xr.Dataset:
    """A theory, or with ``seeds`` a simulation that scatters around it."""
    rng = np.random.default_rng(1)
    t = np.arange(steps)
    loss = np.exp(-t / 20)[:, None] * (1 + np.arange(outputs))
    decay = np.exp(-abs(t[:, None] - t) / 15)
    correlation = np.einsum("l,st,cd->lsctd", 1 + np.arange(depth + 1.0), decay, np.eye(outputs))
    response = np.einsum("l,st,cd->lsctd", 1 - np.arange(depth + 1.0), np.tril(decay, -1), np.eye(outputs))

    def variable(values: np.ndarray, dims: tuple[str, ...], name: str) -> tuple:
        if seeds:
            scatter = noise * rng.standard_normal((seeds, *values.shape))
            values, dims = values * (1 + scatter), ("seed", *dims)
        return dims, values, {"long_name": name, "units": "1"}

    step = {"long_name": "step", "units": "gradient steps"}
    coords = {
        "step": ("step", t, step),
        "step2": ("step2", t, step),
        "layer": np.arange(depth + 1),
        "output": np.arange(outputs),
        "output2": np.arange(outputs),
    }
    if seeds:
        coords["seed"] = np.arange(seeds)
    variables = {
        "train_loss": variable(loss, ("step", "output"), "train loss"),
        "test_loss": variable(1.3 * loss, ("step", "output"), "test loss"),
        "C_h": variable(correlation, TWO_TIME, "correlation of h"),
        "R_h": variable(response, TWO_TIME, "response of h"),
    }
    parameters = {"depth": depth, "outputs": outputs, "richness": 8.0, "online": False, "steps": steps}
    end = {"outcome": "completed", "outcome_remedy": "", "wall_time": 0.1}
    return xr.Dataset(variables, coords, {**parameters, **end, **attrs})
