"""Spectra as a table of text: what ``dmft-sym spectrum`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .axes import word

if TYPE_CHECKING:
    import xarray as xr

_SHOWN = 6  # outliers in a line


def spectrum_table(dataset: xr.Dataset) -> str:
    """Bulk edge and outliers of every matrix and step, the escape of the first outlier, and sharpness times rate.

    Sampled outliers are printed with their standard errors.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    axis = word(dataset)
    table = Table(title="spectra of the trained matrices", box=box.SIMPLE_HEAD)
    table.add_column("matrix")
    for column in (axis, "bulk edge"):
        table.add_column(column, justify="right")
    table.add_column("outliers, with multiplicity")
    for matrix in dataset["matrix"].values:
        for step in dataset[f"spectrum_{axis}"].values:
            place = {"matrix": matrix, f"spectrum_{axis}": step}
            edge = float(dataset["bulk_edge"].sel(place | {"side": "upper"}))
            values = dataset["outlier"].sel(place).values
            errors = dataset["outlier_sem"].sel(place).values if "outlier_sem" in dataset else np.zeros(len(values))
            kept = np.isfinite(values)
            shown = _list(values[kept], errors[kept]) if np.isfinite(edge) else "not computed"
            if "outlier_limit" in dataset and not kept.any():
                shown = f"none above {float(dataset['outlier_limit'].sel(place)):.4g}"
            table.add_row(str(matrix), f"{step:g}" if axis == "time" else str(step), _number(edge), shown)
    console = Console(width=100, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(table)
    lines = [line.rstrip() for line in capture.get().splitlines() if line.strip()]
    return "\n".join([*lines, *_notes(dataset)])


def _notes(dataset: xr.Dataset) -> list[str]:
    lines, axis = [], word(dataset)
    for matrix in dataset["matrix"].values if f"escape_{axis}" in dataset else ():
        escape = float(dataset[f"escape_{axis}"].sel(matrix=matrix))
        if np.isfinite(escape):
            lines.append(f"{matrix}: an outlier is outside of the bulk from {axis} {escape:.4g}")
    rate = dataset.attrs.get("learning_rate")
    if "sharpness" in dataset and rate is not None:
        products = float(rate) * dataset["sharpness"].values
        shown = ", ".join("-" if not np.isfinite(p) else f"{p:.3g}" for p in products)
        limit = float(dataset.attrs.get("stable_below", 2.0))
        lines.append(f"learning_rate * sharpness (stable below {limit:.3g}): {shown}")
    return lines


def _with_error(value: float, error: float) -> str:
    """``2.703 ± 0.005``: two digits of the standard error, if there is one, and the value to the same place."""
    if not (np.isfinite(error) and error > 0):
        return _number(value)
    places = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{places}f} ± {error:.{places}f}"


def _number(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else "-"


def _list(values: np.ndarray, errors: np.ndarray) -> str:
    pairs = zip(values[:_SHOWN], errors[:_SHOWN], strict=True)
    shown = ", ".join(_with_error(float(value), float(error)) for value, error in pairs)
    rest = len(values) - _SHOWN
    return (shown or "none") + (f" and {rest} more" if rest > 0 else "")
