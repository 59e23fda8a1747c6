"""What all figures share: colours and styles, labels of axes, legends, choices of what fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

T = TypeVar("T")

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444", "#b8a900")
DASHED, DOTTED = (0, (4, 2)), (0, (1, 1.5))
ONE_ERROR = "± 1 standard error"
VISIBLE = 1 / 256
"""What is not seen in 256 colours is not called negative (the mean over a few networks can be, by chance)."""


def new_figure(width: float, height: float) -> Figure:
    """A figure of a size in inches."""
    from .shown import ShownFigure

    return ShownFigure(figsize=(width, height), layout="constrained")


def spaced(entries: list[T], count: int) -> list[T]:
    """The first, the last and evenly spaced ones between, at most ``count``."""
    if len(entries) <= count:
        return entries
    return [entries[round(k * (len(entries) - 1) / (count - 1))] for k in range(count)]


def axis_label(data: xr.Dataset | xr.DataArray, dim: str = "step") -> str:
    """Name and units of an axis."""
    attrs = data[dim].attrs if dim in data.coords else {}
    return f"{attrs.get('long_name', dim)} [{attrs.get('units', 'gradient steps')}]"


def light_grid(axis: Axes) -> None:
    """Grey lines below everything else."""
    axis.grid(color="0.92", lw=0.6)
    axis.set_axisbelow(True)


def of_networks(seeds: int, more: str = "") -> str:
    """What a legend calls a simulation."""
    return f"simulation, mean of {seeds}{more}" if seeds > 1 else "simulation"


def mean_and_error(values: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray | None]:
    """Mean over seeds, and its standard error if there are several."""
    seeds = values.sizes["seed"]
    return values.mean("seed"), values.std("seed", ddof=1) / seeds**0.5 if seeds > 1 else None


def heat_colours(limit: float, signed: bool) -> dict[str, Any]:
    """Colours for ``imshow``: from zero up, or white at zero."""
    if signed:
        return {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    return {"cmap": "viridis", "vmin": 0.0, "vmax": limit}


def legend_above(figure: Figure, axes: Sequence[Axes], inches: float, redraw: Any = None) -> None:
    """One legend above all panels, an entry for each label.

    Parameters
    ----------
    inches
        Width of an entry.
    redraw
        What the legend shows of a line or a patch with its label; itself if not given.
    """
    found: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    handles = [handle if redraw is None else redraw(handle, label) for label, handle in found.items()]
    columns = max(1, int(figure.get_figwidth() / inches))
    style: dict[str, Any] = {"loc": "outside upper center", "ncols": columns, "fontsize": "small", "frameon": False}
    figure.legend(handles, found.keys(), **style)
