"""The generated Numba march against the NumPy one and against a block fixed-point iteration, in one run.

    python benchmarks/march.py [--all] [--repeat 3] [--threads 2]

Every run is a process of its own, so that peak memory is its own. ``--all`` also takes the NumPy march to
T = 2000 and the fixed point beyond T = 500. The regime: L=3, C=1, nu=0.7, alpha=2, gamma=4, eta0=0.004, sigma_eps=0.3.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

VALUES = {"alpha": 2.0, "eta0": 0.004, "gamma": 4.0, "nu": 0.7, "s2": 1.0, "sigma_eps": 0.3}
DEPTH = 3
SIZES = (500, 1000, 2000)


def write_modules(folder: Path) -> float:
    """Derive, write one module per back end; seconds for the Numba one."""
    import dmft_sym as ds

    start = time.perf_counter()
    theory = ds.derive(ds.deep_linear())
    (folder / "march_numba.py").write_text(theory.source("numba"), encoding="utf-8")
    seconds = time.perf_counter() - start
    (folder / "march_numpy.py").write_text(theory.source("numpy"), encoding="utf-8")
    return seconds


def run_child(method: str, steps: int, repeat: int, folder: Path) -> dict[str, Any]:
    """Run one method; wall times, the last test loss, what became of it, and peak memory in MB."""
    result: dict[str, Any] = {"note": ""}
    times = []
    if method == "fixed-point":
        from fixed_point import iterate

        start = time.perf_counter()
        point = iterate(steps=steps, depth=DEPTH, **VALUES)
        times.append(time.perf_counter() - start)
        result["note"] = f"{'converged' if point.converged else 'did NOT converge'}, {point.sweeps} sweeps"
        result["loss"] = float(point.test_loss[-1])
    else:
        path = folder / f"march_{method}.py"
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        start = time.perf_counter()
        spec.loader.exec_module(module)
        module.march(steps=60, outputs=1, L=DEPTH, **VALUES)
        result["first"] = time.perf_counter() - start
        if method == "numba":
            module.march(steps=450, outputs=1, L=DEPTH, **VALUES)  # the part that helper threads run
        for _ in range(repeat):
            start = time.perf_counter()
            losses = module.march(steps=steps, outputs=1, L=DEPTH, **VALUES)["test_loss"]
            times.append(time.perf_counter() - start)
        result["loss"] = float(losses[-1, 0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result.update(seconds=statistics.median(times), memory=peak / (2**20 if sys.platform == "darwin" else 2**10))
    return result


def in_child(method: str, steps: int, repeat: int, folder: Path, threads: int) -> dict[str, Any]:
    """`run_child` in a process of its own."""
    variables = ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(variables, str(threads))}
    command = [sys.executable, __file__, "--child", method, str(steps), str(folder), "--repeat", str(repeat)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="the slow methods at the largest size too")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        method, steps, child_folder = given.child
        print(json.dumps(run_child(method, int(steps), given.repeat, Path(child_folder))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        derive = write_modules(folder)
        cold, cached = (in_child("numba", 60, 1, folder, given.threads)["first"] for _ in range(2))
        print(f"derive and generate {derive:.1f} s, compile and first 60 steps {cold:.1f} s, from cache {cached:.2f} s")
        print(f"{'T':>6} {'method':>12} {'seconds':>9} {'of numba':>9} {'MB':>7}  test loss at the end")
        for steps in SIZES:
            slow = given.all or steps < max(SIZES)
            reference = 0.0
            methods = ["numba", "numpy"] if slow else ["numba"]
            if given.all or steps == SIZES[0]:  # it does not converge here, and its inverses take minutes beyond
                methods.append("fixed-point")
            for method in methods:
                repeat = given.repeat if method == "numba" else 1
                run = in_child(method, steps, repeat, folder, given.threads)
                reference = reference or run["seconds"]
                ratio = run["seconds"] / reference
                line = f"{steps:>6} {method:>12} {run['seconds']:>9.2f} {ratio:>8.1f}x {run['memory']:>7.0f}"
                print(f"{line}  {run['loss']:.12g} {run['note']}", flush=True)


if __name__ == "__main__":
    main()
