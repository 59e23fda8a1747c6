"""Whether a run fits into memory, asked before it starts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dmft_sym.support.memory import NUMBER_OF_MPMATH, march_bytes, most_steps
from dmft_sym.support.memory import free_bytes as _free
from dmft_sym.support.memory import shown_bytes as _size

from .objects import kernel_steps
from .reading import Spec, SpecError
from .sections import SITES

if TYPE_CHECKING:
    from dmft_sym.regimes import Samples

DIRECTIONS = 2
"""Directions that a sample (backward: and output) opens in a sampled network at least; long rich runs have several."""


def check_memory(spec: Spec, available: int | None = None) -> None:
    """Raise `SpecError` if the run of ``spec`` needs more memory than there is.

    Parameters
    ----------
    spec
        The spec of the run.
    available
        Free memory in bytes; asked from the system if not given.
    """
    if spec.fixed or spec.solver.method != "equations":
        return
    available = _free() if available is None else available
    needed = march_memory(spec)
    if needed <= available:
        return
    steps = most_steps(spec.training.steps, needed, available)
    raise SpecError(
        f"[training] steps = {spec.training.steps}: allowed is what fits into memory; the march needs "
        f"{_size(needed)} and {_size(available)} are free: use at most {steps} steps, or [solver] method = "
        '"conditioning"'
    )


def march_memory(spec: Spec) -> int:
    """Bytes that a march needs with its result, roughly."""
    size = {"float64": 8, "float32": 4}[spec.solver.dtype]
    rows = spec.training.steps * (spec.network.outputs or 1)
    return march_bytes(spec.network.depth, rows, NUMBER_OF_MPMATH if spec.solver.backend == "mpmath" else size)


def check_simulation(spec: Spec, available: int | None = None) -> None:
    """Raise `SpecError` if finite networks of ``spec`` do not exist or do not fit into memory.

    Parameters
    ----------
    spec
        The spec of the simulation.
    available
        Free memory in bytes; asked from the system if not given.
    """
    if not spec.fixed:
        _check_ratios(spec)
    available = _free() if available is None else available
    needed = simulation_memory(spec)
    if needed > available:
        key = "width" if spec.fixed else "dim"
        raise SpecError(
            f"[simulation] {key} = {getattr(spec.simulation, key)}: allowed is what fits into memory; a network needs "
            f"{_size(needed)} and {_size(available)} are free: use a smaller {key}"
        )


def _check_ratios(spec: Spec) -> None:
    for key in ("samples_per_dim", "width_per_dim"):
        ratio = getattr(spec.data, key)
        if ratio is None:
            continue
        if math.isinf(ratio):
            raise SpecError(f"[data] {key} = inf: allowed for a simulation is a finite number > 0")
        if round(ratio * spec.simulation.dim) < 1:
            raise SpecError(
                f"[data] {key} = {ratio:g}: allowed for a simulation with dim = {spec.simulation.dim} is a number "
                f">= {1 / spec.simulation.dim:g}"
            )


def check_sampling(spec: Spec, data: Samples, available: int | None = None) -> None:
    """Raise `SpecError` if an infinite network on given samples cannot fit into memory.

    Parameters
    ----------
    spec
        The spec of the run.
    data
        Its samples.
    available
        Free memory in bytes; asked from the system if not given.
    """
    available = _free() if available is None else available
    sampling = spec.sampling
    sampled = spec.sampled
    _check_kernels(spec, data, sampling.replicas if sampled else 1, available)
    if not sampled or sampling.error is not None:
        return  # how many sites an error needs is not known yet
    sites = sampling.sites or SITES
    needed = sampling_memory(spec, data, sites)
    if needed > available:
        raise SpecError(
            f"[sampling] sites = {sites}: allowed is what fits into memory; {data.total} samples on {sites} sites "
            f"need at least {_size(needed)} and {_size(available)} are free: use fewer of them, or more replicas"
        )


def sampling_memory(spec: Spec, data: Samples, sites: int) -> int:
    """Bytes of the replicas that run at a time, at least: fields of all layers, and directions with their images."""
    from dmft_sym.support.threads import available_cores

    labels = data.total * (1 + data.outputs)  # of forward and backward fields
    depth, replicas = spec.network.depth, spec.sampling.replicas
    rows = 2 * depth * labels + 2 * (depth - 1) * DIRECTIONS * labels
    return 8 * rows * (sites // replicas) * min(available_cores(), replicas)


def _check_kernels(spec: Spec, data: Samples, networks: int, available: int) -> None:
    """Kernels of all networks, and once more for what is made of them."""
    steps = len(kernel_steps(spec))
    samples, labels = data.total**2, (data.total * data.outputs) ** 2
    needed = 8 * steps * (spec.network.depth * (samples + labels) + labels) * (networks + 1)
    if needed > available:
        raise SpecError(
            f"[kernels] steps: allowed is what fits into memory; kernels of {data.total} samples at {steps} steps of "
            f"{networks} networks need {_size(needed)} and {_size(available)} are free: use fewer steps or samples"
        )


def check_simulated_samples(spec: Spec, data: Samples, available: int | None = None) -> None:
    """Raise `SpecError` if what finite networks do with given samples does not fit into memory.

    Parameters
    ----------
    spec, data, available
        As for `check_sampling`.
    """
    available = _free() if available is None else available
    _check_kernels(spec, data, spec.simulation.seeds, available)
    width, depth = spec.simulation.width, spec.network.depth
    needed = simulation_memory(spec) + 8 * 2 * depth * data.total * (1 + data.outputs) * width
    if needed > available:
        raise SpecError(
            f"[simulation] width = {width}: allowed is what fits into memory; a network with {data.total} samples "
            f"needs {_size(needed)} and {_size(available)} are free: use a smaller width or fewer samples"
        )


def simulation_memory(spec: Spec) -> int:
    """Bytes of one finite network and its data: its matrices, twice for momentum, and their updates."""
    copies = 3 if spec.training.momentum else 2
    inner = max(0, spec.network.depth - 1)
    if spec.fixed:  # inputs and what follows from them are small beside the matrices between hidden layers
        return copies * inner * spec.simulation.width**2 * 8
    width, samples = spec.data.width_per_dim or 0.0, spec.data.samples_per_dim or 0.0
    return round(spec.simulation.dim**2 * (samples + copies * (width + inner * width**2)) * 8)
