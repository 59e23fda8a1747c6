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


LABELS = ("matrix", "spectrum_step")
DIRECTED = (*LABELS, "rank", "direction", "output")
STEP = {"long_name": "training step", "units": "gradient steps"}


def made_up_spectra(steps: tuple[int, ...] = (0, 3, 5), seeds: int = 0, noise: float = 0.01) -> xr.Dataset:
    """Spectra of W1 and the NTK of two outputs: no outlier at the first step, then two and four equal ones.

    With ``seeds``, measured ones: the five largest of 80 values, and overlaps of vectors that turn in their space.
    """
    edge = np.array([[2.0] * len(steps), 10.0 + np.arange(len(steps))])
    outlier = np.full((2, len(steps), 4), np.nan)
    outlier[0, 1:, :2], outlier[1, 1:] = 2.5, 20.0
    variables = _measured(edge, outlier, seeds, noise) if seeds else _predicted(edge, outlier)
    coords = {
        "matrix": ["W1", "NTK"],
        "spectrum_step": ("spectrum_step", list(steps), STEP),
        "direction": ["a g[1]", "a g[2]"],
        "output": np.arange(2),
    }
    if seeds:
        measured = {"rank": np.arange(5), "seed": np.arange(seeds)}
        return xr.Dataset(variables, coords | measured, {"dim": 500, "learning_rate": 0.1})
    coords |= {"rank": np.arange(4), "side": ["lower", "upper"]}
    return xr.Dataset(variables, coords, {"spectrum_failures": "", "learning_rate": 0.1})


def _predicted(edge: np.ndarray, outlier: np.ndarray, points: int = 40) -> dict:
    part = 0.5 * (1 - np.cos((np.arange(points) + 0.5) * np.pi / points))
    overlap = np.full((*outlier.shape, 2, 2), np.nan)
    overlap[0, 1:, :2, 0], overlap[0, 1:, :2, 1] = 0.9, 1e-9
    return {
        "outlier": ((*LABELS, "rank"), outlier),
        "bulk_edge": ((*LABELS, "side"), np.stack([0 * edge, edge], axis=-1)),
        "escape_step": ("matrix", [1.0, np.nan]),
        "sharpness": ("spectrum_step", np.where(np.isnan(outlier[1, :, 0]), edge[1], outlier[1, :, 0])),
        "overlap": (DIRECTED, overlap),
        "value": ((*LABELS, "point"), edge[..., None] * part),
        "density": ((*LABELS, "point"), np.sqrt(1 - part**2) * 4 / np.pi / edge[..., None]),
    }


def _measured(edge: np.ndarray, outlier: np.ndarray, seeds: int, noise: float) -> dict:
    """A quarter circle of values below the edge, outliers that have split, and overlaps of 0.9 of all of them."""
    rng = np.random.default_rng(2)
    steps = edge.shape[1]
    radius = np.sqrt(rng.random((seeds, 2, steps, 80))) * np.sin(rng.random((seeds, 2, steps, 80)) * np.pi / 2)
    values = -np.sort(-edge[..., None] * radius, axis=-1)
    split = np.stack([[0.05, -0.05, 0, 0], [0.4, 0.1, -0.1, -0.4]])[:, None]
    top = (outlier + split) * (1 + noise * rng.standard_normal((seeds, 2, steps, 1)))
    values[..., :4] = np.where(np.isnan(top), values[..., :4], top)
    overlap = np.zeros((seeds, 2, steps, 5, 2, 2))
    angle = rng.uniform(0, np.pi / 2, (seeds, steps - 1))[..., None]
    overlap[:, 0, 1:, 0, 0], overlap[:, 0, 1:, 1, 0] = 0.9 * np.cos(angle), 0.9 * np.sin(angle)
    overlap *= 1 + noise * rng.standard_normal((seeds, 2, steps, 1, 1, 1))
    return {
        "outlier": (("seed", *LABELS, "rank"), values[..., :5]),
        "sharpness": (("seed", "spectrum_step"), values[:, 1, :, 0]),
        "overlap": (("seed", *DIRECTED), overlap),
        "spectrum_value": (("seed", *LABELS, "number"), values),
    }
