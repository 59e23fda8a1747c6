"""A network of infinite width learns to tell two handwritten digits apart, against finite networks.

    python examples/digits.py [FILE] [--width 2000] [--seeds 4] [--samples 20000] [--backend numba]

The network of ``examples/digits.toml``: tanh, three hidden layers, 20 images of the digits 3 and 8, 100 steps of
gradient descent in the rich regime. The theory is sampled and has standard errors; networks of finite width are trained
from the same program. Drawn to FILE (``digits.png`` by default):

* top: the kernel of the features of the last hidden layer, images in the order of their targets. It starts almost
  diagonal, and ends as the block matrix of the targets;
* bottom: the training loss; how far the kernels of all layers and the tangent kernel are aligned with the targets; the
  outliers of the two hidden matrices, which leave the bulk while the loss falls.

The comparison of everything that both have is printed. Needs scikit-learn for the images, ``pip install
'dmft-sym[data]'``; takes a few minutes on two cores, and ``--width 500 --samples 5000`` half a minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

import dmft_sym as ds
from dmft_sym.data.datasets import digits
from dmft_sym.support.progress import StepProgress

SETTINGS = {"richness": 4.0, "learning_rate": 0.05, "steps": 100}
WANTED = {
    "kernels": [0, 5, 10, 15, 20, 25, 30, 40, 60, 80, 99],
    "matrices": ["W1", "W2"],
    "at": [0, 10, 15, 20, 25, 30, 40, 60, 80, 99],
}
SHOWN = (0, 20, 99)
LAYER = 3
BLUE, ORANGE, GREEN, PINK, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "0.25"


def main(words: Sequence[str] | None = None) -> None:
    options = arguments(words)
    theory = ds.derive(ds.mlp(3, "tanh"), data=digits(classes=(3, 8), samples=20))
    with StepProgress("infinite width") as progress:
        solver = theory.compile(options.backend)
        run = solver(sites=options.samples, progress=progress, **WANTED, **SETTINGS)
    with StepProgress(f"width {options.width}") as progress:
        sim = ds.simulate(theory, width=options.width, seeds=options.seeds, progress=progress, **WANTED, **SETTINGS)
    if options.seeds > 1:
        print(ds.compare(run, sim))
    for name in ("Phi_alignment", "NTK_alignment"):
        print(f"{name}, first and last step:", run[name].isel(kernel_step=[0, -1]).values.round(3).tolist())
    draw(run, sim, options.file)
    print(f"{options.file}: written")


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE", nargs="?", default=Path("digits.png"), type=Path)
    parser.add_argument("--width", type=int, default=2000, help="of the finite networks")
    parser.add_argument("--seeds", type=int, default=4, help="number of finite networks")
    parser.add_argument("--samples", type=int, default=20_000, help="sites of the infinite network")
    parser.add_argument("--backend", default="numba", help="numba, or numpy: the program itself, several times slower")
    return parser.parse_args(words)


def draw(run: xr.Dataset, sim: xr.Dataset, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.5, 5.6), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.45))
    draw_kernels(top, run, sim)
    losses, alignments, outliers = bottom.subplots(1, 3)
    draw_loss(losses, run, sim)
    draw_alignments(alignments, run, sim)
    draw_outliers(outliers, run, sim)
    for axis, place in ((losses, "upper right"), (alignments, "lower right"), (outliers, "upper left")):
        axis.set_xlabel("training step [gradient steps]")
        axis.grid(color="0.92", lw=0.6)
        axis.legend(loc=place, fontsize="x-small", frameon=False)
    figure.savefig(path, dpi=150)


def draw_kernels(figure, run: xr.Dataset, sim: xr.Dataset) -> None:
    """Theory and finite networks side by side at the steps `SHOWN`."""
    order = np.argsort(run.target.values[:, 0], kind="stable")
    kernels = {"infinite": run.Phi, f"N = {sim.attrs['width']}": sim.Phi.mean("seed")}
    axes = figure.subplots(1, len(SHOWN) * len(kernels), sharey=True)
    limit = float(abs(run.Phi.sel(layer=LAYER, kernel_step=list(SHOWN))).max())
    panels = [(step, name) for step in SHOWN for name in kernels]
    for axis, (step, name) in zip(axes, panels, strict=True):
        values = kernels[name].sel(layer=LAYER, kernel_step=step).values[np.ix_(order, order)]
        image = axis.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axis.set_title(f"step {step}, {name}", fontsize="small")
        axis.set_xlabel("image, by digit", fontsize="small")
        axis.tick_params(labelsize="small")
    axes[0].set_ylabel("image, by digit", fontsize="small")
    figure.colorbar(image, ax=list(axes), aspect=15, pad=0.01).set_label(rf"$\Phi$, layer {LAYER} [1]")


def draw_loss(axis, run: xr.Dataset, sim: xr.Dataset) -> None:
    loss, measured = run.train_loss.isel(output=0), sim.train_loss.isel(output=0)
    axis.fill_between(run.step, measured.min("seed"), measured.max("seed"), color=GREY, alpha=0.25, lw=0)
    band(axis, run.step, loss, run.train_loss_sem.isel(output=0), BLUE)
    axis.plot(run.step, loss, color=BLUE, label="theory")
    some = measured.isel(step=slice(0, None, max(1, measured.sizes["step"] // 14)))
    points(axis, some.step, some, GREY)
    axis.plot([], [], "o", mfc="white", color=GREY, ms=4, label=networks(sim, "mean of"))
    axis.set_yscale("log")
    axis.set_ylabel("training loss [1]")


def draw_alignments(axis, run: xr.Dataset, sim: xr.Dataset) -> None:
    colours = dict(zip([*run.layer.values.tolist(), "NTK"], (BLUE, GREEN, PINK, ORANGE), strict=True))
    for key, colour in colours.items():
        name, place = ("NTK", {}) if key == "NTK" else ("Phi", {"layer": key})
        label = "NTK" if key == "NTK" else rf"$\Phi$, layer {key}"
        values, error, measured = (
            dataset[f"{name}_alignment{suffix}"].sel(place) for dataset, suffix in ((run, ""), (run, "_sem"), (sim, ""))
        )
        band(axis, run.kernel_step, values, error, colour)
        axis.plot(run.kernel_step, values, color=colour, label=label)
        points(axis, sim.kernel_step, measured, colour)
    axis.set_ylabel("alignment with the targets [1]")
    axis.plot([], [], "o", mfc="white", color=GREY, ms=4, label=networks(sim, "mean of"))


def draw_outliers(axis, run: xr.Dataset, sim: xr.Dataset) -> None:
    for matrix, colour in zip(WANTED["matrices"], (BLUE, ORANGE), strict=True):
        if run.sizes["rank"]:
            values, error = (run[name].sel(matrix=matrix).isel(rank=0) for name in ("outlier", "outlier_sem"))
            band(axis, run.spectrum_step, values, error, colour)
            axis.plot(run.spectrum_step, values, color=colour, marker=".", label=f"theory, outlier of {matrix}")
        points(axis, sim.spectrum_step, sim.outlier.sel(matrix=matrix).isel(rank=0), colour)
    edge = run.bulk_edge.sel(matrix=WANTED["matrices"][0], side="upper")
    axis.plot(run.spectrum_step, edge, color=GREY, lw=1, ls=(0, (1, 1.5)), label="edge of the bulk")
    axis.plot([], [], "o", mfc="white", color=GREY, ms=4, label=networks(sim, "largest value of"))
    axis.set_ylim(1.9, 3.3)
    axis.set_ylabel("singular value [1]")


def networks(sim: xr.Dataset, words: str) -> str:
    return f"{words} {sim.sizes['seed']} networks, N = {sim.attrs['width']}"


def band(axis, steps: xr.DataArray, mean: xr.DataArray, error: xr.DataArray, colour: str) -> None:
    """One standard error of the theory."""
    axis.fill_between(steps, mean - error, mean + error, color=colour, alpha=0.3, lw=0)


def points(axis, steps: xr.DataArray, measured: xr.DataArray, colour: str) -> None:
    """Mean over finite networks with its standard error."""
    values = measured.transpose("seed", ...).values
    error: Sequence[float] | None = None
    if len(values) > 1:
        error = values.std(axis=0, ddof=1) / len(values) ** 0.5
    axis.errorbar(steps, values.mean(axis=0), error, fmt="o", ms=4, mfc="white", color=colour, capsize=2, lw=1)


if __name__ == "__main__":
    main()
