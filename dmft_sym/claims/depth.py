"""Learning rates transfer over depth in residual networks whose blocks are scaled by one over the root of the depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from .claim import Claim, Evidence
from .rows import against_networks, stated

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dmft_sym.networks import Network

SETTINGS: dict[str, Any] = {
    "samples_per_dim": 2.0, "width_per_dim": 1.0, "richness": 2.0, "label_noise": 0.2, "steps": 40,
}  # fmt: skip
SAME, DIFFERENT = 1.6, 2.5
"""Best rates of the two largest depths lie within the first factor; without the scaling they differ by the second."""


def residual(scaled: bool) -> Network:
    """``h^{l+1} = h^l + b W^l h^l`` with ``b = 1/sqrt(L)``, or 1."""
    from dmft_sym.networks import network

    def forward(net: Any, x: Any) -> Any:
        n = net.hidden("N")
        scale = 1 / sp.sqrt(net.depth) if scaled else sp.Integer(1)
        weights = net.matrix("W", n, n, layers=(1, net.depth - 1))
        h = net.matrix("W0", net.inputs, n) @ x
        h = net.scan(lambda layer, h: h + scale * (weights[layer] @ h), h, layers=(1, net.depth - 1))
        return net.readout("w", h)

    return network(forward, name="residual network")


def evidence(
    dim: int, seeds: int, depths: tuple[int, ...], unscaled: tuple[int, ...], rates: int, simulated: int
) -> Evidence:
    """The training loss in the end over learning rates and depths, with and without the scaling."""
    from dmft_sym.solvers.simulation import simulate
    from dmft_sym.sweeps.optimum import optimum
    from dmft_sym.sweeps.sweep import sweep
    from dmft_sym.theory import derive

    places = np.geomspace(0.003, 0.3, rates).tolist()
    grids, best, rows = {}, {}, []
    for name, scaled, chosen in (("scaled", True, depths), ("unscaled", False, unscaled)):
        theory = derive(residual(scaled))
        over = {"depth": chosen, "learning_rate": places}
        grids[name] = sweep(theory, over, variables=["train_loss"], workers=1, **SETTINGS)
        best[name] = optimum(grids[name], "train_loss", along="learning_rate")
        two = best[name].learning_rate.values[-2:]
        factor = float(two.max() / two.min())
        holds, words = (
            (factor <= SAME, f"at most {SAME:g}") if scaled else (factor >= DIFFERENT, f"from {DIFFERENT:g} on")
        )
        rows.append(stated(f"best rates at L = {chosen[-2]} and {chosen[-1]}, {name}: ratio", factor, holds, words))
    rate = float(best["scaled"].learning_rate_on_grid.sel(depth=simulated))
    more: dict[str, Any] = {"depth": simulated, "learning_rate": rate, "order_parameters": False, "normalise": True}
    networks = simulate(derive(residual(True)), dim=dim, seeds=seeds, **more, **SETTINGS)
    place = grids["scaled"].train_loss.sel(depth=simulated).sel(learning_rate=rate, method="nearest")
    losses = networks.train_loss.isel(step=-1).mean("output")
    quantity = f"training loss, scaled, L = {simulated}, best rate"
    rows.append(against_networks(quantity, float(place.isel(step=-1).mean()), losses, 6 / dim))

    def draw() -> Figure:
        from dmft_sym.figures.panels import COLOURS, legend_above, light_grid, new_figure

        figure = new_figure(7.0, 3.4)
        axes = figure.subplots(1, 2, sharey=True)
        styles = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (3, 1, 1, 1)))
        titles = {"scaled": "blocks times 1/sqrt(L)", "unscaled": "blocks as they are"}
        looks = dict(zip(sorted({*depths, *unscaled}), zip(COLOURS, styles * 2, strict=False), strict=False))
        for axis, (name, grid) in zip(axes, grids.items(), strict=True):
            for depth in grid.depth.values:
                colour, style = looks[int(depth)]
                losses = grid.train_loss.sel(depth=depth).isel(step=-1).mean("output", skipna=False)
                axis.plot(grid.learning_rate, losses, color=colour, ls=style, lw=1.5, label=f"L = {depth}")
                one = best[name].sel(depth=depth)
                axis.plot(one.learning_rate, one.train_loss, "v", color=colour, ms=5)
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_xlabel("learning rate")
            axis.set_title(titles[name], fontsize="medium")
            light_grid(axis)
        axes[0].set_ylim(0.01, 3.0)
        axes[0].set_ylabel("training loss after 40 steps")
        legend_above(figure, list(axes), 1.1)
        return figure

    return Evidence(tuple(rows), {**grids, "networks": networks}, draw)


CLAIM = Claim(
    "depth",
    "With blocks scaled by 1/sqrt(depth) the best learning rate of a residual network settles with its depth.",
    "arXiv:2605.07870, transfer over depth",
    evidence,
    {
        "full": {"dim": 500, "seeds": 8, "depths": (4, 8, 16), "unscaled": (2, 4, 6), "rates": 13, "simulated": 8},
        "quick": {"dim": 250, "seeds": 4, "depths": (4, 8), "unscaled": (2, 4), "rates": 9, "simulated": 4},
        "smallest": {"dim": 120, "seeds": 3, "depths": (4, 8), "unscaled": (2, 4), "rates": 5, "simulated": 4},
    },
)
