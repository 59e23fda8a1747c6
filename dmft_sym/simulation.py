"""Finite networks trained with the program of a theory, one per seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from .arguments import ArgumentError, RunArguments, check_dtype, check_integer, run_arguments
from .measured_spectra import spectrum_request
from .messages import show
from .networks.samples import Samples
from .outcomes import COMPLETED, Outcome, diverged
from .solver import common_attributes

if TYPE_CHECKING:
    import xarray as xr

    from .execution import ExecutionResult
    from .program import FieldRef
    from .spectra.measured import Measurement
    from .theory import Theory

Progress = Callable[[int, int], None]
# Two-time correlations need the fields of all steps; runs longer than this return losses only.
RECORDED_STEPS = 400
DEFAULT_DIM, DEFAULT_WIDTH = 1000, 2000


def simulate(
    theory: Theory,
    *,
    dim: int | None = None,
    width: int | None = None,
    seeds: int = 4,
    seed: int = 0,
    steps: int,
    normalise: bool = False,
    dtype: str = "float64",
    order_parameters: bool = True,
    matrices: Sequence[str] = (),
    at: Sequence[int] = (),
    values: int | None = None,
    kernels: Sequence[int] | None = None,
    progress: Progress | None = None,
    **parameters: float,
) -> xr.Dataset:
    """Train finite networks and return the variables of a run with a leading ``seed`` axis.

    Parameters
    ----------
    dim
        Input dimension ``D``, 1000 by default; a space has ``round(ratio * dim)`` sites. Not where samples are given.
    width
        Number of hidden units ``N`` where samples are given, 2000 by default.
    seeds
        Number of networks.
    seed
        Seed of the random numbers: network ``k`` uses the pair ``(seed, k)``.
    normalise
        Scale random vectors to their expected norms, which makes error bars smaller.
    dtype
        ``"float64"`` or ``"float32"``, the precision of the networks; each draws its own random numbers.
    order_parameters
        Whether to measure the correlations ``C_<field>`` (of runs of up to 400 steps).
    matrices, at
        Matrices whose singular values (eigenvalues of the NTK) are measured, and steps, as for `dmft_sym.spectrum`.
    values
        How many of the largest values to keep; all with 0 (which takes the time of a dense decomposition); by default
        twice the number of outputs and one more.
    kernels
        Where samples are given: steps at which kernels are measured, the first and the last by default.
    progress
        Called as ``progress(done, total)``, in steps of all seeds.
    **parameters
        As for a `Solver`.

    Returns
    -------
    xarray.Dataset
        ``train_loss``, ``test_loss`` (seed, step, output) and correlations; responses are not measurable. With
        ``matrices``, ``outlier`` (seed, matrix, spectrum_step, rank) has the largest values, whether they are outside
        of the bulk or not, ``sharpness`` (seed, spectrum_step) the first of the NTK, ``overlap`` those of their
        vectors with the fields of the same step, and ``spectrum_value`` (seed, matrix, spectrum_step, number) all
        values if all are kept.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed.
    """
    if isinstance(theory.data, Samples):
        from .sample_simulation import simulate_on_samples

        if dim is not None:
            raise ArgumentError(f"dim = {show(dim)}: allowed is nothing, the samples have theirs; width is the size")
        return simulate_on_samples(
            theory,
            theory.data,
            width=DEFAULT_WIDTH if width is None else width,
            seeds=seeds,
            seed=seed,
            steps=steps,
            normalise=normalise,
            dtype=dtype,
            kernels=kernels,
            matrices=matrices,
            at=at,
            values=values,
            progress=progress,
            parameters=parameters,
        )
    arguments = run_arguments(theory, steps, parameters)
    for name, value in (("width", width), ("kernels", kernels)):
        if value is not None:
            raise ArgumentError(f"{name} = {show(value)}: allowed is nothing unless samples are given; dim is the size")
    dim = check_integer("dim", DEFAULT_DIM if dim is None else dim, 1)
    seeds, seed = check_integer("seeds", seeds, 1), check_integer("seed", seed, 0)
    check_dtype(dtype)
    start = time.perf_counter()
    record = order_parameters and arguments.steps <= RECORDED_STEPS
    request = spectrum_request(theory, arguments, matrices, at, values)
    results, tracks = [], []
    for number in range(seeds):
        report = None if progress is None else _shifted(progress, number * arguments.steps, seeds * arguments.steps)
        child = _child(seed, number)
        measurement = None if request is None else request.measurement(child)
        results.append(_one(theory, arguments, dim, child, normalise, dtype, record, measurement, report))
        tracks.append({} if measurement is None else measurement.tracks)
    dataset = _dataset(theory, results, record)
    if request is not None:
        dataset = dataset.merge(request.dataset(tracks))
    outcome: Outcome = COMPLETED if dataset.sizes["step"] == arguments.steps else diverged(dataset.sizes["step"])
    dataset.attrs = {
        **common_attributes(theory, arguments),
        "dim": dim,
        "seeds": seeds,
        "seed": seed,
        "normalise": int(normalise),
        "dtype": dtype,
        **outcome.attrs(),
        "wall_time": time.perf_counter() - start,
    }
    return dataset


def _shifted(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    return lambda done: progress(before + done, total)


def _child(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])


def _one(
    theory: Theory,
    arguments: RunArguments,
    dim: int,
    seed: int,
    normalise: bool,
    dtype: str,
    record: bool,
    measurement: Measurement | None,
    progress: Callable[[int], None] | None,
) -> ExecutionResult:
    from .execution import run_finite

    try:
        return run_finite(
            theory.program,
            arguments.values,
            arguments.outputs,
            arguments.steps,
            dim,
            seed,
            normalise,
            np.dtype(dtype).type,
            range(arguments.steps) if record else None,
            progress,
            inspect=None if measurement is None else measurement.inspect,
        )
    except ValueError as error:
        raise ArgumentError(str(error)) from error


def _dataset(theory: Theory, results: list[ExecutionResult], record: bool) -> xr.Dataset:
    from .order_parameters import make_dataset

    names = [observable.name for observable in theory.program.observables]
    kept = min(len(r.observables[name]) for r in results for name in names)
    scalars = {name: np.stack([r.observables[name][:kept] for r in results]) for name in names}
    order = _correlations(theory, results, kept) if record and kept else {}
    return make_dataset(scalars, order, {})


def _correlations(theory: Theory, results: list[ExecutionResult], kept: int) -> dict[str, xr.DataArray]:
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
