"""Finite networks trained with the program of a theory, one per seed."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from dmft_sym.derivation.carried import CarriedProblem
from dmft_sym.regimes.samples import samples_of
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show
from dmft_sym.support.outcomes import Outcome
from dmft_sym.support.progress import reported
from dmft_sym.workers import asked_crew

from .arguments import RunArguments, check_integer, check_progress, run_arguments
from .attributes import common_attributes, with_rate
from .checkpoints import opened
from .measured_spectra import spectrum_request
from .measurements import Measurements, including_measured, wanted_measurements
from .memory import check_kernels, check_network
from .method import Progress
from .observables import Observed, described, observing_of
from .sample_results import derived, labelled, network_dataset, output_track
from .simulated_networks import SimulatedNetworks

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem
    from dmft_sym.execution import Arithmetic as Execution
    from dmft_sym.execution import ExecutionResult
    from dmft_sym.execution.track import Inspect
    from dmft_sym.program import FieldRef
    from dmft_sym.results.parts import Parts
    from dmft_sym.spectra import MatrixProgram

# Two-time correlations need the fields of all steps; runs longer than this return losses only.
RECORDED_STEPS = 400


def simulate(
    theory: Problem,
    *,
    dim: int | None = None,
    width: int | None = None,
    seeds: int = 4,
    seed: int = 0,
    steps: int | None = None,
    time: float | Sequence[float] | None = None,
    normalise: bool = False,
    dtype: str = "float64",
    order_parameters: bool = True,
    matrices: Sequence[str | MatrixProgram] = (),
    at: Sequence[float] = (),
    values: int | None = None,
    kernels: Sequence[float] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | bool | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
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
    steps, time
        Number of gradient steps; of a gradient flow its times, as for a `Solver`.
    normalise
        Scale random vectors to their expected norms, which makes error bars smaller.
    dtype
        ``"float64"`` or ``"float32"``, the precision of the networks; each draws its own random numbers.
    order_parameters
        Whether to measure the correlations ``C_<field>`` (of runs of up to 400 steps); not where samples are given.
    matrices, at
        Matrices whose singular values (eigenvalues of the NTK) are measured, by name or made by `dmft_sym.operator`,
        and steps, as for `dmft_sym.spectrum`; where samples are given, of ``N^-1/2 W`` with ``N`` rows.
    values
        How many of the largest values to keep; all with 0 (which takes the time of a dense decomposition, and is not
        for given samples); by default twice the number of outputs and one more.
    kernels
        Where samples are given: steps at which kernels are measured, the first and the last by default.
    workers, scheduler
        Number of processes, or the address of a Dask scheduler, among which the networks are shared out; all are
        trained in this process if neither is given. Numbers do not depend on how many workers there are.
    checkpoint
        A folder, made if it is not there, in which networks that are finished are kept, and the state of the one that
        is trained (unless spectra, kernels or observables are looked at on the way); the same call goes on from it
        with the same numbers, bit for bit. Removed when the result is whole.
    progress
        A bar by default, where somebody looks and it lasts; ``False`` for none. Or a function, called as
        ``progress(done, total)``, in steps of all seeds.
    **parameters
        As for a `Solver`.

    Returns
    -------
    xarray.Dataset
        ``train_loss``, ``test_loss`` (seed, step, output) and correlations; responses are not measurable. With
        ``matrices``, ``outlier`` (seed, matrix, spectrum_step, rank) has the largest values, whether they are outside
        of the bulk or not, ``sharpness`` (seed, spectrum_step) the first of the NTK, ``overlap`` those of their
        vectors with the fields of the same step, and ``spectrum_value`` (seed, matrix, spectrum_step, number) all
        values if all are kept. Where samples are given, the variables of a `Solver` without standard errors:
        ``f`` (seed, step, sample, output), losses, accuracies, kernels, ``NTK`` and alignments, and ``outlier``.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed.

    See Also
    --------
    Theory.solve : the same variables at infinite size.
    compare : both side by side.

    References
    ----------
    The program of the theory, in the units of arXiv:2502.02531 and arXiv:2205.09653, with matrices that are stored.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> theory = ds.derive(ds.deep_linear(depth=1))
    >>> given = dict(samples_per_dim=2, width_per_dim=1, richness=1, learning_rate=0.1, steps=3)
    >>> sim = ds.simulate(theory, dim=40, seeds=2, **given)
    >>> sim.test_loss.dims, sim.test_loss.shape
    (('seed', 'step', 'output'), (2, 3, 1))
    """
    from dmft_sym.derivation.problem import Problem
    from dmft_sym.results.names import in_time

    if not isinstance(theory, Problem):
        raise ArgumentError(f"theory = {show(theory)}: allowed is what ds.derive returned")
    size, measured = theory.data.size, theory.program.averaged
    if measured:
        if dim is not None:
            raise ArgumentError(f"dim = {show(dim)}: allowed is nothing, the samples have theirs; width is the size")
        given = width
    else:
        for name, value in (("width", width), ("kernels", kernels)):
            if value is not None:
                raise ArgumentError(
                    f"{name} = {show(value)}: allowed is nothing unless samples are given; dim is the size"
                )
        given = dim
    number = size.default if given is None else given
    check_progress(progress)
    networks = SimulatedNetworks.checked(size.keyword, number, seeds, seed, normalise, dtype, None)
    crew = asked_crew(workers, scheduler)
    start = perf_counter()
    arguments = including_measured(run_arguments(theory, steps, parameters, time=time), kernels=kernels, at=at)
    wanted = Wanted(order_parameters, matrices, at, values, kernels)
    with reported("simulation", progress) as report:
        if checkpoint is not None:
            if crew is not None:
                raise ArgumentError("checkpoint: allowed without workers and scheduler, a sweep has those")
            used = {**vars(wanted), **{n: v for n, v in vars(networks).items() if n not in ("progress", "checkpoint")}}
            with opened(checkpoint, "simulation", theory, {**arguments.given, **used}) as kept:
                made = [_kept(kept, one, theory, networks, report, arguments, wanted) for one in networks.numbers]
                dataset, outcome = together([part for part, _ in made]), min((end for _, end in made), key=_reached)
        elif crew is None:
            dataset, outcome = trained(theory, replace(networks, progress=report), arguments, wanted)
        else:
            carried, each = CarriedProblem(theory), arguments.steps
            one = partial(_trained_alone, carried, networks, arguments, wanted)
            parts = crew.in_order(one, networks.numbers, report, each)
            dataset, outcome = together([part for part, _ in parts]), min((end for _, end in parts), key=_reached)
    dataset = described(in_time(with_rate(dataset, arguments), arguments.times), theory)
    dataset.attrs = {
        **common_attributes(theory, arguments),
        **networks.attributes,
        **dataset.attrs,
        **outcome.attrs(),
        "wall_time": perf_counter() - start,
    }
    return dataset


@dataclass(frozen=True)
class Wanted:
    """What is measured, as the user asked for it."""

    order_parameters: bool
    matrices: Sequence[Any]
    at: Sequence[float]
    values: int | None
    kernels: Sequence[float] | None


def trained(
    theory: Problem, networks: SimulatedNetworks, arguments: RunArguments, wanted: Wanted
) -> tuple[xr.Dataset, Outcome]:
    """Networks trained one after another, and how the first that ended did."""
    if theory.program.averaged:
        return _measured(theory, networks, arguments, wanted.kernels, wanted.matrices, wanted.at, wanted.values)
    order = wanted.order_parameters
    return _observed(theory, networks, arguments, order, wanted.matrices, wanted.at, wanted.values)


def _trained_alone(
    carried: CarriedProblem, networks: SimulatedNetworks, arguments: RunArguments, wanted: Wanted, number: int
) -> tuple[xr.Dataset, Outcome]:
    """One network, in a worker."""
    return trained(carried.problem, networks.alone(number), arguments, wanted)


def _kept(
    checkpoint: Parts,
    number: int,
    theory: Problem,
    networks: SimulatedNetworks,
    report: Progress,
    arguments: RunArguments,
    wanted: Wanted,
) -> tuple[xr.Dataset, Outcome]:
    """One network, from the checkpoint or trained now and kept there."""
    found = checkpoint.finished(number + 1).get(number)
    if found is None:
        alone = replace(networks, only=number, progress=report, checkpoint=checkpoint)
        dataset, outcome = trained(theory, alone, arguments, wanted)
        dataset.attrs |= outcome.attrs()
        checkpoint.keep(number, dataset)
        found = checkpoint.finished(number + 1)[number]
    report((number + 1) * arguments.steps, networks.count * arguments.steps)
    outcome = Outcome.of(found.attrs)
    found.attrs = {name: value for name, value in found.attrs.items() if name not in outcome.attrs()}
    return found, outcome


def together(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Networks that were trained apart as those that were trained together: on the steps that all have done."""
    import xarray as xr

    for dim in ("step", "step2", "kernel_step", "spectrum_step"):
        if dim in parts[0].dims:
            common = functools.reduce(np.intersect1d, [part[dim].values for part in parts])
            parts = [part.sel({dim: common}) for part in parts]
    single = [name for name in parts[0].data_vars if "seed" not in parts[0][name].dims]
    joined = xr.concat([part.drop_vars(single) for part in parts], "seed", join="outer", combine_attrs="override")
    joined = joined.assign_coords(seed=("seed", np.arange(len(parts)), parts[0]["seed"].attrs))
    return joined.merge(parts[0][single]) if single else joined


def _reached(outcome: Outcome) -> float:
    return math.inf if outcome.step is None else outcome.step


def _observed(
    theory: Problem,
    networks: SimulatedNetworks,
    arguments: RunArguments,
    order_parameters: bool,
    matrices: Sequence[str | MatrixProgram],
    at: Sequence[float],
    values: int | None,
) -> tuple[xr.Dataset, Outcome]:
    """Losses and order parameters that the program observes, and measured spectra."""
    from dmft_sym.results.heads import with_outputs

    record = order_parameters and arguments.steps <= RECORDED_STEPS and not theory.program.increments
    check_network(theory, arguments, networks.sized, networks.dtype, arguments.data, {})
    request = spectrum_request(theory, arguments, matrices, at, values)
    results, tracks, seen = [], [], []
    observing = observing_of(theory, arguments)
    for number in networks.numbers:
        measurement = None if request is None else request.measurement(networks.child(number))
        seen.append(Observed(observing))
        inspect = _both(seen[-1], None if measurement is None else measurement.inspect)
        results.append(networks.train(number, theory, arguments, record=record, inspect=inspect))
        tracks.append({} if measurement is None else measurement.tracks)
    dataset = _with_observables(_dataset(theory, results, record), seen)
    outcome = _first_end(results)
    dataset = dataset if request is None else dataset.merge(request.dataset(tracks))
    return with_outputs(dataset, theory.program), outcome


def _both(seen: Observed, inspect: Inspect | None) -> Inspect | None:
    """What looks at observables, and at matrices."""
    if seen.observing is None or inspect is None:
        return inspect if seen.observing is None else seen.see_network
    look = inspect

    def see(step: int, network: Execution) -> None:
        seen.see_network(step, network)
        look(step, network)

    return see


def _with_observables(dataset: xr.Dataset, seen: list[Observed]) -> xr.Dataset:
    """The dataset with the observables of all networks."""
    done = dataset.sizes["step"]
    found = {}
    for name, (axes, _) in seen[0].variables(done).items():
        found[name] = ("seed", *axes), np.stack([one.variables(done)[name][1] for one in seen])
    coords = {name: values for name, values in seen[0].coordinates().items() if name not in dataset.coords}
    return dataset.assign_coords(coords).assign(found)


def _first_end(results: list[ExecutionResult]) -> Outcome:
    """How the network that came least far ended."""
    return min(results, key=lambda result: result.steps).outcome


def _dataset(theory: Problem, results: list[ExecutionResult], record: bool) -> xr.Dataset:
    from dmft_sym.results.order_parameters import make_dataset

    names = [observable.name for observable in theory.program.observables]
    kept = min(len(r.observables[name]) for r in results for name in names)
    scalars = {name: np.stack([r.observables[name][:kept] for r in results]) for name in names}
    order = _correlations(theory, results, kept) if record and kept else {}
    return make_dataset(scalars, order)


def _correlations(theory: Problem, results: list[ExecutionResult], kept: int) -> dict[str, xr.DataArray]:
    """``C_F`` of every field whose correlation the theory reports, between all layers where the theory has them."""
    import xarray as xr

    found: dict[str, xr.DataArray] = {}
    for parameter in theory.order_parameters:
        family = parameter.array.row
        layers = {_layer(ref): ref for ref in results[0].fields if ref.field == family}
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
    stacked = np.stack([np.stack(result.fields[ref][:kept]) for ref in members])
    count, steps, outputs, sites = stacked.shape
    flat = stacked.reshape(count, steps * outputs, sites)
    times = (steps, outputs, steps, outputs)
    if pairs:
        return np.stack([flat @ other.T / sites for other in flat], axis=1).reshape(count, count, *times)
    return (flat @ flat.transpose(0, 2, 1) / sites).reshape(count, *times)


def _measured(
    theory: Problem,
    networks: SimulatedNetworks,
    arguments: RunArguments,
    kernels: Sequence[float] | None,
    matrices: Sequence[str],
    at: Sequence[float],
    values: int | None,
) -> tuple[xr.Dataset, Outcome]:
    """Outputs, losses and kernels on the samples of a theory, and the largest singular values."""
    import xarray as xr

    data = samples_of(theory.data)
    if values is not None:
        values = check_integer("values", values, 1)  # all of them, 0 elsewhere, are not kept here
    wanted = wanted_measurements(theory, arguments, data.sizes, kernels, matrices, at, values)
    check_kernels(wanted, networks.count)
    check_network(theory, arguments, networks.sized, networks.dtype, arguments.data, data.sizes)
    found, results = [], []
    for number in networks.numbers:
        measured = Measurements(wanted)
        result = networks.train(number, theory, arguments, inspect=measured.see_network)
        results.append(result)
        found.append((output_track(result.scalars), measured))
    done = min(len(track) for track, _ in found)  # kernels and spectra of later steps are not those of all networks
    parts = [network_dataset(track[:done], measured, data, simulated=True) for track, measured in found]
    dataset = xr.concat(parts, "seed", join="inner").assign_coords(seed=np.arange(len(parts)))
    return labelled(dataset.merge(derived(dataset, data)), data), _first_end(results)
