"""Time of spectra from growing coordinates: tracks of all weight matrices, sharpness, densities.

    python benchmarks/spectra_coordinates.py [--steps 300] [--spectra 60] [--tol 1e-7]

Prints processor time in seconds (wall time depends on what else the machine does) next to that of the run without
spectra. The regime: L=3, nu=0.7, alpha=3, gamma=12, eta0=0.001, sigma_eps=0.2, where two of three matrices have
outliers.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from dmft_sym.execution import run_coordinates
from dmft_sym.networks import GradientDescent, Proportional, deep_linear
from dmft_sym.networks.parameters import ALPHA, ETA, GAMMA, INIT_VARIANCE, LABEL_NOISE, NU
from dmft_sym.program import DEPTH
from dmft_sym.spectra.coordinates import coordinate_spectra

VALUES = {DEPTH: 3, NU: 0.7, ALPHA: 3.0, GAMMA: 12.0, ETA: 0.001, INIT_VARIANCE: 1.0, LABEL_NOISE: 0.2}
WEIGHTS = ["W0", "W1", "W2"]
Result = TypeVar("Result")


def timed(label: str, work: Callable[[], Result]) -> Result:
    """Print the processor time that ``work`` takes."""
    start = time.process_time()
    result = work()
    print(f"{label:45s} {time.process_time() - start:7.2f}")
    return result


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--spectra", type=int, default=60, help="number of steps with spectra")
    parser.add_argument("--tol", type=float, default=1e-7)
    given = parser.parse_args()
    program = Proportional().program(deep_linear(3).trace(), GradientDescent(), "deep linear network")
    at = np.unique(np.linspace(0, given.steps - 1, given.spectra).astype(int)).tolist()

    def spectra(matrices: list[str]):  # type: ignore[no-untyped-def]
        return coordinate_spectra(program, VALUES, 1, given.steps, matrices, at, tol=given.tol)[0]

    coordinate_spectra(program, VALUES, 1, 2, [*WEIGHTS, "NTK"], [1])  # imports and first allocations
    timed("the run alone", lambda: run_coordinates(program, VALUES, 1, given.steps, given.tol))
    weights = timed(f"with {len(WEIGHTS)} weight matrices at {len(at)} steps", lambda: spectra(WEIGHTS))
    kernel = timed(f"with the NTK at {len(at)} steps", lambda: spectra(["NTK"]))["NTK"].spectra[at[-1]]
    matrix = weights["W2"].spectra[at[-1]]
    for name, spectrum in (("W2", matrix), ("NTK", kernel)):
        bands = timed(f"support of {name}", spectrum.support).bands
        x = np.linspace(bands[0, 0], bands[-1, 1], 400)
        timed(f"density of {name} on 400 points", lambda spectrum=spectrum, x=x: spectrum.density(x))  # type: ignore[misc]
    for name, track in weights.items():
        print(f"{name}: leading {track.leading[-1]:.6f}, edge {track.edges[-1]:.6f}, escape at {track.escape():.2f}")


if __name__ == "__main__":
    main()
