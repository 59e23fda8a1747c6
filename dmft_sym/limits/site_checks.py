"""Checks of the lazy limit on given samples: its kernel in numbers, and the approach at the same seeds."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.derivation.symbols import TwoPoint
from dmft_sym.program import ONE, SAMPLES, FieldRef, Label
from dmft_sym.solvers.kernels import Kernels
from dmft_sym.solvers.solver import Solver

from .lazy_sites import KERNEL, LazySites
from .verdicts import Verdict, Verdicts

if TYPE_CHECKING:
    import xarray as xr

Numbers: TypeAlias = NDArray[np.float64]

_SIZES = (0.8, 0.4, 0.2, 0.1, 0.05)
_SEEDS = 4
_STUDENT = 3.2
"""Errors of averages over so few seeds at 95 %."""
_NO_RATE = 0.3


def structural(limiting: LazySites, depth: int | None = None) -> Verdict:
    """Whether the kernel equation is the tangent kernel that is read off the program's updates without SymPy.

    Both are bilinear in overlaps of fields, for which random numbers stand. The order of corrections must be that
    claimed.
    """
    if limiting.limit.rate not in (None, limiting.rate):
        return Verdict(False, f"corrections are of order eps^{limiting.rate}, not eps^{limiting.limit.rate}")
    program = limiting.theory.program
    layers = {symbol: depth or limiting.theory.network.depth or program.smallest_depth for symbol in
              program.parameters if symbol.is_integer and symbol != SAMPLES}  # fmt: skip
    values = dict.fromkeys(program.parameters, 1.0) | dict.fromkeys(layers, 0.0) | layers
    overlaps = _Overlaps(dict.fromkeys(program.labels, 2))
    expected = Kernels(program, values, overlaps.sizes).tangent(overlaps)
    equation = next(item for item in limiting.equations.items if item.left.func == KERNEL)
    found = np.zeros(expected.shape)
    for place in np.ndindex(expected.shape):
        known = {**layers, **dict(zip(equation.left.args, place, strict=True))}
        value = equation.right.subs(known).doit().subs(values)
        points = value.atoms(TwoPoint)
        found[place] = float(value.xreplace({point: sp.Float(overlaps.of(point), 30) for point in points}))
    distance = float(np.abs(found - expected).max() / np.abs(expected).max())
    return Verdict(distance < 1e-12, f"{len(limiting.equations)} equations; the kernel is that of the program")


class _Overlaps:
    """A random number for every overlap of two fields, the same both ways round."""

    def __init__(self, sizes: Mapping[Label, int]) -> None:
        self.sizes = sizes
        self._known: dict[frozenset[tuple[object, ...]], float] = {}

    def __call__(self, a: FieldRef, b: FieldRef) -> np.ndarray:
        """``<a b>``, shape (labels of a, labels of b)."""
        if a.field == b.field == ONE:
            return np.ones((1, 1))
        ranges = [list(itertools.product(*(range(self.sizes[x]) for x in ref.axes))) for ref in (a, b)]
        places = [[self._number((*_key(a), *p), (*_key(b), *q)) for q in ranges[1]] for p in ranges[0]]
        return np.array(places)

    def of(self, point: TwoPoint) -> float:
        """The same as an order parameter at numbers for its labels."""
        ends = [(str(e.name), None if e.layer is None else int(e.layer), *map(int, e.axis_labels)) for e in point.ends]
        return self._number(*ends)

    def _number(self, a: tuple[object, ...], b: tuple[object, ...]) -> float:
        key = frozenset((a, b))
        return self._known.setdefault(key, _RANDOM.uniform(0.5, 1.5))


_RANDOM = random.Random(0)


def _key(ref: FieldRef) -> tuple[object, ...]:
    return ref.field.name, None if ref.layer is None else int(ref.layer)


def approach(limiting: LazySites, arguments: Mapping[str, Any], steps: int = 6) -> Verdict:
    """Whether outputs at the same seeds close up with the rate of the limit, and end within errors of the kernel's.

    Differences of runs at halved richness and the same sites have errors that several seeds show. Large sizes have
    higher orders, small ones noise: the rate is read off where both together are smallest, and where they are too
    large everywhere, the distance alone is judged.
    """
    values = _kept(arguments)
    limit = limiting.solve("numpy", steps=steps, **values)
    differences, last = _differences(limiting, {**values, "steps": steps})
    rate, error = rate_of(differences)
    noise = float(last.f_sem.max()) if "f_sem" in last else 0.0
    distance = float(np.abs(last.f - limit.f).max())
    allowed = 4 * noise + 2 * float(np.abs(differences[-1]).max())
    expected = float(limiting.rate if limiting.limit.rate is None else limiting.limit.rate)
    words = f"distance {distance:.1e}, allowed {allowed:.1e}"
    if error > _NO_RATE:
        return Verdict(distance <= allowed, f"no rate above the noise of sites, more of them would tell it; {words}")
    holds = abs(rate - expected) < 0.1 + error and distance <= allowed
    return Verdict(holds, f"rate {rate:.2f} +- {error:.2f}, expected {expected:g}; {words}")


def _differences(limiting: LazySites, values: Mapping[str, Any]) -> tuple[Numbers, xr.Dataset]:
    """Of outputs at neighbouring sizes, shape (sizes - 1, seeds, values of outputs); the last run of the first seed."""
    solver, first = Solver(limiting.theory, "numpy"), int(values.get("seed", 0))
    runs = [
        [solver(**{**values, "seed": seed, "richness": size}) for seed in range(first, first + _SEEDS)]
        for size in _SIZES
    ]
    outputs = np.array([[np.ravel(run.f) for run in row] for row in runs])
    return outputs[:-1] - outputs[1:], runs[-1][0]


def rate_of(differences: Numbers) -> tuple[float, float]:
    """The exponent of halved sizes with the smallest error: by scatter of seeds, and change from size to size."""
    slopes, count = _slopes(differences), differences.shape[1]
    without = np.array([_slopes(np.delete(differences, seed, axis=1)) for seed in range(count)])
    jackknife = np.sqrt((count - 1) / count * np.sum((without - without.mean(axis=0)) ** 2, axis=0))
    total = _STUDENT * jackknife[1:] + np.abs(slopes[1:] - slopes[:-1])
    best = int(np.argmin(total))
    return float(slopes[best + 1]), float(total[best])


def _slopes(differences: Numbers) -> Numbers:
    means = np.linalg.norm(differences.mean(axis=1), axis=-1)
    return np.log2(means[:-1] / means[1:])


def _kept(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments without the richness and steps."""
    return {name: value for name, value in arguments.items() if name not in ("richness", "steps")}


def checks(limiting: LazySites, arguments: Mapping[str, Any]) -> Verdicts:
    """All three."""
    sampled = Verdict(None, "averages over sites are not rational functions")
    return structural(limiting, arguments.get("depth")), sampled, approach(limiting, arguments)
