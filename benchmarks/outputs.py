"""Ten classes of digits against one output, on sampled sites; processor time, in one run.

    python benchmarks/outputs.py [--samples 100] [--steps 20] [--sites 20000] [--whole]

A tanh network of two hidden layers with softmax and ten outputs, and with the logistic loss and one output (digits
below five against the others). Compiled code is warm: a short run of each comes first. Kernels are those of the first
and the last step, which need fields of every output there, or none. ``--whole`` adds two steps of the ten classes with
a backward field for every output throughout, and the time of as many with one.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np

import dmft_sym as ds

GOAL = 2.0


def theories(samples: int) -> dict[int, Any]:
    """By number of outputs."""
    ten = ds.datasets.digits(range(10), samples, loss="softmax")
    halves = np.where(ten.targets.argmax(axis=1) < 5, -1.0, 1.0)
    one = ds.derive(ds.mlp(2, "tanh"), data=ds.Samples(ten.inputs, halves, "logistic"))
    return {1: one, 10: ds.derive(ds.mlp(2, "tanh", outputs=10), data=ten)}


def seconds(theory: Any, steps: int, sites: int, kernels: list[int]) -> float:
    """Processor time of a run."""
    start = time.process_time()
    theory.solve(richness=1.0, learning_rate=3.0, steps=steps, sites=sites, kernels=kernels)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--sites", type=int, default=20_000)
    parser.add_argument("--whole", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # few sites are biased, and as fast as others
    known = theories(given.samples)
    for theory in known.values():
        seconds(theory, 2, 80, [])
    for name, kernels in (("training", []), ("with kernels of the first and the last step", [0, given.steps - 1])):
        times = {outputs: seconds(theory, given.steps, given.sites, kernels) for outputs, theory in known.items()}
        ratio = times[10] / times[1]
        found = f"C = 1 {times[1]:.1f} s, C = 10 {times[10]:.1f} s"
        print(f"{name}: {found}, ratio {ratio:.2f} (goal {GOAL:g})", flush=True)
    if given.whole:
        short = seconds(known[10], 2, given.sites, [])
        known[10].executed = known[10].program
        whole = seconds(known[10], 2, given.sites, [])
        found = f"{short:.1f} s, with fields of every output {whole:.1f} s"
        print(f"two steps of C = 10: {found}, ratio {whole / short:.1f}")


if __name__ == "__main__":
    main()
