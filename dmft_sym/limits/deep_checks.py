"""Checks of infinite depth: of every equation with arbitrary smooth functions of the layer, and of losses."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp
import xarray as xr
from numpy.typing import NDArray

from dmft_sym.derivation.continuous import TIMES
from dmft_sym.derivation.equations import Equation
from dmft_sym.derivation.symbols import KEPT, PAST_KERNEL, MemoryKernel, ReportedAt, TwoPoint
from dmft_sym.program import DEPTH, LAYER, OUTPUTS, TIME
from dmft_sym.program.optimizer import Recursion
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.solvers.solver import Solver

from .deep_limit import DeepTheory, Depth, Key, labels_of, tau
from .limit import EPS, Kind, Limit
from .verdicts import Verdict, Verdicts, fitted

_DEPTHS = (8, 16, 32)
_STEPS = 2
_NETWORKS, _RUN = (4, 8, 16, 32), 3
"""Depths of networks, and their steps."""
_SMALL = 1e-12


def structural(limiting: DeepTheory) -> Verdict:
    """Whether sums over layers go to the limiting equations with one over the depth, for any functions of the layer."""
    if limiting.limit.rate not in (None, limiting.rate):
        return Verdict(False, f"corrections are of order eps^{limiting.rate}, not eps^{limiting.limit.rate}")
    pairs = list(zip(limiting.known, limiting.equations.items, strict=True))
    distances = np.array([[_difference(limiting, *pair, depth) for pair in pairs] for depth in _DEPTHS])
    largest = distances.max(axis=1)
    slopes = np.diff(np.log2(np.maximum(largest, 1e-300)))
    if not slopes.max() < -0.7:
        worst = pairs[int(distances[-1].argmax())][0].label
        return Verdict(False, f"{worst} is not the limit of sums over layers: they differ by {largest[-1]:.1e}")
    return Verdict(True, f"{len(pairs)} equations, sums over layers differ from them by eps^{-slopes[-1]:.2f}")


def _difference(limiting: DeepTheory, whole: Equation, limit: Equation, depth: int) -> float:
    """Mean over layers and steps."""
    discrete, continuous = _Values(limiting, depth, False), _Values(limiting, depth, True)
    carries, label = limiting.carries(whole), LAYER.symbol.name
    found = _added(discrete.of(term) for term in limiting.terms_of(whole))
    found = found * depth ** float(limiting.powers_of[limiting.key(whole.left)])
    expected = _added(continuous.of(term) for term in (limit.terms[1:] if carries else limit.terms))
    if carries:
        found = found * xr.ones_like(discrete.axis(LAYER.symbol))
        backwards = {label: slice(None, None, -1)}
        if LAYER.symbol in whole.where.descending:
            found = found.isel(backwards).cumsum(label).isel(backwards)
        else:
            found = found.shift({label: 1}, fill_value=0.0).cumsum(label)
    names = {tau(layer).name: layer.name for layer in limiting.layers}
    return float(abs(found - expected.rename({a: b for a, b in names.items() if a in expected.dims})).mean())


class _Values:
    """Numbers of expressions at a depth, with axes named by layers and steps; order parameters are made up.

    Every family is a polynomial of its layers over the depth, and an oscillation of its steps.
    """

    def __init__(self, limiting: DeepTheory, depth: int, continuous: bool, steps: int = _STEPS) -> None:
        self.limiting, self.depth, self.continuous, self.steps = limiting, depth, continuous, steps
        rng = random.Random(1)
        self.numbers = {s: rng.uniform(0.6, 0.9) for s in limiting.theory.program.parameters if s != DEPTH}
        self.layers = np.arange(1, depth) / depth
        self.known: dict[sp.Expr, xr.DataArray] = {}
        self.lines: dict[sp.Expr, xr.DataArray] = {}

    def of(self, part: sp.Expr) -> xr.DataArray:
        """The value of an expression."""
        if part.is_Add:
            return _added(map(self.of, part.args))
        if part.is_Mul:
            return _product(map(self.of, part.args))
        if isinstance(part, sp.Sum | sp.Integral):
            return self._total(part)
        if isinstance(part, TwoPoint | ReportedAt):
            if part not in self.known:
                self.known[part] = self._function(part)
            return self.known[part]
        if isinstance(part, sp.Heaviside):
            return (self._line(part.args[0]) > 0) * 1.0
        if isinstance(part, sp.KroneckerDelta):
            if not part.free_symbols <= {*self.limiting.layers, *TIMES}:  # of one output
                return xr.DataArray(1.0)
            return (abs(self._line(part.args[0] - part.args[1])) < 1e-9) * 1.0
        if part.func == PAST_KERNEL:
            lags = self._line(part.args[0] - part.args[1]).clip(0).astype(int)
            return xr.DataArray(self.recursion.kernel(self.steps)).isel(dim_0=lags)
        if part.func == KEPT:
            return xr.DataArray(self.recursion.retention(self._line(part.args[0])))
        return xr.DataArray(float(part.subs(self.numbers).subs(DEPTH, self.depth)))

    @cached_property
    def recursion(self) -> Recursion:
        """The optimizer at values of its parameters."""
        optimizer = self.limiting.theory.program.optimizer
        return optimizer.numbers(lambda value, _: float(sp.sympify(value, strict=True).subs(self.numbers)))

    def _total(self, part: sp.Expr) -> xr.DataArray:
        value = self.of(part.function)
        for symbol, low, high in part.limits:
            if OUTPUTS in sp.sympify(high, strict=True).free_symbols:
                continue
            here = self.axis(symbol)
            if isinstance(part, sp.Integral):
                inside = (here > self._line(low)) & (here < self._line(high))
                value = (value * inside).sum(symbol.name) / self.depth
            else:
                inside = here <= self._line(high) + 1e-9
                value = (value * inside).sum(symbol.name)
        return value

    def _function(self, point: TwoPoint) -> xr.DataArray:
        """A polynomial of its layers, the same for a family at all depths."""
        key: Key = self.limiting.key(point)
        rng = random.Random(str(key))
        slots = (*point.row.slots, *point.column.slots)
        layers = [self._depth(value) for slot, value in zip(slots, point.args, strict=True) if slot == LAYER.name]
        steps = [self._line(value) for slot, value in zip(slots, point.args, strict=True) if slot == TIME.name]
        value = xr.DataArray(rng.uniform(0.5, 1.0))
        for depth in layers:
            value = value + rng.uniform(-0.5, 0.5) * depth
        for step in steps:
            value = value * np.cos(rng.uniform(0.2, 0.6) * step)
        power = 0.0 if self.continuous else float(self.limiting.powers_of.get(key, 0))
        return value * self.depth ** (-power)

    def _depth(self, value: sp.Expr) -> xr.DataArray:
        """A layer over the depth."""
        return self._line(value) / (1 if self.continuous else self.depth)

    def _line(self, expression: sp.Expr) -> xr.DataArray:
        """A linear function of labels."""
        if expression not in self.lines:
            whole = sp.sympify(expression, strict=True).subs(DEPTH, self.depth)
            value = xr.DataArray(float(whole.subs(dict.fromkeys(whole.free_symbols, 0))))
            for symbol in whole.free_symbols:
                value = value + float(whole.coeff(symbol)) * self.axis(symbol)
            self.lines[expression] = value
        return self.lines[expression]

    def axis(self, symbol: sp.Symbol) -> xr.DataArray:
        """Numbers of a label."""
        if isinstance(symbol, Depth):
            return xr.DataArray(self.layers, dims=[symbol.name])
        if symbol in self.limiting.layers:
            return xr.DataArray(np.arange(1.0, self.depth), dims=[symbol.name])
        return xr.DataArray(np.arange(float(self.steps)), dims=[symbol.name])


def _added(terms: Iterable[xr.DataArray]) -> xr.DataArray:
    found = xr.DataArray(0.0)
    for term in terms:
        found = found + term
    return found


def _product(factors: Iterable[xr.DataArray]) -> xr.DataArray:
    found = xr.DataArray(1.0)
    for factor in factors:
        found = found * factor
    return found


def approach(limiting: DeepTheory, arguments: Mapping[str, Any]) -> Verdict:
    """Whether order parameters of networks solve the limiting equations, the better the deeper they are.

    Sums over the layers of a network stand for integrals; what is left over has to fall with the depth in every
    equation.
    """
    given = {name: value for name, value in arguments.items() if name not in ("depth", "steps", "outputs")}
    rests = [_rests(limiting, given, depth) for depth in _NETWORKS]
    expected = float(limiting.rate if limiting.limit.rate is None else limiting.limit.rate)
    for label, last in rests[-1].items():
        if last > _SMALL and np.log2(rests[-2][label] / last) < expected / 2:
            return Verdict(False, f"{label} is not solved by deep networks: {last:.1e} is left over at the last depth")
    return fitted([1 / depth for depth in _NETWORKS], [max(rest.values()) for rest in rests], expected)


def _rests(limiting: DeepTheory, given: Mapping[str, Any], depth: int) -> dict[str, float]:
    """Of every equation but those that define kernels, in units of its size; means over layers and steps."""
    numbers = _Marched(limiting, given, depth)
    found: dict[str, float] = {}
    for equation in limiting.equations.items:
        if not isinstance(equation.left, MemoryKernel):
            left = numbers.of(equation.left)
            size = max(float(abs(left).mean()), _SMALL)
            found[equation.label] = max(
                found.get(equation.label, 0.0), float(abs(left - numbers.of(equation.right)).mean()) / size
            )
    return found


class _Marched(_Values):
    """Numbers of expressions of continuous depth with order parameters of a network, in units of their powers.

    Kernels of memory, which a march does not keep, are what their limiting equations say.
    """

    def __init__(self, limiting: DeepTheory, given: Mapping[str, Any], depth: int) -> None:
        super().__init__(limiting, depth, True, _RUN)
        keywords = {**given, "depth": depth}
        self.numbers = run_arguments(limiting.theory, _RUN, keywords).values
        self.run = Solver(limiting.theory, "numpy").raw(steps=_RUN, **keywords)
        kernels = (item for item in limiting.equations.items if isinstance(item.left, MemoryKernel))
        self.kernels = {item.left: item.right for item in kernels}
        self.values: dict[sp.Expr, xr.DataArray] = {}

    def _function(self, point: sp.Expr) -> xr.DataArray:
        if isinstance(point, MemoryKernel):
            return self._kernel(point)
        if isinstance(point, ReportedAt):
            return _taken(np.asarray(self.run[point.func.__name__], dtype=float), [self._step(point.step), 0])
        array, (row, column) = self.limiting.theory.closed.families[point.func], point.ends
        places = [(row.layer, array.row_layers), (column.layer, array.column_layers)]
        at: list[xr.DataArray | int]
        at = [self._layer(depth, layers.at({DEPTH: self.depth})) for depth, layers in places if layers is not None]
        at += [self._step(row.step), 0 if array.static else self._step(column.step)]
        power = float(self.limiting.powers_of[self.limiting.key(point)])
        return _taken(np.asarray(self.run[array.name], dtype=float), at) * self.depth**power

    def _kernel(self, point: sp.Expr) -> xr.DataArray:
        """By its equation at an edge, if there is one, or between the edges."""
        same = [left for left in self.kernels if left.func == point.func]
        left = next((left for left in same if _edges(left) and _edges(left) == _edges(point)), None)
        left = left or next(left for left in same if not _edges(left))
        if left not in self.values:
            self.values[left] = self.of(self.kernels[left])
        at = {}
        for symbol, (slot, value) in zip(left.args, labels_of(point), strict=True):
            if slot in (LAYER.name, TIME.name) and str(symbol) in self.values[left].dims:
                layers = range(1, self.depth)
                at[str(symbol)] = self._layer(value, layers) if slot == LAYER.name else self._step(value)
        return self.values[left].isel(at)

    def _layer(self, depth: sp.Expr, layers: range) -> xr.DataArray:
        """Where the layer of a depth is in an array of some layers."""
        numbers = (self._line(depth) * self.depth).round().astype(int)
        return (numbers - layers.start).clip(0, len(layers) - 1)

    def _step(self, step: sp.Expr) -> xr.DataArray:
        return self._line(step).astype(int)


def _edges(kernel: MemoryKernel) -> tuple[sp.Expr, ...]:
    """Depths of the first or the last layer."""
    return tuple(value for slot, value in labels_of(kernel) if slot == LAYER.name and value.is_number)


def _taken(array: NDArray[Any], at: Sequence[xr.DataArray | int]) -> xr.DataArray:
    """Entries of an array at labels, with the axes of these."""
    whole = xr.DataArray(array)
    return whole.isel(dict(zip(whole.dims, at, strict=True)))


def checks(limiting: DeepTheory, arguments: Mapping[str, Any]) -> Verdicts:
    """All three."""
    whole = Verdict(None, "a depth is an integer, and no parameter of rational functions")
    return structural(limiting), whole, approach(limiting, arguments)


deep = Limit(
    "deep",
    {DEPTH.name: 1 / EPS},
    why="branches are of the order of the inverse root of the depth, layers a time, sums over them integrals",
    rate=1,
    needs={DEPTH.name: "a residual network whose layers are a scan, net.scan, would help"},
    kind=Kind(DeepTheory, checks, alone=DEPTH.name),
)
"""Infinite depth of residual networks, ``L -> oo``."""
