"""The generated solver on sampled sites against the plain replica in NumPy and finite networks, in one run.

    python benchmarks/sampled.py [--quick] [--repeat 3] [--threads 2]

Two cases of 8 replicas: tanh, L=2, P=3, T=16, S=100 000 sites in total; tanh, L=3, P=10, T=100, S=20 000, also with
smaller ``tol``. Every run is a process of its own, so that peak memory is its own. The finite networks have as many
units as a replica has sites, and (in the second case, 7 GB) as all of them together have; ``--quick`` leaves the latter
and the plain replica of small ``tol`` out. Times of finite networks are those of their first steps, continued.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from dmft_sym.support.memory import free_bytes

REPLICAS = 8
GOALS = {"small": "goal 1 s on two cores", "large": "goal 30 s and 3 GB on two cores"}
FINITE_STEPS = 8
WIDEST = 8e9  # bytes that the finite network of 20 000 sites needs


@dataclass(frozen=True)
class Case:
    """A network on random samples."""

    depth: int
    samples: int
    steps: int
    sites: int
    richness: float = 4.0
    learning_rate: float = 0.3
    dimension: int = 20


CASES = {"small": Case(2, 3, 16, 100_000), "large": Case(3, 10, 100, 20_000)}


def theory_of(case: Case) -> Any:
    """The program of the case, values of its symbols, and its data."""
    import dmft_sym as ds
    from dmft_sym.networks.losses import SQUARED, F, Y
    from dmft_sym.regimes.sample_program import FIXED, fixed_program

    program = fixed_program(ds.mlp(activation="tanh").trace(FIXED), ds.GradientDescent(), SQUARED.error, (F, Y), "MLP")
    given = {"L": case.depth, "P": case.samples, "eta0": case.learning_rate, "gamma": case.richness, "s2": 1.0}
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((case.samples, case.dimension))
    targets = np.sign(inputs[:, :1] + 0.5 * inputs[:, 1:2])
    return program, {s: given[s.name] for s in program.parameters}, {"x": inputs, "y": targets}


def module_of(folder: Path) -> ModuleType:
    """The generated module, from a cache in ``folder``."""
    from dmft_sym.codegen.programs.sampled import write

    from dmft_sym.cache.modules import load_module, program_key

    os.environ["DMFT_SYM_CACHE"] = str(folder)
    program = theory_of(CASES["small"])[0]
    return load_module(program_key(str(program), "sampled"), "sampled", lambda: write(program, alone=False))


def run_first(folder: Path) -> dict[str, Any]:
    """Seconds until a tiny run is done: compilation, or loading what was compiled."""
    from dmft_sym.execution.replicas import run_replicas

    theory_of(CASES["small"])
    start = time.perf_counter()
    module = module_of(folder)
    program, values, data = theory_of(CASES["small"])
    run_replicas(module, program, values, 1, 2, 200, 1, data=data)
    return {"seconds": time.perf_counter() - start}


def run_replicas_child(method: str, case: Case, tol: float, threads: int, repeat: int, folder: Path) -> dict[str, Any]:
    """Wall times of all replicas, of early and late steps of one, and what was found."""
    from dmft_sym.execution.replicas import run_replicas, sites_per_replica

    program, values, data = theory_of(case)
    module = module_of(folder) if method == "generated" else None
    drop = tol or None
    run_replicas(module, program, values, 1, 2, 200, 1, data=data)
    times, results = [], []
    for _ in range(repeat):
        start = time.perf_counter()
        results = run_replicas(
            module, program, values, 1, case.steps, case.sites, REPLICAS, tol=drop, data=data, threads=threads
        )
        times.append(time.perf_counter() - start)
    marks = [time.perf_counter()]
    sites = sites_per_replica(case.sites, REPLICAS)
    run_replicas(
        module,
        program,
        values,
        1,
        3 * case.steps,
        sites,
        1,
        tol=drop,
        data=data,
        progress=lambda *_: marks.append(time.perf_counter()),
    )
    each = np.diff(marks)
    tail = len(each) // 10 or 1
    f = np.array([result.scalars["f"][-1, :, 0] for result in results])
    directions = {key: rows[-1].tolist() for key, rows in results[0].directions.items()}
    return {
        "seconds": statistics.median(times),
        "thirds": [float(np.median(each[len(each) * k // 3 - tail : len(each) * k // 3])) for k in (1, 2, 3)],
        "f": f.mean(axis=0).tolist(),
        "error": (f.std(axis=0, ddof=1) / np.sqrt(len(f))).tolist(),
        "directions": " ".join(f"{name}{layer}:{p}+{q}" for (name, layer), (p, q) in directions.items()),
    }


def run_finite_child(case: Case, width: int) -> dict[str, Any]:
    """Wall time of one finite network: that of its first steps, the others take as long as the median of these."""
    from dmft_sym.execution import run_finite

    program, values, data = theory_of(case)
    marks = [time.perf_counter()]
    steps = min(case.steps, FINITE_STEPS)
    run_finite(program, values, 1, steps, width, 0, data=data, progress=lambda _: marks.append(time.perf_counter()))
    each = np.diff(marks[1:])
    return {"seconds": marks[-1] - marks[0] + (case.steps - steps) * float(np.median(each))}


def child(task: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run one task of the parent."""
    method = task["method"]
    if method == "first":
        result = run_first(folder)
    elif method == "finite":
        result = run_finite_child(CASES[task["case"]], task["width"])
    else:
        case, tol = CASES[task["case"]], task["tol"]
        result = run_replicas_child(method, case, tol, task["threads"], task["repeat"], folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {**result, "memory": peak / (2**20 if sys.platform == "darwin" else 2**10)}


def in_child(task: dict[str, Any], folder: Path, threads: int) -> dict[str, Any]:
    """`child` in a process of its own; BLAS has as many threads as the finite network may use."""
    variables = ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(variables, str(threads)), "DMFT_SYM_CACHE": str(folder)}
    command = [sys.executable, __file__, "--child", json.dumps(task), str(folder)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def show(name: str, run: dict[str, Any], reference: float) -> None:
    """A line of the table."""
    line = f"    {name:<28} {run['seconds']:>8.2f} s {run['seconds'] / reference:>7.1f}x {run['memory']:>6.0f} MB"
    if "thirds" in run:
        milliseconds = ", ".join(f"{1e3 * t:.2f}" for t in run["thirds"])
        line += f"   ms a step at T, 2 T, 3 T: {milliseconds}   {run['directions']}"
    print(line, flush=True)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave the longest runs out")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(child(json.loads(given.child[0]), Path(given.child[1]))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cold, cached = (in_child({"method": "first"}, folder, given.threads)["seconds"] for _ in range(2))
        print(f"generate, compile and two steps {cold:.1f} s, from the cache {cached:.2f} s")
        for key, case in CASES.items():
            compare(key, case, folder, given)


def compare(key: str, case: Case, folder: Path, given: argparse.Namespace) -> None:
    """All methods on one case."""
    shape = f"L={case.depth} P={case.samples} T={case.steps} S={case.sites}"
    print(f"tanh {shape} in {REPLICAS} replicas: {GOALS[key]}; wall time, ratio to the first line, peak memory")
    common = {"case": key, "threads": given.threads}
    tols = [0.0] if key == "small" else [0.0, 1e-3]
    reference, expected = 0.0, {}
    for tol in tols:
        for method in ("generated", "plain"):
            if given.quick and method == "plain" and tol:
                continue
            repeat = given.repeat if method == "generated" else 1
            run = in_child({**common, "method": method, "tol": tol, "repeat": repeat}, folder, given.threads)
            reference = reference or run["seconds"]
            gap = np.abs(np.subtract(run["f"], expected.setdefault(tol, run["f"]))).max()
            name = f"{method}, tol {tol or '1/sqrt(S/8)'}"
            show(name, run, reference)
            if method == "plain":
                print(f"      largest difference of f at the end {gap:.1e}, standard error {max(run['error']):.1e}")
    widths = [case.sites // REPLICAS] + ([case.sites] if key == "large" and not given.quick else [])
    if len(widths) > 1 and free_bytes() < WIDEST:
        print("      less than 8 GB are free: the widest network is left out")
        widths = widths[:1]
    for width in widths:
        run = in_child({**common, "method": "finite", "width": width}, folder, given.threads)
        show(f"one finite network, N = {width}", run, reference)


if __name__ == "__main__":
    main()
