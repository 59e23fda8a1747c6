"""How far the mean over finite networks is from the theory: the constants of tests/finite_cases.py.

    python benchmarks/finite_size.py [NUMBER ...] [--widths 125 250] [--networks 50000]

For every case (or those with a NUMBER, counted from 0) and every width ``N`` it prints the largest
``N (|mean over networks - theory| - 2 standard errors) / largest entry`` of ``f``, of kernels, and of the largest
singular value of every hidden matrix that has an outlier, next to the constants ``c`` that the tests allow.
``--networks`` is the number of hidden units of all networks together. The theory has 256 000 sites.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

import dmft_sym as ds

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from finite_cases import CASES, Case

SITES = 256_000


def constant(run: Any, simulation: Any, name: str, width: int) -> float:
    """The bias of a variable in units of its largest entry over the width; 0 if it does not stand out."""
    theory, found, own = run[name], simulation[name].transpose("seed", ...), run[f"{name}_sem"]
    if name == "outlier":
        if not run.sizes["rank"]:
            return 0.0
        theory, found, own = (array.isel(rank=0) for array in (theory, found, own))
    error = np.hypot(found.std("seed", ddof=1) / found.sizes["seed"] ** 0.5, own)
    excess = np.abs(found.mean("seed") - theory) - 2 * error
    return max(0.0, width * float(excess.max() / np.abs(theory).max()))


def measure(case: Case, widths: list[int], networks: int) -> None:
    """Print a line for every width."""
    theory = case.theory()
    run = theory.compile("numpy")(samples=SITES, **case.arguments())
    for width in widths:
        simulation = ds.simulate(
            theory, width=width, seeds=max(2, networks // width), dtype="float32", values=1, **case.arguments()
        )
        names = ["f", "Phi", "G", "NTK", *(["outlier"] if "outlier" in run else [])]
        found = "  ".join(f"{name} {constant(run, simulation, name, width):5.1f}" for name in names)
        print(f"  N = {width:4d}: {found}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", type=int, help="numbers of cases, all by default")
    parser.add_argument("--widths", nargs="+", type=int, default=[125, 250])
    parser.add_argument("--networks", type=int, default=50_000)
    given = parser.parse_args()
    for number in given.cases or range(len(CASES)):
        case = CASES[number]
        print(f"{number}: {case}; allowed {case.bias[0]} (f, outliers) and {case.bias[1]} (kernels)")
        measure(case, given.widths, given.networks)


if __name__ == "__main__":
    main()
