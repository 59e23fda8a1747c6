"""What claims about outliers share: theory and finite networks at the same steps, lines of the table, a panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .rows import Row, against_networks, none_in_networks

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

FINITE_SIZE = 4.0
"""Outliers of a finite network are shifted by about this part of ``1/dim``, relative to their size: a round number that
covers what was seen (1.4 % at 250 inputs), not a derived one."""


def outlier_row(quantity: str, theory: xr.Dataset, networks: xr.Dataset, **place: Any) -> Row:
    """The leading outlier at a place against that of finite networks, or that there is none."""
    values = networks["outlier"].sel(place).isel(rank=0)
    room = FINITE_SIZE / networks.attrs["dim"]
    found = theory["outlier"].sel(place).values
    if found.size and np.isfinite(found[0]):
        return against_networks(quantity, float(found[0]), values, room)
    return none_in_networks(quantity, float(theory["bulk_edge"].sel({**place, "side": "upper"})), values, room)


def outlier_panel(axis: Axes, theory: xr.Dataset, networks: xr.Dataset | None, matrix: str, colour: str) -> None:
    """Outliers against the step: lines of the theory, points with errors of finite networks, the bulk below."""
    from dmft_sym.figures.panels import DASHED, light_grid

    steps, place = theory["spectrum_step"].values, {"matrix": matrix}
    for rank in range(theory.sizes["rank"]):
        label = f"{matrix}, theory" if rank == 0 else None
        axis.plot(steps, theory["outlier"].sel(place).isel(rank=rank), color=colour, lw=1.6, label=label)
    edge = theory["bulk_edge"].sel({**place, "side": "upper"})
    axis.plot(steps, edge, color="0.4", lw=1.0, ls=DASHED, label="edge of the bulk")
    if networks is not None:
        values = networks["outlier"].sel(place).isel(rank=0)
        error = values.std("seed", ddof=1) / values.sizes["seed"] ** 0.5
        style: dict[str, Any] = {"fmt": "o", "ms": 4, "color": colour, "mfc": "white", "capsize": 2}
        axis.errorbar(networks["spectrum_step"].values, values.mean("seed"), error, label=f"{matrix}, finite", **style)
    axis.set_xlabel("gradient steps")
    light_grid(axis)
