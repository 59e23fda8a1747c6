"""What the examples print: the program, and the march next to coordinates and to finite networks."""

from __future__ import annotations

import numpy as np

import dmft_sym as ds


def report(theory: ds.Theory, parameters: dict[str, float], steps: int = 20, backend: str = "numpy") -> None:
    """Print the derived program, march it, and compare with coordinates and with four networks of D = 1000."""
    print(theory.program)
    print("\nclosed equations for:", ", ".join(array.name for array in theory.closed.arrays))
    solver = theory.compile(backend)
    run = solver(steps=steps, **parameters)
    other = solver(steps=steps, method="conditioning", tol=1e-11, **parameters)
    gap = max(float(np.abs(run[name] - other[name]).max()) for name in ("train_loss", "test_loss"))
    print(f"\nmarch and coordinates: losses differ by {gap:.1e}")
    if gap > 1e-8:
        raise SystemExit("the two solutions differ: this must not happen")
    sim = ds.simulate(theory, steps=steps, dim=1000, seeds=4, normalise=True, **parameters)
    print(ds.compare(run, sim))
