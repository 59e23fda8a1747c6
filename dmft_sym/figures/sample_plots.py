"""Figures of results on given samples: outputs along training, kernels as heat maps. Figures are returned."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.results.axes import in_steps, word
from dmft_sym.results.store import BIAS, SEM, ResultError
from dmft_sym.support.array_types import Floats
from dmft_sym.support.messages import InputError

from . import panels

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MAX_LINES = 24
"""Samples that are drawn in a panel of `outputs`, evenly spaced in the order of their targets."""
MAX_PANELS = 6
MAX_KERNELS = 5
"""Rows of `kernels`: the tangent kernel and as many features as fit, the first, the last and evenly spaced ones."""
MAX_STEPS = 3

_SYMBOLS = {"Phi": r"$\Phi$"}
_PANEL, _SIDE = 1.65, 1.5  # inches
_SPIKE = 1.5  # times the largest entry of training samples
_NOTE_LETTERS = 14.0  # in an inch


def outputs(run: xr.Dataset, sim: xr.Dataset | None = None) -> Figure:
    """Output on every sample against the step, a panel for each output, coloured by target.

    Theory is drawn as lines, test samples dotted, finite networks as dashed means; either with a band of one standard
    error.

    Parameters
    ----------
    run
        A result on given samples; with a ``seed`` dimension (a simulation) its mean is drawn.
    sim
        A simulation of the same samples.
    """
    run, sim = in_steps(run), None if sim is None else in_steps(sim)
    if "f" not in run or not run.sizes.get("step"):
        raise ResultError("the result has no outputs on samples: allowed are results on given samples")
    theory, simulation = (None, run) if "seed" in run.dims else (run, _same_samples(run, sim))
    count = min(run.sizes["output"], MAX_PANELS)
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = panels.new_figure(4.6 * columns, 3.4 * rows + 0.3)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axis in grid.ravel()[count:]:
        axis.remove()
    for index, axis in zip(range(count), grid.ravel(), strict=False):
        here = [None if found is None else found.isel(output=index) for found in (theory, simulation)]
        _output_panel(axis, here[0], here[1])
        axis.set_title(_output_title(run, index), fontsize="medium")
    panels.legend_above(figure, grid.ravel()[:count].tolist(), 1.9, _in_grey)
    return figure


def _same_samples(run: xr.Dataset, sim: xr.Dataset | None) -> xr.Dataset | None:
    if sim is None:
        return None
    if "f" not in sim or sim.sizes.get("sample") != run.sizes["sample"]:
        raise ResultError("the simulation has other samples: allowed is a simulation of the theory that is drawn")
    return sim


def _output_title(run: xr.Dataset, index: int) -> str:
    total = run.sizes["sample"]
    drawn = f"{MAX_LINES} of {total} samples" if total > MAX_LINES else f"{total} samples"
    outputs = run.sizes["output"]
    return f"Output {index}, {drawn}" if outputs > 1 else f"Output on {drawn}"


def _output_panel(axis: Axes, theory: xr.Dataset | None, simulation: xr.Dataset | None) -> None:
    shown = theory if theory is not None else simulation
    assert shown is not None
    targets = shown["target"].values
    colours = _target_colours(targets)
    for sample in panels.spaced(np.argsort(targets, kind="stable").tolist(), MAX_LINES):
        value = float(targets[sample])
        style: dict[str, Any] = {"color": colours[value]}
        tested = not int(shown["trained"].values[sample])
        if theory is not None:
            here = theory.isel(sample=sample)
            label = "theory, test samples" if tested else "theory"
            axis.plot(here["step"], here["f"], lw=1.3, ls=panels.DOTTED if tested else "-", label=label, **style)
            if f"f{SEM}" in here:
                _band(axis, here["step"].values, here["f"].values, here[f"f{SEM}"].values, colours[value])
        if simulation is not None:
            _simulated_output(axis, simulation["f"].isel(sample=sample), colours[value])
    if len(set(colours.values())) <= len(panels.COLOURS):
        for value, colour in colours.items():
            axis.plot([], [], color=colour, lw=3, label=f"target {value:g}")
    axis.set_xlabel(panels.axis_label(shown))
    axis.set_ylabel(f"{shown['f'].attrs.get('long_name', 'f')} [1]")
    panels.light_grid(axis)
    axis.margins(x=0.01)


def _simulated_output(axis: Axes, f: xr.DataArray, colour: str) -> None:
    steps, (mean, error) = f["step"].values, panels.mean_and_error(f)
    axis.plot(steps, mean, color=colour, lw=0.9, ls=panels.DASHED, alpha=0.8, label=panels.of_networks(f.sizes["seed"]))
    if error is not None:
        _band(axis, steps, mean.values, error.values, colour)


def _band(axis: Axes, steps: NDArray[Any], mean: Floats, error: Floats, colour: str) -> None:
    axis.fill_between(steps, mean - error, mean + error, color=colour, alpha=0.25, lw=0, label=panels.ONE_ERROR)


def _target_colours(targets: Floats) -> dict[float, str]:
    """A colour for every value; of many values a scale."""
    values = sorted({float(value) for value in targets})
    if len(values) <= len(panels.COLOURS):
        return dict(zip(values, panels.COLOURS, strict=False))
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    low, span = values[0], values[-1] - values[0]
    return {value: to_hex(colormaps["viridis"](0.9 * (value - low) / span)) for value in values}


def kernels(run: xr.Dataset, sim: xr.Dataset | None = None, outputs: tuple[int, int] = (0, 0)) -> Figure:
    """Heat maps of the kernels of features and of the tangent kernel, samples in the order of their targets.

    A row for each kernel and layer, with one colour scale; a column for each of up to three steps, and the mean over
    finite networks beside the theory if there is one.

    Parameters
    ----------
    run, sim
        As for `outputs` of this module; steps that both have are drawn.
    outputs
        The two outputs of the tangent kernel.
    """
    name, run, sim = word(run), in_steps(run), None if sim is None else in_steps(sim)
    _check_outputs(run, outputs)
    sources = [("simulation" if "seed" in run.dims else "theory", _mean(run))]
    if sim is not None:
        sources.append(("simulation", _mean(sim)))
    rows, missing = _rows(run)
    steps = _common_steps([dataset for _, dataset in sources])
    shown = panels.spaced(steps, MAX_STEPS)
    order, boundary = _by_target(run)
    columns = len(shown) * len(sources)
    figure = panels.new_figure(columns * _PANEL + _SIDE, len(rows) * _PANEL + 1.0)
    grid = figure.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    for row, axes in zip(rows, grid, strict=True):
        shown_here = [
            (words, step, row.of(dataset, step, outputs)[np.ix_(order, order)])
            for step in shown
            for words, dataset in sources
        ]
        _draw_row(figure, axes, row, shown_here, boundary)
    for axis, (step, words) in zip(grid[0], [(s, w) for s in shown for w, _ in sources], strict=True):
        axis.set_title(f"{name} {step:g}, {words}", fontsize="small")
    for axis in grid[-1]:
        axis.set_xlabel("sample, by target", fontsize="small")
    skipped = [step for step in steps if step not in shown]
    _note(figure, _notes(run, sim, outputs, missing, skipped))
    return figure


@dataclass(frozen=True)
class _Row:
    """A kernel, at a layer if it has layers."""

    name: str
    layer: int | None

    @property
    def label(self) -> str:
        return _SYMBOLS.get(self.name, self.name) + ("" if self.layer is None else f", layer {self.layer}")

    @property
    def words(self) -> str:
        return self.name + ("" if self.layer is None else f" of layer {self.layer}")

    def of(self, dataset: xr.Dataset, step: int, outputs: tuple[int, int]) -> Floats:
        """Shape (samples, samples)."""
        kernel = dataset[self.name].sel(kernel_step=step)
        if self.layer is not None:
            kernel = kernel.sel(layer=self.layer)
        if "output" in kernel.dims:
            kernel = kernel.isel(output=outputs[0], output2=outputs[1])
        return np.asarray(kernel.transpose("sample", "sample2").values)


def _check_outputs(run: xr.Dataset, outputs: tuple[int, int]) -> None:
    if "NTK" not in run or not run.sizes.get("kernel_step"):
        raise ResultError(
            "the result has no kernels: allowed are results on given samples, at the steps of [kernels] steps"
        )
    for index in outputs:
        if not 0 <= index < run.sizes["output"]:
            raise InputError(f"output = {index}: allowed are integers from 0 to {run.sizes['output'] - 1}")


def _mean(dataset: xr.Dataset) -> xr.Dataset:
    return dataset.mean("seed", keep_attrs=True) if "seed" in dataset.dims else dataset


def _rows(run: xr.Dataset) -> tuple[list[_Row], list[_Row]]:
    """Feature kernels and then the tangent kernel: those that are drawn, and those that are not."""
    features = []
    for name in map(str, run.data_vars):
        if {"kernel_step", "sample2"} <= set(run[name].dims) and "output" not in run[name].dims:
            if name.endswith((SEM, BIAS)):
                continue
            layers = [int(layer) for layer in run["layer"].values] if "layer" in run[name].dims else [None]
            features += [_Row(name, layer) for layer in layers if _exists(run[name], layer)]
    kept = panels.spaced(features, MAX_KERNELS - 1)
    return [*kept, _Row("NTK", None)], [row for row in features if row not in kept]


def _exists(kernel: xr.DataArray, layer: int | None) -> bool:
    return bool((kernel if layer is None else kernel.sel(layer=layer)).notnull().any())


def _common_steps(datasets: Sequence[xr.Dataset]) -> list[int]:
    found = [dataset["kernel_step"].values.tolist() if "kernel_step" in dataset else [] for dataset in datasets]
    common = [step for step in found[0] if all(step in other for other in found)]
    if not common or len({dataset.sizes["sample"] for dataset in datasets}) > 1:
        raise ResultError(
            "the two results have no kernels of the same samples and steps in common: allowed are a run and its "
            "simulation, with the same [kernels] steps"
        )
    return common


def _by_target(run: xr.Dataset) -> tuple[NDArray[np.intp], int]:
    """The order of the samples, and how many training samples come first."""
    targets, trained = run["target"].transpose("sample", "output").values, run["trained"].values
    return np.lexsort([*(-targets.T)[::-1], -trained]), int(trained.sum())


def _draw_row(
    figure: Figure, axes: Sequence[Axes], row: _Row, shown: Sequence[tuple[str, int, Floats]], boundary: int
) -> None:
    values = np.stack([panel for *_, panel in shown])
    limit, beyond = _limit(values, boundary)
    signed = float(np.nanmin(values, initial=0.0)) < -panels.VISIBLE * limit
    for axis, (*_, panel) in zip(axes, shown, strict=True):
        image = axis.imshow(panel, interpolation="nearest", **panels.heat_colours(limit, signed))
        axis.tick_params(labelsize="small")
        if 0 < boundary < len(panel):
            for line in (axis.axhline, axis.axvline):
                line(boundary - 0.5, color="0.2" if signed else "white", lw=0.8)
    axes[0].set_ylabel("sample, by target", fontsize="small")
    bar = figure.colorbar(image, ax=list(axes), aspect=15, pad=0.02, extend="max" if beyond else "neither")
    bar.set_label(f"{row.label} [1]", fontsize="small")
    bar.ax.tick_params(labelsize="small")


def _limit(values: Floats, boundary: int) -> tuple[float, bool]:
    """Where colours end, and whether something lies beyond.

    That is the largest entry of training samples if those of test samples, which nothing holds back, are much larger.
    """
    everywhere, trained = (
        float(np.nanmax(np.abs(part), initial=0.0)) for part in (values, values[:, :boundary, :boundary])
    )
    beyond = 0 < _SPIKE * trained < everywhere
    return (trained if beyond else everywhere) or 1.0, beyond


def _notes(
    run: xr.Dataset, sim: xr.Dataset | None, outputs: tuple[int, int], missing: Sequence[_Row], skipped: Sequence[int]
) -> Iterator[str]:
    count = run.sizes["output"]
    if count > 1:
        yield f"NTK: outputs c = {outputs[0]} and c' = {outputs[1]} of {count}."
    if int(run["trained"].sum()) < run.sizes["sample"]:
        yield "Behind the lines: test samples; an arrow: some of their entries lie beyond the colours."
    for dataset in (run, sim):
        if dataset is not None and dataset.sizes.get("seed", 1) > 1:
            yield f"Simulation: mean over {dataset.sizes['seed']} networks."
    left_out = [row.words for row in missing]
    left_out += [f"step{'s' if len(skipped) > 1 else ''} " + ", ".join(map(str, skipped))] if skipped else []
    if left_out:
        yield f"Not drawn: {'; '.join(left_out)}."


def _note(figure: Figure, notes: Iterator[str]) -> None:
    width = int(figure.get_figwidth() * _NOTE_LETTERS)
    text = "\n".join(textwrap.wrap(" ".join(notes), width))
    if text:
        figure.supxlabel(text, x=0.01, ha="left", fontsize="small", color="0.25")


def _in_grey(handle: Any, label: str) -> Any:
    """A legend's form of lines of theory and simulation, and of bands, which have the colours of targets."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if label.startswith("target"):
        return handle
    if isinstance(handle, Line2D):
        dashes: Any = panels.DOTTED if "test" in label else panels.DASHED if label.startswith("simulation") else "-"
        return Line2D([], [], color="0.3", lw=handle.get_linewidth(), ls=dashes)
    return Patch(color="0.3", alpha=0.25, lw=0)


KINDS = {"outputs": outputs, "kernels": kernels}
