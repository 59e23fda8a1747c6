"""Which spectra keep their shape as networks become wider: muP against the NTK parametrization.

    python examples/width_consistency.py [FOLDER] [--quick] [--dim 300] [--seeds 6]

A linear network with two hidden layers and one output, four samples per input dimension, 80 steps of gradient descent,
widths ``nu = N/D`` from 0.25 to 16 at a fixed input dimension, and infinite width where it exists. Lines are the theory
(growing coordinates), points are finite networks with one standard error, at the smaller widths. Shown, for the hidden
matrix W1 and for the NTK (whose leading eigenvalue is the sharpness):

* ``width.png``: at the end of training, against the width. Under muP the outliers settle, under the NTK parametrization
  they drift with every doubling and sink into the bulk one after the other;
* ``time.png``: against the step. The more a network learns of features, the earlier an outlier escapes;
* ``richness.png``: against ``gamma0``; its critical value settles under muP and grows like ``nu^(1/2)`` under the NTK
  parametrization;
* ``init_std.png``: against the standard deviation of the initial weights, whose bulk hides the outlier if it is large.

The figures go to FOLDER (``width_consistency`` by default) and the numbers behind each statement are printed. Takes
about five minutes on two cores; ``--quick`` has fewer points and takes half a minute. See arXiv:2605.07870.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import dmft_sym as ds

MATRICES = ("W1", "NTK")
PARAMETRIZATIONS = ("muP", "NTK")
STEPS = 80
REGIME = {"samples_per_dim": 4.0, "richness": 6.0, "learning_rate": 0.005, "label_noise": 0.2, "width_per_dim": 1.0}
TOLERANCE = 1e-6
BLUE, ORANGE = "#0072b2", "#d55e00"
COLOURS = dict(zip(PARAMETRIZATIONS, (BLUE, ORANGE), strict=True))
NAMES = {"muP": "muP", "NTK": "NTK parametrization"}
LEGEND = {"fontsize": 8, "title": "dotted: edge, no outlier", "title_fontsize": 8, "handlelength": 3.2}
TITLES = {"W1": "W1: largest singular value", "NTK": "NTK: leading eigenvalue"}


@dataclass(frozen=True)
class Plan:
    """What is computed: at which widths, steps and parameters, and how many finite networks."""

    widths: tuple[float, ...] = (0.25, 0.5, 1, 2, 4, 8, 16)
    finite: tuple[float, ...] = (0.25, 0.5, 1, 2)
    some: tuple[float, ...] = (1, 4, 16)
    every: int = 4
    richness: tuple[float, ...] = (0.5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    init_std: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3)
    dim: int = 300
    seeds: int = 6


QUICK = Plan((0.25, 1, 4, 16), (0.25, 1), (1, 16), 16, (1, 4, 6, 8), (0.4, 0.7, 1, 1.3), 200, 3)


@dataclass(frozen=True)
class Curve:
    """The top of the spectra of `MATRICES`, arrays of shape (matrix, point).

    Attributes
    ----------
    x
        Widths, steps, or whatever was varied.
    outlier
        The largest outlier, NaN where there is none.
    edge
        The upper edge of the bulk.
    """

    x: np.ndarray
    outlier: np.ndarray
    edge: np.ndarray

    @property
    def leading(self) -> np.ndarray:
        """The largest outlier, or the edge if there is none."""
        return np.where(np.isnan(self.outlier), self.edge, self.outlier)


@dataclass(frozen=True)
class Points:
    """The largest values of finite networks: mean and standard error over seeds, shape (matrix, point)."""

    x: np.ndarray
    mean: np.ndarray
    error: np.ndarray


def theory_of(parametrization: str) -> ds.Theory:
    return ds.derive(ds.deep_linear(2, 1, parametrization))


def top(theory: ds.Theory, at: Sequence[int], **changes: float) -> Curve:
    """The top of the spectra at some steps; `REGIME` with changes. What cannot be told is printed."""
    settings = {**REGIME, **changes}
    found = ds.spectrum(theory, matrices=MATRICES, at=at, steps=STEPS, method="conditioning", tol=TOLERANCE, **settings)
    if failed := found.attrs["spectrum_failures"]:
        print(f"{changes}: {failed}")
    edge = found.bulk_edge.sel(side="upper").values
    outlier = found.outlier.values[:, :, 0] if found.sizes["rank"] else np.full_like(edge, np.nan)
    return Curve(np.array(at), outlier, edge)


def against(theory: ds.Theory, name: str, values: Iterable[float], **changes: float) -> Curve:
    """The top of the spectra at the last step, against one parameter."""
    x = np.array(list(values), dtype=float)
    curves = [top(theory, [STEPS - 1], **changes, **{name: value}) for value in x.tolist()]
    return Curve(x, np.hstack([c.outlier for c in curves]), np.hstack([c.edge for c in curves]))


def measured(theory: ds.Theory, at: Sequence[int], dim: int, seeds: int, **changes: float) -> Points:
    """The same of finite networks; norms of random vectors are set to their limits, for smaller error bars."""
    sim = ds.simulate(
        theory, dim=dim, seeds=seeds, steps=STEPS, normalise=True, order_parameters=False, matrices=MATRICES, at=at,
        values=1, **{**REGIME, **changes},
    )  # fmt: skip
    values = sim.outlier.values[..., 0]
    return Points(np.array(at), values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(seeds))


def measured_against(
    theory: ds.Theory, name: str, values: Iterable[float], dim: int, seeds: int, **changes: float
) -> Points:
    """Finite networks at the last step, against one parameter."""
    x = np.array(list(values), dtype=float)
    points = [measured(theory, [STEPS - 1], dim, seeds, **changes, **{name: value}) for value in x.tolist()]
    return Points(x, np.hstack([p.mean for p in points]), np.hstack([p.error for p in points]))


def critical_richness(theory: ds.Theory, width: float, matrix: str = "W1") -> float:
    """The smallest ``gamma0`` at which a matrix has an outlier at the last step."""
    settings = {name: value for name, value in REGIME.items() if name not in ("richness", "width_per_dim")}
    return ds.critical(
        theory, matrix=matrix, at=STEPS - 1, between=(1, 32), points=6, tol=1e-4, width_per_dim=width, **settings
    )


def escape(curve: Curve, matrix: str) -> float:
    """The first step of a curve with an outlier; NaN if there is none."""
    outside = np.flatnonzero(np.isfinite(curve.outlier[MATRICES.index(matrix)]))
    return float(curve.x[outside[0]]) if len(outside) else math.nan


def cell(outlier: float, edge: float) -> str:
    return f"{'none' if math.isnan(outlier) else format(outlier, '.4f'):>9} ({edge:8.4f})"


def print_widths(curves: dict[str, Curve], limit: Curve) -> None:
    """Outliers and edges, and the changes from each width to the next."""
    print(f"\nOutlier (edge of the bulk) after {STEPS} steps, gamma0 = {REGIME['richness']:g}")
    print(f"{'nu':>6}" + "".join(f" {m + ', ' + NAMES[p]:>28}" for m in MATRICES for p in PARAMETRIZATIONS))
    for k, nu in enumerate(curves["muP"].x):
        cells = [cell(curves[p].outlier[m, k], curves[p].edge[m, k]) for m in (0, 1) for p in PARAMETRIZATIONS]
        print(f"{nu:6g}" + "".join(f" {text:>28}" for text in cells))
    print(f"{'inf':>6}" + "".join(f" {cell(limit.outlier[m, 0], limit.edge[m, 0]):>28} {'':>28}" for m in (0, 1)))
    for m, matrix in enumerate(MATRICES):
        gaps = np.abs(curves["muP"].leading[m] - limit.leading[m, 0])
        print(f"{matrix}, muP: distance from infinite width:", " ".join(f"{gap:.4f}" for gap in gaps))
        for p in PARAMETRIZATIONS:
            steps = np.diff(curves[p].leading[m]) / curves[p].leading[m, 1:]
            lost = [f"{nu:g}" for nu, z in zip(curves[p].x, curves[p].outlier[m], strict=True) if math.isnan(z)]
            print(f"{matrix}, {NAMES[p]}: relative changes:", " ".join(f"{s:+.1e}" for s in steps), end="")
            print(f"; no outlier at nu = {', '.join(lost)}" if lost else "; an outlier at every width")


def print_points(label: str, points: Points, curve: Curve) -> None:
    """Finite networks next to the theory at the same abscissae."""
    for m, matrix in enumerate(MATRICES):
        cells = []
        for x, mean, error in zip(points.x, points.mean[m], points.error[m], strict=True):
            value = curve.leading[m, int(np.flatnonzero(curve.x == x)[0])]
            cells.append(f"{x:g}: {mean:.3f} +- {error:.3f} ({value:.3f})")
        print(f"{label}, {matrix}, measured (theory) at " + "; ".join(cells))


def line(axes, curve: Curve, matrix: str, colour, label: str, style: str = "-") -> None:
    """Drawn in ``style`` where there is an outlier, dotted where the largest value is the edge of the bulk."""
    row = MATRICES.index(matrix)
    inside = np.isnan(curve.outlier[row])
    near = inside | np.append(inside[1:], False) | np.append(False, inside[:-1])
    axes.plot(curve.x, np.where(near, curve.leading[row], np.nan), ":", color=colour, lw=1)
    axes.plot(curve.x, curve.outlier[row], style, color=colour, lw=1.8, marker=".", label=label)


def dots(axes, points: Points, matrix: str, colour, label: str | None = None) -> None:
    """Finite networks with error bars."""
    row = MATRICES.index(matrix)
    axes.errorbar(
        points.x, points.mean[row], points.error[row], fmt="o", mfc="white", color=colour, ms=5, capsize=2, label=label,
        zorder=3,
    )  # fmt: skip


def shades(count: int):
    """Colours from narrow to wide."""
    import matplotlib as mpl

    return mpl.colormaps["viridis"](np.linspace(0.0, 0.88, count))


def new_figure(rows: int = 1):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4 * rows), layout="constrained")
    return figure, figure.subplots(rows, 2, squeeze=False)


def save(figure, folder: Path, name: str) -> None:
    figure.savefig(folder / name, dpi=150)
    print(f"wrote {folder / name}")


def study_width(theories: dict[str, ds.Theory], plan: Plan, folder: Path) -> None:
    """Outliers at the end of training against the width."""
    curves = {p: against(theory, "width_per_dim", plan.widths) for p, theory in theories.items()}
    limit = against(theories["muP"], "width_per_dim", [math.inf])
    print_widths(curves, limit)
    figure, ((*panels,),) = new_figure()
    points = {p: measured_against(t, "width_per_dim", plan.finite, plan.dim, plan.seeds) for p, t in theories.items()}
    for axes, matrix in zip(panels, MATRICES, strict=True):
        row = MATRICES.index(matrix)
        axes.axhline(limit.leading[row, 0], color=BLUE, ls="--", lw=1, label="muP, infinite width")
        for p, curve in curves.items():
            line(axes, curve, matrix, COLOURS[p], NAMES[p])
            axes.plot(curve.x, curve.edge[row], ":", color="0.5" if matrix == "W1" else COLOURS[p], lw=1)
            dots(axes, points[p], matrix, COLOURS[p], f"{NAMES[p]}, D = {plan.dim}")
        axes.plot([], [], ":", color="0.5", label="edge of the bulk")
        axes.set(xlabel="width per input dimension, nu = N/D", ylabel=TITLES[matrix], xscale="log")
        axes.set_xticks(plan.widths, [f"{nu:g}" for nu in plan.widths], minor=False)
        axes.minorticks_off()
    panels[1].set_yscale("log")
    panels[1].set_yticks([10, 20, 50, 100], ["10", "20", "50", "100"])
    panels[0].legend(fontsize=8)
    figure.suptitle(f"After {STEPS} steps, gamma0 = {REGIME['richness']:g}")
    for p in theories:
        print_points(NAMES[p], points[p], curves[p])
    save(figure, folder, "width.png")


def study_time(theories: dict[str, ds.Theory], plan: Plan, folder: Path) -> None:
    """Outliers against time at every width."""
    at = sorted({*range(0, STEPS, plan.every), STEPS - 1})
    figure, panels = new_figure(2)
    finite = plan.some[0]
    print("\nFirst step (of those computed) with an outlier, by width, and the largest eta0 * sharpness against 2")
    for column, (p, theory) in enumerate(theories.items()):
        curves = [top(theory, at, width_per_dim=nu) for nu in plan.widths]
        points = measured(theory, at[:: max(1, len(at) // 6)], plan.dim, plan.seeds, width_per_dim=finite)
        for axes, matrix in zip(panels[:, column], MATRICES, strict=True):
            for curve, nu, colour in zip(curves, plan.widths, shades(len(curves)), strict=True):
                line(axes, curve, matrix, colour, f"nu = {nu:g}")
                if nu == finite:
                    dots(axes, points, matrix, colour, f"nu = {nu:g}, D = {plan.dim}")
            axes.set(xlabel="step", ylabel=TITLES[matrix], title=NAMES[p])
            texts = [f"{nu:g}: {escape(c, matrix):g}" for c, nu in zip(curves, plan.widths, strict=True)]
            print(f"{matrix}, {NAMES[p]}: {', '.join(texts)}")
        sharp = REGIME["learning_rate"] * max(float(c.leading[1].max()) for c in curves)
        print(f"{NAMES[p]}: eta0 * sharpness <= {sharp:.2f}")
        print_points(f"nu = {finite:g}, {NAMES[p]}", points, curves[plan.widths.index(finite)])
    for row in panels:
        low, high = min(a.get_ylim()[0] for a in row), max(a.get_ylim()[1] for a in row)
        for axes in row:
            axes.set_ylim(low, high)
    panels[0, 0].legend(**LEGEND)
    save(figure, folder, "time.png")


def study_richness(theories: dict[str, ds.Theory], plan: Plan, folder: Path) -> None:
    """Outliers at the end of training against the richness, and the critical richness at some widths."""
    figure, ((*panels,),) = new_figure()
    finite = plan.some[0]
    points = measured_against(
        theories["muP"], "richness", plan.richness[::2], plan.dim, plan.seeds, width_per_dim=finite
    )
    for nu, colour in zip(plan.some, shades(len(plan.some)), strict=True):
        for p, theory in theories.items():
            if nu == 1 and p != "muP":
                continue  # the same network
            curve = against(theory, "richness", plan.richness, width_per_dim=nu)
            for axes, matrix in zip(panels, MATRICES, strict=True):
                label = f"nu = {nu:g}" + ("" if nu == 1 else f", {NAMES[p]}")
                line(axes, curve, matrix, colour, label, "-" if p == "muP" else "--")
                if nu == finite and p == "muP":
                    dots(axes, points, matrix, colour, f"nu = {nu:g}, D = {plan.dim}")
            if nu == finite and p == "muP":
                print()
                print_points(f"gamma0, nu = {nu:g}", points, curve)
    for axes, matrix in zip(panels, MATRICES, strict=True):
        axes.set(xlabel="richness gamma0", ylabel=TITLES[matrix])
    figure.suptitle(f"After {STEPS} steps")
    panels[0].legend(**LEGEND)
    for p, theory in theories.items():
        texts = [f"{nu:g}: {critical_richness(theory, nu):.2f}" for nu in plan.some]
        print(f"critical richness of W1, {NAMES[p]}, by width: {', '.join(texts)}")
    save(figure, folder, "richness.png")


def study_init_std(theories: dict[str, ds.Theory], plan: Plan, folder: Path) -> None:
    """Outliers at the end of training against the standard deviation of the initial weights, under muP."""
    theory, finite = theories["muP"], plan.some[0]
    curves = {nu: against(theory, "init_std", plan.init_std, width_per_dim=nu) for nu in plan.some}
    points = measured_against(theory, "init_std", plan.init_std[::2], plan.dim, plan.seeds, width_per_dim=finite)
    figure, ((*panels,),) = new_figure()
    for axes, matrix in zip(panels, MATRICES, strict=True):
        for (nu, curve), colour in zip(curves.items(), shades(len(curves)), strict=True):
            line(axes, curve, matrix, colour, f"nu = {nu:g}, muP")
        dots(axes, points, matrix, shades(len(curves))[0], f"nu = {finite:g}, D = {plan.dim}")
        axes.set(xlabel="standard deviation of the initial weights, init_std", ylabel=TITLES[matrix])
    figure.suptitle(f"After {STEPS} steps, gamma0 = {REGIME['richness']:g}")
    first = curves[finite]
    for k, axes in enumerate(panels):
        axes.plot(first.x, first.edge[k], color="0.5", lw=1, label=f"edge of the bulk, nu = {finite:g}")
    panels[0].legend(**LEGEND)
    print()
    for nu, curve in curves.items():
        ratio = curve.leading[0] / curve.edge[0]
        texts = [f"{x:g}: {r:.3f}" for x, r in zip(curve.x, ratio, strict=True)]
        print(f"W1, muP, nu = {nu:g}: largest value over edge, by init_std: {', '.join(texts)}")
    print_points(f"init_std, nu = {finite:g}", points, first)
    save(figure, folder, "init_std.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("width_consistency"), help="for the figures")
    parser.add_argument("--quick", action="store_true", help="fewer points, smaller networks")
    parser.add_argument("--dim", type=int, help="input dimension of the finite networks")
    parser.add_argument("--seeds", type=int, help="number of finite networks per point, at least 2")
    given = parser.parse_args()
    chosen = {name: value for name in ("dim", "seeds") if (value := getattr(given, name)) is not None}
    if chosen.get("seeds", 2) < 2:
        parser.error("--seeds: allowed are integers >= 2, for error bars")
    plan = Plan(**{**vars(QUICK if given.quick else Plan()), **chosen})
    given.folder.mkdir(parents=True, exist_ok=True)
    theories = {p: theory_of(p) for p in PARAMETRIZATIONS}
    start = time.perf_counter()
    for study in (study_width, study_time, study_richness, study_init_std):
        before = time.perf_counter()
        study(theories, plan, given.folder)
        print(f"({time.perf_counter() - before:.0f} s)")
    print(f"{time.perf_counter() - start:.0f} s in total")


if __name__ == "__main__":
    main()
