"""Checks of infinitely many steps: generating functions of a march, and losses of long runs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from dmft_sym.derivation.symbols import Response
from dmft_sym.solvers.solver import Solver

from .grid_terms import place_of
from .late_limit import LateTheory, Z
from .limit import Kind, Limit
from .verdicts import Verdict, Verdicts

_STEPS = 160
_AT = 1.3
"""Where generating functions of so many steps are known to rounding."""
_ROUNDING = 1e-9
_RUNS = (1000, 2000, 4000)
_CLOSE = 1e-3
_STILL = 1e-4
"""What a run that has ended moves less than within the second half of its steps."""


def structural(limiting: LateTheory, arguments: Mapping[str, Any]) -> Verdict:
    """Whether responses of a march depend on time differences alone, and generating functions solve the equations."""
    given = {name: value for name, value in arguments.items() if name not in ("steps", "outputs")}
    raw = Solver(limiting.theory, "numpy").raw(steps=_STEPS, **given)
    known: dict[sp.Symbol, Any] = {**limiting.values(given), Z: _AT}
    integers = {symbol: int(value) for symbol, value in known.items() if symbol.is_integer}
    for key in [row.left.key for row in limiting.rows if issubclass(limiting.functions[row.left.key[0]], Response)]:
        func: Any = limiting.functions[key[0]]
        known[limiting.symbol(key)] = 0.0
        if func in limiting.forgotten:
            continue
        array = limiting.theory.closed.families[func]
        response = np.asarray(raw[array.name], dtype=float)[place_of(array, func, key[1], integers)]
        if not array.static and not np.allclose(response[1:, 1], response[:-1, 0], atol=1e-12):
            words = f"{func.__name__} does not depend on time differences alone"
            return Verdict(None if limiting.decays else False, words, undecided=limiting.decays)
        column = response[:, 0]  # the answer to a force that stays is the sum of those to its steps
        lags = np.diff(column, prepend=0.0) if array.static else column
        known[limiting.symbol(key)] = float(lags @ _AT ** -np.arange(_STEPS))
    kernels = {item.left: item.right for item in limiting.moving if item.left not in known}
    distances = {
        item.left: abs(float(_value(item.right - item.left, kernels, known)))
        for item in limiting.moving
        if item.left in known
    }
    worst = max(distances, key=lambda left: distances[left])
    if distances[worst] > _ROUNDING:
        return Verdict(False, f"{worst}: generating functions of a march differ by {distances[worst]:.1e}")
    return Verdict(True, f"{len(limiting.equations)} equations; those of a march solve them to {distances[worst]:.0e}")


def _value(expression: sp.Expr, kernels: Mapping[sp.Symbol, sp.Expr], known: Mapping[sp.Symbol, Any]) -> sp.Expr:
    """A number, with kernels by their own equations."""
    while expression.free_symbols & set(kernels):
        expression = expression.subs(kernels)
    return expression.subs(known)


def approach(limiting: LateTheory, arguments: Mapping[str, Any]) -> Verdict:
    """Whether losses of long runs close up with those of the end; undecided where runs are still on their way."""
    given = {name: value for name, value in arguments.items() if name not in ("steps", "outputs")}
    end = limiting.solve(**given)
    solver, names = Solver(limiting.theory, "numpy"), list(end.data_vars)
    runs = [solver(method="conditioning", steps=steps, **given) for steps in _RUNS]
    losses = np.array([[float(run[name].values[-1, 0]) for name in names] for run in runs])
    limit = np.array([float(end[name].values[0]) for name in names])
    distances, size = np.abs(losses - limit).max(axis=1), float(limit.max())
    moved = float(np.abs(losses[-1] - losses[-2]).max())
    nearer = all(b < a or b < 1e-6 * size for a, b in itertools.pairwise(distances))
    after = f"after {', '.join(map(str, _RUNS))} steps"
    words = f"distance {', '.join(f'{distance:.1e}' for distance in distances)} {after}"
    if nearer and distances[-1] >= _CLOSE * size and moved > _STILL * size:
        slow = f"{words}, and runs still move; a larger learning_rate, or samples_per_dim farther from 1, would decide"
        return Verdict(None, slow, undecided=True)
    return Verdict(bool(nearer and distances[-1] < _CLOSE * size), words)


def checks(limiting: LateTheory, arguments: Mapping[str, Any]) -> Verdicts:
    """All three."""
    endless = Verdict(None, "infinitely many steps have no first ones")
    return structural(limiting, arguments), endless, approach(limiting, arguments)


late = Limit(
    "late",
    {},
    why="a linear system that does not change is left with what it answers to constant forces: interpolation, or ridge",
    kind=Kind(LateTheory, checks),
)
"""Infinitely many steps, of networks whose kernel does not change."""
