"""Under muP outliers keep their place when the width grows; under the NTK parametrization they are lost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .claim import Claim, Evidence
from .rows import Row, against_number
from .spectra import outlier_row

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SETTINGS: dict[str, Any] = {
    "samples_per_dim": 4.0, "richness": 6.0, "learning_rate": 0.005, "label_noise": 0.2, "steps": 80,
}  # fmt: skip
MATRIX, LAST = "W1", 79
KNOWN = {
    "muP": {0.25: 2.001, 0.5: 2.059, 1.0: 2.108, 2.0: 2.136, 4.0: 2.150, 8.0: 2.158, 16.0: 2.161},
    "NTK": {0.25: 2.334, 0.5: 2.220, 1.0: 2.108, 2.0: 2.025, 4.0: math.nan, 8.0: math.nan, 16.0: math.nan},
}
"""Outliers of `MATRIX` by width, from two-time matrices by hand."""
UNLIMITED = 2.165


def evidence(dim: int, seeds: int, widths: tuple[float, ...], simulated: tuple[float, ...]) -> Evidence:
    """The outlier against the width in both parametrizations, infinite width included."""
    from dmft_sym.networks import deep_linear
    from dmft_sym.solvers.simulation import simulate
    from dmft_sym.solvers.trained_spectra import spectrum
    from dmft_sym.sweeps.sweep import sweep
    from dmft_sym.theory import derive

    theory = derive(deep_linear(2))
    asked: dict[str, Any] = {"matrices": [MATRIX], "at": [LAST]}
    over = {"parametrization": list(KNOWN), "width_per_dim": widths}
    grid = sweep(theory, over, "spectrum", overlaps=False, workers=1, **asked, **SETTINGS)
    limit = spectrum(theory, overlaps=False, width_per_dim=math.inf, **asked, **SETTINGS)
    more: dict[str, Any] = {"order_parameters": False, "normalise": True, "dim": dim, "seeds": seeds}
    networks = {
        width: simulate(theory, width_per_dim=width, **more, **asked, **SETTINGS)
        for width in simulated
    }  # fmt: skip
    place = {"matrix": MATRIX, "spectrum_step": LAST}
    rows: list[Row] = []
    for name, known in KNOWN.items():
        for width in widths:
            outlier = _first(grid.sel(parametrization=name, width_per_dim=width).outlier.sel(place))
            rows.append(against_number(f"{MATRIX}, {name}, nu = {width:g}", outlier, known[width], 3))
    rows.append(against_number(f"{MATRIX}, muP, nu = inf", _first(limit.outlier.sel(place)), UNLIMITED, 3))
    for width, found in networks.items():
        at = grid.sel(parametrization="muP", width_per_dim=width)
        rows.append(outlier_row(f"{MATRIX}, muP, nu = {width:g}", at, found, **place))

    def draw() -> Figure:
        return _figure(grid, limit, networks)

    results = {"theory": grid, "limit": limit, **{f"networks_{width:g}": one for width, one in networks.items()}}
    return Evidence(tuple(rows), results, draw)


def _first(outliers: xr.DataArray) -> float:
    """The leading outlier, NaN if there is none."""
    return float(outliers.values[0]) if outliers.size else math.nan


def _figure(grid: xr.Dataset, limit: xr.Dataset, networks: dict[float, xr.Dataset]) -> Figure:
    from dmft_sym.figures import style, symbols
    from dmft_sym.figures.panels import finish, of_networks, panels

    drawn = panels(None, 1, 1, (4.6, 3.4))
    (axis,) = drawn.axes
    axis.set_xscale("log", base=2)
    place = {"matrix": MATRIX, "spectrum_step": LAST}
    for number, name in enumerate(KNOWN):
        track = grid.outlier.sel(parametrization=name, **place).isel(rank=0)
        style.theory(axis, grid.width_per_dim, track, style.look(number), f"{name}, theory", marker=".")
    unlimited: dict[str, Any] = {"color": style.look(0).colour, "lw": 1.0, "ls": style.DOTTED}
    axis.axhline(_first(limit.outlier.sel(place)), **unlimited, label="muP, infinite width")
    axis.axhline(2.0, **style.EDGE.line, label="edge of the bulk")
    for number, (width, found) in enumerate(networks.items()):
        values = found.outlier.sel(place).isel(rank=0).values[:, None]
        label = f"muP, {of_networks(len(values))}" if number == 0 else None
        style.networks(axis, [width], values, style.look(0), label)
    finish(axis, "")
    axis.set_xticks(grid.width_per_dim.values, [f"{width:g}" for width in np.asarray(grid.width_per_dim)])
    axis.set_xlabel(r"width / input dimension $\nu$")
    axis.set_ylabel(f"outlier of {symbols.matrix(MATRIX)}")
    drawn.legend(2.9)
    return drawn.figure


ALL_WIDTHS = tuple(KNOWN["muP"])
CLAIM = Claim(
    "width",
    "Under muP outliers converge when the width grows; under the NTK parametrization they move, and are lost.",
    "arXiv:2605.07870, width consistency",
    evidence,
    {
        "full": {"dim": 600, "seeds": 8, "widths": ALL_WIDTHS, "simulated": (0.5, 1.0, 2.0)},
        "quick": {"dim": 300, "seeds": 6, "widths": ALL_WIDTHS, "simulated": (0.5, 2.0)},
        "smallest": {"dim": 200, "seeds": 3, "widths": (1.0, 4.0), "simulated": (1.0,)},
    },
)
