"""Figures of spectra: bulk with histogram and outliers, tracks of outliers, sharpness. Figures are returned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.results.axes import in_steps, word
from dmft_sym.results.store import SEM, ResultError
from dmft_sym.support.array_types import Floats
from dmft_sym.support.degenerate import degenerate
from dmft_sym.support.messages import InputError, show

from .panels import DASHED, axis_label, legend_above, light_grid, new_figure, of_networks, spaced

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MAX_STEPS = 6
"""Panels in a row of `spectra`: the first step, the last and evenly spaced ones between."""

_BULK, _OUTLIER, _MEASURED, _LIMIT = "#0072b2", "#d55e00", "0.25", "#cc79a7"
_BINS = 40
_NOTHING = 1e-9  # values below this part of the largest are zeros of a matrix that has no full rank


def spectra(run: xr.Dataset, sim: xr.Dataset | None = None, matrices: Sequence[str] | None = None) -> Figure:
    """Bulk and outliers, a row of panels for each matrix and a panel for each step.

    The predicted density is a line, predicted outliers are marks at the bottom, labelled where several coincide. The
    histogram is that of all values that a simulation measured (``values=0``), of all seeds together, with a tick for
    each value above the predicted edge. Both leave out the part of the spectrum at zero.

    Parameters
    ----------
    run
        What `dmft_sym.spectrum` returned, or ``dmft-sym run`` with a section ``[spectrum]`` wrote.
    sim
        A simulation with the same matrices and steps.
    matrices
        Which rows; all matrices if not given.
    """
    called, run, sim = word(run), in_steps(run), None if sim is None else in_steps(sim)
    _check(run, ("outlier", "bulk_edge"))
    if "sample" in run.dims:
        raise ResultError("the result has no densities, as those of given samples: allowed is the kind outliers")
    names, steps = _chosen(run, matrices), spaced(run["spectrum_step"].values.tolist(), MAX_STEPS)
    figure = new_figure(max(2.5 * len(steps), 4.0), 2.3 * len(names) + 0.5)
    grid = figure.subplots(len(names), len(steps), squeeze=False)
    for name, row in zip(names, grid, strict=True):
        for step, axis in zip(steps, row, strict=True):
            _panel(axis, run, sim, {"matrix": name, "spectrum_step": step})
        _same_limits(row)
        row[0].set_ylabel(f"density of {name} [1]")
    for step, axis in zip(steps, grid[0], strict=True):
        axis.set_title(f"{called} {step:g}", fontsize="medium")
    legend_above(figure, list(grid.ravel()), 2.6)
    return figure


def outliers(run: xr.Dataset, sim: xr.Dataset | None = None, matrices: Sequence[str] | None = None) -> Figure:
    """Outliers against the step with the edges of the bulk, a panel for each matrix.

    Of a simulation the largest values are drawn, as many as the theory has outliers at that step and at least one: mean
    over seeds with the standard error. Outliers that coincide in the theory split in a finite network; their mean has
    the error bar, and each of them is a dot. Sampled outliers have a band of one standard error.

    Parameters
    ----------
    run, sim, matrices
        As for `spectra`.
    """
    run, sim = in_steps(run), None if sim is None else in_steps(sim)
    _check(run, ("outlier", "bulk_edge"))
    names = _chosen(run, matrices)
    figure = new_figure(3.6 * len(names) + 0.4, 3.6)
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for name, axis in zip(names, axes, strict=True):
        _tracks(axis, run.sel(matrix=name))
        if sim is not None and "outlier" in sim and name in sim["matrix"].values:
            _measured_tracks(axis, run.sel(matrix=name), sim.sel(matrix=name))
        _show_outliers(axis, run.sel(matrix=name)["bulk_edge"])
        axis.set_title(name, fontsize="medium")
        axis.set_xlabel(axis_label(run, "spectrum_step"))
        axis.set_ylabel(_value_label(name))
        light_grid(axis)
    legend_above(figure, list(axes), 2.6)
    return figure


def sharpness(run: xr.Dataset, sim: xr.Dataset | None = None) -> Figure:
    """Sharpness against the step, and the line below which steps are stable, ``2 / learning_rate`` of gradient descent.

    Parameters
    ----------
    run, sim
        As for `spectra`; the NTK has to be among the matrices, or kernels were kept of given samples.
    """
    run, sim = in_steps(run), None if sim is None else in_steps(sim)
    if "sharpness" not in run:
        raise ResultError(
            'the result has no sharpness: allowed are results with "NTK" among their matrices, or with kernels'
        )
    figure = new_figure(5.0, 3.6)
    axis = figure.subplots()
    along = next(str(dim) for dim in run["sharpness"].dims if dim != "seed")
    steps = run[along].values
    if "seed" in run["sharpness"].dims:
        sim, run = run, run.drop_vars("sharpness")
    else:
        axis.plot(steps, run["sharpness"].values, color=_BULK, lw=1.6, marker=".", label="theory")
    if sim is not None and "sharpness" in sim:
        measured = sim["sharpness"].transpose("seed", along).values
        _points(axis, sim[along].values, measured)
    if rate := float(run.attrs.get("learning_rate", 0.0)):
        limit = float(run.attrs.get("stable_below", 2.0))
        axis.axhline(limit / rate, color=_LIMIT, lw=1.2, ls=DASHED, label=f"{limit:.3g} / learning rate")
    axis.set_xlabel(axis_label(run, along))
    axis.set_ylabel("sharpness: leading eigenvalue [1]")
    axis.set_yscale("log")
    light_grid(axis)
    legend_above(figure, [axis], 2.6)
    return figure


KINDS = {"spectrum": spectra, "outliers": outliers, "sharpness": sharpness}


def _panel(axis: Axes, run: xr.Dataset, sim: xr.Dataset | None, place: dict[str, Any]) -> None:
    measured = _values(sim, place)
    edge = float(run["bulk_edge"].sel(place | {"side": "upper"}))
    if measured is not None and len(measured):
        kept = measured[np.abs(measured) > _NOTHING * np.abs(measured).max()]
        weights = np.full(len(kept), _BINS / np.ptp(kept) / len(measured)) if np.ptp(kept) else None
        label = f"simulation, {sim.sizes['seed']} networks" if sim is not None else ""
        axis.hist(kept, _BINS, weights=weights, color="0.8", label=label)
        above = kept[kept > edge]
        ticks: dict[str, Any] = {"transform": axis.get_xaxis_transform(), "color": _MEASURED, "ms": 7, "mew": 0.7}
        axis.plot(above, np.full(len(above), 0.13), "|", label="simulation, values above the edge", **ticks)
    if "density" in run:
        here = run[["value", "density"]].sel(place)
        axis.plot(here["value"], here["density"], color=_BULK, lw=1.6, label="theory, bulk")
    else:
        axis.axvline(edge, color=_BULK, lw=1.0, label="theory, edge")
    _marks(axis, run["outlier"].sel(place).values)
    axis.set_ylim(bottom=0)
    axis.set_xlabel(_value_label(str(place["matrix"])))


def _marks(axis: Axes, values: Floats) -> None:
    """Outliers at the bottom of a panel, with their multiplicity."""
    bottom = axis.get_xaxis_transform()
    for group in degenerate(values):
        count, value = group.stop - group.start, float(values[group.start])
        axis.plot(
            [value], [0.04], "v", color=_OUTLIER, ms=7, mec="white", mew=0.6, transform=bottom, label="theory, outlier"
        )
        if count > 1:
            axis.annotate(
                f"×{count}", (value, 0.17), xycoords=bottom, ha="center", va="bottom", color=_OUTLIER, fontsize="small"
            )


def _values(sim: xr.Dataset | None, place: dict[str, Any]) -> Floats | None:
    """All measured values of a matrix at a step, of all seeds; None if there are none."""
    if sim is None or "spectrum_value" not in sim:
        return None
    if any(label not in sim[axis].values for axis, label in place.items()):
        return None
    values = sim["spectrum_value"].sel(place).values.ravel()
    return np.asarray(values[np.isfinite(values)])


def _same_limits(row: Sequence[Axes]) -> None:
    """Panels of one matrix have the same values on the axis, so that the bulk is seen to move."""
    left, right = zip(*(axis.get_xlim() for axis in row), strict=True)
    for axis in row:
        axis.set_xlim(min(left), max(right))


def _show_outliers(axis: Axes, edge: xr.DataArray) -> None:
    """Leave out what is deep in the bulk, if outliers are so close to its edge that they would not be seen."""
    upper = edge.sel(side="upper").values
    if np.isfinite(upper).any():
        low, top = float(np.nanmin(upper)), axis.get_ylim()[1]
        bottom = low - 0.6 * (top - low)
        if top > 1.02 * low > 0 and bottom > axis.get_ylim()[0]:
            axis.set_ylim(bottom, top)


def _tracks(axis: Axes, run: xr.Dataset) -> None:
    steps = run["spectrum_step"].values
    low, high = (run["bulk_edge"].sel(side=side).values for side in ("lower", "upper"))
    for edge in (high, low):
        axis.plot(steps, edge, color=_BULK, lw=1.2, label="theory, edges of the bulk")
    axis.fill_between(steps, low, high, color=_BULK, alpha=0.1, lw=0)
    for rank in range(run.sizes["rank"]):
        values = run["outlier"].isel(rank=rank).values
        axis.plot(steps, values, color=_OUTLIER, lw=1.4, marker=".", label="theory, outlier")
        if f"outlier{SEM}" in run:
            error = run[f"outlier{SEM}"].isel(rank=rank).values
            label = "theory, ± standard error"
            axis.fill_between(steps, values - error, values + error, color=_OUTLIER, alpha=0.3, lw=0, label=label)
    names = [name for name in ("escape_step", "escape_time") if name in run]
    escape = float(run[names[0]]) if names else np.nan
    if np.isfinite(escape):
        axis.axvline(escape, color="0.5", lw=0.8, ls=(0, (1, 2)), label="escape")


def _measured_tracks(axis: Axes, run: xr.Dataset, sim: xr.Dataset) -> None:
    """The largest values of finite networks, as many as there are outliers and at least one."""
    drawn: dict[int, tuple[list[int], list[xr.DataArray]]] = {}
    for step in (step for step in sim["spectrum_step"].values if step in run["spectrum_step"].values):
        measured = sim["outlier"].sel(spectrum_step=step)
        here = run.sel(spectrum_step=step)
        known = [here[name].values for name in ("outlier", f"outlier{SEM}") if name in here]
        for number, group in enumerate(degenerate(*known) or [slice(0, 1)]):
            values = measured.isel(rank=group)
            if values.sizes["rank"] == group.stop - group.start:
                steps, means = drawn.setdefault(number, ([], []))
                steps.append(step)
                means.append(values.mean("rank"))
                if values.sizes["rank"] > 1:
                    each = values.mean("seed").values
                    axis.plot(
                        [step] * len(each), each, ".", color=_MEASURED, ms=3, label="simulation, coinciding ones singly"
                    )
    for steps, means in drawn.values():
        _points(axis, np.array(steps), np.stack([mean.values for mean in means], axis=-1))


def _points(axis: Axes, steps: NDArray[Any], values: Floats) -> None:
    """Mean over seeds with the standard error, from values of shape (seed, step)."""
    seeds = len(values)
    error = values.std(axis=0, ddof=1) / seeds**0.5 if seeds > 1 else None
    style: dict[str, Any] = {"fmt": "o", "ms": 4, "mfc": "white", "color": _MEASURED, "capsize": 2, "lw": 1.0}
    axis.errorbar(steps, values.mean(axis=0), error, label=of_networks(seeds, " ± standard error"), zorder=4, **style)


def _check(run: xr.Dataset, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in run]
    if missing or not run.sizes.get("spectrum_step"):
        raise ResultError(
            "the result has no predicted spectra: allowed are results of dmft-sym spectrum, or of dmft-sym run with "
            "[spectrum] matrices"
        )


def _chosen(run: xr.Dataset, matrices: Sequence[str] | None) -> list[str]:
    known = [str(name) for name in run["matrix"].values]
    for name in matrices or ():
        if name not in known:
            raise InputError(f"matrix = {show(name)}: allowed are {', '.join(known)}")
    return list(matrices or known)


def _value_label(matrix: str) -> str:
    return f"{'eigenvalue' if matrix == 'NTK' else 'singular value'} of {matrix} [1]"
