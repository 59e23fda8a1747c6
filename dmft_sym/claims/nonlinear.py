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
    from dmft_sym.figures import style, symbols
    from dmft_sym.figures.panels import finish, of_networks, panels

    drawn = panels(None, 3, 3, (2.8, 3.0))
    left, middle, right = drawn.axes
    outlier, error = (predicted[name].sel(matrix=MATRIX).isel(rank=0) for name in ("outlier", "outlier_sem"))
    style.theory(left, predicted.spectrum_step, outlier, style.look(0), "theory ± standard error", error)
    edge = predicted.bulk_edge.sel(matrix=MATRIX, side="upper")
    style.theory(left, predicted.spectrum_step, edge, style.EDGE, "edge of the bulk")
    style.theory(middle, predicted.kernel_step, predicted.sharpness, style.look(0), None, predicted.sharpness_sem)
    measured = (
        (left, "spectrum_step", networks.outlier.sel(matrix=MATRIX).isel(rank=0)),
        (middle, "kernel_step", networks.sharpness),
    )
    for axis, along, values in measured:
        label = of_networks(values.sizes["seed"])
        style.networks(axis, values[along], values.transpose("seed", along), style.NETWORKS, label)
    right.set_yscale("log")
    rate = rf"$\eta_0$ = {CATAPULT['learning_rate']:g}"
    style.theory(right, catapult.step, catapult.train_loss.mean("output"), style.look(2), f"training loss, {rate}")
    words = f"learning rate × sharpness, {rate}"
    style.theory(right, catapult.kernel_step, catapult.rate_sharpness, style.look(1), words)
    right.axhline(STABLE, color="0.15", lw=1.0, label="edge of stability")
    for axis, words in zip(drawn.axes, (f"outlier of {symbols.matrix(MATRIX)}", "sharpness", ""), strict=True):
        axis.set_xlabel("gradient step $t$")
        axis.set_ylabel(words)
        finish(axis)
    drawn.entitle(["", "", "catapult"])
    drawn.legend(2.8)
    return drawn.figure


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
