"""Wall time, ranks and memory of growing coordinates on long runs of a deep linear network.

    python benchmarks/coordinates.py [--steps 1000 10000 100000] [--tol 1e-6] [--march 4000]

Prints how long compiled code takes to be there (about ten seconds if it is not in the cache), one line for each number
of steps with the time of compiled code, that of the interpreted plan and their ratio, then the exponent of compiled
wall time against steps between the two longest runs (1 is linear), and the relative difference of the test loss from
that of the generated march at step 4000 (which takes about a minute and 4 GB; ``--march 0`` leaves it out). The regime:
L=3, nu=0.7, alpha=2, gamma=4, eta0=0.004, sigma_eps=0.3.
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
import time
from types import ModuleType

from dmft_sym.execution import ExecutionResult, run_coordinates
from dmft_sym.networks import GradientDescent, deep_linear
from dmft_sym.networks.parameters import ALPHA, ETA, GAMMA, INIT_VARIANCE, LABEL_NOISE, NU
from dmft_sym.program import DEPTH
from dmft_sym.regimes import Proportional
from dmft_sym.solvers.generated_modules import COMPILED, coordinates_module

VALUES = {DEPTH: 3, NU: 0.7, ALPHA: 2.0, GAMMA: 4.0, ETA: 0.004, INIT_VARIANCE: 1.0, LABEL_NOISE: 0.3}


def timed_run(steps: int, tol: float, module: ModuleType | None) -> tuple[float, ExecutionResult]:
    """Wall time in seconds, symbolic preparation included, and the run; without a module the plan is interpreted."""
    program = Proportional().program(deep_linear(3).trace(), GradientDescent(), "deep linear network")
    start = time.perf_counter()
    result = run_coordinates(program, VALUES, outputs=1, steps=steps, tol=tol, module=module)
    return time.perf_counter() - start, result


def march_loss(step: int) -> float:
    """Test loss at ``step`` from the generated march of the closed equations."""
    from dmft_sym.generated.deep_linear_batch_numba import march

    losses = march(steps=step + 1, outputs=1, L=3, nu=0.7, alpha=2.0, gamma=4.0, eta0=0.004, s2=1.0, sigma_eps=0.3)[
        "test_loss"
    ]
    return float(losses[step, 0])


def peak_memory() -> float:
    """Largest resident size of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--tol", type=float, default=1e-6)
    parser.add_argument("--march", type=int, default=4_000, metavar="STEP")
    arguments = parser.parse_args()
    start = time.perf_counter()
    module = coordinates_module(COMPILED)
    timed_run(100, arguments.tol, module)
    print(f"compiled code is there after {time.perf_counter() - start:.1f} s")
    timed_run(100, arguments.tol, None)  # imports and first allocations
    columns = (
        f"{'steps':>8} {'compiled s':>10} {'us/step':>8} {'interpreted s':>13} {'us/step':>8} {'ratio':>6} {'MB':>6}"
    )
    print(f"{columns} {'train loss':>11} {'test loss':>11} {'difference':>10}  directions")
    points = []
    for steps in sorted(arguments.steps):
        (seconds, result), (plain, other) = (timed_run(steps, arguments.tol, code) for code in (module, None))
        points.append((steps, seconds))
        losses = [result.observables[name][-1, 0] for name in ("train_loss", "test_loss")]
        apart = max(abs(rows - other.observables[name]).max() for name, rows in result.observables.items())
        ranks = ", ".join(f"{name} {rank[-1]}" for name, rank in result.ranks.items())
        print(
            f"{steps:8d} {seconds:10.2f} {1e6 * seconds / steps:8.0f} {plain:13.2f} {1e6 * plain / steps:8.0f} "
            f"{plain / seconds:6.1f} {peak_memory():6.0f} {losses[0]:11.8f} {losses[1]:11.8f} {apart:10.1e}  {ranks}"
        )
    if len(points) > 1:
        (first, early), (last, late) = points[-2:]
        slope = math.log(late / early) / math.log(last / first)
        print(f"wall time ~ steps^{slope:.2f} between {first} and {last} steps")
    if arguments.march:
        loss = float(timed_run(arguments.march + 1, arguments.tol, module)[1].observables["test_loss"][-1, 0])
        start = time.perf_counter()
        exact = march_loss(arguments.march)
        seconds = time.perf_counter() - start
        print(
            f"test loss at t = {arguments.march}: {loss:.10f}, march {exact:.10f} ({seconds:.0f} s), "
            f"relative difference {abs(loss / exact - 1):.1e}"
        )


if __name__ == "__main__":
    main()
