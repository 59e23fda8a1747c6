"""From outliers to a bulk that moves, as there are ever more outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .claim import Claim, Evidence
from .rows import Row, against_networks, against_number, stated

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SETTINGS: dict[str, Any] = {"width_per_dim": 1.0, "teacher_std": 2.0, "richness": 2.0, "learning_rate": 0.3}
ONE_STEP: dict[str, Any] = {"width_per_dim": 1.0, "teacher_std": 1.0, "richness": 1.0, "learning_rate": 0.4}
LAST, RATIO = 12, 0.5
KNOWN_FROZEN, KNOWN_FULL = 7.460, 1.8468
"""Upper edges after `LAST` steps with a frozen readout, and after one step of full training, by hand."""
BEYOND = 2.1
"""Above the bulk of the initialization, which ends at 2."""
EXTENSIVE = 32
"""Outputs from which on the largest value is compared with the edge of the bulk."""


def evidence(dim: int, seeds: int, outputs: tuple[int, ...], sizes: tuple[int, ...]) -> Evidence:
    """Spectra of the first matrix against the number of outputs, and its largest value against the size."""
    from dmft_sym.networks import deep_linear
    from dmft_sym.regimes import ExtensiveOutputs
    from dmft_sym.solvers.simulation import simulate
    from dmft_sym.solvers.trained_spectra import spectrum
    from dmft_sym.theory import derive

    theory = derive(deep_linear(1), data=ExtensiveOutputs(frozen=True))
    asked: dict[str, Any] = {"matrices": ["W0"], "at": [LAST], "steps": LAST + 1, **SETTINGS}
    results: dict[str, xr.Dataset] = {}
    rows: list[Row] = []
    for count in outputs:
        ratio = count / dim
        predicted = spectrum(theory, outputs_per_width=ratio, points=300, **asked)
        networks = simulate(theory, outputs_per_width=ratio, dim=dim, seeds=seeds, values=0, **asked)
        results |= {f"theory_{count}": predicted, f"networks_{count}": networks}
        beyond = (networks.spectrum_value > BEYOND).sum("number").values.ravel()
        rows.append(stated(f"values beyond the bulk, C = {count}", beyond.mean(), (beyond == count).all(), f"{count}"))
        if count >= EXTENSIVE:
            words = f"mean square of values, C = {count} of {dim}"
            square = (networks.spectrum_value**2).mean("number").values.ravel()
            rows.append(against_networks(words, _second_moment(predicted), square, 4 / dim))
    edge = results["edge"] = spectrum(theory, outputs_per_width=RATIO, **asked)
    upper = float(edge.bulk_edge.sel(side="upper").squeeze())
    rows.append(against_number(f"upper edge, C/D = {RATIO:g}, frozen readout, step {LAST}", upper, KNOWN_FROZEN, 3))
    largest = {}
    for size in sizes:
        found = simulate(theory, outputs_per_width=RATIO, dim=size, seeds=seeds, values=0, **asked)
        results[f"size_{size}"] = found
        largest[size] = found.spectrum_value.isel(number=0).values.ravel()
    rows.append(
        against_networks(
            f"largest value, C/D = {RATIO:g}, D = {sizes[-1]}", upper, largest[sizes[-1]], _width(sizes[-1])
        )
    )
    full = derive(deep_linear(1), data=ExtensiveOutputs())
    one = spectrum(full, matrices=["W0"], at=[1], steps=2, outputs_per_width=RATIO, points=0, **ONE_STEP)
    value = float(one.bulk_edge.sel(side="upper").squeeze())
    rows.append(against_number(f"upper edge, C/D = {RATIO:g}, full training, step 1", value, KNOWN_FULL, 4))

    def draw() -> Figure:
        return _figure(results, outputs, upper, largest)

    return Evidence(tuple(rows), results, draw)


def _width(dim: int) -> float:
    """The largest value of a bulk lies below its edge by about this part of it (Tracy and Widom)."""
    return 1.5 * dim ** (-2 / 3)


def _second_moment(predicted: xr.Dataset) -> float:
    """Of the density, with all of its mass."""
    x, density = predicted.value.values.ravel(), predicted.density.values.ravel()
    return float(np.trapezoid(density * x**2, x))


def _figure(results: dict[str, xr.Dataset], outputs: tuple[int, ...], upper: float, largest: dict[int, Any]) -> Figure:
    from dmft_sym.figures import style, symbols
    from dmft_sym.figures.panels import Panels, finish, new_figure, of_networks

    count = len(outputs)
    figure = new_figure(1.9 * count, 5.2)
    grid = figure.add_gridspec(2, count)
    axes = [figure.add_subplot(grid[0, k]) for k in range(count)]
    last = figure.add_subplot(grid[1, :])
    for axis, number in zip(axes, outputs, strict=True):
        values = results[f"networks_{number}"].spectrum_value.values.ravel()
        found = results[f"theory_{number}"]
        axis.hist(values, 50, range=(0, 7), density=True, color=style.LIGHT, label="simulation, all values")
        above = values[values > BEYOND]
        ticks: dict[str, Any] = {"color": style.NETWORKS.colour, "ms": 7, "mew": 0.8}
        axis.plot(above, np.full(len(above), 0.03), "|", label="simulation, beyond the initial bulk", **ticks)
        style.theory(axis, found.value.values.ravel(), found.density.values.ravel(), style.look(0), "theory, density")
        axis.set_xlim(0, 7)
        axis.set_ylim(0, 0.75)
        axis.set_xlabel(symbols.value_of("W0"))
        finish(axis, "")
        axis.tick_params(labelleft=axis is axes[0])
    axes[0].set_ylabel("density")
    measured = np.stack([*largest.values()], axis=-1)
    label = f"largest value, {of_networks(len(measured))}"
    style.networks(last, list(largest), measured, style.look(1), label)
    last.axhline(upper, color=style.look(1).colour, ls=style.DASHED, label=f"theory, edge of the bulk {upper:.4g}")
    last.set_xlabel("inputs and hidden units $D$")
    last.set_ylabel(f"largest {symbols.value_of('W0')}")
    finish(last)
    drawn = Panels(figure, [*axes, last], True)
    drawn.entitle([*(f"$C$ = {number}" for number in outputs), f"$C/D$ = {RATIO:g}"])
    drawn.legend(2.9)
    return figure


CLAIM = Claim(
    "many-outputs",
    "A few outputs are as many outliers; outputs in proportion to hidden units make a bulk whose edge is known.",
    "arXiv:2605.07870, many outputs",
    evidence,
    {
        "full": {"dim": 800, "seeds": 6, "outputs": (1, 2, 8, 32), "sizes": (100, 200, 400, 800)},
        "quick": {"dim": 400, "seeds": 4, "outputs": (1, 2, 8, 32), "sizes": (100, 200, 400)},
        "smallest": {"dim": 150, "seeds": 3, "outputs": (2, 32), "sizes": (75, 150)},
    },
)
