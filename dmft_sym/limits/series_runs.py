"""Runs of a program that is a power series: outputs and losses of order ``gamma^2``, with their standard errors."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.program import ScalarRef
from dmft_sym.regimes.samples import Samples, samples_of
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.solvers.attributes import common_attributes
from dmft_sym.solvers.coordinates import Coordinates
from dmft_sym.solvers.method import Call, Solved, end_of_run
from dmft_sym.solvers.sample_results import jackknife, labelled, left_out, mean_and_error, suffixed
from dmft_sym.solvers.sampled_sites import SampledRun
from dmft_sym.solvers.solver import DEFAULTS
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.outcomes import Outcome

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem

Numbers = NDArray[np.float64]
_OPTIONS = ("tol", "sites", "error", "seed", "replicas", "antithetic", "threads")
_SMALL = 1e-4
"""Of outputs, for the derivative of a loss."""


def solve_series(
    problem: Problem, output: ScalarRef, corrected: ScalarRef, backend: str, arguments: Mapping[str, Any]
) -> xr.Dataset:
    """Run a series by the default method on given samples: conditioning.

    Parameters
    ----------
    output, corrected
        Outputs of order zero and two.
    arguments
        As of a run: steps, parameters, and the options ``sites``, ``error``, ``seed``, ``replicas``, ``antithetic``,
        ``tol``, ``threads`` and ``progress``.

    Returns
    -------
    xarray.Dataset
        ``f`` (step, sample, output) and losses of order two.
    """
    refuse_richness(arguments)
    given = {name: value for name, value in arguments.items() if name in _OPTIONS and value is not None}
    rest = {k: v for k, v in arguments.items() if k not in (*_OPTIONS, "steps", "progress")}
    run = run_arguments(problem, arguments.get("steps"), rest, (*_OPTIONS, "progress"))
    options = SimpleNamespace(**{**DEFAULTS, **given, "kernels": ()})
    call = Call(problem, backend, run, options, arguments.get("progress"))
    scalars = output.scalar.name, corrected.scalar.name
    solved = _exact(call, *scalars) if problem.program.linear else SeriesRun(call, *scalars).solved()
    found = {**common_attributes(problem, run), **solved.attributes, **solved.outcome.attrs()}
    return solved.dataset.assign_attrs({**found, "order": 2})


def refuse_richness(arguments: Mapping[str, Any]) -> None:
    """Raise `ArgumentError` if there is a value of what results are a series in."""
    if "richness" in arguments:
        raise ArgumentError("richness: allowed is nothing, results are what multiplies its square")


class SeriesRun(SampledRun):
    """Replicas of a series on sampled sites.

    Parameters
    ----------
    call
        Of a series.
    output, corrected
        Names of its outputs of order zero and two.
    """

    def __init__(self, call: Call, output: str, corrected: str) -> None:
        self.names = (corrected, output)
        super().__init__(call)

    def track(self, result: Any) -> Numbers:
        """Outputs of both orders, shape (steps, 2, samples, outputs)."""
        return np.stack([np.asarray(result.scalars[name])[: result.steps] for name in self.names], axis=1)

    def means(self, sites: int) -> tuple[xr.Dataset, Outcome]:
        """Means and standard errors over replicas; those of losses by the jackknife."""
        import xarray as xr

        tracks, _ = self.tracks(sites)
        done = min(len(track) for track in tracks)
        stacked = xr.concat([_orders(track[:done], self.data) for track in tracks], "replica")
        mean, error = mean_and_error(stacked)
        errors = error[["f"]].merge(jackknife(_losses(left_out(stacked), self.data)))
        found = mean[["f"]].merge(_losses(mean, self.data)).merge(suffixed(errors, "_sem"))
        return found, end_of_run(done, self.call.arguments.steps)


def _exact(call: Call, output: str, corrected: str) -> Solved:
    """A linear series in coordinates."""
    result, attributes = Coordinates().trained(call)
    scalars = {ref.scalar.name: values for ref, values in result.scalars.items()}
    both = _orders(np.stack([scalars[corrected], scalars[output]], axis=1), samples_of(call.problem.data))
    dataset = both[["f"]].merge(_losses(both, samples_of(call.problem.data)))
    return Solved(labelled(dataset, samples_of(call.problem.data)), result.outcome, attributes)


def _orders(track: Numbers, data: Samples) -> xr.Dataset:
    import xarray as xr

    dims = ("step", "sample", "output")
    coords = {"step": np.arange(len(track)), **{label.name: np.arange(size) for label, size in data.sizes.items()}}
    return xr.Dataset({"f": (dims, track[:, 0]), "limit": (dims, track[:, 1])}, coords)


def _losses(dataset: xr.Dataset, data: Samples) -> xr.Dataset:
    """How losses change with outputs, ``(dl/df) f``; leading axes are kept."""
    import xarray as xr

    parts = {"train": slice(0, data.count)} | ({"test": slice(data.count, None)} if data.total > data.count else {})
    limit, change = (dataset[name].transpose(..., "sample", "output") for name in ("limit", "f"))
    found: dict[str, xr.DataArray] = {}
    for part, rows in parts.items():
        f, moved, targets = limit.values[..., rows, :], _SMALL * change.values[..., rows, :], data.all_targets[rows]
        slopes = (data.rule.value(f + moved, targets) - data.rule.value(f - moved, targets)) / (2 * _SMALL)
        dims = [dim for dim in change.dims if dim != "sample"]
        found[f"{part}_loss"] = xr.DataArray(slopes, {d: change[d] for d in dims if d in change.coords}, dims)
    return xr.Dataset(found)
