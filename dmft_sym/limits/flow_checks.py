"""Checks of the gradient flow: of every equation on a grid, of first steps exactly, and of losses in numbers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.derivation.continuous import FIRST, NOW
from dmft_sym.derivation.symbols import TwoPoint
from dmft_sym.networks.parameters import ETA, GAMMA, INIT_VARIANCE
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.solvers.exact_march import exact_run
from dmft_sym.solvers.solver import Solver

from .checks import ROOT, integers, rationals
from .class_numbers import class_numbers
from .flow_limit import FlowLimit
from .grid_terms import Key, Row, Term, place_of, rows
from .limit import EPS, Kind, Limit
from .orders import leading
from .verdicts import Verdict, Verdicts, fitted
from .volterra import Arrays, Grid

if TYPE_CHECKING:
    from dmft_sym.solvers.exact_march import ExactRun

_STEPS = (8, 16, 32)
_TIMES = (16, 32, 64, 128)


def structural(limiting: FlowLimit, fixed: Mapping[str, int]) -> Verdict:
    """Whether every equation of steps becomes that of continuous time, for any functions in the place of unknown ones.

    Smooth functions of time that are random, and parts at equal times and densities of kernels, are put into both; the
    difference has to fall with the number of steps.
    """
    if limiting.limit.rate not in (None, limiting.rate):
        return Verdict(False, f"corrections are of order eps^{limiting.rate}, not eps^{limiting.limit.rate}")
    values = _random_values(limiting, fixed)
    distances = np.array([_differences(limiting, values, steps) for steps in _STEPS])
    largest = distances.max(axis=1)
    if largest[0] == 0:
        return Verdict(False, "no equation at all")
    slopes = np.diff(np.log2(largest))
    if not slopes.max() < -0.7:
        worst = [row.label for row in limiting.rows(values)][int(distances[-1].argmax())]
        return Verdict(False, f"{worst} is not the limit of sums over steps: they differ by {largest[-1]:.1e}")
    return Verdict(
        True, f"{len(limiting.equations)} equations, sums over steps differ from them by eps^{-slopes[-1]:.2f}"
    )


def _random_values(limiting: FlowLimit, fixed: Mapping[str, int]) -> dict[sp.Symbol, Any]:
    rng = random.Random(0)
    given = {p.keyword: rng.uniform(0.6, 0.9) for p in limiting.theory.parameters if not p.integer}
    return run_arguments(limiting.theory, 1, {**given, **fixed, "learning_rate": 1.0}).values


def _differences(limiting: FlowLimit, values: dict[sp.Symbol, Any], steps: int) -> list[float]:
    """Of every equation of continuous time, from that of steps, relative to its size."""
    width = 1 / steps
    grid, flows = Grid(steps, width), limiting.rows(values)
    functions = {row.left.key: _smooth(row, grid, limiting, place) for place, row in enumerate(flows)}
    closed = limiting.theory.closed
    whole = [e for e in closed.equations if isinstance(e.left, TwoPoint) or e in closed.observables]
    numbers = {**values, **class_numbers(limiting.theory), ETA: width}
    listed = list(rows(whole, numbers))
    matrices = {row.left.key: _of_steps(row, functions, grid, limiting) for row in listed}
    right: Arrays = {}
    for row in listed:
        none = np.zeros((steps,) * len(row.left.times))
        right[row.left.key] = sum((grid.value(term, matrices, row.left.times) for term in row.terms), none)
    return [_difference(row, grid, functions, right, limiting) for row in flows]


def _smooth(row: Row, grid: Grid, limiting: FlowLimit, seed: int) -> NDArray[Any]:
    """A random polynomial of its times; kernels are zero above the diagonal."""
    rng = np.random.default_rng(seed)
    time = np.arange(grid.points) * grid.width
    found = np.full((grid.points,) * len(row.left.times), rng.uniform(0.5, 1.0))
    for axis in range(found.ndim):
        found += rng.uniform(-0.5, 0.5) * np.moveaxis(np.broadcast_to(time, found.shape), -1, axis)
    return np.tril(found, -1) if _is_kernel(row, limiting) else found


def _is_kernel(row: Row, limiting: FlowLimit) -> bool:
    return row.left.key[0] in limiting.kernels and len(row.left.times) == 2


def _of_steps(row: Row, functions: Arrays, grid: Grid, limiting: FlowLimit) -> NDArray[Any]:
    """Parts in the first column and on the diagonal, the density times the learning rate below; others as they are."""
    name, labels = row.left.key
    made = np.zeros((grid.points,) * len(row.left.times))
    made = made + functions.get(row.left.key, made) * (grid.width if _is_kernel(row, limiting) else 1.0)
    if (f"{name}{NOW}", labels) in functions:
        made += np.diag(functions[f"{name}{NOW}", labels])
    if (f"{name}{FIRST}", labels) in functions:
        made[:, 0] += functions[f"{name}{FIRST}", labels]
    return made


def _difference(row: Row, grid: Grid, functions: Arrays, right: Arrays, limiting: FlowLimit) -> float:
    none = np.zeros((grid.points,) * len(row.left.times))
    made = sum((grid.value(term, functions, row.left.times) for term in row.terms), none)
    name, labels = row.left.key
    steps = right[name.removesuffix(NOW).removesuffix(FIRST), labels]
    if name.endswith(NOW):  # all parts are there at the first step, and none is told apart
        made, steps = made[1:], np.diagonal(steps)[1:]
    elif name.endswith(FIRST):
        made, steps = made[1:], steps[1:, 0]
    elif _is_kernel(row, limiting):
        made, steps = np.tril(made, -1)[:, 1:], np.tril(steps, -1)[:, 1:] / grid.width
    return float(np.abs(made - steps).max() / max(1.0, float(np.abs(steps).max())))


def exact(limiting: FlowLimit, fixed: Mapping[str, int], tries: int = 2, seed: int = 0) -> Verdict:
    """Whether the first two steps, as rational functions of the learning rate, begin as the limiting equations do.

    At time zero integrals vanish, and what is left are products: parts at equal times, correlations, and densities of
    kernels, which the second step has in the first order of the learning rate.
    """
    rng, count = random.Random(seed), 0
    for _ in range(tries):
        numbers = {**rationals(limiting.theory, rng), **fixed, "learning_rate": ROOT**2}
        whole = exact_run(limiting.theory, 2, numbers)
        values = _values(limiting, numbers)
        integers = {symbol: value for symbol, value in values.items() if symbol.is_integer}
        start = _start(limiting, values)
        for label, found, expected, order in _pairs(limiting, whole, start, integers):
            count += 1
            limit = sp.sympify(expected, strict=True).subs(values)
            left = sp.cancel(whole.expression(found) - limit * ROOT ** (2 * order)).subs(ROOT, sp.sqrt(EPS))
            if leading(left)[0] <= order:
                return Verdict(False, f"{label} does not begin as the equations of continuous time do")
    return Verdict(True, f"{count} entries of two steps begin as the equations of continuous time do")


def _values(limiting: FlowLimit, numbers: Mapping[str, Any]) -> dict[sp.Symbol, Any]:
    """Of the symbols of the program, by the rules of a run but exactly."""
    values: dict[sp.Symbol, Any] = {}
    for parameter in limiting.theory.parameters:
        own = sp.sympify(numbers[parameter.keyword], strict=True)
        value = own**2 if parameter.symbol == INIT_VARIANCE else own
        values[parameter.symbol] = int(value) if parameter.integer else value
    power = sp.nsimplify(limiting.theory.network.parametrization.exponent) - sp.Rational(1, 2)
    if GAMMA in values and power != 0:
        values[GAMMA] *= sp.sympify(numbers["width_per_dim"], strict=True) ** power
    return values


def _start(limiting: FlowLimit, values: dict[sp.Symbol, Any]) -> dict[Key, sp.Expr]:
    """All functions at time zero."""
    listed, start = limiting.rows(values), dict[Key, sp.Expr]()
    for _ in listed:
        before = dict(start)
        for row in listed:
            start[row.left.key] = sp.Add(*(_product(term, start) for term in row.terms if not term.ranges))
        if start == before:
            break
    return start


def _product(term: Term, start: Mapping[Key, sp.Expr]) -> sp.Expr:
    return term.coefficient * sp.Mul(*(start.get(factor.key, sp.Integer(0)) for factor in term.factors))


def _pairs(
    limiting: FlowLimit, whole: ExactRun, start: Mapping[Key, sp.Expr], integers: dict[sp.Symbol, int]
) -> Iterator[tuple[str, Any, sp.Expr, int]]:
    """Entries of the march, what they are in continuous time, and the power of the learning rate that they have."""
    exports = {export.array: export for export in limiting.theory.order_parameters}
    for func, array in limiting.theory.closed.families.items():
        options = (array.name, exports[array].name) if array in exports else ()
        name = next((name for name in options if name in whole.variables), None)
        parts = {kind: f"{func.__name__}{kind}" for kind in (NOW, FIRST, "")}
        for labels in dict.fromkeys(labels for other, labels in start if name and other in parts.values()):
            found = whole.elements(str(name))[place_of(array, func, labels, integers)]
            now, first, whole_or_past = (start.get((part, labels), sp.Integer(0)) for part in parts.values())
            scale = exports[array].scale
            if array.static or func.letter == "C":
                yield func.__name__, found[0, 0], whole_or_past * scale, 0
            else:
                yield func.__name__, found[0, 0], (now + first) * scale, 0
                yield func.__name__, found[1, 0], (whole_or_past if first == 0 else first) * scale, int(first == 0)


def approach(limiting: FlowLimit, arguments: Mapping[str, Any]) -> Verdict:
    """Whether losses of gradient descent come closer to the flow with the learning rate."""
    values = {name: value for name, value in arguments.items() if name not in ("learning_rate", "steps", "outputs")}
    time = float(arguments["learning_rate"]) * (int(arguments.get("steps", 20)) - 1)
    flow, distances = limiting.solve(time, 17, **values), []
    for steps in _TIMES:
        run = Solver(limiting.theory, "numpy")(
            method="equations", steps=steps + 1, learning_rate=time / steps, **values
        )
        every = {name: run[name].values[:: steps // 16, :1] for name in flow.data_vars}
        distances.append(max(float(np.abs(flow[name].values - loss).max()) for name, loss in every.items()))
    expected = float(limiting.rate if limiting.limit.rate is None else limiting.limit.rate)
    return fitted([1 / steps for steps in _TIMES], distances, expected)


def checks(limiting: FlowLimit, arguments: Mapping[str, Any]) -> Verdicts:
    """All three."""
    fixed = integers(limiting.theory, arguments)
    return structural(limiting, fixed), exact(limiting, fixed), approach(limiting, arguments)


gradient_flow = Limit(
    "gradient_flow",
    {ETA.name: EPS * ETA},
    why="steps are infinitesimal at a fixed product of rate and steps, the time t; sums over steps become integrals",
    rate=1,
    kind=Kind(FlowLimit, checks, alone=ETA.name),
)
"""Gradient flow, ``eta0 -> 0`` at fixed ``t = eta0 * step``."""
