"""From outliers to a bulk that moves: two-layer linear networks with ever more outputs.

    python examples/many_outputs.py [FILE] [--dim 400] [--seeds 3]

The first matrix after 12 steps with a frozen readout, in networks with as many hidden units as inputs. Drawn to FILE
(``many_outputs.png`` by default):

* top: its singular values with 1, 2, 8, 32 and half as many outputs as hidden units, beside Silverstein's equation at
  the same ratio. A few outputs are as many outliers next to the bulk of the initialization; many are a bulk themselves;
* bottom: the largest singular value against the width, at fixed outputs per hidden unit, and the edge it converges to.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import dmft_sym as ds
from dmft_sym.figures.plots import save_figure

SETTINGS = {"width_per_dim": 1, "teacher_std": 2, "richness": 2, "learning_rate": 0.3}
STEP = 12
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "0.25"


def main(words: Sequence[str] | None = None) -> None:
    from matplotlib.figure import Figure

    options = arguments(words)
    theory = ds.derive(ds.deep_linear(1), data=ds.ExtensiveOutputs(frozen=True))
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    top, bottom = figure.subfigures(2, 1)
    for axis, outputs in zip(top.subplots(1, 5), (1, 2, 8, 32, options.dim // 2), strict=True):
        draw_values(axis, theory, outputs, options)
    draw_edges(bottom.subplots(), theory, options)
    save_figure(figure, str(options.file))
    print(f"{options.file}: written")


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE", nargs="?", default=Path("many_outputs.png"), type=Path)
    parser.add_argument("--dim", type=int, default=400, help="dimension of the inputs, and number of hidden units")
    parser.add_argument("--seeds", type=int, default=3, help="number of networks")
    return parser.parse_args(words)


def both(theory: ds.Theory, ratio: float, dim: int, seeds: int, points: int = 0):
    """Predicted and measured spectra."""
    given = {**SETTINGS, "outputs_per_width": ratio, "matrices": ["W0"], "at": [STEP], "steps": STEP + 1}
    found = ds.spectrum(theory, points=points, **given)
    return found, ds.simulate(theory, dim=dim, seeds=seeds, values=0, **given)


def draw_values(axis, theory: ds.Theory, outputs: int, options: argparse.Namespace) -> None:
    found, sim = both(theory, outputs / options.dim, options.dim, options.seeds, 400)
    values = sim.spectrum_value.values.ravel()
    axis.hist(values, 60, range=(0, 8), density=True, color="0.8", label="networks")
    above = values[values > 2.1]
    axis.plot(above, np.full(len(above), 0.02), "|", color=GREY, ms=6, mew=0.6, label="beyond the initial bulk")
    axis.plot(found.value.values.ravel(), found.density.values.ravel(), color=BLUE, label="Silverstein")
    axis.set(ylim=(0, 0.75), xlim=(0, 8), xlabel="singular value of W0 [1]")
    axis.set_title(f"{outputs} output{'s' if outputs > 1 else ''}", fontsize="medium")
    if outputs == 1:
        axis.set_ylabel("density [1]")
        axis.legend(fontsize="x-small", frameon=False)


def draw_edges(axis, theory: ds.Theory, options: argparse.Namespace) -> None:
    sizes = [options.dim // 8, options.dim // 4, options.dim // 2, options.dim]
    for ratio, colour, marker in ((0.125, ORANGE, "s"), (0.5, BLUE, "o")):
        pairs = [both(theory, ratio, size, max(2, options.seeds)) for size in sizes]
        largest = np.array([sim.outlier.values[:, 0, 0, 0] for _, sim in pairs])
        error = largest.std(axis=1, ddof=1) / largest.shape[1] ** 0.5
        label = f"{ratio:g} outputs per hidden unit, ± standard error"
        axis.errorbar(sizes, largest.mean(axis=1), error, fmt=marker, mfc="white", color=colour, capsize=2, label=label)
        edge = pairs[0][0].bulk_edge.sel(side="upper").item()
        axis.axhline(edge, color=colour, lw=1.2, ls=(0, (3, 2)), label=f"edge of the bulk, {edge:.4g}")
    axis.set(xscale="log", xlabel="hidden units [1]", ylabel="largest singular value of W0 [1]")
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.minorticks_off()
    axis.grid(color="0.92", lw=0.6)
    axis.legend(fontsize="small", frameon=False, ncols=2)


if __name__ == "__main__":
    main()
