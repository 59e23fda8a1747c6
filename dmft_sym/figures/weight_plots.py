"""Figures of measured weight matrices: histograms beside the law of their initialization, and shifts of the bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import symbols
from .panels import AxesLike, Panels, finish, given, new_figure
from .style import EDGE, LIGHT, NETWORKS, look, printed

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BULK, _OUTLIER = look(0), look(1)
_BINS, _COLUMNS = 40, 4


@printed
def weights(measured: xr.Dataset, theory: xr.Dataset | None = None, *, ax: AxesLike | None = None) -> Figure:
    """Singular values of every matrix above, and the shifts of the quantiles of its bulk below.

    Parameters
    ----------
    measured
        What `dmft_sym.measure` returned.
    theory
        A result with predicted outliers of these matrices, which are marked.
    ax
        Axes, two for each matrix: its values, then the shifts of its bulk.
    """
    names = [str(name) for name in measured["matrix"].values]
    drawn = _pairs(len(names)) if ax is None else given(ax, 2 * len(names))
    titles = []
    for number, name in enumerate(names):
        above, below = drawn.axes[2 * number : 2 * number + 2]
        one = measured.sel(matrix=name).isel(spectrum_step=0)
        _values(above, one, theory, name)
        _shifts(below, one)
        titles += [f"{symbols.matrix(name)}, {one['verdict'].values}", ""]
        if number % _COLUMNS == 0:
            above.set_ylabel("density")
            below.set_ylabel("shift / edge")
    drawn.entitle(titles)
    drawn.legend(2.4)
    return drawn.figure


def _pairs(count: int) -> Panels:
    """Axes for the values of every matrix above those for its shifts."""
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    figure = new_figure(max(2.6 * columns, 3.6), 4.0 * rows + 0.6)
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=(2, 1) * rows)
    pairs = [grid[2 * row : 2 * row + 2, column] for row in range(rows) for column in range(columns)]
    for unused in pairs[count:]:
        for axis in unused:
            axis.remove()
    return Panels(figure, [axis for pair in pairs[:count] for axis in pair], True)


def _values(axis: Axes, one: xr.Dataset, theory: xr.Dataset | None, name: str) -> None:
    """Histogram, the law of the initialization, and outliers."""
    values = one["spectrum_value"].values.ravel()
    values = values[np.isfinite(values)]
    if np.ptp(values):
        axis.hist(values, _BINS, density=True, color=LIGHT, label="singular values")
    axis.plot(one["value"], one["density"], **_BULK.line, label="initialization")
    bottom = axis.get_xaxis_transform()
    found = one["outlier"].values.ravel()
    found = found[np.isfinite(found)]
    ticks: dict[str, Any] = {"color": NETWORKS.colour, "ms": 8, "mew": 1.0, "transform": bottom}
    axis.plot(found, np.full(len(found), 0.16), "|", label="outliers", **ticks)
    if theory is not None:
        predicted = theory["outlier"].sel(matrix=name, spectrum_step=int(one["spectrum_step"])).values
        predicted = predicted[np.isfinite(predicted)]
        style: dict[str, Any] = {"color": _OUTLIER.colour, "ms": 7, "mec": "white", "mew": 0.6, "transform": bottom}
        axis.plot(predicted, np.full(len(predicted), 0.04), "v", label="theory, outliers", **style)
    axis.set_ylim(bottom=0)
    axis.set_xlabel(symbols.value_of(name))
    finish(axis, "")


def _shifts(axis: Axes, one: xr.Dataset) -> None:
    """Shifts of the quantiles, mean over networks, with four standard errors."""
    shift = one["bulk_shift"].mean("seed").values
    error = np.sqrt((one["bulk_shift_sem"].values ** 2).sum(axis=0)) / one.sizes["seed"]
    label = "shift of quantiles ± 4 standard errors"
    axis.errorbar(one["quantile"], shift, 4 * error, label=label, **NETWORKS.points, elinewidth=1.0)
    for sign in (-1, 1):
        axis.axhline(0.02 * sign, **EDGE.line, lw=1.0, label="± 0.02 of the edge")
    top = 1.25 * max(0.02, float(np.nanmax(np.abs(shift) + 4 * error, initial=0.0)))
    axis.set_ylim(-top, top)
    axis.set_xlabel("quantile of the bulk")
    finish(axis, "")
