"""Time of spectra by both routes: tracks of all weight matrices, sharpness, densities; in one run.

    python benchmarks/spectra.py [--steps 300] [--spectra 60] [--points 400] [--tol 1e-7] [--repeat 3]

Prints wall times in seconds, the best of ``--repeat``, of the two-time matrices of a march (Numba) and of growing
coordinates, their ratio, the goal, and by how much their numbers differ. Compiled code is warm: a short run of
everything comes first, and with it the derivation of the spike conditions. A track is the bulk edge and all outliers of
every matrix at every step. "With the run" contains the training as well, of which coordinates take spectra on the way:
"without the run" is a difference there. Bands and densities start from a bulk of which nothing is known, on a given
grid. The regime: L=3, nu=0.7, alpha=3, gamma=12,
eta0=0.001, sigma_eps=0.2, where two of three matrices and the NTK have outliers.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

import dmft_sym as ds
from dmft_sym.execution import run_coordinates
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.solvers.spectrum_routes import two_time_spectra
from dmft_sym.spectra.march.bulk import BulkOfEquations
from dmft_sym.spectra.march.two_time import TwoTimeSpectra
from dmft_sym.spectra.numerics.supports import density, support
from dmft_sym.spectra.pencil.coordinates import coordinate_spectra
from dmft_sym.spectra.pencil.dyson import PencilDyson

REGIME = {
    "depth": 3,
    "width_per_dim": 0.7,
    "samples_per_dim": 3.0,
    "richness": 12.0,
    "learning_rate": 0.001,
    "label_noise": 0.2,
}
WEIGHTS = ("W0", "W1", "W2")
GOALS = {"tracks": 3.0, "W2": 0.3, "NTK": 3.0}
Result = TypeVar("Result")


def timed(work: Callable[[], Result], repeat: int) -> tuple[float, Result]:
    """Best wall time of some calls, and what the last one returned."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def between(low: float, high: float, points: int) -> np.ndarray:
    """Points inside of an interval, finer at its ends."""
    return low + (high - low) * 0.5 * (1 - np.cos((np.arange(points) + 0.5) * np.pi / points))


class March:
    """Spectra from two-time matrices."""

    def __init__(self, theory: ds.Theory, steps: int) -> None:
        self.theory, self.steps = theory, steps

    def run(self) -> TwoTimeSpectra:
        """The march; no spectra yet."""
        return two_time_spectra(self.theory, steps=self.steps, **REGIME)

    def track(
        self, matrices: Sequence[str], at: Sequence[int], overlaps: bool, run: TwoTimeSpectra | None = None
    ) -> dict[str, float]:
        """March (unless there is a run), then edges and outliers; the last leading values."""
        run = run or self.run()
        tracks = {matrix: [run.at(matrix, step) for step in at] for matrix in matrices}
        for found in (one for track in tracks.values() for one in track):
            found.leading  # noqa: B018  (computed when it is asked for)
            for side, name in found.directions() if overlaps and len(found.outliers) else ():
                found.overlap(side, name)
        return {name: track[-1].leading for name, track in tracks.items()}

    def bulk(self, matrix: str, step: int) -> Callable[[], BulkOfEquations]:
        """Makes bulks of which nothing is known yet."""
        dyson = self.run().at(matrix, step).bulk.dyson
        return lambda: BulkOfEquations(dyson)

    def grid(self, bulk: BulkOfEquations, points: int) -> np.ndarray:
        """Points between the lowest and the upper edge."""
        bands = bulk.intervals()
        return between(bands[0][0], bands[-1][1], points)


class Coordinates:
    """Spectra from growing coordinates."""

    def __init__(self, theory: ds.Theory, steps: int, tol: float) -> None:
        self.theory, self.steps, self.tol = theory, steps, tol
        self.values = run_arguments(theory, steps, REGIME).values

    def run(self) -> None:
        """The training alone."""
        run_coordinates(self.theory.program, self.values, 1, self.steps, self.tol)

    def track(self, matrices: Sequence[str], at: Sequence[int], overlaps: bool) -> dict[str, float]:
        """Train, with edges and outliers on the way; the last leading values."""
        found, _ = coordinate_spectra(
            self.theory.program, self.values, 1, self.steps, matrices, at, tol=self.tol, overlaps=overlaps
        )
        return {name: track.spectra[track.steps[-1]].leading for name, track in found.items()}

    def bulk(self, matrix: str, step: int) -> Callable[[], PencilDyson]:
        """Makes bulks of which nothing is known yet."""
        found, _ = coordinate_spectra(self.theory.program, self.values, 1, step + 1, [matrix], [step], tol=self.tol)
        pencil = found[matrix].spectra[step].dysons[0][0].pencil
        return lambda: PencilDyson(pencil)

    def grid(self, bulk: PencilDyson, points: int) -> np.ndarray:
        """Points between the lowest and the upper edge."""
        bands = support(bulk).bands
        return between(bands[0, 0], bands[-1, 1], points)


def row(label: str, march: float, coordinates: float, goal: float = math.nan, difference: float = math.nan) -> None:
    """Print one line."""
    aim = "" if math.isnan(goal) else f"{goal:.1f}"
    gap = "" if math.isnan(difference) else f"{difference:.0e}"
    print(f"{label:42s} {march:8.2f} {coordinates:11.2f} {coordinates / march:6.1f} {aim:>6} {gap:>9}", flush=True)


def compare_tracks(
    march: March, coordinates: Coordinates, matrices: Sequence[str], at: Sequence[int], repeat: int
) -> None:
    """Tracks of some matrices with the run, without it, and with overlaps."""
    what = ", ".join(matrices)
    goal = GOALS["tracks"] if len(matrices) > 1 else math.nan
    alone, run = timed(march.run, repeat)
    other, _ = timed(coordinates.run, repeat)
    row("the run alone", alone, other)
    first, ours = timed(lambda: march.track(matrices, at, overlaps=False), repeat)
    second, theirs = timed(lambda: coordinates.track(matrices, at, overlaps=False), repeat)
    gap = max(abs(ours[name] / theirs[name] - 1) for name in matrices)
    row(f"{what} with the run", first, second, goal, gap)
    bare, _ = timed(lambda: march.track(matrices, at, overlaps=False, run=run), 1)
    row(f"{what} without the run", bare, max(second - other, 0.0))
    first, _ = timed(lambda: march.track(matrices, at, overlaps=True), 1)
    second, _ = timed(lambda: coordinates.track(matrices, at, overlaps=True), 1)
    row(f"{what} with the run and overlaps", first, second)


def compare_densities(march: March, coordinates: Coordinates, matrix: str, step: int, points: int, repeat: int) -> None:
    """The bulk of a matrix: its bands, then the density on points between them."""
    first, second = march.bulk(matrix, step), coordinates.bulk(matrix, step)
    bands_march, x = timed(lambda: march.grid(first(), points), repeat)
    bands_coordinates, _ = timed(lambda: coordinates.grid(second(), points), repeat)
    row(f"bands of {matrix}", bands_march, bands_coordinates)
    march_time, ours = timed(lambda: first().density(x), repeat)
    other_time, theirs = timed(lambda: density(second(), x), repeat)
    gap = float(np.abs(ours - theirs).max() / ours.max())
    row(f"density of {matrix} on {points} points", march_time, other_time, GOALS[matrix], gap)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--spectra", type=int, default=60, help="number of steps with spectra")
    parser.add_argument("--points", type=int, default=400, help="points of a density")
    parser.add_argument("--tol", type=float, default=1e-7, help="tolerance of the growing coordinates")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    theory = ds.derive(ds.deep_linear(3))
    at = np.unique(np.linspace(0, given.steps - 1, given.spectra).astype(int)).tolist()
    march, coordinates = March(theory, given.steps), Coordinates(theory, given.steps, given.tol)
    start = time.perf_counter()
    for short in (March(theory, 20), Coordinates(theory, 20, given.tol)):
        short.track([*WEIGHTS, "NTK"], [19], overlaps=True)
    march.run()
    print(f"warming up, with derivation and compilation: {time.perf_counter() - start:.1f} s")
    print(f"T = {given.steps}, L = 3, spectra at {len(at)} steps, tol = {given.tol:g}; seconds of wall time")
    print(f"{'':42s} {'march':>8} {'coordinates':>11} {'ratio':>6} {'goal':>6} {'differ by':>9}")
    compare_tracks(march, coordinates, WEIGHTS, at, given.repeat)
    compare_tracks(march, coordinates, ["NTK"], at, 1)
    for matrix in ("W2", "NTK"):
        compare_densities(march, coordinates, matrix, at[-1], given.points, given.repeat)


if __name__ == "__main__":
    main()
