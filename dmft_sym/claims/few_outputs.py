"""Finitely many outputs: the same outliers as of one, each as often as there are outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .claim import Claim, Evidence
from .rows import Row, against_networks, stated
from .spectra import FINITE_SIZE

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SETTINGS: dict[str, Any] = {
    "samples_per_dim": 4.0, "width_per_dim": 1.0, "richness": 8.0, "learning_rate": 0.006, "label_noise": 0.3,
    "steps": 60,
}  # fmt: skip
LAST = 59


def evidence(dim: int, seeds: int, outputs: tuple[int, ...]) -> Evidence:
    """Outliers of ``W1`` and of the NTK for several numbers of outputs."""
    from dmft_sym.networks import deep_linear
    from dmft_sym.solvers.simulation import simulate
    from dmft_sym.solvers.trained_spectra import spectrum
    from dmft_sym.theory import derive

    theory, rows = derive(deep_linear(2)), []
    results: dict[str, xr.Dataset] = {}
    asked: dict[str, Any] = {"matrices": ["W1", "NTK"], "at": [LAST]}
    single = spectrum(theory, overlaps=False, **asked, **SETTINGS)
    more: dict[str, Any] = {"order_parameters": False, "normalise": True}
    for count in outputs:
        predicted = spectrum(theory, overlaps=False, outputs=count, **asked, **SETTINGS)
        networks = simulate(theory, dim=dim, seeds=seeds, outputs=count, **more, **asked, **SETTINGS)
        results |= {f"theory_{count}": predicted, f"networks_{count}": networks}
        for matrix, power in (("W1", 1), ("NTK", 2)):
            place = {"matrix": matrix, "spectrum_step": LAST}
            found = predicted.outlier.sel(place).dropna("rank").values
            one = single.outlier.sel(place).dropna("rank").values
            copies = len(found) == len(one) * count**power and bool(np.allclose(found, np.repeat(one, count**power)))
            rows.append(stated(f"{matrix}, outliers of C = {count}", len(found), copies, f"{count**power} of each"))
        rows.append(_mean_row(f"W1, mean outlier of C = {count}", predicted, networks, count))

    def draw() -> Figure:
        return _figure(single, results, outputs)

    return Evidence(tuple(rows), {"one": single, **results}, draw)


def _figure(single: xr.Dataset, results: dict[str, xr.Dataset], outputs: tuple[int, ...]) -> Figure:
    from dmft_sym.figures import style, symbols
    from dmft_sym.figures.panels import finish, panels

    drawn = panels(None, 1, 1, (4.2, 3.2))
    (axis,) = drawn.axes
    level = float(single.outlier.sel(matrix="W1", spectrum_step=LAST).isel(rank=0))
    axis.axhline(level, **style.look(0).line, label="theory, $C$ outliers each")
    points: dict[str, Any] = {**style.NETWORKS.points, "ms": 3.5, "mfc": "none"}
    for number, count in enumerate(outputs):
        values = results[f"networks_{count}"].outlier.sel(matrix="W1", spectrum_step=LAST)
        shown = values.transpose("seed", "rank").values[:, :count]
        place = number + 0.08 * (np.arange(len(shown)) - (len(shown) - 1) / 2)  # networks side by side
        label = f"{len(shown)} networks side by side" if number == 0 else None
        axis.plot(np.repeat(place, count), shown.ravel(), **points, label=label)
    finish(axis, "")
    axis.set_xticks(range(len(outputs)), [str(count) for count in outputs])
    axis.set_xlabel("number of outputs $C$")
    axis.set_ylabel(f"outliers of {symbols.matrix('W1')}")
    drawn.legend(2.2)
    return drawn.figure


def _mean_row(quantity: str, predicted: xr.Dataset, networks: xr.Dataset, count: int) -> Row:
    """Equal outliers split in a finite network; their mean square is that of the theory up to a shift of order C/D."""
    place = {"matrix": "W1", "spectrum_step": LAST}
    values = networks.outlier.sel(place).isel(rank=slice(count)).mean("rank")
    level = float(predicted.outlier.sel(place).isel(rank=0))
    return against_networks(quantity, level, values, FINITE_SIZE * count / networks.attrs["dim"])


CLAIM = Claim(
    "few-outputs",
    "C equal outputs give C outliers in every hidden matrix and C^2 in the NTK, at the places of one output.",
    "arXiv:2605.07870, several outputs",
    evidence,
    {
        "full": {"dim": 1000, "seeds": 6, "outputs": (1, 2, 4, 8)},
        "quick": {"dim": 400, "seeds": 4, "outputs": (1, 2, 4)},
        "smallest": {"dim": 150, "seeds": 3, "outputs": (2,)},
    },
)
