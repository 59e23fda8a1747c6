"""Seconds from the start of a Python process to the first result of a short run, by what is in the cache already.

    python benchmarks/start.py [--repeat 5]

Three networks: the deep linear one, whose solver is committed; a residual one with a scan, which has to be derived and
generated; a nonlinear one on given samples. First: nothing is compiled. New: the library is, by another network, and
the generated module and its own functions are not there. Then from the cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LINEAR = """
run = ds.derive({network}).compile()(
    samples_per_dim=4, width_per_dim=1, richness=8, learning_rate=0.004, label_noise=0.3, steps=60
)
assert run.sizes["step"] == 60
"""
SAMPLED = """
import warnings
import dmft_sym as ds
warnings.simplefilter("ignore")  # few sites
theory = ds.derive(ds.mlp(activation={activation!r}), data=ds.Samples([[1.0, 0.5], [-0.3, 2.0]], [1.0, -1.0]))
run = theory.compile()(depth=2, richness=2, learning_rate=0.1, steps=20, sites=2000)
assert run.sizes["step"] == 20
"""
STANDARD = "import dmft_sym as ds\n" + LINEAR.format(network="ds.deep_linear(2)")
OWN = """
import dmft_sym as ds

def residual(net, x):
    n = net.hidden("N")
    weights = net.matrix("W", n, n, layers=(1, net.depth - 1))
    h = net.matrix("W0", net.inputs, n) @ x
    return net.readout("w", net.scan(lambda l, h: h + weights[l] @ h / net.depth, h, layers=(1, net.depth - 1)))
""" + LINEAR.format(network="ds.network(residual, depth=3)")
CASES = {
    "deep linear network": (STANDARD, OWN),
    "residual network": (OWN, STANDARD),
    "tanh on samples": (SAMPLED.format(activation="tanh(h)"), SAMPLED.format(activation="sin(h)")),
}
"""Code, and that of another network which uses the same library."""


def seconds(code: str, modules: Path, machine_code: Path) -> float:
    """Wall time of a process that runs ``code``."""
    environment = {**os.environ, "DMFT_SYM_CACHE": str(modules), "NUMBA_CACHE_DIR": str(machine_code)}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, help="processes that start from the cache")
    arguments = parser.parse_args()
    for name, (code, other) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            first = seconds(code, Path(folder, "first"), Path(folder, "first code"))
            seconds(other, Path(folder, "other"), Path(folder, "code"))
            new = seconds(code, Path(folder, "new"), Path(folder, "code"))
            warm = [seconds(code, Path(folder, "new"), Path(folder, "code")) for _ in range(arguments.repeat)]
        cached = f"{statistics.median(warm):.2f} s ({min(warm):.2f} to {max(warm):.2f})"
        print(f"{name:>20}: first {first:.1f} s, new {new:.1f} s, from the cache {cached}")


if __name__ == "__main__":
    main()
