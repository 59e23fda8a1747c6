"""Figures of observables of the user's own, which results mark by the attribute ``observable``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING

from dmft_sym.results.axes import in_steps
from dmft_sym.results.store import BIAS, SEM, ResultError

from . import panels

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 9
MAX_LINES = len(panels.COLOURS)
"""Values of labels and layers that are drawn in a panel, evenly spaced."""


def observables(run: xr.Dataset, sim: xr.Dataset | None = None) -> Figure:
    """Every observable of the user's own against the step, a line for each value of its labels and layers.

    Theory is drawn as lines, finite networks as dashed means; either with a band of one standard error.

    Parameters
    ----------
    run
        A result; with a ``seed`` dimension (a simulation) its mean is drawn.
    sim
        A simulation of the same theory.
    """
    run, sim = in_steps(run), None if sim is None else in_steps(sim)
    names = names_of(run)[:MAX_PANELS]
    if not names or not run.sizes.get("step"):
        raise ResultError(
            'the result has no observables to draw: they are declared in a forward pass, net.observe("q", h)'
        )
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = panels.new_figure(4.4 * columns, 3.2 * rows + 0.3)
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    for axis in grid[len(names) :]:
        axis.remove()
    for name, axis in zip(names, grid, strict=False):
        theory, networks = (None, run) if "seed" in run[name].dims else (run, sim)
        for lines, dashed in ((theory, False), (networks, True)):
            if lines is not None and name in lines:
                _lines(axis, lines, name, dashed)
        axis.set_title(name, fontsize="medium")
        axis.set_xlabel(panels.axis_label(run))
        axis.set_ylabel("average over sites [1]")
        panels.light_grid(axis)
        axis.margins(x=0.01)
    panels.legend_above(figure, grid[: len(names)].tolist(), 1.9)
    return figure


def names_of(result: xr.Dataset) -> list[str]:
    """Names of the observables of the user's own."""
    marked = (str(name) for name, variable in result.data_vars.items() if "observable" in variable.attrs)
    return [name for name in marked if not name.endswith((SEM, BIAS))]


def _lines(axis: Axes, result: xr.Dataset, name: str, dashed: bool) -> None:
    """Lines of one result, with bands."""
    for number, place in enumerate(_places(result[name])):
        values, colour = result[name].isel(place), panels.COLOURS[number]
        error = result[f"{name}{SEM}"].isel(place) if f"{name}{SEM}" in result else None
        label = "theory" if number == 0 else None
        if "seed" in values.dims:
            label = panels.of_networks(values.sizes["seed"]) if number == 0 else None
            values, error = panels.mean_and_error(values)
        steps = result["step"].values
        axis.plot(
            steps, values, color=colour, lw=1.0 if dashed else 1.6, ls=panels.DASHED if dashed else "-", label=label
        )
        if error is not None:
            axis.fill_between(steps, values - error, values + error, color=colour, alpha=0.25, lw=0)


def _places(values: xr.DataArray) -> Iterator[dict[str, int]]:
    """Labels and layers, evenly spaced if there are many."""
    dims = [str(dim) for dim in values.dims if dim not in ("step", "seed")]
    every = [dict(zip(dims, place, strict=True)) for place in product(*(range(values.sizes[dim]) for dim in dims))]
    yield from panels.spaced(every, MAX_LINES)


KINDS: Mapping[str, Callable[..., Figure]] = {"observables": observables}
"""Figures by the words of the command line."""
