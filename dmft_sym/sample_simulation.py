"""Finite networks on given samples, one per seed, with the variables of a solver."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .arguments import ArgumentError, check_dtype, check_integer, run_arguments
from .measurements import Measurements, wanted_measurements
from .networks.samples import Samples
from .outcomes import COMPLETED, diverged
from .sample_results import derived, labelled, network_dataset
from .sampled_solver import output_track
from .solver import common_attributes

if TYPE_CHECKING:
    import xarray as xr

    from .theory import Theory

Progress = Callable[[int, int], None]


def simulate_on_samples(
    theory: Theory,
    data: Samples,
    *,
    width: int,
    seeds: int,
    seed: int,
    steps: int,
    normalise: bool,
    dtype: str,
    kernels: Sequence[int] | None,
    matrices: Sequence[str],
    at: Sequence[int],
    values: int | None,
    progress: Progress | None,
    parameters: dict[str, Any],
) -> xr.Dataset:
    """Train finite networks on the samples of a theory; see `dmft_sym.simulate`.

    Returns
    -------
    xarray.Dataset
        The variables of `SampledSolver` with a leading axis ``seed`` and no standard errors; ``outlier`` has the
        largest singular values, whether they are outside of the bulk or not.
    """
    import xarray as xr

    from .execution import run_finite

    start = time.perf_counter()
    arguments = run_arguments(theory, steps, parameters)
    width, seeds = check_integer("width", width, 1), check_integer("seeds", seeds, 1)
    seed = check_integer("seed", seed, 0)
    check_dtype(dtype)
    if values is not None:
        values = check_integer("values", values, 1)  # all of them, 0 elsewhere, are not kept here
    wanted = wanted_measurements(theory, arguments, data.total, kernels, matrices, at, values)
    found, done = [], arguments.steps
    for number in range(seeds):
        measured = Measurements(wanted)
        report = None if progress is None else _shifted(progress, number * steps, seeds * steps)
        child = int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])
        try:
            result = run_finite(
                theory.program, arguments.values, arguments.outputs, arguments.steps, width, child, normalise,
                np.dtype(dtype).type, None, report, inspect=measured.see_network, data=data.given,
            )  # fmt: skip
        except ValueError as error:
            raise ArgumentError(str(error)) from error
        done = min(done, result.steps)
        found.append(network_dataset(output_track(result.scalars), measured, data, simulated=True))
    dataset = xr.concat([part.isel(step=slice(0, done)) for part in found], "seed", join="inner")
    dataset = dataset.assign_coords(seed=np.arange(seeds)).merge(derived(dataset, data))
    attrs = {
        **common_attributes(theory, arguments),
        "width": width,
        "seeds": seeds,
        "seed": seed,
        "normalise": int(normalise),
        "dtype": dtype,
        "loss": data.loss,
        "data_hash": data.digest[:16],
        **(COMPLETED if done == arguments.steps else diverged(done)).attrs(),
        "wall_time": time.perf_counter() - start,
    }
    return labelled(dataset, data, attrs)


def _shifted(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    return lambda done: progress(before + done, total)
