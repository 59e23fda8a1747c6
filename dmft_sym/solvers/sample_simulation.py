"""Finite networks on given samples, one per seed, with the variables of a solver."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.regimes.samples import Samples
from dmft_sym.support.outcomes import COMPLETED, diverged

from .arguments import check_integer, run_arguments
from .measurements import Measurements, wanted_measurements
from .sample_results import derived, labelled, network_dataset
from .sampled_solver import output_track
from .simulated_networks import SimulatedNetworks
from .solver import common_attributes

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem


def simulate_on_samples(
    theory: Problem,
    data: Samples,
    networks: SimulatedNetworks,
    steps: int,
    parameters: dict[str, Any],
    kernels: Sequence[int] | None,
    matrices: Sequence[str],
    at: Sequence[int],
    values: int | None,
) -> xr.Dataset:
    """Train finite networks on the samples of a theory; see `dmft_sym.simulate`.

    Returns
    -------
    xarray.Dataset
        The variables of `SampledSolver` with a leading axis ``seed`` and no standard errors; ``outlier`` has the
        largest singular values, whether they are outside of the bulk or not.
    """
    import xarray as xr

    start = time.perf_counter()
    arguments = run_arguments(theory, steps, parameters)
    if values is not None:
        values = check_integer("values", values, 1)  # all of them, 0 elsewhere, are not kept here
    wanted = wanted_measurements(theory, arguments, data.total, kernels, matrices, at, values)
    networks.check_memory(theory, arguments, data.given)
    found = []
    for number in range(networks.count):
        measured = Measurements(wanted)
        result = networks.train(number, theory, arguments, inspect=measured.see_network, data=data.given)
        found.append((output_track(result.scalars), measured))
    done = min(len(track) for track, _ in found)  # kernels and spectra of later steps are not those of all networks
    parts = [network_dataset(track[:done], measured, data, simulated=True) for track, measured in found]
    dataset = xr.concat(parts, "seed", join="inner")
    dataset = dataset.assign_coords(seed=np.arange(networks.count)).merge(derived(dataset, data))
    attrs = {
        **common_attributes(theory, arguments),
        **networks.attributes,
        "loss": data.loss,
        "data_hash": data.digest[:16],
        **(COMPLETED if done == arguments.steps else diverged(done)).attrs(),
        "wall_time": time.perf_counter() - start,
    }
    return labelled(dataset, data, attrs)
