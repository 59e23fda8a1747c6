"""Best learning rates of a residual network transfer over depths if its branches are scaled by ``1/sqrt(L)``.

Settings and bounds were set with the numbers at hand. At these depths transfer needs small branches: with branches
twice as large the best rate still falls with the depth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sympy as sp

from .claim import Claim, Evidence
from .rows import Row, against_networks, stated

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SETTINGS: dict[str, Any] = {
    "samples_per_dim": 4.0, "width_per_dim": 1.0, "richness": 1.0, "label_noise": 0.2, "branch": 0.5, "steps": 12,
}  # fmt: skip
FIRST, LAST, RATES = -2.5, 0.0, 11
"""Logarithms of the learning rates, and their number."""
RATE = 0.05
"""Of the finite networks."""
SCALED, PLAIN = "scaled", "plain"
SAME, DIFFERENT = 1.15, 2.0
"""Best rates lie within this factor if branches are scaled, and differ by this much more if they are not."""


def residual(scaled: bool) -> Any:
    """A forward pass, ``h -> h + (b0/sqrt(L)) W h`` in every block, or without the scale."""

    def forward(net: Any, x: Any) -> Any:
        n = net.hidden("N")
        branch = net.parameter("branch", default=1.0)
        factor = branch / sp.sqrt(net.depth) if scaled else branch
        weights = net.matrix("W", n, n, layers=(1, net.depth - 1))
        h = net.matrix("W0", net.inputs, n) @ x
        h = net.scan(lambda layer, h: h + factor * (weights[layer] @ h), h, layers=(1, net.depth - 1))
        return net.readout("w", h)

    return forward


def evidence(dim: int, seeds: int, depths: tuple[int, ...], simulated: tuple[int, ...]) -> Evidence:
    """The training loss in the end over learning rates and depths, with and without the scale of branches."""
    from dmft_sym.networks import network
    from dmft_sym.solvers.simulation import simulate
    from dmft_sym.sweeps.optimum import optimum
    from dmft_sym.sweeps.ranges import logspace
    from dmft_sym.sweeps.sweep import sweep
    from dmft_sym.theory import derive

    theories = {name: derive(network(residual(name == SCALED), name=f"{name} residual")) for name in (SCALED, PLAIN)}
    rates = logspace(FIRST, LAST, RATES)
    over = {"depth": depths, "learning_rate": sorted({RATE, *rates})}
    asked: dict[str, Any] = {"variables": ["train_loss"], "workers": 1, "backend": "numpy"}
    grids = {name: sweep(theory, over, **asked, **SETTINGS) for name, theory in theories.items()}
    best = {name: optimum(grid, "train_loss", along="learning_rate") for name, grid in grids.items()}
    rows, networks = _best_rows(best), {}
    more: dict[str, Any] = {"learning_rate": RATE, "order_parameters": False, "normalise": True}
    for depth in simulated:
        found = simulate(theories[SCALED], dim=dim, seeds=seeds, depth=depth, **more, **SETTINGS)
        networks[depth] = found.train_loss.isel(step=-1).mean("output")
        predicted = float(_losses(grids[SCALED]).sel(depth=depth, learning_rate=RATE))
        words = f"training loss, scaled branches, L = {depth}, rate {RATE:g}"
        rows.append(against_networks(words, predicted, networks[depth], 4 / dim))

    def draw() -> Figure:
        return _figure(grids, best, networks)

    results = {**grids, **{f"networks_{depth}": found.to_dataset(name="loss") for depth, found in networks.items()}}
    return Evidence(tuple(rows), results | {f"optimum_{name}": found for name, found in best.items()}, draw)


def _losses(grid: xr.Dataset) -> xr.DataArray:
    return grid.train_loss.isel(step=-1).mean("output", skipna=False)


def _best_rows(best: dict[str, xr.Dataset]) -> list[Row]:
    """By what factor best rates differ over depths."""
    scaled, plain = (float(found.learning_rate.max() / found.learning_rate.min()) for found in best.values())
    words = "best rates over depths: largest / smallest"
    return [
        stated(f"{words}, scaled branches", scaled, scaled <= SAME, f"at most {SAME:g}"),
        stated(f"{words}, without the scale", plain, plain >= DIFFERENT * scaled, f"at least {DIFFERENT:g} times that"),
    ]


def _figure(grids: dict[str, xr.Dataset], best: dict[str, xr.Dataset], networks: dict[int, xr.DataArray]) -> Figure:
    from dmft_sym.figures import style
    from dmft_sym.figures.panels import finish, of_networks, panels

    drawn = panels(None, 2, 2, (3.5, 3.2), sharey=True)
    for axis, (name, grid) in zip(drawn.axes, grids.items(), strict=True):
        axis.set_xscale("log")
        axis.set_yscale("log")
        for number, depth in enumerate(grid.depth.values):
            seen, one = style.look(number), best[name].sel(depth=depth)
            losses = _losses(grid).sel(depth=depth)
            style.theory(axis, grid.learning_rate, losses, seen, f"theory, $L$ = {depth}")
            axis.plot(one.learning_rate, one.train_loss, "*", color=seen.colour, ms=9, mec="white", mew=0.6, zorder=5)
        axis.plot([], [], "*", color=style.GREY, ms=8, label="best rate")
        axis.set_xlabel(r"learning rate $\eta_0$")
    for (depth, values), shift in zip(networks.items(), (0.96, 1.04), strict=False):
        seen = style.look(list(grids[SCALED].depth.values).index(depth))
        label = f"$L$ = {depth}, {of_networks(values.size)}"
        style.networks(drawn.axes[0], [shift * RATE], values.values.reshape(-1, 1), seen, label)
    drawn.axes[0].set_ylim(0.02, 3.0)
    drawn.axes[0].set_ylabel(f"training loss after {SETTINGS['steps']} steps")
    for axis in drawn.axes:
        finish(axis, "")
    drawn.entitle([r"$h + (b/\sqrt{L})\,W h$", r"$h + b\,W h$"])
    drawn.legend(3.2)
    return drawn.figure


CLAIM = Claim(
    "depth",
    "With residual branches scaled by 1/sqrt(L) the best learning rate does not depend on depth; without it falls.",
    "arXiv:2605.07870 and arXiv:2502.02531, transfer over depths",
    evidence,
    {
        "full": {"dim": 1000, "seeds": 8, "depths": (3, 6, 12, 24), "simulated": (6, 12)},
        "quick": {"dim": 400, "seeds": 6, "depths": (3, 6, 12), "simulated": (3, 12)},
        "smallest": {"dim": 150, "seeds": 4, "depths": (3, 6), "simulated": (6,)},
    },
)
