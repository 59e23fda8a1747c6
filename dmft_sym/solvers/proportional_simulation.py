"""Finite networks in the proportional regime, one per seed, with the variables of a solver."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from dmft_sym.support.outcomes import COMPLETED, diverged

from .arguments import run_arguments
from .measured_spectra import spectrum_request
from .simulated_networks import SimulatedNetworks
from .solver import common_attributes

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem
    from dmft_sym.execution import ExecutionResult
    from dmft_sym.program import FieldRef
    from dmft_sym.spectra import MatrixProgram

# Two-time correlations need the fields of all steps; runs longer than this return losses only.
RECORDED_STEPS = 400


def simulate_in_proportion(
    theory: Problem,
    networks: SimulatedNetworks,
    steps: int,
    parameters: dict[str, Any],
    order_parameters: bool,
    matrices: Sequence[str | MatrixProgram],
    at: Sequence[int],
    values: int | None,
) -> xr.Dataset:
    """Train finite networks whose sizes are multiples of the input dimension; see `dmft_sym.simulate`.

    Returns
    -------
    xarray.Dataset
        Losses and order parameters with a leading axis ``seed``, and measured spectra.
    """
    start = time.perf_counter()
    arguments = run_arguments(theory, steps, parameters)
    record = order_parameters and arguments.steps <= RECORDED_STEPS
    request = spectrum_request(theory, arguments, matrices, at, values)
    networks.check_memory(theory, arguments)
    results, tracks = [], []
    for number in range(networks.count):
        measurement = None if request is None else request.measurement(networks.child(number))
        inspect = None if measurement is None else measurement.inspect
        results.append(networks.train(number, theory, arguments, record=record, inspect=inspect))
        tracks.append({} if measurement is None else measurement.tracks)
    dataset = _dataset(theory, results, record)
    if request is not None:
        dataset = dataset.merge(request.dataset(tracks))
    done = dataset.sizes["step"]
    dataset.attrs = {
        **common_attributes(theory, arguments),
        **networks.attributes,
        **(COMPLETED if done == arguments.steps else diverged(done)).attrs(),
        "wall_time": time.perf_counter() - start,
    }
    return dataset


def _dataset(theory: Problem, results: list[ExecutionResult], record: bool) -> xr.Dataset:
    from dmft_sym.results.order_parameters import make_dataset

    names = [observable.name for observable in theory.program.observables]
    kept = min(len(r.observables[name]) for r in results for name in names)
    scalars = {name: np.stack([r.observables[name][:kept] for r in results]) for name in names}
    order = _correlations(theory, results, kept) if record and kept else {}
    return make_dataset(scalars, order, {})


def _correlations(theory: Problem, results: list[ExecutionResult], kept: int) -> dict[str, xr.DataArray]:
    """``C_F`` of every field whose correlation the theory reports, between all layers where the theory has them."""
    import xarray as xr

    found: dict[str, xr.DataArray] = {}
    for parameter in theory.order_parameters:
        family = parameter.array.row
        layers = {_layer(ref): ref for ref in results[0].recording.fields if ref.field == family}
        if parameter.array.kind != "C" or not layers:
            continue
        dims = ("layer", "layer2")[: len(parameter.array.stored)]
        members = [layers[layer] for layer in sorted(layers)]
        values = np.stack([_overlaps(r, members, kept, len(dims) == 2) for r in results])
        if not dims:
            values = values[:, 0]
        found[parameter.name] = xr.DataArray(
            values,
            {dim: sorted(layers) for dim in dims},
            ("seed", *dims, "step", "output", "step2", "output2"),
            attrs={"long_name": f"correlation of {family.name}", "units": "1"},
        )
    return found


def _layer(ref: FieldRef) -> int:
    return -1 if ref.layer is None else int(sp.Integer(ref.layer))


def _overlaps(result: ExecutionResult, members: list[FieldRef], kept: int, pairs: bool) -> np.ndarray[Any, Any]:
    """``<F_c(t) F_c'(s)>`` at every layer, shape (layer, T, C, T, C), or between all layers if ``pairs``."""
    stacked = np.stack([np.stack(result.recording.fields[ref][:kept]) for ref in members])
    count, steps, outputs, sites = stacked.shape
    flat = stacked.reshape(count, steps * outputs, sites)
    times = (steps, outputs, steps, outputs)
    if pairs:
        return np.stack([flat @ other.T / sites for other in flat], axis=1).reshape(count, count, *times)
    return (flat @ flat.transpose(0, 2, 1) / sites).reshape(count, *times)
