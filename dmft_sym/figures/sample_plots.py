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

from . import panels, style, symbols

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

_PANEL, _SIDE = 1.5, 1.4  # inches
_NOTE_LETTERS = 14.0  # in an inch


@style.printed
def outputs(run: xr.Dataset, sim: xr.Dataset | None = None, *, ax: panels.AxesLike | None = None) -> Figure:
    """Output on every sample against the step, a panel for each output, coloured by target.

    Theory is drawn as lines with bands of one standard error, thin for test samples; finite networks as means with
    error bars.

    Parameters
    ----------
    run
        A result on given samples; with a ``seed`` dimension (a simulation) its mean is drawn.
    sim
        A simulation of the same samples.
    ax
        Axes, one for each output.
    """
    run, sim = in_steps(run), None if sim is None else in_steps(sim)
    if "f" not in run or not run.sizes.get("step"):
        raise ResultError("the result has no outputs on samples: allowed are results on given samples")
    theory, simulation = (None, run) if "seed" in run.dims else (run, _same_samples(run, sim))
    count = min(run.sizes["output"], MAX_PANELS)
    drawn = panels.panels(ax, count, min(count, 3), (3.6, 2.9), sharex=True, sharey=True)
    looks: dict[float, style.Look] = {}
    for index, axis in enumerate(drawn.axes):
        here = [None if found is None else found.isel(output=index) for found in (theory, simulation)]
        looks |= _output_panel(axis, here[0], here[1])
    drawn.entitle([_output_title(run, index) for index in range(count)])
    drawn.legend(2.0 if simulation is None else 2.9, _entries(drawn.axes, looks))
    return drawn.figure


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


def _output_panel(axis: Axes, theory: xr.Dataset | None, simulation: xr.Dataset | None) -> dict[float, style.Look]:
    """The looks of the targets."""
    shown = theory if theory is not None else simulation
    assert shown is not None
    targets = shown["target"].values
    looks = _target_looks(targets)
    for sample in panels.spaced(np.argsort(targets, kind="stable").tolist(), MAX_LINES):
        seen = looks[float(targets[sample])]
        if theory is not None:
            here, tested = theory.isel(sample=sample), not int(theory["trained"].values[sample])
            error = here.get(f"f{SEM}", None)
            label = "theory, test samples" if tested else "theory"
            style.theory(axis, here["step"], here["f"], seen, label, error, lw=0.8 if tested else 1.5)
        if simulation is not None:
            values = simulation["f"].isel(sample=sample).transpose("seed", "step")
            label = panels.of_networks(values.sizes["seed"])
            style.networks(axis, values["step"], values, seen, label, most=10)
    if theory is not None and f"f{SEM}" in theory:
        axis.fill_between([], [], [], label=f"theory {style.ONE_ERROR}")
    axis.set_xlabel(panels.axis_label(shown))
    axis.set_ylabel(r"output $f_\mu(t)$")
    axis.margins(x=0.03)
    panels.finish(axis)
    return looks


def _target_looks(targets: Floats) -> dict[float, style.Look]:
    """A look for every value; of many values a scale of colours."""
    values = sorted({float(value) for value in targets})
    if len(values) <= len(style.COLOURS):
        return {value: style.look(number) for number, value in enumerate(values)}
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    low, span = values[0], values[-1] - values[0]
    return {value: style.Look(to_hex(colormaps["viridis"](0.9 * (value - low) / span))) for value in values}


def _entries(axes: Sequence[Axes], looks: dict[float, style.Look]) -> dict[str, Any]:
    """Entries of the legend: kinds of lines and points in grey, then the targets; of many the smallest and largest."""
    from matplotlib.lines import Line2D

    found = {label: panels.in_grey(handle) for label, handle in panels.labelled(axes).items()}
    targets = sorted(looks)
    for target in targets if len(targets) <= len(style.COLOURS) else (targets[0], targets[-1]):
        found[f"target {target:.3g}"] = Line2D([], [], **{**looks[target].points, **looks[target].line})
    return found


@style.printed
def kernels(
    run: xr.Dataset,
    sim: xr.Dataset | None = None,
    outputs: tuple[int, int] = (0, 0),
    *,
    ax: panels.AxesLike | None = None,
) -> Figure:
    """Heat maps of the kernels of features and of the tangent kernel, samples in the order of their targets.

    A row for each kernel and layer, with one colour scale; a column for each of up to three steps, and the mean over
    finite networks beside the theory if there is one.

    Parameters
    ----------
    run, sim
        As for `outputs` of this module; steps that both have are drawn.
    outputs
        The two outputs of the tangent kernel.
    ax
        Axes, row by row.
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
    drawn = _grid(len(rows), columns) if ax is None else panels.given(ax, len(rows) * columns)
    for number, row in enumerate(rows):
        axes = drawn.axes[columns * number : columns * (number + 1)]
        shown_here = [
            (words, step, row.of(dataset, step, outputs)[np.ix_(order, order)])
            for step in shown
            for words, dataset in sources
        ]
        _draw_row(drawn.figure, axes, row, shown_here, boundary)
        letter = drawn.letter(number, len(rows))
        for axis, (words, step, _) in zip(axes, shown_here, strict=True):
            title = f"{name} {step:g}, {words}" if number == 0 else ""
            axis.set_title((letter if axis is axes[0] else "") + title, fontsize="small")
    for axis in drawn.axes[-columns:]:
        axis.set_xlabel(r"sample $\nu$, by target")
    if drawn.own:
        skipped = [step for step in steps if step not in shown]
        _note(drawn.figure, _notes(run, sim, outputs, missing, skipped))
    return drawn.figure


def _grid(rows: int, columns: int) -> panels.Panels:
    figure = panels.new_figure(columns * _PANEL + _SIDE, rows * _PANEL + 0.9)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    return panels.Panels(figure, list(grid.ravel()), True)


@dataclass(frozen=True)
class _Row:
    """A kernel, at a layer if it has layers."""

    name: str
    layer: int | None

    @property
    def label(self) -> str:
        return symbols.kernel(self.name, self.layer)

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
    values = [panel for *_, panel in shown]
    # Nothing holds back the entries of test samples: those of training samples decide.
    limit = panels.colour_limit(values, [panel[:boundary, :boundary] for panel in values] if boundary else None)
    low, high = (float(choice([choice(panel, initial=0.0) for panel in values])) for choice in (np.nanmin, np.nanmax))
    signed = low < -panels.VISIBLE * limit
    for axis, panel in zip(axes, values, strict=True):
        image = panels.heat_map(axis, panel, limit, signed, interpolation="nearest")
        panels.finish(axis, "xy")
        axis.grid(False)
        if 0 < boundary < len(panel):
            for line in (axis.axhline, axis.axvline):
                line(boundary - 0.5, color="0.2" if signed else "white", lw=0.8)
    axes[0].set_ylabel(r"sample $\mu$, by target")
    above, below = high > limit, low < -limit
    extend = {(1, 1): "both", (1, 0): "max", (0, 1): "min", (0, 0): "neither"}[above, below]
    bar = figure.colorbar(image, ax=list(axes), aspect=15, pad=0.02, extend=extend)
    bar.set_label(row.label)


def _notes(
    run: xr.Dataset, sim: xr.Dataset | None, outputs: tuple[int, int], missing: Sequence[_Row], skipped: Sequence[int]
) -> Iterator[str]:
    count = run.sizes["output"]
    if count > 1:
        yield f"NTK: outputs c = {outputs[0]} and c' = {outputs[1]} of {count}."
    if int(run["trained"].sum()) < run.sizes["sample"]:
        yield "Behind the lines: test samples; an arrow: some entries lie beyond the colours."
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


KINDS = {"outputs": outputs, "kernels": kernels}
