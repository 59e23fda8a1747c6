"""The leading mode of the tangent kernel grows to the edge of stability, at the same pace at all widths under muP.

The bounds of changes over widths were set with the numbers at hand (0.14 under muP, 0.48 under NTK). Growth is compared
over widths at one richness, and the run beyond the edge is at another, `BEYOND`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .claim import Claim, Evidence
from .rows import Row, against_networks, stated
from .spectra import FINITE_SIZE

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

GROWTH: dict[str, Any] = {"samples_per_dim": 2.0, "richness": 2.0, "label_noise": 0.2, "learning_rate": 0.1}
BEYOND: dict[str, Any] = {"samples_per_dim": 4.0, "richness": 4.0, "label_noise": 0.2, "learning_rate": 0.1}
PARAMETRIZATIONS = ("muP", "NTK")
WIDE = 2.0
"""Width of the run beyond the edge, and of finite networks."""


def evidence(dim: int, seeds: int, widths: tuple[float, ...], steps: int, at: tuple[int, ...]) -> Evidence:
    """Sharpness along training, in units of the edge of stability."""
    from dmft_sym.networks import deep_linear
    from dmft_sym.solvers.simulation import simulate
    from dmft_sym.solvers.trained_spectra import spectrum
    from dmft_sym.sweeps.sweep import sweep
    from dmft_sym.theory import derive

    theory = derive(deep_linear(2))
    asked: dict[str, Any] = {"matrices": ["NTK"], "at": list(at), "steps": steps}
    over = {"parametrization": PARAMETRIZATIONS, "width_per_dim": widths}
    grid = sweep(theory, over, "spectrum", overlaps=False, workers=1, **asked, **GROWTH)
    beyond = spectrum(theory, overlaps=False, width_per_dim=WIDE, **asked, **BEYOND)
    more: dict[str, Any] = {"dim": dim, "seeds": seeds, "order_parameters": False, "normalise": True}
    networks = simulate(theory, width_per_dim=WIDE, **more, **asked, **GROWTH)
    last = grid.rate_sharpness.isel(spectrum_step=-1) / 2
    rows = [
        _change("muP", last, lambda change: change <= 0.15, "at most 0.15"),
        _change("NTK", last, lambda change: change >= 0.3, "at least 0.3"),
        stated("growth of the sharpness, muP, nu = 1", _growth(grid, 1.0), _growth(grid, 1.0) > 1.2, "more than 1.2"),
        stated("eta lambda / 2 beyond the edge, largest", _highest(beyond), _highest(beyond) > 1.2, "more than 1.2"),
        stated("steps of that run", float(beyond.rate_sharpness.notnull().all()), _whole(beyond), "not diverged"),
    ]
    for step in (at[0], at[len(at) // 2], at[-1]):
        predicted = float(grid.sharpness.sel(parametrization="muP", width_per_dim=WIDE, spectrum_step=step))
        measured = networks.sharpness.sel(spectrum_step=step)
        rows.append(
            against_networks(f"sharpness, muP, nu = {WIDE:g}, step {step}", predicted, measured, FINITE_SIZE / dim)
        )

    def draw() -> Figure:
        return _figure(grid, beyond, networks)

    return Evidence(tuple(rows), {"growth": grid, "beyond": beyond, "networks": networks}, draw)


def _change(name: str, last: xr.DataArray, holds: Any, words: str) -> Row:
    """How much the sharpness after training changes over widths from 1 on."""
    values = last.sel(parametrization=name, width_per_dim=last.width_per_dim >= 1).values
    change = float(1 - values.min() / values.max())
    return stated(f"change of eta lambda / 2 over widths from 1 on, {name}", change, holds(change), words)


def _growth(grid: xr.Dataset, width: float) -> float:
    track = grid.sharpness.sel(parametrization="muP", width_per_dim=width).values
    return float(track[-1] / track[0])


def _highest(run: xr.Dataset) -> float:
    return float(np.nanmax(run.rate_sharpness)) / 2


def _whole(run: xr.Dataset) -> bool:
    return bool(run.attrs["outcome"] == "completed")


def _figure(grid: xr.Dataset, beyond: xr.Dataset, networks: xr.Dataset) -> Figure:
    from dmft_sym.figures import style
    from dmft_sym.figures.panels import finish, of_networks, panels

    drawn = panels(None, 3, 3, (2.9, 3.0), sharey=True)
    *growing, last = drawn.axes
    for axis, name in zip(growing, PARAMETRIZATIONS, strict=True):
        for number, width in enumerate(grid.width_per_dim.values):
            track = grid.rate_sharpness.sel(parametrization=name, width_per_dim=width) / 2
            style.theory(axis, grid.spectrum_step, track, style.look(number), rf"theory, $\nu$ = {width:g}")
    measured = (networks.rate_sharpness / 2).transpose("seed", ...)
    label = rf"$\nu$ = {WIDE:g}, {of_networks(len(measured))}"
    number = grid.width_per_dim.values.tolist().index(WIDE)
    style.networks(growing[0], networks.spectrum_step, measured, style.look(number), label)
    label = rf"theory, larger rate, $\nu$ = {WIDE:g}"
    style.theory(last, beyond.spectrum_step, beyond.rate_sharpness / 2, style.Look("0.15"), label)
    for axis in drawn.axes:
        axis.axhline(1.0, **style.EDGE.line, label="edge of stability")
        axis.set_xlabel("gradient step $t$")
        finish(axis)
    growing[0].set_ylabel(r"learning rate $\times$ sharpness / 2")
    drawn.entitle([*PARAMETRIZATIONS, "muP, beyond the edge"])
    drawn.legend(2.8)
    return drawn.figure


CLAIM = Claim(
    "edge",
    "The leading NTK mode grows to 2/eta and beyond, alike at all widths under muP; under NTK wide ones stay below.",
    "arXiv:2605.07870, edge of stability",
    evidence,
    {
        "full": {"dim": 600, "seeds": 8, "widths": (1.0, 2.0, 4.0, 8.0), "steps": 81, "at": tuple(range(0, 81, 5))},
        "quick": {"dim": 250, "seeds": 4, "widths": (1.0, 2.0, 8.0), "steps": 81, "at": (0, 5, *range(10, 81, 10))},
        "smallest": {"dim": 120, "seeds": 3, "widths": (1.0, 2.0, 8.0), "steps": 41, "at": (0, 5, 20, 40)},
    },
)
