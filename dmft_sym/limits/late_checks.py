"""Checks of infinitely many steps: generating functions of a march, and losses of long runs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from dmft_sym.solvers.solver import Solver

from .checks import Verdict
from .late_limit import LateTheory, Z, symbol_of

_STEPS = 160
_AT = 1.3
"""Where generating functions of so many steps are known to rounding."""
_ROUNDING = 1e-9
_RUNS = (1000, 2000, 4000)
_CLOSE = 1e-3


def structural(limiting: LateTheory, arguments: Mapping[str, Any]) -> Verdict:
    """Whether responses of a march depend on time differences alone, and generating functions solve the equations."""
    given = {name: value for name, value in arguments.items() if name not in ("steps", "outputs")}
    raw = Solver(limiting.theory, "numpy").raw(steps=_STEPS, **given)
    known: dict[sp.Symbol, Any] = {**limiting.values(given), Z: _AT}
    for func, array in limiting.theory.closed.families.items():
        if func.letter != "R":
            continue
        response = np.asarray(raw[array.name], dtype=float)
        if not array.static and not np.allclose(response[1:, 1], response[:-1, 0], atol=1e-12):
            return Verdict(False, f"{func.__name__} does not depend on time differences alone")
        column = response[:, 0]  # the answer to a force that stays is the sum of those to its steps
        lags = np.diff(column, prepend=0.0) if array.static else column
        known[symbol_of((func.__name__, limiting.labels[func.__name__]))] = float(lags @ _AT ** -np.arange(_STEPS))
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
    """Whether losses of long runs close up with those of the end."""
    given = {name: value for name, value in arguments.items() if name not in ("steps", "outputs")}
    end, distances = limiting.solve(**given), []
    solver = Solver(limiting.theory, "numpy")
    for steps in _RUNS:
        run = solver(method="conditioning", steps=steps, **given)
        distances.append(max(float(abs(run[name].values[-1, 0] - end[name].values[0])) for name in end.data_vars))
    size = max(float(end[name].values[0]) for name in end.data_vars)
    nearer = all(b < a or b < 1e-6 * size for a, b in itertools.pairwise(distances))
    words = ", ".join(f"{distance:.1e}" for distance in distances)
    return Verdict(
        nearer and distances[-1] < _CLOSE * size, f"distance {words} after {', '.join(map(str, _RUNS))} steps"
    )
