"""Figures of spectra: bulk with histogram and outliers, tracks of outliers, sharpness. Figures are returned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.results.axes import in_steps, word
from dmft_sym.results.store import SEM, ResultError
from dmft_sym.support.array_types import Floats
from dmft_sym.support.degenerate import degenerate
from dmft_sym.support.messages import InputError, show

from . import style, symbols
from .panels import AxesLike, axis_label, finish, of_networks, panels, spaced

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MAX_STEPS = 6
"""Panels in a row of `spectra`: the first step, the last and evenly spaced ones between."""

_BULK, _OUTLIER = style.look(0), style.Look(style.COLOURS[1])
_STABLE = style.Look("0.35", style.DASHED)
_BINS = 40
_NOTHING = 1e-9  # values below this part of the largest are zeros of a matrix that has no full rank


@style.printed
def spectra(
    run: xr.Dataset,
    sim: xr.Dataset | None = None,
    matrices: Sequence[str] | None = None,
    *,
    ax: AxesLike | None = None,
) -> Figure:
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
    ax
        Axes, row by row.
    """
    called, run, sim = word(run), in_steps(run), None if sim is None else in_steps(sim)
    _check(run, ("outlier", "bulk_edge"))
    if "sample" in run.dims:
        raise ResultError("the result has no densities, as those of given samples: allowed is the kind outliers")
    names, steps = _chosen(run, matrices), spaced(run["spectrum_step"].values.tolist(), MAX_STEPS)
    columns = len(steps)
    drawn = panels(ax, len(names) * columns, columns, (2.3, 2.2) if columns > 1 else (3.6, 2.6))
    titles = []
    for number, name in enumerate(names):
        row = drawn.axes[columns * number : columns * (number + 1)]
        for step, axis in zip(steps, row, strict=True):
            _panel(axis, run, sim, {"matrix": name, "spectrum_step": step})
            titles.append(f"{called} {step:g}" if number == 0 else "")
        _same_limits(row)
        row[0].set_ylabel("density")
    drawn.entitle(titles)
    drawn.legend(2.4)
    return drawn.figure


@style.printed
def outliers(
    run: xr.Dataset,
    sim: xr.Dataset | None = None,
    matrices: Sequence[str] | None = None,
    *,
    ax: AxesLike | None = None,
) -> Figure:
    """Outliers against the step with the edges of the bulk, a panel for each matrix.

    Of a simulation the largest values are drawn, as many as the theory has outliers at that step and at least one: mean
    over seeds with the standard error. Outliers that coincide in the theory split in a finite network; their mean has
    the error bar, and each of them is a dot. Sampled outliers have a band of one standard error.

    Parameters
    ----------
    run, sim, matrices
        As for `spectra`.
    ax
        Axes, one for each matrix.
    """
    run, sim = in_steps(run), None if sim is None else in_steps(sim)
    _check(run, ("outlier", "bulk_edge"))
    names = _chosen(run, matrices)
    drawn = panels(ax, len(names), min(len(names), 3), (3.4, 3.0))
    for name, axis in zip(names, drawn.axes, strict=True):
        _tracks(axis, run.sel(matrix=name))
        if sim is not None and "outlier" in sim and name in sim["matrix"].values:
            _measured_tracks(axis, run.sel(matrix=name), sim.sel(matrix=name))
        _show_outliers(axis, run.sel(matrix=name)["bulk_edge"])
        axis.set_xlabel(axis_label(run, "spectrum_step"))
        axis.set_ylabel(symbols.value_of(name))
        finish(axis)
    drawn.entitle([symbols.matrix(name) for name in names])
    drawn.legend(2.9)
    return drawn.figure


@style.printed
def sharpness(run: xr.Dataset, sim: xr.Dataset | None = None, *, ax: AxesLike | None = None) -> Figure:
    """Sharpness against the step, and the line below which steps are stable, ``2 / learning_rate`` of gradient descent.

    Parameters
    ----------
    run, sim
        As for `spectra`; the NTK has to be among the matrices, or kernels were kept of given samples.
    ax
        One axis.
    """
    run, sim = in_steps(run), None if sim is None else in_steps(sim)
    if "sharpness" not in run:
        raise ResultError(
            'the result has no sharpness: allowed are results with "NTK" among their matrices, or with kernels'
        )
    drawn = panels(ax, 1, 1, (4.6, 3.2))
    (axis,) = drawn.axes
    axis.set_yscale("log")
    along = next(str(dim) for dim in run["sharpness"].dims if dim != "seed")
    if "seed" in run["sharpness"].dims:
        sim, run = run, run.drop_vars("sharpness")
    else:
        error = run.get(f"sharpness{SEM}", None)
        style.theory(axis, run[along], run["sharpness"], _BULK, "theory", error, marker=".")
    if sim is not None and "sharpness" in sim:
        measured = sim["sharpness"].transpose("seed", along).values
        style.networks(axis, sim[along], measured, style.NETWORKS, of_networks(len(measured)))
    if rate := float(run.attrs.get("learning_rate", 0.0)):
        limit = float(run.attrs.get("stable_below", 2.0))
        axis.axhline(limit / rate, **_STABLE.line, lw=1.2, label=f"{limit:.3g} / learning rate")
    axis.set_xlabel(axis_label(run, along))
    axis.set_ylabel(r"sharpness $\lambda_{\max}$")
    finish(axis)
    drawn.legend(2.9)
    return drawn.figure


KINDS = {"spectrum": spectra, "outliers": outliers, "sharpness": sharpness}


def _panel(axis: Axes, run: xr.Dataset, sim: xr.Dataset | None, place: dict[str, Any]) -> None:
    measured = _values(sim, place)
    edge = float(run["bulk_edge"].sel(place | {"side": "upper"}))
    if measured is not None and len(measured):
        kept = measured[np.abs(measured) > _NOTHING * np.abs(measured).max()]
        weights = np.full(len(kept), _BINS / np.ptp(kept) / len(measured)) if np.ptp(kept) else None
        label = f"simulation, {sim.sizes['seed']} networks" if sim is not None else ""
        axis.hist(kept, _BINS, weights=weights, color=style.LIGHT, label=label)
        above = kept[kept > edge]
        ticks: dict[str, Any] = {
            "transform": axis.get_xaxis_transform(),
            "color": style.NETWORKS.colour,
            "ms": 7,
            "mew": 0.7,
        }
        axis.plot(above, np.full(len(above), 0.13), "|", label="simulation, values above the edge", **ticks)
    if "density" in run:
        here = run[["value", "density"]].sel(place)
        axis.plot(here["value"], here["density"], **_BULK.line, label="theory, bulk")
    else:
        axis.axvline(edge, **_BULK.line, label="theory, edge")
    _marks(axis, run["outlier"].sel(place).values)
    axis.set_ylim(bottom=0)
    axis.set_xlabel(symbols.value_of(str(place["matrix"])))
    finish(axis, "")


def _marks(axis: Axes, values: Floats) -> None:
    """Outliers at the bottom of a panel, with their multiplicity."""
    bottom = axis.get_xaxis_transform()
    for group in degenerate(values):
        count, value = group.stop - group.start, float(values[group.start])
        axis.plot(
            [value],
            [0.04],
            "v",
            color=_OUTLIER.colour,
            ms=7,
            mec="white",
            mew=0.6,
            transform=bottom,
            label="theory, outlier",
        )
        if count > 1:
            axis.annotate(
                f"×{count}",
                (value, 0.17),
                xycoords=bottom,
                ha="center",
                va="bottom",
                color=_OUTLIER.colour,
                fontsize="small",
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
        axis.plot(steps, edge, **_BULK.line, lw=1.2, label="theory, edges of the bulk")
    axis.fill_between(steps, low, high, color=_BULK.colour, alpha=0.1, lw=0)
    for rank in range(run.sizes["rank"]):
        values = run["outlier"].isel(rank=rank)
        error = run[f"outlier{SEM}"].isel(rank=rank) if f"outlier{SEM}" in run else None
        words = "" if error is None else f" {style.ONE_ERROR}"
        style.theory(axis, steps, values, _OUTLIER, f"theory, outlier{words}", error, marker=".")
    names = [name for name in ("escape_step", "escape_time") if name in run]
    escape = float(run[names[0]]) if names else np.nan
    if np.isfinite(escape):
        axis.axvline(escape, **style.EDGE.line, lw=1.0, label="escape")


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
                        [step] * len(each),
                        each,
                        ".",
                        color=style.NETWORKS.colour,
                        ms=3,
                        label="simulation, coinciding ones singly",
                    )
    for steps, means in drawn.values():
        table = np.stack([mean.values for mean in means], axis=-1)
        style.networks(axis, steps, table, style.NETWORKS, of_networks(len(table)))


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
