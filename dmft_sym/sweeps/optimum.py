"""The best value along an axis of a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.results.axes import word
from dmft_sym.results.store import ResultError, check_dataset
from dmft_sym.support.messages import show, suggestion

if TYPE_CHECKING:
    import xarray as xr

_AVERAGED = ("output", "seed", "sample")


def optimum(grid: xr.Dataset, variable: str, along: str, at: float | None = None) -> xr.Dataset:
    """Where a variable is smallest along a swept axis.

    Parameters
    ----------
    grid
        What `sweep` returned.
    variable
        Name of a loss; its mean over outputs and seeds is taken.
    along
        Name of a swept axis of numbers.
    at
        Step (or time), the last one by default. Runs that diverged before are passed over.

    Returns
    -------
    xarray.Dataset
        Over the other swept axes. ``<along>``: where the parabola through the smallest value and its two neighbours has
        its minimum, over the logarithm of the axis if all of its values are positive; ``<along>_on_grid`` and
        ``<variable>``: the best value of the axis, and the variable there; ``at_end``: whether that is the first or the
        last of the values that completed, so that the optimum may lie beyond, in which case nothing is interpolated.
        NaN where no run reached the step.

    Raises
    ------
    ResultError
        Naming what the grid does not have.

    See Also
    --------
    sweep : makes the grid.

    References
    ----------
    arXiv:2502.02531, transfer of learning rates.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> grid = ds.sweep(
    ...     ds.derive(ds.deep_linear(1)), over={"learning_rate": ds.logspace(-2, 0, 5)},
    ...     samples_per_dim=4, width_per_dim=2, richness=1, steps=20, label_noise=0.5, workers=1, backend="numpy",
    ... )
    >>> 0.1 < float(ds.optimum(grid, "test_loss", along="learning_rate").learning_rate) < 0.6
    True
    """
    import xarray as xr

    values = _values(grid, variable, along, at)
    places = np.asarray(grid[along].values, float)
    logarithmic = bool((places > 0).all())
    scale = np.log(places) if logarithmic else places
    others = [dim for dim in values.dims if dim != along]
    table = values.transpose(*others, along).values
    found = np.array([_best(scale, row) for row in table.reshape(-1, len(places))]).reshape(*table.shape[:-1], 4)
    back = np.exp if logarithmic else np.asarray
    columns = {along: back(found[..., 0]), f"{along}_on_grid": back(found[..., 1]), variable: found[..., 2]}
    made = xr.Dataset({name: (others, column) for name, column in columns.items()})
    made["at_end"] = (others, found[..., 3] == 1)
    made = made.assign_coords({dim: grid[dim] for dim in others})
    made[along].attrs = {"long_name": f"best {along.replace('_', ' ')}", "units": "1"}
    made[variable].attrs = dict(grid[variable].attrs)
    made.attrs = {**grid.attrs, "along": along, "at": float(grid[word(grid)][-1]) if at is None else at}
    return made


def _values(grid: xr.Dataset, variable: str, along: str, at: float | None) -> xr.DataArray:
    """The variable at a step, over swept axes.

    Raises
    ------
    ResultError
        Naming what the grid does not have.
    """
    check_dataset(grid, "grid")
    swept = [str(name) for name in grid.attrs.get("swept", ())]
    if variable not in grid.data_vars:
        known = [str(name) for name in grid.data_vars]
        allowed = ", ".join(known)
        raise ResultError(
            f"variable = {show(variable)}: no such{suggestion(str(variable), known)}; allowed are {allowed}"
        )
    if along not in swept or grid[along].dtype.kind not in "iuf":
        raise ResultError(f"along = {show(along)}: allowed is a swept axis of numbers, of {', '.join(swept)}")
    values, time = grid[variable], word(grid)
    if time in values.dims:
        if at is not None and at not in grid[time].values:
            raise ResultError(f"at = {show(at)}: allowed are {time}s of the grid, to {grid[time].values[-1]:g}")
        values = values.isel({time: -1}) if at is None else values.sel({time: at})
    values = values.mean([dim for dim in _AVERAGED if dim in values.dims and dim not in swept], skipna=False)
    further = [str(dim) for dim in values.dims if dim not in swept]
    if further:
        raise ResultError(f"variable = {show(variable)}: it has the axes {', '.join(further)}; allowed is a loss")
    return values.drop_vars(time, errors="ignore")


def _best(scale: NDArray[Any], row: NDArray[Any]) -> tuple[float, float, float, float]:
    """Interpolated place, place on the grid, value, and whether it is at an end of what is known."""
    known = np.flatnonzero(np.isfinite(row))
    if not len(known):
        return np.nan, np.nan, np.nan, 0.0
    best = int(known[np.argmin(row[known])])
    end = best in (known[0], known[-1])
    place = scale[best] if end else _parabola(scale[best - 1 : best + 2], row[best - 1 : best + 2])
    return float(place), float(scale[best]), float(row[best]), float(end)


def _parabola(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Where the parabola through three points is smallest; the middle one if a neighbour is not known."""
    if not np.isfinite(y).all() or not (y[1] < y[0] or y[1] < y[2]):
        return float(x[1])
    slopes = np.diff(y) / np.diff(x)
    curvature = (slopes[1] - slopes[0]) / (x[2] - x[0])
    return float(0.5 * (x[0] + x[1]) - 0.5 * slopes[0] / curvature)
