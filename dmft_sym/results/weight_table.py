"""Measured weight matrices as a table of text: what ``dmft-sym measure`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .store import SEM

if TYPE_CHECKING:
    import xarray as xr

_SHOWN = 3


def weight_table(measured: xr.Dataset, theory: xr.Dataset | None = None) -> str:
    """Scale, edge, outliers, largest shift of the bulk and verdict of every matrix, with predicted outliers."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title="measured weight matrices", box=box.SIMPLE_HEAD)
    table.add_column("matrix")
    for column in ("initial std", "bulk edge", "outliers"):
        table.add_column(column, justify="right")
    if theory is not None:
        table.add_column("theory, outliers", justify="right")
    table.add_column("largest shift of the bulk", justify="right")
    table.add_column("verdict")
    for name in measured["matrix"].values:
        one = measured.sel(matrix=name).isel(spectrum_step=0)
        scale, error = (float(one[f"initial_std{end}"].mean()) for end in ("", SEM))
        edge = float(one["bulk_edge"].sel(side="upper").mean())
        row = [str(name), f"{scale:.4g} ± {error:.1g}" if error else f"{scale:.4g}", f"{edge:.4g}"]
        row.append(_list(one["outlier"].mean("seed").values))
        if theory is not None:
            row.append(_list(theory["outlier"].sel(matrix=name, spectrum_step=int(one["spectrum_step"])).values))
        table.add_row(*row, _largest(one), str(one["verdict"].values))
    console = Console(width=110, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines() if line.strip())


def _largest(one: xr.Dataset) -> str:
    shift = one["bulk_shift"].mean("seed").values
    if not np.isfinite(shift).any():
        return "-"
    errors = np.sqrt((one[f"bulk_shift{SEM}"].values ** 2).sum(axis=0)) / one.sizes["seed"]
    place = int(np.nanargmax(np.abs(shift)))
    return f"{shift[place]:+.1%} ± {errors[place]:.1%} of the edge"


def _list(values: np.ndarray) -> str:
    kept = values[np.isfinite(values)]
    shown = ", ".join(f"{value:.4g}" for value in kept[:_SHOWN])
    return (shown or "none") + (f" and {len(kept) - _SHOWN} more" if len(kept) > _SHOWN else "")
