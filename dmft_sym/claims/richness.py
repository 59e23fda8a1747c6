"""The richness at which an outlier appears: it settles with the width under muP, and grows without end under NTK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .claim import Claim, Evidence
from .rows import Row, against_number
from .spectra import outlier_row

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SETTINGS: dict[str, Any] = {"samples_per_dim": 4.0, "learning_rate": 0.005, "label_noise": 0.2}
MATRIX, LAST = "W1", 79
KNOWN = {"muP": {1.0: 3.84, 4.0: 3.20, 16.0: 3.03}, "NTK": {1.0: 3.84, 4.0: 6.41, 16.0: 12.11}}
"""Critical richness by width, from two-time matrices by hand."""


def evidence(dim: int, seeds: int, widths: tuple[float, ...], factors: tuple[float, ...]) -> Evidence:
    """Critical values by the spike condition, and networks below and above that of ``nu = 1``."""
    from dmft_sym.networks import deep_linear
    from dmft_sym.solvers.critical import critical
    from dmft_sym.solvers.simulation import simulate
    from dmft_sym.solvers.trained_spectra import spectrum
    from dmft_sym.theory import derive

    theories = {name: derive(deep_linear(2, parametrization=name)) for name in KNOWN}
    asked: dict[str, Any] = {"matrix": MATRIX, "at": LAST, "points": 5, "tol": 1e-5}
    found = {
        name: [
            critical(
                theories[name],
                between=(0.7 * KNOWN[name][w], 1.3 * KNOWN[name][w]),
                width_per_dim=w,
                **asked,
                **SETTINGS,
            )
            for w in widths
        ]
        for name in KNOWN
    }
    rows: list[Row] = [
        against_number(f"critical richness, {name}, nu = {width:g}", value, KNOWN[name][width], 2)
        for name, values in found.items()
        for width, value in zip(widths, values, strict=True)
    ]
    results: dict[str, xr.Dataset] = {}
    of_spectra: dict[str, Any] = {"matrices": [MATRIX], "at": [LAST], "steps": LAST + 1, "width_per_dim": 1.0}
    for factor in factors:
        run = {**of_spectra, **SETTINGS, "richness": factor * found["muP"][0]}
        predicted = spectrum(theories["muP"], overlaps=False, **run)
        networks = simulate(theories["muP"], dim=dim, seeds=seeds, order_parameters=False, normalise=True, **run)
        words = f"{MATRIX} at {factor:g} of the critical richness"
        rows.append(outlier_row(words, predicted, networks, matrix=MATRIX, spectrum_step=LAST))
        results |= {f"theory_{factor:g}": predicted, f"networks_{factor:g}": networks}

    def draw() -> Figure:
        return _figure(widths, found)

    return Evidence(tuple(rows), results, draw)


def _figure(widths: tuple[float, ...], found: dict[str, list[float]]) -> Figure:
    from dmft_sym.figures import style, symbols
    from dmft_sym.figures.panels import finish, panels

    drawn = panels(None, 1, 1, (4.0, 3.0))
    (axis,) = drawn.axes
    axis.set_xscale("log", base=2)
    for number, (name, values) in enumerate(found.items()):
        style.theory(axis, widths, values, style.look(number), f"theory, {name}", marker=".")
    axis.set_ylim(0.0)
    finish(axis, "")
    axis.set_xticks(widths, [f"{width:g}" for width in widths])
    axis.set_xlabel(r"width / input dimension $\nu$")
    axis.set_ylabel(f"critical richness of {symbols.matrix(MATRIX)}")
    drawn.legend(1.6)
    return drawn.figure


CLAIM = Claim(
    "richness",
    "The critical richness of an outlier settles with the width under muP, and grows with it under NTK.",
    "arXiv:2605.07870, critical richness",
    evidence,
    {
        "full": {"dim": 800, "seeds": 8, "widths": (1.0, 4.0, 16.0), "factors": (0.8, 1.2, 1.6)},
        "quick": {"dim": 400, "seeds": 6, "widths": (1.0, 4.0, 16.0), "factors": (0.8, 1.4)},
        "smallest": {"dim": 200, "seeds": 3, "widths": (1.0,), "factors": (1.5,)},
    },
)
