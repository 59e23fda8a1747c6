"""The trained part of a matrix knows its initial part: outliers of independent ones are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .claim import Claim, Evidence
from .rows import SIGMAS, Row, against_number
from .spectra import outlier_panel, outlier_row

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SETTINGS: dict[str, Any] = {
    "samples_per_dim": 4.0, "width_per_dim": 1.0, "richness": 8.0, "learning_rate": 0.004, "label_noise": 0.3,
    "steps": 60,
}  # fmt: skip
MATRIX, LAST = "W1", 59
JOINT, INDEPENDENT = 2.2228, 2.0077


def evidence(dim: int, seeds: int, at: tuple[int, ...]) -> Evidence:
    """The outlier by both conditions, and which of them finite networks have."""
    from dmft_sym.networks import deep_linear
    from dmft_sym.solvers.simulation import simulate
    from dmft_sym.solvers.trained_spectra import spectrum
    from dmft_sym.theory import derive

    theory, place = derive(deep_linear(2)), {"matrix": MATRIX, "spectrum_step": LAST}
    asked: dict[str, Any] = {"matrices": [MATRIX], "at": list(at)}
    joint = spectrum(theory, overlaps=False, **asked, **SETTINGS)
    alone = spectrum(theory, overlaps=False, dependence="independent", **asked, **SETTINGS)
    networks = simulate(theory, dim=dim, seeds=seeds, order_parameters=False, normalise=True, **asked, **SETTINGS)
    values = [float(found.outlier.sel(place).isel(rank=0)) for found in (joint, alone)]
    agrees = outlier_row(f"{MATRIX}, step {LAST}, joint", joint, networks, **place)
    distance = abs(agrees.other - values[1]) / agrees.error
    refused = Row(
        f"{MATRIX}, step {LAST}, independent", values[1], agrees.other, agrees.error, distance > SIGMAS,
        f"finite networks differ from it by more than {SIGMAS:g} errors",
    )  # fmt: skip
    known = [
        against_number(f"{MATRIX}, step {LAST}, {word}", value, number, 4)
        for word, value, number in zip(("joint", "independent"), values, (JOINT, INDEPENDENT), strict=True)
    ]

    def draw() -> Figure:
        return _figure(joint, alone, networks)

    results = {"joint": joint, "independent": alone, "networks": networks}
    return Evidence((agrees, refused, *known), results, draw)


def _figure(joint: xr.Dataset, alone: xr.Dataset, networks: xr.Dataset) -> Figure:
    from dmft_sym.figures import style, symbols
    from dmft_sym.figures.panels import panels

    drawn = panels(None, 1, 1, (4.2, 3.2))
    (axis,) = drawn.axes
    outlier_panel(axis, joint, networks, MATRIX, 0)
    line = alone.outlier.sel(matrix=MATRIX).isel(rank=0)
    style.theory(axis, alone.spectrum_step, line, style.look(1), f"{symbols.matrix(MATRIX)}, taken as independent")
    axis.set_ylabel("singular value")
    drawn.legend(3.0)
    return drawn.figure


CLAIM = Claim(
    "dependence",
    "Outliers need the joint law of initial weights and updates; taken as independent they are refused by networks.",
    "arXiv:2605.07870, spike conditions with responses",
    evidence,
    {
        "full": {"dim": 800, "seeds": 8, "at": (10, 20, 30, 40, 50, 59)},
        "quick": {"dim": 500, "seeds": 6, "at": (20, 40, 59)},
        "smallest": {"dim": 250, "seeds": 4, "at": (59,)},
    },
)
