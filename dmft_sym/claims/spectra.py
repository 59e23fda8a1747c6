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


def outlier_panel(axis: Axes, theory: xr.Dataset, networks: xr.Dataset | None, matrix: str, number: int) -> None:
    """Outliers against the step: lines of the theory, points with errors of finite networks, the bulk below.

    Parameters
    ----------
    number
        Of the look of the outliers.
    """
    from dmft_sym.figures import style, symbols
    from dmft_sym.figures.panels import finish, of_networks

    steps, place, seen = theory["spectrum_step"].values, {"matrix": matrix}, style.look(number)
    name = symbols.matrix(matrix)
    for rank in range(theory.sizes["rank"]):
        label = f"{name}, theory" if rank == 0 else None
        style.theory(axis, steps, theory["outlier"].sel(place).isel(rank=rank), seen, label)
    style.theory(axis, steps, theory["bulk_edge"].sel({**place, "side": "upper"}), style.EDGE, "edge of the bulk")
    if networks is not None:
        values = networks["outlier"].sel(place).isel(rank=0).transpose("seed", ...)
        label = f"{name}, {of_networks(len(values))}"
        style.networks(axis, networks["spectrum_step"], values, seen, label)
    axis.set_xlabel("gradient step $t$")
    finish(axis)
