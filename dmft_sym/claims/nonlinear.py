"""Outliers and sharpness of a nonlinear network on digits, at small rates and beyond the edge of stability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .claim import Claim, Evidence
from .rows import Row, sampled_row, stated

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SETTINGS: dict[str, Any] = {"richness": 4.0, "learning_rate": 0.05, "steps": 31}
CATAPULT: dict[str, Any] = {"richness": 4.0, "learning_rate": 3.0, "steps": 29}
CLASSES, SAMPLES = (3, 8), 20
MATRIX, REPLICAS = "W1", 3
AT = (20, 30)
TRACK = (0, 5, 10, 15, 20, 25, 30)
STABLE = 2.0
"""Learning rate times sharpness at the edge of stability."""


def evidence(width: int, seeds: int, sites: int) -> Evidence:
    """Theory with standard errors, finite networks, and a run at a large rate."""
    import dmft_sym.data.datasets as datasets
    from dmft_sym.networks import mlp
    from dmft_sym.solvers.simulation import simulate
    from dmft_sym.theory import derive

    theory = derive(mlp(2, "tanh"), data=datasets.named_set("digits", classes=CLASSES, samples=SAMPLES))
    solver = theory.compile("numpy")
    asked: dict[str, Any] = {"matrices": [MATRIX], **SETTINGS}
    predicted = solver(sites=sites, replicas=REPLICAS, kernels=list(TRACK), at=list(TRACK), **asked)
    networks = simulate(theory, width=width, seeds=seeds, kernels=[0, *AT], at=list(AT), **asked)
    catapult = solver(sites=sites, replicas=2, kernels=list(range(0, CATAPULT["steps"], 4)), **CATAPULT)
    rows = [
        sampled_row(f"outlier of {MATRIX}, step {step}", *_outlier(predicted, step), _outliers(networks, step), width)
        for step in AT
    ]
    for step in (0, *AT):
        theirs = networks.sharpness.sel(kernel_step=step)
        value, sem = (float(predicted[name].sel(kernel_step=step)) for name in ("sharpness", "sharpness_sem"))
        rows.append(sampled_row(f"sharpness, step {step}", value, sem, theirs, width))
    rows += _catapult_rows(catapult)

    def draw() -> Figure:
        return _figure(predicted, networks, catapult)

    return Evidence(tuple(rows), {"theory": predicted, "networks": networks, "catapult": catapult}, draw)


def _outlier(predicted: xr.Dataset, step: int) -> tuple[float, float]:
    place = {"matrix": MATRIX, "spectrum_step": step}
    value, sem = (predicted[name].sel(place).isel(rank=0) for name in ("outlier", "outlier_sem"))
    return float(value), float(sem)


def _outliers(networks: xr.Dataset, step: int) -> xr.DataArray:
    return networks.outlier.sel(matrix=MATRIX, spectrum_step=step).isel(rank=0)


def _catapult_rows(run: xr.Dataset) -> list[Row]:
    """Sharpness crosses the edge, the loss grows beyond its first value, and both fall again."""
    loss, rate = run.train_loss.mean("output").values, run.rate_sharpness.values
    words = f"catapult at learning rate {CATAPULT['learning_rate']:g}"
    return [
        stated(f"{words}, largest loss", loss.max(), loss.max() > 2 * loss[0], "more than twice the first"),
        stated(f"{words}, last loss", loss[-1], loss[-1] < 0.2 * loss[0], "less than 0.2 of the first"),
        stated(f"{words}, largest eta * sharpness", rate.max(), rate.max() > STABLE, "beyond 2"),
        stated(f"{words}, last eta * sharpness", rate[-1], rate[-1] < STABLE, "below 2 again"),
    ]


def _figure(predicted: xr.Dataset, networks: xr.Dataset, catapult: xr.Dataset) -> Figure:
    from dmft_sym.figures.panels import COLOURS, DASHED, DOTTED, legend_above, light_grid, new_figure

    figure = new_figure(8.4, 3.4)
    axes = figure.subplots(1, 3)
    track = predicted.outlier.sel(matrix=MATRIX).isel(rank=0)
    sem = predicted.outlier_sem.sel(matrix=MATRIX).isel(rank=0)
    line: dict[str, Any] = {"color": COLOURS[0], "lw": 1.6, "label": "theory, ± standard error"}
    axes[0].plot(predicted.spectrum_step, track, **line)
    axes[0].fill_between(predicted.spectrum_step, track - sem, track + sem, color=COLOURS[0], alpha=0.25, lw=0)
    edge = predicted.bulk_edge.sel(matrix=MATRIX, side="upper")
    axes[0].plot(predicted.spectrum_step, edge, color="0.4", lw=1.0, ls=DASHED, label="edge of the bulk")
    axes[0].set_ylabel(f"outlier of {MATRIX}")
    axes[1].plot(predicted.kernel_step, predicted.sharpness, **line)
    low, high = (predicted.sharpness + sign * predicted.sharpness_sem for sign in (-1, 1))
    axes[1].fill_between(predicted.kernel_step, low, high, color=COLOURS[0], alpha=0.25, lw=0)
    axes[1].set_ylabel("sharpness")
    measured = (
        ("spectrum_step", networks.outlier.sel(matrix=MATRIX).isel(rank=0)),
        ("kernel_step", networks.sharpness),
    )
    for axis, (along, values) in zip(axes, measured, strict=False):
        error = values.std("seed", ddof=1) / values.sizes["seed"] ** 0.5
        points: dict[str, Any] = {"fmt": "o", "ms": 4, "color": COLOURS[1], "mfc": "white", "capsize": 2, "zorder": 4}
        axis.errorbar(values[along].values, values.mean("seed"), error, label="finite networks", **points)
    rate = f"rate {CATAPULT['learning_rate']:g}"
    axes[2].plot(catapult.step, catapult.train_loss.mean("output"), color=COLOURS[0], label=f"training loss, {rate}")
    style: dict[str, Any] = {"color": COLOURS[2], "ls": DASHED, "marker": "s", "ms": 3}
    axes[2].plot(catapult.kernel_step, catapult.rate_sharpness, label=f"rate x sharpness, {rate}", **style)
    axes[2].axhline(STABLE, color="0.4", lw=1.0, ls=DOTTED, label="edge of stability")
    axes[2].set_yscale("log")
    axes[2].set_ylabel("catapult")
    for axis in axes:
        axis.set_xlabel("gradient steps")
        light_grid(axis)
    legend_above(figure, list(axes), 2.4)
    return figure


CLAIM = Claim(
    "nonlinear",
    "Outliers and sharpness of a tanh network on digits are those of the theory; a catapult beyond the edge is shown.",
    "arXiv:2605.07870, nonlinear networks",
    evidence,
    {
        "full": {"width": 1500, "seeds": 8, "sites": 40_000},
        "quick": {"width": 600, "seeds": 4, "sites": 16_000},
        "smallest": {"width": 150, "seeds": 3, "sites": 6_000},
    },
    needs=("sklearn",),
)
