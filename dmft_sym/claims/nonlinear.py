"""Outliers and sharpness of nonlinear networks on handwritten digits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .claim import Claim, Evidence
from .rows import SIGMAS, Row, stated

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SETTINGS: dict[str, Any] = {"richness": 4.0, "learning_rate": 0.05}
BEYOND = 1.5
"""Of another run, the learning rate in units of the edge of stability at the start."""
MATRIX = "W1"
FINITE_WIDTH = 12.0
"""Averages over a network of width N are shifted by about this part of ``1/N``, relative to their size."""


def evidence(width: int, seeds: int, sites: int, samples: int, steps: int) -> Evidence:
    """Infinite width with standard errors beside finite networks of the same program."""
    from dmft_sym.data.datasets import digits
    from dmft_sym.networks import mlp
    from dmft_sym.solvers.simulation import simulate
    from dmft_sym.theory import derive

    theory = derive(mlp(2, activation="tanh"), data=digits(classes=(3, 8), samples=samples))
    at = sorted({0, steps // 2, steps - 1})
    asked: dict[str, Any] = {"steps": steps, "kernels": at, "matrices": [MATRIX], "at": at, **SETTINGS}
    run = theory.solve(sites=sites, replicas=8, **asked)
    networks = simulate(theory, width=width, seeds=seeds, **asked)
    rate = BEYOND * 2 / float(run.sharpness[0])
    catapult: dict[str, Any] = {"richness": 4.0, "learning_rate": rate, "steps": 16, "kernels": [0, 15]}
    beyond = theory.solve(sites=sites // 2, replicas=4, **catapult)
    rows = [_row(f"sharpness, step {step}", "sharpness", {"kernel_step": step}, run, networks, width) for step in at]
    last = {"matrix": MATRIX, "spectrum_step": at[-1], "rank": 0}
    rows.append(_row(f"outlier of {MATRIX}, step {at[-1]}", "outlier", last, run, networks, width))
    rows.append(
        _row(f"training loss, step {at[-1]}", "train_loss", {"step": at[-1], "output": 0}, run, networks, width)
    )
    loss = beyond.train_loss.isel(output=0).values
    shown = len(loss) > 1 and float(np.nanmax(loss)) > 1.1 * loss[0]
    words = f"largest / first loss at {BEYOND:g} times the edge, eta0 = {rate:.3g}"
    rows.append(
        stated(words, float(np.nanmax(loss) / loss[0]), shown, "rises by 1.1, and all steps until then are kept")
    )

    def draw() -> Figure:
        from dmft_sym.figures.panels import COLOURS, legend_above, light_grid, new_figure

        figure = new_figure(7.0, 3.2)
        axes = figure.subplots(1, 2)
        _track(axes[0], run, networks, "sharpness", "kernel_step", {}, COLOURS[0])
        axes[0].set_ylabel("sharpness")
        _track(axes[1], run, networks, "outlier", "spectrum_step", {"matrix": MATRIX, "rank": 0}, COLOURS[1])
        axes[1].set_ylabel(f"largest singular value of {MATRIX}")
        edge = float(run.bulk_edge.isel(spectrum_step=0).sel(matrix=MATRIX, side="upper"))
        axes[1].axhline(edge, color="0.4", lw=1.0, label="edge of the bulk")
        for axis in axes:
            axis.set_xlabel("gradient steps")
            light_grid(axis)
        legend_above(figure, list(axes), 1.9)
        return figure

    return Evidence(tuple(rows), {"theory": run, "networks": networks, "beyond": beyond}, draw)


def _row(quantity: str, name: str, place: dict[str, Any], run: xr.Dataset, networks: xr.Dataset, width: int) -> Row:
    """Sampled theory against networks: both have errors."""
    theory, own = float(run[name].sel(place)), float(run[f"{name}_sem"].sel(place))
    values = networks[name].sel(place).values
    error = float(np.hypot(own, values.std(ddof=1) / len(values) ** 0.5))
    room = FINITE_WIDTH / width
    holds = abs(values.mean() - theory) <= SIGMAS * error + room * abs(theory)
    return Row(quantity, theory, float(values.mean()), error, bool(holds), f"{SIGMAS:g} errors + {room:.1%} of it")


def _track(axis: Any, run: xr.Dataset, networks: xr.Dataset, name: str, along: str, place: Any, colour: str) -> None:
    line, error = run[name].sel(place), run[f"{name}_sem"].sel(place)
    axis.plot(run[along], line, color=colour, lw=1.6, marker=".", label="infinite width")
    axis.fill_between(run[along], line - error, line + error, color=colour, alpha=0.3, lw=0)
    values = networks[name].sel(place)
    spread = values.std("seed", ddof=1) / values.sizes["seed"] ** 0.5
    points: dict[str, Any] = {"fmt": "o", "ms": 4, "color": "0.2", "mfc": "white", "capsize": 2}
    axis.errorbar(networks[along].values, values.mean("seed"), spread, label="finite networks", **points)


CLAIM = Claim(
    "nonlinear",
    "Outliers and sharpness of a tanh network on digits are those of the theory of infinite width.",
    "arXiv:2605.07870, nonlinear networks",
    evidence,
    {
        "full": {"width": 2000, "seeds": 6, "sites": 40_000, "samples": 20, "steps": 100},
        "quick": {"width": 1000, "seeds": 4, "sites": 16_000, "samples": 20, "steps": 60},
        "smallest": {"width": 400, "seeds": 3, "sites": 3200, "samples": 6, "steps": 21},
    },
    needs=("sklearn",),
)
