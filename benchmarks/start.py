"""Seconds from the start of a Python process to the first result of 60 steps, with an empty cache and from the cache.

    python benchmarks/start.py [--repeat 5]

Two networks: the deep linear one, whose solver is committed, and one of its own (an input skip), which has to be
derived
and generated too. Empty means that neither the generated module nor its compiled form is there.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

RUN = """
run = ds.derive({network}).compile()(
    samples_per_dim=4, width_per_dim=1, richness=8, learning_rate=0.004, label_noise=0.3, steps=60
)
assert run.sizes["step"] == 60
"""
STANDARD = "import dmft_sym as ds\n" + RUN.format(network="ds.deep_linear(2)")
OWN = """
import dmft_sym as ds

def skip(net, x):
    hidden, other = net.hidden("N"), net.hidden("M")
    h = net.matrix("A", net.inputs, hidden) @ x
    return net.readout("w", net.matrix("B", hidden, other) @ h + net.matrix("S", net.inputs, other) @ x)
""" + RUN.format(network="ds.network(skip)")


def seconds(code: str, cache: str) -> float:
    """Wall time of a process that runs ``code``."""
    environment = {**os.environ, "DMFT_SYM_CACHE": cache, "NUMBA_CACHE_DIR": cache}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, help="processes that start from the cache")
    arguments = parser.parse_args()
    for name, code in (("deep linear network", STANDARD), ("a network of its own", OWN)):
        with tempfile.TemporaryDirectory() as cache:
            cold = seconds(code, cache)
            warm = [seconds(code, cache) for _ in range(arguments.repeat)]
        spread = f"{min(warm):.2f} to {max(warm):.2f}"
        print(f"{name:>22}: cold {cold:.1f} s, from the cache {statistics.median(warm):.2f} s ({spread})")


if __name__ == "__main__":
    main()
