"""What the tests of networks on given samples share: data sets, and how far theory and simulation are apart."""

from __future__ import annotations

import numpy as np
import xarray as xr

import dmft_sym as ds


def made_samples(seed: int, count: int, outputs: int = 1, loss: str = "squared", dim: int = 12, **more: object):
    """Normal inputs of which no two are orthogonal, with targets that fit the loss."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((count, dim))
    if loss == "softmax":
        targets = np.arange(count) % outputs
    elif loss == "logistic":
        targets = np.where(rng.random((count, outputs)) < 0.5, -1.0, 1.0)
    else:
        targets = rng.standard_normal((count, outputs))
    return ds.Samples(inputs, targets, loss, **more)


def largest(values: xr.DataArray) -> float:
    """The largest entry in absolute value."""
    return float(np.abs(values).max())


def standard_error(simulated: xr.DataArray) -> xr.DataArray:
    """Of the mean over seeds."""
    return simulated.std("seed", ddof=1) / np.sqrt(simulated.sizes["seed"])


def worst_z(run: xr.Dataset, simulation: xr.Dataset, name: str, allowed: float = 0.0) -> float:
    """Largest ``(|mean of the seeds - theory| - allowed) / combined standard error`` over all entries.

    ``allowed`` is in units of the largest entry of the theory: entries of one array have errors of one size. Layers
    that a kernel does not have are NaN in both.
    """
    assert (simulation[name].isnull().all("seed") == run[name].isnull()).all()
    gap = np.abs(simulation[name].mean("seed") - run[name]) - allowed * largest(run[name])
    return float((gap / np.hypot(standard_error(simulation[name]), run[f"{name}_sem"])).max())


def movement(run: xr.Dataset, name: str) -> tuple[float, float]:
    """Largest change of a kernel in training: relative to its largest entry at the start, and in standard errors."""
    start, end = run[name].isel(kernel_step=0), run[name].isel(kernel_step=-1)
    errors = run[f"{name}_sem"]
    change = np.abs(end - start)
    combined = np.hypot(errors.isel(kernel_step=0), errors.isel(kernel_step=-1))
    return largest(change) / largest(start), float((change / combined).max())
