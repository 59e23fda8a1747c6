"""Results of points as one: swept axes first, what a point does not have is NaN."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show, suggestion
from dmft_sym.support.outcomes import Outcome

from .axes import Axis, Grid

if TYPE_CHECKING:
    import xarray as xr

STATUS, DIVERGENCE = "status", "divergence_step"
_OWN = {"outcome", "outcome_remedy", "wall_time", "spectrum_failures"}
"""Attributes of single points."""
_WORDS = {
    STATUS: "how the run ended",
    DIVERGENCE: "step (or time) at which the run diverged",
    "spectrum_failures": "spectra that could not be computed, and why",
}


def chosen(result: xr.Dataset, variables: Sequence[str]) -> xr.Dataset:
    """A result with these variables only, all if none are named.

    Raises
    ------
    ArgumentError
        If it has none of this name.
    """
    for name in variables:
        if name not in result.data_vars and Outcome.of(result.attrs).completed:
            known = [str(one) for one in result.data_vars]
            allowed = ", ".join(known)
            raise ArgumentError(f"variables: no {show(name)}{suggestion(name, known)}; allowed are {allowed}")
    return result[[name for name in variables if name in result.data_vars]] if variables else result


def assembled(grid: Grid, results: Sequence[xr.Dataset]) -> xr.Dataset:
    """One dataset over all points.

    Parameters
    ----------
    results
        Of the points of the grid, in their order.

    Raises
    ------
    ArgumentError
        If a swept axis has the name of another axis of the results.
    """
    import xarray as xr

    coordinates = _coordinates(results)
    _whole_runs(coordinates, grid)
    for axis in grid.axes:
        if axis.name in coordinates or any(axis.name in result.data_vars for result in results):
            raise ArgumentError(f"over: results have an axis {axis.name} of their own; allowed is another axis")
    names = dict.fromkeys(str(name) for result in results for name in result.data_vars)
    variables = {name: _variable(name, grid, results, coordinates) for name in names}
    swept = {axis.name: _labels(axis) for axis in grid.axes}
    further = _further(results, coordinates)
    found = xr.Dataset({**variables, **_ends(grid, results)}, {**swept, **coordinates, **further})
    for name in coordinates:
        found[name].attrs = next(dict(one[name].attrs) for one in results if name in one.coords)
    for axis in grid.axes:
        found[axis.name].attrs = {"long_name": axis.name.replace("_", " "), "units": "1"}
    found.attrs = {**_common([result.attrs for result in results]), "swept": [axis.name for axis in grid.axes]}
    return found


def _labels(axis: Axis) -> NDArray[Any]:
    return np.array(axis.labels)


def _coordinates(results: Iterable[xr.Dataset]) -> dict[str, NDArray[Any]]:
    """All labels that any result has along each of its axes: numbers ascending, words as they come."""
    found: dict[str, dict[Any, None]] = {}
    for result in results:
        for name in result.dims:
            labels = result[name].values.tolist()
            found.setdefault(str(name), {}).update(dict.fromkeys(labels))
    return {name: _ordered(list(labels)) for name, labels in found.items()}


def _whole_runs(coordinates: dict[str, NDArray[Any]], grid: Grid) -> None:
    """All steps of the longest run, though all may have diverged before."""
    steps = max((int(point.settings.get("steps") or 0) for point in grid.points), default=0)
    for name in {"step", "step2"} & set(coordinates):
        coordinates[name] = np.arange(max(steps, len(coordinates[name])))


def _ordered(labels: list[Any]) -> NDArray[Any]:
    if any(isinstance(label, str) for label in labels):
        return np.array([str(label) for label in labels])
    return np.array(sorted(labels)) if labels else np.zeros(0, int)


def _variable(
    name: str, grid: Grid, results: Sequence[xr.Dataset], coordinates: Mapping[str, NDArray[Any]]
) -> tuple[tuple[str, ...], NDArray[Any], dict[str, Any]]:
    """A variable over the grid; empty (NaN, or an empty word) where a point does not have it."""
    first = max((one[name] for one in results if name in one), key=lambda one: one.ndim)
    dims = [str(dim) for dim in first.dims]
    shape = (*grid.shape, *(len(coordinates[dim]) for dim in dims))
    text = first.dtype.kind in "UO"
    values: NDArray[Any] = np.full(shape, "" if text else np.nan, object if text else np.float64)
    where = {dim: {label: place for place, label in enumerate(coordinates[dim].tolist())} for dim in dims}
    for point, result in zip(grid.points, results, strict=True):
        if name in result and list(result[name].dims) == dims:
            places = [[where[dim][label] for label in result[dim].values.tolist()] for dim in dims]
            block: Any = values[point.place] if dims else values
            block[np.ix_(*places) if dims else point.place] = result[name].values
    return (*(axis.name for axis in grid.axes), *dims), values.astype(str) if text else values, dict(first.attrs)


def _ends(grid: Grid, results: Sequence[xr.Dataset]) -> dict[str, Any]:
    """How every run ended."""
    outcomes = [Outcome.of(result.attrs) for result in results]
    steps = [np.nan if one.completed else (one.time if one.step is None else one.step) for one in outcomes]
    words = ["completed" if one.failure is None else one.failure.value for one in outcomes]
    columns: dict[str, NDArray[Any]] = {STATUS: np.array(words), DIVERGENCE: np.array(steps, float)}
    failures = [str(result.attrs.get("spectrum_failures", "")) for result in results]
    if any(failures):
        columns["spectrum_failures"] = np.array(failures)
    dims = [axis.name for axis in grid.axes]
    return {
        name: (dims, column.reshape(grid.shape), {"long_name": _WORDS[name], "units": "1"})
        for name, column in columns.items()
    }


def _further(results: Sequence[xr.Dataset], coordinates: Mapping[str, Any]) -> dict[str, Any]:
    """Coordinates beside those of axes, such as which samples are for training, where all points have the same."""
    found: dict[str, Any] = {}
    for name, one in results[0].coords.items():
        same = all(name in other.coords and one.variable.equals(other[name].variable) for other in results)
        if name not in coordinates and same:
            found[str(name)] = one.variable
    return found


def _common(attributes: Sequence[Mapping[Any, Any]]) -> dict[str, Any]:
    """Attributes that are the same at all points."""
    first = attributes[0]
    names = [name for name in first if name not in _OWN]
    return {str(k): first[k] for k in names if all(k in one and _same(one[k], first[k]) for one in attributes)}


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(np.array_equal(one, other))


def summary(grid: xr.Dataset) -> str:
    """One line: how many points, along which axes, and how many of them diverged."""
    axes = ", ".join(f"{name} {grid.sizes[name]}" for name in grid.attrs["swept"])
    ends, counts = np.unique(grid[STATUS].values, return_counts=True)
    others = [f"{count} {end}" for end, count in zip(ends, counts, strict=True) if end != "completed"]
    return ", ".join([f"{grid[STATUS].size} points ({axes})", *others])
