"""Figures of measured weight matrices: histograms beside the law of their initialization, and shifts of the bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .panels import DASHED, legend_above, light_grid, new_figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BULK, _OUTLIER, _MEASURED = "#0072b2", "#d55e00", "0.25"
_BINS, _COLUMNS = 40, 4


def weights(measured: xr.Dataset, theory: xr.Dataset | None = None) -> Figure:
    """Singular values of every matrix above, and the shifts of the quantiles of its bulk below.

    Parameters
    ----------
    measured
        What `dmft_sym.measure` returned.
    theory
        A result with predicted outliers of these matrices, which are marked.
    """
    names = [str(name) for name in measured["matrix"].values]
    columns = min(len(names), _COLUMNS)
    rows = -(-len(names) // columns)
    figure = new_figure(max(2.9 * columns, 4.5), 4.2 * rows + 0.5)
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=(2, 1) * rows)
    for number, name in enumerate(names):
        row, column = divmod(number, columns)
        one = measured.sel(matrix=name).isel(spectrum_step=0)
        _values(grid[2 * row, column], one, theory, name)
        _shifts(grid[2 * row + 1, column], one)
        grid[2 * row, column].set_title(f"{name}: {one['verdict'].values}", fontsize="medium")
    for unused in range(len(names), rows * columns):
        row, column = divmod(unused, columns)
        for axis in grid[2 * row : 2 * row + 2, column]:
            axis.set_axis_off()
    for row in range(rows):
        grid[2 * row, 0].set_ylabel("density [1]")
        grid[2 * row + 1, 0].set_ylabel("shift / edge [1]")
    legend_above(figure, list(grid.ravel()), 2.6)
    return figure


def _values(axis: Axes, one: xr.Dataset, theory: xr.Dataset | None, name: str) -> None:
    """Histogram, the law of the initialization, and outliers."""
    values = one["spectrum_value"].values.ravel()
    values = values[np.isfinite(values)]
    if np.ptp(values):
        axis.hist(values, _BINS, density=True, color="0.8", label="singular values")
    axis.plot(one["value"], one["density"], color=_BULK, lw=1.6, label="initialization")
    bottom = axis.get_xaxis_transform()
    found = one["outlier"].values.ravel()
    found = found[np.isfinite(found)]
    axis.plot(found, np.full(len(found), 0.13), "|", color=_MEASURED, ms=8, mew=0.9, transform=bottom, label="outliers")
    if theory is not None:
        predicted = theory["outlier"].sel(matrix=name, spectrum_step=int(one["spectrum_step"])).values
        predicted = predicted[np.isfinite(predicted)]
        style: dict[str, Any] = {"color": _OUTLIER, "ms": 7, "mec": "white", "mew": 0.6, "transform": bottom}
        axis.plot(predicted, np.full(len(predicted), 0.04), "v", label="theory, outliers", **style)
    axis.set_ylim(bottom=0)
    axis.set_xlabel(f"singular value of {name} [1]")


def _shifts(axis: Axes, one: xr.Dataset) -> None:
    """Shifts of the quantiles, mean over networks, with four standard errors."""
    shift = one["bulk_shift"].mean("seed").values
    error = np.sqrt((one["bulk_shift_sem"].values ** 2).sum(axis=0)) / one.sizes["seed"]
    style: dict[str, Any] = {"fmt": "o", "ms": 3.5, "mfc": "white", "color": _MEASURED, "capsize": 2, "lw": 1.0}
    axis.errorbar(one["quantile"], shift, 4 * error, label="shift of quantiles ± 4 standard errors", **style)
    for sign in (-1, 1):
        axis.axhline(0.02 * sign, color="0.5", lw=0.8, ls=DASHED, label="± 0.02 of the edge")
    top = 1.25 * max(0.02, float(np.nanmax(np.abs(shift) + 4 * error, initial=0.0)))
    axis.set_ylim(-top, top)
    axis.set_xlabel("quantile of the bulk [1]")
    light_grid(axis)
