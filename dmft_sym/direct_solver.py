"""The direct two-time solver of given samples: slow, independent of the sampled one, and with the same results."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .arguments import ArgumentError, RunArguments
from .execution.replicas import sites_per_replica
from .measurements import Measurements, Wanted
from .networks.samples import Samples
from .program import ALL_AXES, FieldRef

if TYPE_CHECKING:
    from .theory import Theory

Array = NDArray[Any]
MOST_ROWS = 400  # steps times samples times outputs; tangents of every site need this many numbers for every field


class DirectRun:
    """Runs of the generated two-time solver at fixed arguments.

    Parameters
    ----------
    wanted
        What is measured; the outliers of matrices are not, as nothing is known of the matrices themselves.

    Raises
    ------
    ArgumentError
        If outliers are wanted, or if the run is too large for two-time matrices of every site.
    """

    def __init__(self, theory: Theory, data: Samples, arguments: RunArguments, wanted: Wanted) -> None:
        from dmft_sym.codegen.names import python_name

        if wanted.matrices:
            raise ArgumentError('matrices with method = "direct": allowed are none; use method = "sampled"')
        rows = arguments.steps * data.total * data.outputs
        if rows > MOST_ROWS:
            raise ArgumentError(
                f'method = "direct" with {rows} rows (steps * samples * outputs): allowed are up to {MOST_ROWS}; use '
                'method = "sampled"'
            )
        self.data, self.wanted, self.arguments = data, wanted, arguments
        self.module = _module(theory)
        self.options: dict[str, Any] = {python_name(p.symbol): arguments.values[p.symbol] for p in theory.parameters}
        if data.total > data.count:
            self.options["train"] = data.train

    def track(self, seed: np.random.SeedSequence, sites: int) -> tuple[Array, Measurements]:
        """``f`` of one run, shape (steps, samples, outputs), and its kernels."""
        with np.errstate(all="ignore"):  # a run that diverges is reported by its outputs
            found = self.module.march(
                np.random.default_rng(seed),
                steps=self.arguments.steps,
                sites=sites,
                gram=self.data.gram,
                targets=self.data.all_targets,
                **self.options,
            )
        measured = Measurements(self.wanted)
        for step in self.wanted.kernel_steps:
            if step < found["steps"]:
                self._measure(measured, step, found["correlations"])
        return np.asarray(found["scalars"]["f"][: found["steps"]]), measured

    def _measure(self, measured: Measurements, step: int, correlations: Mapping[str, Any]) -> None:
        kernels = self.wanted.kernels

        def overlap(a: FieldRef, b: FieldRef) -> Array:
            if a.space.finite and b.space.finite:
                return np.asarray(self.data.gram)
            if a != b:
                raise _NotKeptError
            table = correlations[a.field.name]
            block = (table if a.layer is None else table[int(a.layer)])[step, :, :, step]
            labels = [kernels.sizes[axis] if axis in a.axes else 1 for axis in ALL_AXES]
            return np.asarray(block).reshape(np.prod(labels), np.prod(labels))

        for kernel in kernels.fields:
            measured.kernels.setdefault(kernel.name, {})[step] = kernel.measure(overlap, kernels.sizes)
        try:
            tangent = kernels.tangent(overlap)
        except _NotKeptError:  # a shared matrix: correlations of different fields
            tangent = np.full([kernels.sizes[axis] for axis in (*ALL_AXES, *ALL_AXES)], np.nan)
        measured.kernels.setdefault("NTK", {})[step] = tangent


class _NotKeptError(Exception):
    """A correlation that the direct solver does not return."""


def direct_tracks(
    theory: Theory, data: Samples, arguments: RunArguments, wanted: Wanted, sites: int, count: int, seed: int
) -> tuple[list[Array], list[Measurements]]:
    """Outputs and kernels of independent runs with ``sites`` sites together."""
    run = DirectRun(theory, data, arguments, wanted)
    streams = np.random.SeedSequence(seed).spawn(count)
    found = [run.track(stream, sites_per_replica(sites, count)) for stream in streams]
    return [track for track, _ in found], [measured for _, measured in found]


def _module(theory: Theory) -> ModuleType:
    from .module_cache import load_module, program_key

    return load_module(program_key(str(theory.program), "direct"), "direct", theory.direct_source)
