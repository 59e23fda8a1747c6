"""Figures of observables of the user's own, which results mark by the attribute ``observable``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from dmft_sym.results.axes import in_steps
from dmft_sym.results.store import BIAS, SEM, ResultError

from . import panels, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 9
MAX_LINES = len(style.COLOURS)
"""Values of labels and layers that are drawn in a panel, evenly spaced."""


@style.printed
def observables(run: xr.Dataset, sim: xr.Dataset | None = None, *, ax: panels.AxesLike | None = None) -> Figure:
    """Every observable of the user's own against the step, a line for each value of its labels and layers.

    Theory is drawn as lines with bands of one standard error, finite networks as means with error bars.

    Parameters
    ----------
    run
        A result; with a ``seed`` dimension (a simulation) its mean is drawn.
    sim
        A simulation of the same theory.
    ax
        Axes, one for each observable.
    """
    run, sim = in_steps(run), None if sim is None else in_steps(sim)
    names = names_of(run)[:MAX_PANELS]
    if not names or not run.sizes.get("step"):
        raise ResultError(
            'the result has no observables to draw: they are declared in a forward pass, net.observe("q", h)'
        )
    drawn = panels.panels(ax, len(names), min(len(names), 3), (3.4, 2.7), sharex=True)
    places: list[dict[str, int]] = []
    for name, axis in zip(names, drawn.axes, strict=True):
        theory, networks = (None, run) if "seed" in run[name].dims else (run, sim)
        for lines in (theory, networks):
            if lines is not None and name in lines:
                here = _lines(axis, lines, name)
                places = max(places, here, key=len)
        axis.set_xlabel(panels.axis_label(run))
        axis.set_ylabel(name)
        axis.margins(x=0.03)
        panels.finish(axis)
    drawn.entitle([""] * len(names) if len(names) > 1 else [""])
    drawn.legend(2.9, _entries(drawn.axes, places))
    return drawn.figure


def names_of(result: xr.Dataset) -> list[str]:
    """Names of the observables of the user's own."""
    marked = (str(name) for name, variable in result.data_vars.items() if "observable" in variable.attrs)
    return [name for name in marked if not name.endswith((SEM, BIAS))]


def _lines(axis: Axes, result: xr.Dataset, name: str) -> list[dict[str, int]]:
    """Lines or points of one result; the values of labels and layers that were drawn."""
    places = list(_places(result[name]))
    for number, place in enumerate(places):
        values, seen, first = result[name].isel(place), style.look(number), number == 0
        steps = result["step"].values
        if "seed" in values.dims:
            label = panels.of_networks(values.sizes["seed"]) if first else None
            style.networks(axis, steps, values.transpose("seed", "step"), seen, label)
        else:
            error = result[f"{name}{SEM}"].isel(place) if f"{name}{SEM}" in result else None
            style.theory(axis, steps, values, seen, "theory" if first else None, error)
    return places


def _entries(axes: list[Axes], places: list[dict[str, int]]) -> dict[str, Any]:
    """Entries of the legend; of several lines the kinds in grey, and then the values of labels and layers."""
    from matplotlib.lines import Line2D

    found = panels.labelled(axes)
    if len(places) < 2:
        return found
    found = {label: panels.in_grey(handle) for label, handle in found.items()}
    for number, place in enumerate(places):
        words = ", ".join(f"{dim} {index}" for dim, index in place.items())
        seen = style.look(number)
        found[words] = Line2D([], [], **{**seen.points, **seen.line})
    return found


def _places(values: xr.DataArray) -> Iterator[dict[str, int]]:
    """Labels and layers, evenly spaced if there are many."""
    dims = [str(dim) for dim in values.dims if dim not in ("step", "seed")]
    every = [dict(zip(dims, place, strict=True)) for place in product(*(range(values.sizes[dim]) for dim in dims))]
    yield from panels.spaced(every, MAX_LINES)


KINDS: Mapping[str, Callable[..., Figure]] = {"observables": observables}
"""Figures by the words of the command line."""
