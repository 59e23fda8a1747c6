"""How far the mean over finite networks is from the theory: the allowances of tests that compare the two.

    python benchmarks/finite_size.py [CASE ...] [--widths 125 250] [--networks 50000]

A CASE is a number, counted from 0, or the name of a network of tests/shared/unseen_networks.py; all by default. For
every width ``N`` it prints the largest ``N (|mean over networks - theory| - 2 standard errors) / largest entry`` of
``f``, of kernels, and of the largest singular value of every hidden matrix that has an outlier, next to the constants
``c`` that the tests allow. ``--networks`` is the number of hidden units of all networks together. The theory has
256 000 sites.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

import dmft_sym as ds

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "shared"))

from finite_cases import CASES, SETTINGS, STEPS, UNSEEN_BIAS
from samples_and_scores import made_samples
from unseen_networks import FORWARDS, made_network

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


def measure(theory: ds.Theory, arguments: dict[str, Any], widths: list[int], networks: int) -> None:
    """Print a line for every width."""
    run = theory.compile("numpy")(sites=SITES, **arguments)
    for width in widths:
        simulation = ds.simulate(
            theory, width=width, seeds=max(2, networks // width), dtype="float32", values=1, **arguments
        )
        kernels = [
            name for name in map(str, run.data_vars) if "sample2" in run[name].dims and not name.endswith("_sem")
        ]
        names = ["f", *kernels, *(["outlier"] if "outlier" in run else [])]
        found = "  ".join(f"{name} {constant(run, simulation, name, width):5.1f}" for name in names)
        print(f"  N = {width:4d}: {found}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [*map(str, range(len(CASES))), *FORWARDS]
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"all by default; known are {', '.join(known)}")
    parser.add_argument("--widths", nargs="+", type=int, default=[125, 250])
    parser.add_argument("--networks", type=int, default=50_000)
    given = parser.parse_args()
    for name in given.cases:
        if name not in known:
            parser.error(f"CASE {name}: allowed are {', '.join(known)}")
    for name in given.cases or known:
        if name in FORWARDS:
            title, allowed = name, UNSEEN_BIAS
            theory = ds.derive(made_network(name, outputs=2), data=made_samples(40, 3, 2))
            richness, rate = SETTINGS[name]
            arguments: dict[str, Any] = {"richness": richness, "learning_rate": rate, "steps": STEPS}
        else:
            case = CASES[int(name)]
            title, allowed, theory, arguments = f"{name}: {case}", case.bias, case.theory(), case.arguments()
        print(f"{title}; allowed {allowed[0]:g} (f, outliers) and {allowed[1]:g} (kernels)")
        measure(theory, arguments, given.widths, given.networks)


if __name__ == "__main__":
    main()
