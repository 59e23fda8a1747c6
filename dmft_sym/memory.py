"""Whether a run fits into memory, asked before it starts."""

from __future__ import annotations

import math

from .spec import Spec, SpecError


def check_memory(spec: Spec, available: int | None = None) -> None:
    """Raise `SpecError` if the run of ``spec`` needs more memory than there is.

    Parameters
    ----------
    spec
        The spec of the run.
    available
        Free memory in bytes; asked from the system if not given.
    """
    if spec.solver.method != "march":
        return
    available = _free() if available is None else available
    needed = march_memory(spec)
    if needed <= available:
        return
    steps = max(1, math.isqrt(available * spec.training.steps**2 // needed))
    raise SpecError(
        f"[training] steps = {spec.training.steps}: allowed is what fits into memory; the march needs "
        f"{_size(needed)} and {_size(available)} are free: use at most {steps} steps, or [solver] method = "
        '"coordinates"'
    )


def march_memory(spec: Spec) -> int:
    """Bytes that a march needs with its result, roughly: 12 two-time matrices for every layer and 12 more."""
    size = {"float64": 8, "float32": 4}[spec.solver.dtype]
    if spec.solver.backend == "mpmath":
        size = 200  # a Python object for every number
    rows = spec.training.steps * spec.network.outputs
    return 12 * (spec.network.depth + 1) * rows**2 * size


def check_simulation(spec: Spec, available: int | None = None) -> None:
    """Raise `SpecError` if the networks of ``spec`` cannot be simulated: infinite, empty or too large."""
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
    available = _free() if available is None else available
    needed = simulation_memory(spec)
    if needed > available:
        raise SpecError(
            f"[simulation] dim = {spec.simulation.dim}: allowed is what fits into memory; a network needs "
            f"{_size(needed)} and {_size(available)} are free: use a smaller dim"
        )


def simulation_memory(spec: Spec) -> int:
    """Bytes of one finite network and its data: its matrices, twice for momentum, and their updates."""
    width = spec.data.width_per_dim or 0.0
    weights = width + max(0, spec.network.depth - 1) * width**2
    copies = 3 if spec.training.momentum else 2
    return round(spec.simulation.dim**2 * (spec.data.samples_per_dim + copies * weights) * 8)


def _free() -> int:
    import psutil

    return int(psutil.virtual_memory().available)


def _size(count: int) -> str:
    for unit, factor in (("PB", 10**15), ("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} bytes"
