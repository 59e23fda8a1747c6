"""The solver of the two-time equations of a nonlinear network: its Numba back end against NumPy, in one run.

    python benchmarks/two_time.py [--samples 4] [--steps 20] [--sites 1000] [--repeats 5]

The network: tanh, L = 2, gamma0 = 1, eta0 = 0.3, on Gaussian inputs. Two replicas a run; runs of both back ends take
turns with the same random numbers; printed are medians of wall and processor time, the ratio, and by how much outputs
differ.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import dmft_sym as ds


def timed(solver: ds.Solver, steps: int, sites: int) -> tuple[float, float, np.ndarray]:
    """Wall and processor time in seconds, and the outputs, shape (steps, samples, outputs)."""
    wall, processor = time.perf_counter(), time.process_time()
    run = solver(method="equations", richness=1.0, learning_rate=0.3, steps=steps, sites=sites, replicas=2, seed=0)
    return time.perf_counter() - wall, time.process_time() - processor, run.f.values


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("samples", 4), ("steps", 20), ("sites", 1000), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    data = ds.Samples(rng.standard_normal((arguments.samples, 20)), rng.standard_normal(arguments.samples))
    theory = ds.derive(ds.mlp(2, activation="tanh"), data=data)
    solvers = {backend: theory.compile(backend) for backend in ("numba", "numpy")}
    for solver in solvers.values():
        timed(solver, 2, arguments.sites)  # derivation, compilation, imports
    runs: dict[str, list[tuple[float, float, np.ndarray]]] = {backend: [] for backend in solvers}
    for _ in range(arguments.repeats):
        for backend, solver in solvers.items():
            runs[backend].append(timed(solver, arguments.steps, arguments.sites))
    medians = {backend: np.median([run[:2] for run in found], axis=0) for backend, found in runs.items()}
    for backend, (wall, processor) in medians.items():
        print(f"{backend}: {wall:.3f} s, processor {processor:.3f} s")
    apart = np.abs(runs["numba"][0][2] - runs["numpy"][0][2]).max()
    print(f"ratio {medians['numpy'][0] / medians['numba'][0]:.1f}; outputs differ by {apart:.1e}")


if __name__ == "__main__":
    main()
