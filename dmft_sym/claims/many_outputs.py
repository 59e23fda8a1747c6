"""As many outputs as hidden units move the bulk itself; few of them are outliers beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .claim import Claim, Evidence
from .rows import Row, against_networks, against_number, stated

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SETTINGS: dict[str, Any] = {"width_per_dim": 1.0, "teacher_std": 2.0, "richness": 2.0, "learning_rate": 0.3}
MATRIX, LAST = "W0", 12
RATIO, EDGE = 0.5, 7.460
"""Outputs per hidden unit, and the upper edge after `LAST` steps with a frozen readout, by Silverstein's equation."""


def evidence(dims: tuple[int, ...], seeds: int, outputs: tuple[int, ...]) -> Evidence:
    """Edges of the bulk against finite networks, and the crossover from outliers to a bulk."""
    from dmft_sym.networks import deep_linear
    from dmft_sym.regimes import ExtensiveOutputs
    from dmft_sym.solvers.simulation import simulate
    from dmft_sym.solvers.trained_spectra import spectrum
    from dmft_sym.theory import derive

    theory = derive(deep_linear(1), data=ExtensiveOutputs(frozen=True))
    asked: dict[str, Any] = {"matrices": [MATRIX], "at": [LAST], "steps": LAST + 1, **SETTINGS}
    predicted = spectrum(theory, outputs_per_width=RATIO, points=300, **asked)
    start = spectrum(theory, outputs_per_width=RATIO, matrices=[MATRIX], at=[0], steps=1, **SETTINGS)
    place = {"matrix": MATRIX, "spectrum_step": LAST}
    edge = float(predicted.bulk_edge.sel(side="upper", **place))
    rows: list[Row] = [
        against_number(f"upper edge, C/N = {RATIO:g}, step {LAST}", edge, EDGE, 3),
        against_number("upper edge at the start", float(start.bulk_edge.sel(matrix=MATRIX, side="upper")[0]), 2.0, 3),
    ]
    of_size = {dim: simulate(theory, dim=dim, seeds=seeds, outputs_per_width=RATIO, values=0, **asked) for dim in dims}
    largest = of_size[dims[-1]]
    measured = largest.outlier.sel(place).isel(rank=0)
    rows.append(against_networks(f"largest singular value, D = {dims[-1]}", edge, measured, 0.02))
    few: dict[int, xr.Dataset] = {}
    for count in outputs:
        few[count] = simulate(theory, dim=dims[-1], seeds=seeds, outputs_per_width=count / dims[-1], values=0, **asked)
        values = few[count].spectrum_value.sel(place)
        beyond = float((values > 2.0 * (1 + 4 / dims[-1])).sum("number").mean())
        words = f"values beyond the initial bulk, C = {count}, D = {dims[-1]}"
        rows.append(stated(words, beyond, beyond == count, f"{count}"))

    def draw() -> Figure:
        return _figure(predicted, of_size, few, edge)

    results = {"theory": predicted, **{f"networks_{dim}": one for dim, one in of_size.items()}}
    return Evidence(tuple(rows), {**results, **{f"few_{count}": one for count, one in few.items()}}, draw)


def _figure(predicted: xr.Dataset, of_size: dict[int, xr.Dataset], few: dict[int, xr.Dataset], edge: float) -> Figure:
    from dmft_sym.figures.panels import COLOURS, DASHED, legend_above, light_grid, new_figure

    figure = new_figure(9.0, 3.2)
    axes = figure.subplots(1, 3)
    place = {"matrix": MATRIX, "spectrum_step": LAST}
    count, one = next(iter(few.items()))
    style: dict[str, Any] = {"bins": 40, "density": True, "color": "0.8"}
    axes[0].hist(one.spectrum_value.sel(place).values.ravel(), label="finite networks", **style)
    axes[0].set_title(f"C = {count}", fontsize="medium")
    axes[0].axvline(2.0, color="0.3", ls=DASHED, lw=1.0, label="edge of the initial bulk")
    largest = of_size[max(of_size)]
    axes[1].hist(largest.spectrum_value.sel(place).values.ravel(), **style)
    axes[1].plot(predicted.value.sel(place), predicted.density.sel(place), color=COLOURS[0], label="theory")
    axes[1].set_title(f"C = {RATIO:g} N", fontsize="medium")
    sizes = list(of_size)
    tops = [found.outlier.sel(place).isel(rank=0) for found in of_size.values()]
    errors = [float(top.std("seed", ddof=1)) / top.sizes["seed"] ** 0.5 for top in tops]
    points: dict[str, Any] = {"fmt": "o", "ms": 4, "color": "0.2", "mfc": "white", "capsize": 2}
    axes[2].errorbar(sizes, [float(top.mean()) for top in tops], errors, label="largest value", **points)
    axes[2].axhline(edge, color=COLOURS[0])
    axes[2].set_xscale("log")
    axes[2].set_xticks(sizes, [str(size) for size in sizes])
    axes[2].minorticks_off()
    axes[2].set_xlabel("input dimension D")
    axes[2].set_ylabel("upper edge")
    for axis in axes[:2]:
        axis.set_xlabel(f"singular value of {MATRIX}")
    axes[0].set_ylabel("density")
    light_grid(axes[2])
    legend_above(figure, list(axes), 2.0)
    return figure


CLAIM = Claim(
    "many-outputs",
    "C outputs are C outliers while C is small; in proportion to the width they deform the bulk itself.",
    "arXiv:2605.07870, extensive outputs",
    evidence,
    {
        "full": {"dims": (200, 400, 800, 1500), "seeds": 5, "outputs": (1, 2, 8, 32)},
        "quick": {"dims": (100, 200, 500), "seeds": 4, "outputs": (1, 2, 8)},
        "smallest": {"dims": (60, 200), "seeds": 3, "outputs": (2,)},
    },
)
