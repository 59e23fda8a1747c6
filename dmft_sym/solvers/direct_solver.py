"""The direct two-time solver of given samples: slow, independent of the sampled one, and with the same results."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.program import Field, FieldRef
from dmft_sym.regimes.samples import Samples
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.memory import free_bytes, shown_bytes

from .arguments import RunArguments
from .measurements import Measurements, Wanted

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem
    from dmft_sym.derivation.single_site import Noise

Array = NDArray[Any]
MOST_ROWS = 400  # steps times samples times outputs; the time grows as its cube
MOST_ERROR = 0.5  # of a field, by the sampling error of tangents; the bias is of its square


class DirectRun:
    """Runs of the generated two-time solver at fixed arguments.

    Parameters
    ----------
    wanted
        What is measured; the outliers of matrices are not, as nothing is known of the matrices themselves.
    sites
        Number of sites of one run.

    Attributes
    ----------
    attributes
        How responses were computed, once there are runs.

    Raises
    ------
    ArgumentError
        If outliers are wanted, or if the run is too large for two-time matrices of every site.
    """

    def __init__(self, theory: Problem, data: Samples, arguments: RunArguments, wanted: Wanted, sites: int) -> None:
        from dmft_sym.codegen.text.names import python_name

        if wanted.matrices:
            raise ArgumentError('matrices with method = "direct": allowed are none; use method = "sampled"')
        _check_size(theory, data, arguments, sites)
        self.theory, self.data, self.wanted, self.arguments, self.sites = theory, data, wanted, arguments, sites
        self.module = direct_module(theory)
        self.options: dict[str, Any] = {python_name(p.symbol): arguments.values[p.symbol] for p in theory.parameters}
        if data.total > data.count:
            self.options["train"] = data.train
        self.attributes: dict[str, str | float] = {}

    def tracks(
        self, seeds: Sequence[np.random.SeedSequence], report: Callable[[int], Callable[[int], None] | None]
    ) -> list[tuple[Array, Measurements]]:
        """``f`` of every run, shape (steps, samples, outputs), and its kernels.

        Responses are averages of tangents. Where these do not converge, as some sites respond without bounds, all runs
        are repeated with responses by parts.

        Parameters
        ----------
        seeds
            One for every run.
        report
            Gives what run number ``k`` calls when steps are done.
        """
        found, errors = [], [0.0]
        for number, seed in enumerate(seeds):
            track, measured, error = self._march(seed, report(number), tangents=True)
            errors.append(error)
            found.append((track, measured))
            if not error <= MOST_ERROR:
                self.attributes = {"responses": "by parts"}
                return [self._march(seed, report(k), tangents=False)[:2] for k, seed in enumerate(seeds)]
        self.attributes = {"responses": "tangents", "tangent_error": max(errors)}
        if any(closure.by_parts for closure in self.theory.closures):
            self.attributes = {"responses": "by parts"}
        return found

    def _march(
        self, seed: np.random.SeedSequence, progress: Callable[[int], None] | None, tangents: bool
    ) -> tuple[Array, Measurements, float]:
        """``f``, kernels, and the error of tangents."""
        measured = Measurements(self.wanted)

        def inspect(step: int, fields: Mapping[str, Any]) -> None:
            if step in self.wanted.kernel_steps:
                measured.see_overlaps(step, lambda a, b: self._overlap(fields, a, b, step))

        with np.errstate(all="ignore"):  # a run that diverges is reported by its outputs
            run = self.module.march(
                np.random.default_rng(seed),
                steps=self.arguments.steps,
                sites=self.sites,
                gram=self.data.gram,
                targets=self.data.all_targets,
                tangents=tangents,
                progress=progress,
                inspect=inspect,
                **self.options,
            )
        return np.asarray(run["scalars"]["f"][: run["steps"]]), measured, float(run["tangent_error"])

    def _overlap(self, fields: Mapping[str, Any], a: FieldRef, b: FieldRef, step: int) -> Array:
        """``<a b>`` of a step, a matrix with a row for every label of ``a``."""
        if a.space.finite and b.space.finite:
            return np.asarray(self.data.gram)
        one, other = (fields[r.field.name] if r.layer is None else fields[r.field.name][int(r.layer)] for r in (a, b))
        block = self.module.overlap(one, other, step)[:, :, step]
        return np.asarray(block).reshape(block.shape[0] * block.shape[1], -1)


def direct_module(theory: Problem) -> ModuleType:
    """The generated two-time solver of a theory."""
    from dmft_sym.cache.modules import load_module, program_key
    from dmft_sym.codegen import direct_source

    return load_module(program_key(str(theory.program), "direct"), "direct", lambda: direct_source(theory))


def _check_size(theory: Problem, data: Samples, arguments: RunArguments, sites: int) -> None:
    """Refuse runs that would take hours, or more memory than there is."""
    rows = arguments.steps * data.total * data.outputs
    if rows > MOST_ROWS:
        raise ArgumentError(
            f'method = "direct" with {rows} rows (steps * samples * outputs): allowed are up to {MOST_ROWS}; use '
            'method = "sampled"'
        )
    needed, free = 8 * rows**2 * sites * _tangents(theory, arguments), free_bytes()
    if needed > free:
        raise ArgumentError(
            f'method = "direct" with {rows} rows and {sites} sites in a replica: allowed is what fits into memory; '
            f"tangents need about {shown_bytes(needed)} and {shown_bytes(free)} are free: use fewer samples, or more "
            "replicas"
        )


def _tangents(theory: Problem, arguments: RunArguments) -> int:
    """Upper bound of the number of pairs of a field and a Gaussian field whose derivatives are kept at every site."""

    def length(thing: Field | Noise) -> int:
        return 1 if thing.layers is None else int(thing.layers.length.subs(arguments.values))

    count = 0
    for closure in theory.closures:
        if not closure.gaussian and not closure.by_parts:
            rows = [tangent.equation.target.field for tangent in closure.tangents]
            for field, noise in itertools.product(rows, closure.tracked):
                count += length(field) * (length(noise) if closure.process.coupled else 1)
    return count
