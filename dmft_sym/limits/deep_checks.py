"""Checks of infinite depth: of every equation with arbitrary smooth functions of the layer, and of losses."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import sympy as sp
import xarray as xr

from dmft_sym.derivation.continuous import TIMES
from dmft_sym.derivation.equations import Equation
from dmft_sym.derivation.symbols import PAST_KERNEL, TwoPoint
from dmft_sym.program import DEPTH, LAYER, OUTPUTS, TIME
from dmft_sym.solvers.solver import Solver

from .deep_limit import DeepTheory, Key
from .limit import EPS, Kind, Limit
from .verdicts import Verdict, Verdicts

_DEPTHS = (8, 16, 32)
_STEPS = 2
_NETWORKS = (4, 8, 16, 32)


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
    names = {dim: str(dim).replace("tau", label, 1) for dim in expected.dims if str(dim).startswith("tau")}
    return float(abs(found - expected.rename(names)).mean())


class _Values:
    """Numbers of expressions at a depth, with axes named by layers and steps; order parameters are made up.

    Every family is a polynomial of its layers over the depth, and an oscillation of its steps.
    """

    def __init__(self, limiting: DeepTheory, depth: int, continuous: bool) -> None:
        self.limiting, self.depth, self.continuous = limiting, depth, continuous
        rng = random.Random(1)
        self.numbers = {s: rng.uniform(0.6, 0.9) for s in limiting.theory.program.parameters if s != DEPTH}
        self.layers = np.arange(1, depth) / depth

    def of(self, part: sp.Expr) -> xr.DataArray:
        """The value of an expression."""
        if part.is_Add:
            return _added(map(self.of, part.args))
        if part.is_Mul:
            return _product(map(self.of, part.args))
        if isinstance(part, sp.Sum | sp.Integral):
            return self._total(part)
        if isinstance(part, TwoPoint):
            return self._function(part)
        if isinstance(part, sp.Heaviside):
            return (self._line(part.args[0]) > 0) * 1.0
        if isinstance(part, sp.KroneckerDelta) or part.func == PAST_KERNEL:
            if not all(_is_layer(symbol) or symbol in TIMES for symbol in part.free_symbols):  # of one output
                return xr.DataArray(1.0)
            difference = self._line(part.args[0] - part.args[1])
            return (abs(difference) < 1e-9 if isinstance(part, sp.KroneckerDelta) else difference > 0) * 1.0
        return xr.DataArray(float(part.subs(self.numbers).subs(DEPTH, self.depth)))

    def _total(self, part: sp.Expr) -> xr.DataArray:
        value = self.of(part.function)
        for symbol, low, high in part.limits:
            if OUTPUTS in sp.sympify(high).free_symbols:
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
        expression = sp.sympify(expression).subs(DEPTH, self.depth)
        value = xr.DataArray(float(expression.subs(dict.fromkeys(expression.free_symbols, 0))))
        for symbol in expression.free_symbols:
            value = value + float(expression.coeff(symbol)) * self.axis(symbol)
        return value

    def axis(self, symbol: sp.Symbol) -> xr.DataArray:
        """Numbers of a label."""
        if symbol.name.startswith("tau"):
            return xr.DataArray(self.layers, dims=[symbol.name])
        if _is_layer(symbol):
            return xr.DataArray(np.arange(1.0, self.depth), dims=[symbol.name])
        return xr.DataArray(np.arange(float(_STEPS)), dims=[symbol.name])


def _is_layer(symbol: sp.Symbol) -> bool:
    return symbol.name.split("_")[0] == LAYER.symbol.name


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


def approach(limiting: DeepTheory, arguments: Mapping[str, Any], steps: int = 6) -> Verdict:
    """Whether losses of deeper and deeper networks close up with one over the depth."""
    given = {name: value for name, value in arguments.items() if name not in ("depth", "steps")}
    solver, rate = Solver(limiting.theory, "numpy"), limiting.limit.rate or limiting.rate
    losses = [observable.name for observable in limiting.theory.program.observables]
    runs = [solver(method="equations", depth=depth, steps=steps, **given) for depth in _NETWORKS]
    gaps = [max(float(abs(b[n] - a[n]).max()) for n in losses) for a, b in itertools.pairwise(runs)]
    first, last = np.log2(gaps[0] / gaps[1]), np.log2(gaps[1] / gaps[2])
    error = abs(last - first)
    holds = abs(last - rate) < 0.1 + error and error < 0.5
    return Verdict(bool(holds), f"rate {last:.2f} +- {error:.2f}, expected {rate}; distance {gaps[-1]:.1e}")


def checks(limiting: DeepTheory, arguments: Mapping[str, Any]) -> Verdicts:
    """All three."""
    whole = Verdict(None, "a depth is an integer, and no parameter of rational functions")
    return structural(limiting), whole, approach(limiting, arguments)


deep = Limit(
    "deep",
    {DEPTH.name: 1 / EPS},
    why="branches are of the order of the inverse root of the depth, layers a time, sums over them integrals",
    rate=1,
    kind=Kind(DeepTheory, checks, alone=DEPTH.name),
)
"""Infinite depth of residual networks, ``L -> oo``."""
