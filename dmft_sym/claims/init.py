"""The scale of initialization decides when outliers leave the bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .claim import Claim, Evidence
from .rows import against_number, stated
from .spectra import outlier_row

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SETTINGS: dict[str, Any] = {
    "samples_per_dim": 3.0, "width_per_dim": 1.5, "richness": 6.0, "learning_rate": 0.01, "label_noise": 0.1,
    "steps": 60,
}  # fmt: skip
MATRICES, LAST = ("W0", "W1"), 59
KNOWN = {"W0": 2.238, "W1": 1.916}
"""Outliers at ``init_std = 0.7``, from two-time matrices by hand."""


def evidence(dim: int, seeds: int, init_stds: tuple[float, ...]) -> Evidence:
    """Outliers in units of the edge of the bulk against the standard deviation of initial weights."""
    from dmft_sym.networks import deep_linear
    from dmft_sym.solvers.simulation import simulate
    from dmft_sym.sweeps.sweep import sweep
    from dmft_sym.theory import derive

    theory = derive(deep_linear(2))
    asked: dict[str, Any] = {"matrices": list(MATRICES), "at": [LAST]}
    grid = sweep(theory, {"init_std": init_stds}, "spectrum", overlaps=False, workers=1, **asked, **SETTINGS)
    more: dict[str, Any] = {"order_parameters": False, "normalise": True, "init_std": 0.7}
    networks = simulate(theory, dim=dim, seeds=seeds, **more, **asked, **SETTINGS)
    ratio = _over_edge(grid.outlier, grid.bulk_edge)
    rows = []
    for matrix in MATRICES:
        place = {"matrix": matrix, "spectrum_step": LAST}
        rows.append(outlier_row(f"{matrix}, init_std 0.7", grid.sel(init_std=0.7), networks, **place))
        rows.append(against_number(f"{matrix}, init_std 0.7", rows[-1].theory, KNOWN[matrix], 3))
        track = ratio.sel(matrix=matrix).fillna(1.0).values
        falls = bool((track[1:] <= track[:-1]).all() and track[0] > track[-1])
        rows.append(stated(f"{matrix}, outlier / edge at init_std {init_stds[0]:g}", track[0], falls, "falls with it"))

    def draw() -> Figure:
        return _figure(grid, networks)

    return Evidence(tuple(rows), {"theory": grid, "networks": networks}, draw)


def _over_edge(outlier: xr.DataArray, edge: xr.DataArray) -> xr.DataArray:
    return (outlier.isel(rank=0) / edge.sel(side="upper")).sel(spectrum_step=LAST)


def _figure(grid: xr.Dataset, networks: xr.Dataset) -> Figure:
    from dmft_sym.figures import style, symbols
    from dmft_sym.figures.panels import finish, of_networks, panels

    drawn = panels(None, 1, 1, (4.2, 3.2))
    (axis,) = drawn.axes
    given = float(networks.attrs["init_std"])
    for number, matrix in enumerate(MATRICES):
        seen, name = style.look(number), symbols.matrix(matrix)
        ratio = _over_edge(grid.outlier, grid.bulk_edge).sel(matrix=matrix)
        style.theory(axis, grid.init_std, ratio, seen, f"{name}, theory", marker=".")
        edge = grid.bulk_edge.sel(init_std=given, side="upper", spectrum_step=LAST, matrix=matrix)
        values = networks.outlier.isel(rank=0).sel(spectrum_step=LAST, matrix=matrix) / float(edge)
        style.networks(axis, [given], values.values[:, None], seen, f"{name}, {of_networks(values.size)}")
    axis.axhline(1.0, **style.EDGE.line, label="edge of the bulk")
    axis.set_xlabel(r"standard deviation of initial weights $\sigma$")
    axis.set_ylabel("outlier / edge of the bulk")
    finish(axis, "")
    drawn.legend(2.9)
    return drawn.figure


CLAIM = Claim(
    "init",
    "The smaller the initial weights, the further outliers stand out of the bulk.",
    "arXiv:2605.07870, scale of initialization",
    evidence,
    {
        "full": {"dim": 1000, "seeds": 8, "init_stds": (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)},
        "quick": {"dim": 500, "seeds": 6, "init_stds": (0.5, 0.7, 0.85, 1.0, 1.2)},
        "smallest": {"dim": 200, "seeds": 4, "init_stds": (0.7, 1.0)},
    },
)
