"""Spectra of a theory and of simulated networks, cut to what can be compared entry by entry.

Outliers that are equal in the theory (equal outputs make them so) split in a finite network, and their vectors turn in
their common space. Only what all of them have together is comparable: their mean, and the overlap of their space.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.results.store import SEM
from dmft_sym.support.array_types import Floats
from dmft_sym.support.degenerate import degenerate

if TYPE_CHECKING:
    import xarray as xr


SPECTRA = ("outlier", "sharpness", "overlap")
VISIBLE = 5.0
"""Overlaps below this multiple of ``dim**-0.5`` are left out: a vector of a finite network overlaps by chance."""

_AXES = ("matrix", "spectrum_step", "rank")
_DIRECTED = (*_AXES, "direction", "output")


def common_spectra(run: xr.Dataset, sim: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """Outliers, sharpness and overlaps that both results have, aligned by matrix, step, rank and direction.

    Of outliers that coincide in the theory, the first has the mean of the values and the overlap of the space
    of their vectors, and the others are NaN. NaN as well are ranks at which the theory has no outlier, groups of which
    not all were measured, overlaps that are too small to be seen, and whatever a network did not reach.

    Parameters
    ----------
    run, sim
        A theory, and a simulation with a ``seed`` dimension.

    Returns
    -------
    theory, simulation : xarray.Dataset
        Of the same variables; empty if there is nothing in common.
    errors : xarray.Dataset
        Standard errors of the theory, of the variables that have them.
    """
    import xarray as xr

    names = [name for name in SPECTRA if all(name in one and "spectrum_step" in one[name].dims for one in (run, sim))]
    sampled = [f"{name}{SEM}" for name in names if f"{name}{SEM}" in run]
    theory, simulation = xr.align(run[[*names, *sampled]], sim[names], join="inner")
    if "outlier" in names and all(theory["outlier"].shape):
        values, groups = theory["outlier"].transpose(*_AXES).values, {}
        for place in np.ndindex(values.shape[:2]):
            groups[place] = degenerate(*_outliers_at(run, _labels(theory, place)))
        theory, simulation = _grouped(theory, simulation, groups, float(sim.attrs.get("dim", np.inf)))
    kept = [name for name in names if theory[name].size and simulation[name].size]
    for name in kept:
        there = theory[name].notnull() & simulation[name].notnull().all("seed")
        theory[name], simulation[name] = theory[name].where(there), simulation[name].where(there)
    kept = [name for name in kept if bool(theory[name].notnull().any())]
    errors = theory[[f"{name}{SEM}" for name in kept if f"{name}{SEM}" in sampled]]
    return theory[kept], simulation[kept], errors.rename({str(name): str(name)[: -len(SEM)] for name in errors})


def _outliers_at(run: xr.Dataset, place: dict[str, Any]) -> list[Floats]:
    """Outliers and, if they are sampled, their standard errors."""
    names = [name for name in ("outlier", f"outlier{SEM}") if name in run]
    return [run[name].transpose(*_AXES).sel(place).values for name in names]


def _labels(dataset: xr.Dataset, place: tuple[int, ...]) -> dict[str, Any]:
    return {axis: dataset[axis].values[k] for axis, k in zip(_AXES[:2], place, strict=True)}


def _grouped(
    theory: xr.Dataset, simulation: xr.Dataset, groups: dict[tuple[int, ...], list[slice]], dim: float
) -> tuple[xr.Dataset, xr.Dataset]:
    """Each group of coinciding outliers at its first rank; the others, and ranks without an outlier, are NaN."""
    theory, simulation = theory.copy(), simulation.copy()
    measured = simulation["outlier"].transpose("seed", *_AXES)
    for name in ("outlier", f"outlier{SEM}"):  # standard errors of what coincides are taken for correlated
        if name in theory:
            theory[name] = _at_first(theory[name].transpose(*_AXES), groups, lambda rows: rows.mean(-1))
    simulation["outlier"] = _at_first(measured, groups, lambda rows: rows.mean(-1))
    if "overlap" in theory and theory["overlap"].size:
        turned = [array.transpose(..., *_DIRECTED) for array in (theory["overlap"], simulation["overlap"])]
        first = _at_first(turned[0], groups, lambda rows: rows[..., 0, :, :])
        theory["overlap"] = first.where(first > VISIBLE / dim**0.5)
        simulation["overlap"] = _at_first(turned[1], groups, lambda rows: np.sqrt((rows**2).sum(-3)))
    return theory, simulation


def _at_first(array: xr.DataArray, groups: dict[tuple[int, ...], list[slice]], combine: Any) -> xr.DataArray:
    """``combine`` of the ranks of every group at its first rank; array of axes ([seed], matrix, step, rank, ...)."""
    lead, rank = ((slice(None),) if "seed" in array.dims else ()), array.get_axis_num("rank")
    table = np.full(array.shape, np.nan)
    for place, parts in groups.items():
        for part in parts:
            if part.stop <= array.shape[rank]:
                table[(*lead, *place, part.start)] = combine(array.values[(*lead, *place, part)])
    return array.copy(data=table)
