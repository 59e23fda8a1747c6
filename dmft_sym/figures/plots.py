"""Figures of results: losses, order parameters, comparisons. No global state: figures are returned, not shown."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dmft_sym.results.axes import in_steps
from dmft_sym.results.store import SEM, ResultError
from dmft_sym.support import files
from dmft_sym.support.messages import InputError, show, show_path

from . import style
from .heat_maps import MAX_PANELS, MAX_ROWS, order_parameters
from .panels import AxesLike, Panels, axis_label, finish, given, in_grey, labelled, new_figure, of_networks, panels

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


__all__ = [
    "FORMATS",
    "MAX_PANELS",
    "MAX_ROWS",
    "SCALES",
    "check_figure_path",
    "comparison",
    "losses",
    "order_parameters",
    "save_figure",
]

FORMATS = (".png", ".pdf", ".svg")
SCALES = ("linear", "log", "loglog")

_SPECTRA = "spectra are drawn by --kind spectrum, outliers or sharpness"
_LOSSES = ("train_loss", "test_loss")
_PANEL = (3.6, 2.9)
_RANGE = "smallest to largest seed"
_WIDTH = 2.9  # of an entry of the legend, in inches


@style.printed
def losses(run: xr.Dataset, sim: xr.Dataset | None = None, scale: str = "log", *, ax: AxesLike | None = None) -> Figure:
    """Train and test loss against the step, a colour, a dash and a marker for each output.

    Parameters
    ----------
    run
        A result; the theory is drawn as lines, with bands of one standard error where it is sampled. With a ``seed``
        dimension (a simulation) it is drawn as points.
    sim
        A simulation drawn over the lines: means over seeds with error bars of one standard error, and thin lines from
        the smallest to the largest seed.
    scale
        ``"linear"``, ``"log"`` (losses logarithmic) or ``"loglog"``.
    ax
        Axes, one for each loss.
    """
    if scale not in SCALES:
        raise InputError(f"scale = {show(scale)}: allowed are {', '.join(SCALES)}")
    run, sim = in_steps(run), None if sim is None else in_steps(sim)
    theory, simulation = (None, run) if "seed" in run.dims else (run, sim)
    names = [name for name in _LOSSES if name in run]
    if not names or not run.sizes.get("step"):
        raise ResultError(f"the result has no losses to draw: allowed are results with at least one step; {_SPECTRA}")
    drawn = panels(ax, len(names), len(names), _PANEL, sharex=True, sharey=True)
    for axis, name in zip(drawn.axes, names, strict=True):
        _scales(axis, run[name], scale)
        if theory is not None:
            _lines(axis, theory[name], theory.get(f"{name}{SEM}"))
        if simulation is not None:
            _points(axis, simulation[name], style.MOST_POINTS if theory is not None else 2 * style.MOST_POINTS)
        _label_loss(axis, run[name])
    drawn.entitle([_title(run[name]) for name in names])
    drawn.legend(_WIDTH, _outputs(drawn, run[names[0]].sizes.get("output", 1)))
    return drawn.figure


class Compared(Protocol):
    """A theory and a simulation on common steps (`dmft_sym.comparison`)."""

    @property
    def seeds(self) -> int:
        """Number of networks; 0 of a second theory."""

    @property
    def theory(self) -> xr.Dataset:
        """The theory."""

    @property
    def theory_error(self) -> xr.Dataset:
        """Its standard errors, if it is sampled."""

    @property
    def simulation(self) -> xr.Dataset:
        """The networks, with a seed axis."""

    @property
    def z(self) -> xr.Dataset:
        """Differences over standard errors."""


@style.printed
def comparison(compared: Compared, *, ax: AxesLike | None = None) -> Figure:
    """Losses with the points of the simulation, and the z-scores of the losses below.

    Parameters
    ----------
    compared
        What `dmft_sym.compare` returned.
    ax
        Axes: one for each loss, then one for the z-scores of each.
    """
    names = [name for name in _LOSSES if name in compared.theory]
    if not names:
        raise ResultError(f"the results have no losses to draw: allowed are results of the losses; {_SPECTRA}")
    count = len(names)
    drawn = _two_rows(count) if ax is None else given(ax, 2 * count)
    second = "" if compared.seeds else "the other theory"
    for name, top, bottom in zip(names, drawn.axes[:count], drawn.axes[count:], strict=True):
        _scales(top, compared.theory[name], "log")
        _lines(top, compared.theory[name], compared.theory_error.get(name))
        _points(top, compared.simulation[name], style.MOST_POINTS, second)
        _label_loss(top, compared.theory[name])
        top.set_xlabel("")
        _z_scores(bottom, compared.z[name])
    drawn.entitle([*(_title(compared.theory[name]) for name in names), *("" for _ in names)])
    drawn.legend(_WIDTH, _outputs(drawn, compared.theory[names[0]].sizes.get("output", 1)))
    return drawn.figure


def _two_rows(count: int) -> Panels:
    figure = new_figure(_PANEL[0] * count, 4.6)
    grid = figure.subplots(2, count, sharex=True, sharey="row", squeeze=False, height_ratios=(2, 1))
    return Panels(figure, list(grid.ravel()), True)


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
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=dpi, metadata=metadata)
    files.write_bytes(path, content.getbuffer())


def _lines(axis: Axes, loss: xr.DataArray, error: xr.DataArray | None = None) -> None:
    steps = in_steps(loss)["step"].values
    errors = dict(_by_output(error)) if error is not None else {}
    for index, values in _by_output(loss):
        style.theory(axis, steps, values, style.look(index), "theory" if index == 0 else None, errors.get(index))
    if errors:
        axis.fill_between([], [], [], color=style.GREY, alpha=style.BAND, lw=0, label=f"theory {style.ONE_ERROR}")


def _points(axis: Axes, loss: xr.DataArray, most: int, second: str = "") -> None:
    steps = in_steps(loss)["step"].values
    shown = style.few(steps, most, axis.get_xscale() != "linear")
    for index, array in _by_output(loss):
        values, first = array.transpose("seed", ...).values[:, shown], index == 0
        label = (second or of_networks(len(values))) if first else None
        style.networks(axis, steps[shown], values, style.look(index), label)
        if len(values) > 1:
            ends: dict[str, Any] = {"color": style.look(index).colour, "lw": 0.6, "alpha": 0.6, "zorder": 2}
            label = _RANGE if first else "_"
            axis.vlines(steps[shown], values.min(axis=0), values.max(axis=0), label=label, **ends)


def _z_scores(axis: Axes, z: xr.DataArray) -> None:
    axis.axhspan(-2, 2, color="0.9", lw=0)
    axis.axhline(0, color="0.6", lw=0.8)
    for index, values in _by_output(z):
        axis.plot(in_steps(z)["step"].values, values, **style.look(index).line, lw=1.0)
    axis.set_xlabel(axis_label(in_steps(z)))
    axis.set_ylabel("$z$ [standard errors]")
    finish(axis)


def _by_output(array: xr.DataArray) -> list[tuple[int, xr.DataArray]]:
    if "output" not in array.dims:
        return [(0, array)]
    return [(index, array.isel(output=index)) for index in range(array.sizes["output"])]


def _title(loss: xr.DataArray) -> str:
    return str(loss.attrs.get("long_name", loss.name)).capitalize()


def _scales(axis: Axes, loss: xr.DataArray, scale: str) -> None:
    if scale in ("log", "loglog") and bool((loss > 0).any()):
        axis.set_yscale("log")
    if scale == "loglog":
        steps = in_steps(loss)["step"].values
        axis.set_xscale("symlog", linthresh=min(1.0, float(steps[1])) if len(steps) > 1 else 1.0)


def _label_loss(axis: Axes, loss: xr.DataArray) -> None:
    axis.set_xlabel(axis_label(in_steps(loss)))
    units = loss.attrs.get("units", "1")
    axis.set_ylabel(f"loss{' per output' if 'output' in loss.dims else ''}" + (f" [{units}]" if units != "1" else ""))
    axis.margins(x=0.03)
    finish(axis)


def _outputs(drawn: Panels, count: int) -> dict[str, Any]:
    """Entries of the legend: of many outputs the kinds of lines and points in grey, and then the outputs."""
    from matplotlib.lines import Line2D

    found = labelled(drawn.axes)
    if count == 1:
        return found
    found = {label: in_grey(handle) for label, handle in found.items()}
    for index in range(min(count, len(style.COLOURS))):
        seen = style.look(index)
        found[f"output {index}"] = Line2D([], [], **{**seen.points, **seen.line})
    return found
