"""Spikes leave the bulk of hidden weights during training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .claim import Claim, Evidence
from .rows import against_number
from .spectra import outlier_panel, outlier_row

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SETTINGS: dict[str, Any] = {
    "samples_per_dim": 4.0, "width_per_dim": 1.0, "richness": 8.0, "learning_rate": 0.004, "label_noise": 0.3,
    "steps": 60,
}  # fmt: skip
KNOWN = {"W0": 2.132, "W1": 2.223}
"""At the last step, from two-time matrices by hand."""
AT = (20, 40, 59)


def evidence(dim: int, seeds: int, points: int) -> Evidence:
    """Tracks of the outliers of both hidden matrices of a network of two hidden layers."""
    from dmft_sym.networks import deep_linear
    from dmft_sym.solvers.simulation import simulate
    from dmft_sym.solvers.trained_spectra import spectrum
    from dmft_sym.theory import derive

    theory, matrices = derive(deep_linear(2)), list(KNOWN)
    at = sorted({*AT, *range(0, 60, max(1, 60 // points))})
    predicted = spectrum(theory, matrices=matrices, at=at, overlaps=False, **SETTINGS)
    asked: dict[str, Any] = {"matrices": matrices, "at": list(AT), "order_parameters": False, "normalise": True}
    networks = simulate(theory, dim=dim, seeds=seeds, **asked, **SETTINGS)
    rows = [
        outlier_row(f"{matrix}, step {step}", predicted, networks, matrix=matrix, spectrum_step=step)
        for matrix in matrices
        for step in AT
    ]
    for matrix, number in KNOWN.items():
        last = float(predicted.outlier.sel(matrix=matrix, spectrum_step=AT[-1]).isel(rank=0))
        rows.append(against_number(f"{matrix}, step {AT[-1]}", last, number, 3))

    def draw() -> Figure:
        return _figure(predicted, networks)

    return Evidence(tuple(rows), {"theory": predicted, "networks": networks}, draw)


def _figure(predicted: xr.Dataset, networks: xr.Dataset) -> Figure:
    from dmft_sym.figures import symbols
    from dmft_sym.figures.panels import panels

    drawn = panels(None, len(KNOWN), len(KNOWN), (3.5, 2.8), sharey=True)
    for number, (axis, matrix) in enumerate(zip(drawn.axes, KNOWN, strict=True)):
        outlier_panel(axis, predicted, networks, matrix, number)
    drawn.axes[0].set_ylabel("singular value")
    drawn.entitle([symbols.matrix(matrix) for matrix in KNOWN])
    drawn.legend(3.0)
    return drawn.figure


CLAIM = Claim(
    "outliers",
    "During training outliers leave the bulk of hidden weights, at the step and to the place that the theory says.",
    "arXiv:2605.07870, outlier escape",
    evidence,
    {
        "full": {"dim": 1000, "seeds": 8, "points": 60},
        "quick": {"dim": 500, "seeds": 6, "points": 20},
        "smallest": {"dim": 200, "seeds": 4, "points": 4},
    },
)
