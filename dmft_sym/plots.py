"""Figures of results: losses, order parameters, comparisons. No global state: figures are returned, not shown."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import files
from .messages import InputError, show, show_path
from .results import ResultError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .comparison import Comparison

    Layers = tuple[int, ...]
    Panels = dict[Layers, xr.DataArray]
    Group = tuple[str, Panels]

FORMATS = (".png", ".pdf", ".svg")
SCALES = ("linear", "log", "loglog")
MAX_PANELS = 6

# Heat maps are square and of one size; lengths in inches.
_PANEL, _GAP, _LEFT, _RIGHT = 1.7, 0.12, 0.65, 1.05
_BELOW, _TOP = 0.5, 0.2
_ROW = _BELOW + _PANEL + 0.35
_WIDEST = 13.2

_LOSSES = ("train_loss", "test_loss")
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444", "#b8a900")
_GREEK = {"Delta", "alpha", "beta", "gamma", "delta", "phi", "Phi", "chi", "psi", "xi", "eta", "mu", "nu"}


def losses(run: xr.Dataset, sim: xr.Dataset | None = None, scale: str = "log") -> Figure:
    """Train and test loss against the step, one colour per output.

    Parameters
    ----------
    run
        A result; the theory is drawn as lines. With a ``seed`` dimension (a simulation) it is drawn as bands.
    sim
        A simulation drawn below the lines: mean over seeds, a band of one standard error, a lighter one from the
        smallest to the largest seed.
    scale
        ``"linear"``, ``"log"`` (losses logarithmic) or ``"loglog"``.
    """
    if scale not in SCALES:
        raise InputError(f"scale = {show(scale)}: allowed are {', '.join(SCALES)}")
    theory, simulation = (None, run) if "seed" in run.dims else (run, sim)
    names = [name for name in _LOSSES if name in run]
    if not names or not run.sizes.get("step"):
        raise ResultError("the result has no losses to draw: allowed are results with at least one step")
    figure = _figure(4.6 * len(names), 3.6)
    axes = figure.subplots(1, len(names), sharex=True, sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, names, strict=True):
        if simulation is not None:
            _bands(axis, simulation[name])
        if theory is not None:
            _lines(axis, theory[name])
        _label_loss(axis, run[name], scale)
    _legend(axes[-1], theory, simulation)
    return figure


def order_parameters(
    result: xr.Dataset, names: Sequence[str] | None = None, outputs: tuple[int, int] = (0, 0)
) -> Figure:
    """Heat maps of two-time order parameters: a panel per layer, one colour scale for all layers of one.

    Parameters
    ----------
    result
        A result; the mean over seeds is drawn if it has any.
    names
        Which order parameters; all of them if not given, correlations first.
    outputs
        The two output indices.
    """
    known = [
        str(name) for name in result.data_vars if {"step", "step2"} <= set(result[name].dims) and result[name].size
    ]
    groups = [(name, panels) for name in _chosen(names, known) if (panels := _panels(result[name], outputs))]
    if not groups:
        raise ResultError("the result has no two-time order parameters: allowed are results with at least one step")
    rows = _rows(groups)
    top = len(rows) * _ROW + _TOP
    figure = _figure(max(sum(map(_width, row)) for row in rows), top, layout=None)
    for number, row in enumerate(rows):
        left = 0.0
        for group in row:
            _heat_maps(figure, group, left, top - _TOP - (number + 1) * _ROW)
            left += _width(group)
    if result.sizes.get("output", 1) > 1:
        figure.suptitle(f"outputs {outputs[0]}, {outputs[1]}", fontsize="medium", y=1 - 0.05 / top, va="top")
    return figure


def comparison(compared: Comparison) -> Figure:
    """Losses over the band of the simulation, and the z-scores of the losses below."""
    names = [name for name in _LOSSES if name in compared.theory]
    if not names:
        raise ResultError("the results have no losses to draw: allowed are results with train_loss or test_loss")
    figure = _figure(4.6 * len(names), 5.2)
    grid = figure.subplots(2, len(names), sharex=True, sharey="row", squeeze=False, height_ratios=(2, 1))
    for column, name in enumerate(names):
        top, bottom = grid[:, column]
        _bands(top, compared.simulation[name])
        _lines(top, compared.theory[name])
        _label_loss(top, compared.theory[name], "log")
        top.set_xlabel("")
        _z_scores(bottom, compared.z[name])
    _legend(grid[0, -1], compared.theory, compared.simulation)
    return figure


def check_figure_path(path: str | os.PathLike[str]) -> None:
    """Raise `InputError` if no figure could be written at ``path``."""
    if Path(path).suffix.lower() not in FORMATS:
        raise InputError(f"figure {show_path(path)}: allowed are names that end in {', '.join(FORMATS)}")
    files.check_writable(path)


def save_figure(figure: Figure, path: str | os.PathLike[str], dpi: int = 160) -> None:
    """Write a figure to ``path`` (PNG, PDF or SVG by its ending), whole or not at all."""
    check_figure_path(path)
    kind = Path(path).suffix.lower()[1:]
    metadata = {"png": None, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[kind]
    try:
        with files.atomic_path(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=dpi, metadata=metadata)
    except OSError as error:
        raise files.output_error(path, error) from error


def _figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def _lines(axis: Axes, loss: xr.DataArray) -> None:
    for index, values in _by_output(loss):
        axis.plot(loss["step"].values, values, color=_colour(index), lw=1.6, zorder=3)


def _bands(axis: Axes, loss: xr.DataArray) -> None:
    seeds = loss.sizes["seed"]
    steps = loss["step"].values
    for index, values in _by_output(loss):
        mean = values.mean("seed")
        colour = _colour(index)
        axis.fill_between(steps, values.min("seed"), values.max("seed"), color=colour, alpha=0.15, lw=0)
        axis.plot(steps, mean, color=colour, lw=1.0, ls=(0, (4, 2)), alpha=0.8)
        if seeds > 1:
            error = values.std("seed", ddof=1) / seeds**0.5
            axis.fill_between(steps, mean - error, mean + error, color=colour, alpha=0.3, lw=0)


def _z_scores(axis: Axes, z: xr.DataArray) -> None:
    axis.axhspan(-2, 2, color="0.9", lw=0)
    axis.axhline(0, color="0.6", lw=0.8)
    for index, values in _by_output(z):
        axis.plot(z["step"].values, values, color=_colour(index), lw=1.2)
    axis.set_xlabel(_axis_label(z, "step"))
    axis.set_ylabel("z [standard errors]")


def _by_output(array: xr.DataArray) -> list[tuple[int, xr.DataArray]]:
    if "output" not in array.dims:
        return [(0, array)]
    return [(index, array.isel(output=index)) for index in range(array.sizes["output"])]


def _label_loss(axis: Axes, loss: xr.DataArray, scale: str) -> None:
    positive = bool((loss > 0).any())
    axis.set_title(str(loss.attrs.get("long_name", loss.name)).capitalize(), fontsize="medium")
    axis.set_xlabel(_axis_label(loss, "step"))
    axis.set_ylabel(f"loss per output [{loss.attrs.get('units', '1')}]")
    axis.grid(color="0.92", lw=0.6)
    axis.set_axisbelow(True)
    if scale in ("log", "loglog") and positive:
        axis.set_yscale("log")
    if scale == "loglog":
        axis.set_xscale("symlog", linthresh=1)
    axis.margins(x=0.01)


def _axis_label(array: xr.DataArray, dim: str) -> str:
    attrs = array[dim].attrs if dim in array.coords else {}
    return f"{attrs.get('long_name', dim)} [{attrs.get('units', 'gradient steps')}]"


def _legend(axis: Axes, theory: xr.Dataset | None, simulation: xr.Dataset | None) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shown = theory if theory is not None else simulation
    assert shown is not None
    outputs = shown.sizes.get("output", 1)
    ink = "0.3" if outputs > 1 else _colour(0)
    handles: list[Any] = []
    if theory is not None:
        handles.append(Line2D([], [], color=ink, lw=1.6, label="theory"))
    if simulation is not None:
        seeds = simulation.sizes["seed"]
        label = f"simulation, mean of {seeds}" if seeds > 1 else "simulation"
        handles.append(Line2D([], [], color=ink, lw=1.0, ls=(0, (4, 2)), label=label))
        if seeds > 1:
            handles += [Patch(color=ink, alpha=alpha, lw=0, label=text) for alpha, text in _BANDS]
    if outputs > 1:
        kept = range(min(outputs, len(_COLOURS)))
        handles += [Line2D([], [], color=_colour(index), lw=3, label=f"output {index}") for index in kept]
    axis.legend(handles=handles, fontsize="small", frameon=False)


_BANDS = ((0.45, "± 1 standard error"), (0.15, "smallest to largest seed"))


def _chosen(names: Sequence[str] | None, known: Sequence[str]) -> Sequence[str]:
    if not known:
        raise ResultError("the result has no two-time order parameters: allowed are results of the march")
    for name in names or ():
        if name not in known:
            raise InputError(f"order parameter {show(name)}: allowed are {', '.join(known)}")
    return list(names or sorted(known, key=lambda name: not name.startswith("C_")))


def _panels(array: xr.DataArray, outputs: tuple[int, int]) -> Panels:
    """The panels of an order parameter by the labels of their layers, at most `MAX_PANELS`; empty ones are left out."""
    if "seed" in array.dims:
        array = array.mean("seed", keep_attrs=True)
    for dim, index in zip(("output", "output2"), outputs, strict=True):
        if dim in array.dims:
            if not 0 <= index < array.sizes[dim]:
                raise InputError(f"{dim} = {index}: allowed are integers from 0 to {array.sizes[dim] - 1}")
            array = array.isel({dim: index})
    layers = [dim for dim in array.dims if dim not in ("step", "step2")]
    stacked = array.stack(panel=layers) if layers else array.expand_dims("panel")
    stacked = stacked.transpose("panel", "step", "step2")
    kept = [index for index in range(stacked.sizes["panel"]) if bool(stacked[index].notnull().any())]
    if len(kept) > MAX_PANELS:  # the first, the last and evenly spaced ones between
        kept = [kept[round(index * (len(kept) - 1) / (MAX_PANELS - 1))] for index in range(MAX_PANELS)]
    labels = stacked["panel"].values if layers else [()]
    return {tuple(int(layer) for layer in labels[index]): stacked[index] for index in kept}


def _rows(groups: Sequence[Group]) -> list[list[Group]]:
    """Order parameters side by side, as long as they fit."""
    rows: list[list[Group]] = [[]]
    for group in groups:
        if rows[-1] and sum(map(_width, [*rows[-1], group])) > _WIDEST:
            rows.append([])
        rows[-1].append(group)
    return rows


def _width(group: Group) -> float:
    count = len(group[1])
    return _LEFT + count * _PANEL + (count - 1) * _GAP + _RIGHT


def _heat_maps(figure: Figure, group: Group, left: float, bottom: float) -> None:
    """The panels of one order parameter and their colour bar, at a place in inches."""
    name, panels = group
    style = _colour_scale(list(panels.values()))
    x, y = left + _LEFT, bottom + _BELOW
    for layers, panel in panels.items():
        axis = figure.add_axes(_box(figure, x, y, _PANEL))
        image = axis.imshow(panel.values, origin="lower", extent=_extent(panel), interpolation="nearest", **style)
        axis.set_title(_symbol(name, layers), fontsize="medium")
        axis.set_xlabel("step s [gradient steps]", fontsize="small")
        axis.tick_params(labelsize="small", labelleft=x == left + _LEFT)
        if x == left + _LEFT:
            axis.set_ylabel("step t [gradient steps]", fontsize="small")
        x += _PANEL + _GAP
    bar = figure.colorbar(image, cax=figure.add_axes(_box(figure, x, y, 0.09)))
    bar.set_label(f"{_symbol(name, ())} [{panel.attrs.get('units', '1')}]", fontsize="small")
    bar.ax.tick_params(labelsize="small")


def _box(figure: Figure, left: float, bottom: float, width: float) -> tuple[float, float, float, float]:
    wide, high = figure.get_size_inches()
    return (left / wide, bottom / high, width / wide, _PANEL / high)


def _colour_scale(panels: Sequence[xr.DataArray]) -> dict[str, Any]:
    """One scale for a row: from zero if nothing is negative, else symmetric about zero."""
    low = min(float(panel.min()) for panel in panels)
    high = max(float(panel.max()) for panel in panels)
    largest = max(abs(low), abs(high)) or 1.0
    if low >= -1e-9 * largest:
        return {"cmap": "viridis", "vmin": 0.0, "vmax": largest}
    return {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}


def _extent(panel: xr.DataArray) -> tuple[float, float, float, float]:
    s, t = panel["step2"].values, panel["step"].values
    return (s[0] - 0.5, s[-1] + 0.5, t[0] - 0.5, t[-1] + 0.5)


def _symbol(name: str, layers: Layers) -> str:
    """``C_h`` and layer 1 as mathematics; names that are not of this form stay as they are."""
    match = re.fullmatch(r"([CR])_([A-Za-z]+)(\d*)((?:_\d+)?)", name)
    upper = ",".join(str(layer) for layer in layers)
    if match is None:
        return f"{name}, layer {upper}" if layers else name
    field = rf"\{match[2]}" if match[2] in _GREEK else match[2]
    return f"${match[1]}_{{{field}{match[3]}{match[4].replace('_', ',')}}}" + (f"^{{{upper}}}$" if layers else "$")


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]
