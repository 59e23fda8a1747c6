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

from .heat_maps import MAX_PANELS, MAX_ROWS, order_parameters
from .panels import COLOURS, DASHED, ONE_ERROR, axis_label, light_grid, mean_and_error, new_figure, of_networks

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
_BANDS = ((0.45, ONE_ERROR), (0.15, "smallest to largest seed"))


def losses(run: xr.Dataset, sim: xr.Dataset | None = None, scale: str = "log") -> Figure:
    """Train and test loss against the step, one colour per output.

    Parameters
    ----------
    run
        A result; the theory is drawn as lines, with bands of one standard error where it is sampled. With a ``seed``
        dimension (a simulation) it is drawn as bands.
    sim
        A simulation drawn below the lines: mean over seeds, a band of one standard error, a lighter one from the
        smallest to the largest seed.
    scale
        ``"linear"``, ``"log"`` (losses logarithmic) or ``"loglog"``.
    """
    if scale not in SCALES:
        raise InputError(f"scale = {show(scale)}: allowed are {', '.join(SCALES)}")
    run, sim = in_steps(run), None if sim is None else in_steps(sim)
    theory, simulation = (None, run) if "seed" in run.dims else (run, sim)
    names = [name for name in _LOSSES if name in run]
    if not names or not run.sizes.get("step"):
        raise ResultError(f"the result has no losses to draw: allowed are results with at least one step; {_SPECTRA}")
    figure = new_figure(4.6 * len(names), 3.6)
    axes = figure.subplots(1, len(names), sharex=True, sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, names, strict=True):
        if simulation is not None:
            _bands(axis, simulation[name])
        if theory is not None:
            _lines(axis, theory[name], theory.get(f"{name}{SEM}"))
        _label_loss(axis, run[name], scale)
    shown = [None if found is None else _only(found, names) for found in (theory, simulation)]
    _legend(axes[-1], shown[0], shown[1])
    return figure


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


def comparison(compared: Compared) -> Figure:
    """Losses over the band of the simulation, and the z-scores of the losses below."""
    names = [name for name in _LOSSES if name in compared.theory]
    if not names:
        raise ResultError(f"the results have no losses to draw: allowed are results of the losses; {_SPECTRA}")
    figure = new_figure(4.6 * len(names), 5.2)
    grid = figure.subplots(2, len(names), sharex=True, sharey="row", squeeze=False, height_ratios=(2, 1))
    for column, name in enumerate(names):
        top, bottom = grid[:, column]
        _bands(top, compared.simulation[name])
        _lines(top, compared.theory[name], compared.theory_error.get(name))
        _label_loss(top, compared.theory[name], "log")
        top.set_xlabel("")
        _z_scores(bottom, compared.z[name])
    errors = {f"{name}{SEM}": compared.theory_error[name] for name in names if name in compared.theory_error}
    second = "" if compared.seeds else "the other theory"
    _legend(grid[0, -1], compared.theory[names].assign(errors), compared.simulation[names], second)
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
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=dpi, metadata=metadata)
    files.write_bytes(path, content.getbuffer())


def _only(dataset: xr.Dataset, names: list[str]) -> xr.Dataset:
    """The variables of these names, with their standard errors."""
    return dataset[[found for name in names for found in (name, f"{name}{SEM}") if found in dataset]]


def _lines(axis: Axes, loss: xr.DataArray, error: xr.DataArray | None = None) -> None:
    steps = in_steps(loss)["step"].values
    for index, values in _by_output(loss):
        axis.plot(steps, values, color=_colour(index), lw=1.6, zorder=3)
    for index, values in [] if error is None else _by_output(error):
        mean = loss.isel(output=index) if "output" in loss.dims else loss
        axis.fill_between(steps, mean - values, mean + values, color=_colour(index), alpha=0.3, lw=0)


def _bands(axis: Axes, loss: xr.DataArray) -> None:
    steps = in_steps(loss)["step"].values
    for index, values in _by_output(loss):
        mean, error = mean_and_error(values)
        colour = _colour(index)
        axis.fill_between(steps, values.min("seed"), values.max("seed"), color=colour, alpha=0.15, lw=0)
        axis.plot(steps, mean, color=colour, lw=1.0, ls=DASHED, alpha=0.8)
        if error is not None:
            axis.fill_between(steps, mean - error, mean + error, color=colour, alpha=0.3, lw=0)


def _z_scores(axis: Axes, z: xr.DataArray) -> None:
    axis.axhspan(-2, 2, color="0.9", lw=0)
    axis.axhline(0, color="0.6", lw=0.8)
    for index, values in _by_output(z):
        axis.plot(in_steps(z)["step"].values, values, color=_colour(index), lw=1.2)
    axis.set_xlabel(axis_label(in_steps(z)))
    axis.set_ylabel("z [standard errors]")


def _by_output(array: xr.DataArray) -> list[tuple[int, xr.DataArray]]:
    if "output" not in array.dims:
        return [(0, array)]
    return [(index, array.isel(output=index)) for index in range(array.sizes["output"])]


def _label_loss(axis: Axes, loss: xr.DataArray, scale: str) -> None:
    positive = bool((loss > 0).any())
    axis.set_title(str(loss.attrs.get("long_name", loss.name)).capitalize(), fontsize="medium")
    axis.set_xlabel(axis_label(in_steps(loss)))
    axis.set_ylabel(f"loss{' per output' if 'output' in loss.dims else ''} [{loss.attrs.get('units', '1')}]")
    light_grid(axis)
    if scale in ("log", "loglog") and positive:
        axis.set_yscale("log")
    if scale == "loglog":
        steps = in_steps(loss)["step"].values
        axis.set_xscale("symlog", linthresh=min(1.0, float(steps[1])) if len(steps) > 1 else 1.0)
    axis.margins(x=0.01)


def _legend(axis: Axes, theory: xr.Dataset | None, simulation: xr.Dataset | None, second: str = "") -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shown = theory if theory is not None else simulation
    assert shown is not None
    outputs = shown.sizes.get("output", 1)
    ink = "0.3" if outputs > 1 else _colour(0)
    handles: list[Any] = []
    if theory is not None:
        handles.append(Line2D([], [], color=ink, lw=1.6, label="theory"))
        if simulation is None and any(str(name).endswith(SEM) for name in theory.data_vars):
            handles.append(Patch(color=ink, alpha=0.3, lw=0, label=ONE_ERROR))
    if simulation is not None:
        seeds = simulation.sizes["seed"]
        handles.append(Line2D([], [], color=ink, lw=1.0, ls=DASHED, label=second or of_networks(seeds)))
        if seeds > 1:
            handles += [Patch(color=ink, alpha=alpha, lw=0, label=text) for alpha, text in _BANDS]
    if outputs > 1:
        kept = range(min(outputs, len(COLOURS)))
        handles += [Line2D([], [], color=_colour(index), lw=3, label=f"output {index}") for index in kept]
    axis.legend(handles=handles, fontsize="small", frameon=False)


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]
