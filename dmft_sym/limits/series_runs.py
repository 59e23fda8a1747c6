"""Runs of a program that is a power series: outputs, losses and kernels of order ``gamma^2``, with standard errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.program import ScalarRef
from dmft_sym.regimes.samples import Samples, samples_of
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.solvers.attributes import common_attributes
from dmft_sym.solvers.coordinates import Coordinates
from dmft_sym.solvers.measurements import Measurements, WantedMeasurements, wanted_of
from dmft_sym.solvers.method import Call, Solved, end_of_run
from dmft_sym.solvers.sample_results import (
    SEM,
    jackknife,
    labelled,
    left_out,
    mean_and_error,
    network_dataset,
    suffixed,
)
from dmft_sym.solvers.sampled_sites import SampledRun
from dmft_sym.solvers.solver import DEFAULTS
from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.outcomes import Outcome

from .series import Series
from .series_kernels import SeriesKernels

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem

Numbers = NDArray[np.float64]
_OPTIONS = ("tol", "sites", "error", "seed", "replicas", "antithetic", "threads", "kernels")
_SMALL = 1e-4
"""Of outputs, for the derivative of a loss."""


def solve_series(
    problem: Problem, series: Series, output: ScalarRef, backend: str, arguments: Mapping[str, Any]
) -> xr.Dataset:
    """Run a series by the default method on given samples: conditioning.

    Parameters
    ----------
    problem
        Of the program of the series.
    output
        Outputs of order zero.
    arguments
        As of a run: steps, parameters, and the options ``sites``, ``error``, ``seed``, ``replicas``, ``antithetic``,
        ``tol``, ``threads``, ``kernels`` and ``progress``.

    Returns
    -------
    xarray.Dataset
        ``f`` (step, sample, output), losses and kernels of order two.
    """
    refuse_richness(arguments)
    given = {name: value for name, value in arguments.items() if name in _OPTIONS and value is not None}
    rest = {k: v for k, v in arguments.items() if k not in (*_OPTIONS, "steps", "progress")}
    run = run_arguments(problem, arguments.get("steps"), rest, (*_OPTIONS, "progress"))
    options = SimpleNamespace(**{**DEFAULTS, **given})
    call = Call(problem, backend, run, options, arguments.get("progress"))
    solved = _exact(call, series, output) if problem.program.linear else SeriesRun(call, series, output).solved()
    found = {**common_attributes(problem, run), **solved.attributes, **solved.outcome.attrs()}
    return solved.dataset.assign_attrs({**found, "order": 2})


def refuse_richness(arguments: Mapping[str, Any]) -> None:
    """Raise `ArgumentError` if there is a value of what results are a series in."""
    if "richness" in arguments:
        raise ArgumentError("richness: allowed is nothing, results are what multiplies its square")


def _names(series: Series, output: ScalarRef) -> tuple[str, str]:
    """Of outputs of order two and of order zero."""
    return series.part(output.scalar, 2).name, output.scalar.name


def _wanted(wanted: WantedMeasurements, series: Series, call: Call) -> WantedMeasurements:
    """The same of kernels of order two."""
    sizes = samples_of(call.problem.data).sizes
    return replace(wanted, kernels=SeriesKernels(series, call.arguments.values, sizes))


class SeriesRun(SampledRun):
    """Replicas of a series on sampled sites.

    Parameters
    ----------
    call
        Of a series.
    series
        What runs.
    output
        Its outputs of order zero.
    """

    def __init__(self, call: Call, series: Series, output: ScalarRef) -> None:
        self.names = _names(series, output)
        super().__init__(call)
        self.wanted = _wanted(self.wanted, series, call)

    def track(self, result: Any) -> Numbers:
        """Outputs of both orders, shape (steps, 2, samples, outputs)."""
        return np.stack([np.asarray(result.scalars[name])[: result.steps] for name in self.names], axis=1)

    def means(self, sites: int) -> tuple[xr.Dataset, Outcome]:
        """Means and standard errors over replicas; those of losses by the jackknife."""
        import xarray as xr

        tracks, measured = self.tracks(sites)
        done = min(len(track) for track in tracks)
        parts = (_orders(track[:done], shown, self.data) for track, shown in zip(tracks, measured, strict=True))
        stacked = xr.concat(list(parts), "replica")
        mean, error = mean_and_error(stacked)
        errors = error.drop_vars("limit").merge(jackknife(_losses(left_out(stacked), self.data)))
        found = mean.drop_vars("limit").merge(_losses(mean, self.data)).merge(suffixed(errors, SEM))
        return found, end_of_run(done, self.call.arguments.steps)


def _exact(call: Call, series: Series, output: ScalarRef) -> Solved:
    """A linear series in coordinates."""
    data = samples_of(call.problem.data)
    measured = Measurements(_wanted(wanted_of(call, data, gaussian=True), series, call))
    result, attributes = Coordinates().trained(call, measured.see_network, measured.wanted.steps)
    scalars = {ref.scalar.name: values for ref, values in result.scalars.items()}
    both = _orders(np.stack([scalars[name] for name in _names(series, output)], axis=1), measured, data)
    return Solved(labelled(both.drop_vars("limit").merge(_losses(both, data)), data), result.outcome, attributes)


def _orders(track: Numbers, measured: Measurements, data: Samples) -> xr.Dataset:
    """What one network showed: outputs ``f`` and kernels of order two, and the ``limit`` of outputs."""
    found = network_dataset(track[:, 0], measured, data)
    return found.assign(limit=(found["f"].dims, track[:, 1]))


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
