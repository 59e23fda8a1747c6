"""Gradient flow of a deep linear network to the time of a million gradient steps, and its distance from their limit.

    python benchmarks/gradient_flow.py [--end 4000] [--rtol 1e-6] [--compared 12]

The regime: L=3, nu=0.7, alpha=2, gamma=4, sigma_eps=0.3 and 0; time 4000 is that of 1e6 steps of eta0=0.004. Prints
wall and processor time, the number of steps and that of directions, then the largest difference from gradient descent
extrapolated to eta0 -> 0 (Richardson, from five learning rates down to 0.0005: half a minute), up to the time
``--compared`` (0 leaves it out), absolute and relative to the loss itself, and what the extrapolation is worth.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dmft_sym.execution import ExecutionResult, flow_coordinates, run_coordinates
from dmft_sym.networks import GradientDescent, deep_linear
from dmft_sym.networks.parameters import ALPHA, ETA, GAMMA, INIT_VARIANCE, LABEL_NOISE, NU
from dmft_sym.program import DEPTH
from dmft_sym.regimes import Proportional
from dmft_sym.solvers.generated_modules import COMPILED, coordinates_module

VALUES = {DEPTH: 3, NU: 0.7, ALPHA: 2.0, GAMMA: 4.0, INIT_VARIANCE: 1.0}
PROGRAM = Proportional().program(deep_linear(3).trace(), GradientDescent(), "deep linear network")
RATES = (0.008, 0.004, 0.002, 0.001, 0.0005)
PARTS = np.array([0.03, 0.07, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0])
"""Of the time up to which both are compared."""


def losses(result: ExecutionResult, rows: list[int]) -> NDArray[np.float64]:
    """Train and test loss, shape (rows, 2)."""
    return np.stack([result.observables[name][rows, 0] for name in ("train_loss", "test_loss")], -1)


def extrapolated(times: NDArray[np.float64], noise: float) -> tuple[NDArray[np.float64], float]:
    """Losses of gradient descent as ``eta0 -> 0``, and by how much the last extrapolation changed them."""
    module, found = coordinates_module(COMPILED), []
    for rate in RATES:
        rows = [round(end / rate) for end in times]
        values = {**VALUES, LABEL_NOISE: noise, ETA: rate}
        found.append(losses(run_coordinates(PROGRAM, values, 1, rows[-1] + 1, 1e-11, module=module), rows))
    order, before = 1, found[-1]
    while len(found) > 1:
        before = found[-1]
        found = [(2**order * fine - coarse) / (2**order - 1) for coarse, fine in pairwise(found)]
        order += 1
    return found[0], float(np.abs(found[0] - before).max())


def timed_flow(times: NDArray[np.float64], noise: float, rtol: float) -> tuple[float, float, ExecutionResult]:
    """Wall and processor time in seconds, and the flow."""
    wall, processor = time.perf_counter(), time.process_time()
    values = {**VALUES, LABEL_NOISE: noise, ETA: 1.0}
    result = flow_coordinates(PROGRAM, values, 1, [0.0, *times], rtol)
    return time.perf_counter() - wall, time.process_time() - processor, result


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--end", type=float, default=4000.0)
    parser.add_argument("--rtol", type=float, default=1e-6)
    parser.add_argument("--compared", type=float, default=12.0, metavar="TIME")
    arguments = parser.parse_args()
    timed_flow(np.array([0.1]), 0.3, arguments.rtol)  # imports and first allocations
    for noise in (0.3, 0.0):
        grid = np.geomspace(1e-5 * arguments.end, arguments.end, 200)
        wall, processor, result = timed_flow(grid, noise, arguments.rtol)
        ranks = ", ".join(f"{name} {rank[-1]}" for name, rank in result.ranks.items())
        train, test = losses(result, [-1])[0]
        print(
            f"label noise {noise}: time {arguments.end:g} ({result.outcome}) in {wall:.1f} s, processor "
            f"{processor:.1f} s, {result.arithmetic.steps} steps; train loss {train:.9f}, test loss {test:.9f}; "
            f"directions {ranks}"
        )
        if arguments.compared:
            times = np.round(PARTS * arguments.compared, 2)
            expected, own = extrapolated(times, noise)
            gap = np.abs(losses(timed_flow(times, noise, arguments.rtol)[2], [*range(1, len(times) + 1)]) - expected)
            print(
                f"  difference from gradient descent at eta0 -> 0 up to time {times[-1]:g}: {gap.max():.1e}, relative "
                f"to losses above 1e-2 {(gap / expected)[expected > 1e-2].max():.1e} (extrapolation {own:.1e})"
            )


if __name__ == "__main__":
    main()
