"""Sweeps: a transfer grid, and how much faster two workers are than one.

    python benchmarks/sweeps.py [--steps 100] [--points 40] [--cost 390] [--workers 2]

Prints wall and processor times in seconds. The transfer grid has 576 points: three depths, six widths, sixteen learning
rates, two parametrizations; its goal is 60 s on two cores. Points of equal cost are marches of ``--cost`` steps, fewer
than 400, from where on one march has helper threads of its own; the goal is that two workers are 1.8 times as fast as
one process. Workers are started by a small sweep before, and code is compiled: what that takes is printed by itself. On
a machine that does other things wall times say little; there the processor times of parent and workers, which are
printed too, tell what a quiet one would need.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import xarray as xr

import dmft_sym as ds

SETTINGS = {"samples_per_dim": 2.0, "richness": 2.0, "label_noise": 0.2}
TRANSFER = {
    "parametrization": ["muP", "NTK"],
    "depth": [1, 2, 3],
    "width_per_dim": [0.25, 0.5, 1.0, 2.0, 4.0, 8.0],
    "learning_rate": np.geomspace(0.005, 1.0, 16),
}


@dataclass(frozen=True)
class Times:
    """Wall time, and processor time of this process and of its workers."""

    wall: float
    parent: float
    workers: float

    def __str__(self) -> str:
        return f"wall {self.wall:6.1f}   processor: parent {self.parent:6.1f}, workers {self.workers:6.1f}"


def of_processes() -> tuple[float, float]:
    """Processor times up to now."""
    own = psutil.Process()
    children = sum(sum(child.cpu_times()[:2]) for child in own.children(recursive=True))
    return sum(own.cpu_times()[:2]), children


def timed(work: Callable[[], xr.Dataset]) -> tuple[xr.Dataset, Times]:
    """What some work returns, and its times."""
    before, start = of_processes(), time.perf_counter()
    found = work()
    wall, after = time.perf_counter() - start, of_processes()
    return found, Times(wall, after[0] - before[0], after[1] - before[1])


def transfer(theory: ds.Theory, steps: int, workers: int) -> None:
    """The transfer grid."""
    work: Any = lambda: ds.sweep(theory, TRANSFER, workers=workers, steps=steps, **SETTINGS)  # noqa: E731
    grid, times = timed(work)
    print(f"transfer grid, {grid.status.size} points, {workers} workers:  {times}   goal: wall 60.0")
    completed = grid.status == "completed"
    stable = grid.learning_rate.where(completed).max("learning_rate").sel(depth=2)
    best = ds.optimum(grid, "test_loss", along="learning_rate").learning_rate.sel(depth=2)
    for name in ("muP", "NTK"):
        rates = ", ".join(f"{float(value):.3f}" for value in stable.sel(parametrization=name))
        optima = ", ".join(f"{float(value):.3f}" for value in best.sel(parametrization=name))
        print(f"  L = 2, {name}: largest stable rates {rates}; best rates {optima}")


def speedup(theory: ds.Theory, steps: int, points: int, workers: int) -> None:
    """One process against several, on points of equal cost."""
    over = {"learning_rate": ds.linspace(0.001, 0.002, points)}
    found = {}
    for count in (1, workers):
        work: Any = lambda count=count: ds.sweep(  # noqa: E731
            theory, over, workers=count, steps=steps, width_per_dim=1.0, **SETTINGS
        )
        found[count] = timed(work)
        print(f"{points} points of {steps} steps, {count} workers:  {found[count][1]}")
    (one, first), (many, second) = found[1], found[workers]
    assert one.test_loss.equals(many.test_loss), "numbers depend on the number of workers"
    ideal = (first.parent + first.workers) / max(second.parent, second.workers / workers)
    print(f"  wall times: {first.wall / second.wall:.2f} times as fast   goal: 1.80")
    print(f"  by processor times, on {workers} cores without other work: {ideal:.2f} times as fast")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--cost", type=int, default=390)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    theory = ds.derive(ds.deep_linear(2))
    small = {"learning_rate": ds.linspace(0.001, 0.002, 2 * given.workers)}
    work: Any = lambda: ds.sweep(theory, small, workers=given.workers, steps=3, width_per_dim=1.0, **SETTINGS)  # noqa: E731
    print(f"start of {given.workers} workers, and compilation:  {timed(work)[1]}")
    transfer(theory, given.steps, given.workers)
    speedup(theory, given.cost, given.points, given.workers)


if __name__ == "__main__":
    main()
