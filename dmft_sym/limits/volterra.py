"""Integral equations of two times by the trapezoidal rule, from the derived equations as they stand.

Kernels are zero above the diagonal, so that sweeps over all equations converge as those of Volterra equations do: each
one is right for a further order of the time. The error is of second order in the width of the grid.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dmft_sym.support.errors import ExecutionError

from .grid_terms import EQUAL, PAST, Factor, Key, Range, Row, Term

Arrays: TypeAlias = dict[Key, NDArray[Any]]
_LETTERS = {"t": "t", "s": "s", "t_1": "u", "s_1": "v"}
_MOST = 100
_BLOCK = 8
_CONVERGED = 1e-13
_TOO_LARGE = 1e12


class Grid:
    """Values of terms on a grid of times.

    Parameters
    ----------
    points
        Number of times, the first of which is zero.
    width
        Between neighbouring times.
    """

    def __init__(self, points: int, width: float) -> None:
        self.points, self.width = points, width
        self.known: Arrays = {EQUAL: np.eye(points), PAST: np.tri(points, k=-1)}

    def value(self, term: Term, arrays: Mapping[Key, NDArray[Any]], times: Sequence[str]) -> NDArray[Any]:
        """A term at all times of the left-hand side."""
        if any(factor.key not in arrays and factor.key not in self.known for factor in term.factors):
            return np.zeros((self.points,) * len(times))
        return float(term.coefficient) * self._ranged(term.factors, term.ranges, (), arrays, times)

    def _ranged(
        self,
        factors: Sequence[Factor],
        ranges: Sequence[Range],
        masks: Sequence[tuple[str, str]],
        arrays: Mapping[Key, NDArray[Any]],
        times: Sequence[str],
    ) -> NDArray[Any]:
        """Integrals one after the other, between times of the left-hand side: the sum, without half of both ends."""
        if not ranges:
            return self._product(factors, masks, arrays, times)
        (first, *rest) = ranges
        inside = [(first.high, first.time), *([(first.time, first.low)] if first.low != "0" else [])]
        whole = self._ranged(factors, rest, (*masks, *inside), arrays, times)
        if first.summed:
            return whole
        ends = [
            self._ranged(_put(factors, first.time, end), rest, masks, arrays, times) for end in (first.low, first.high)
        ]
        outside = 1.0 if first.low == "0" else np.tri(self.points)  # between s and t there is nothing for t < s
        return self.width * (whole - outside * (ends[0] + ends[1]) / 2)

    def _product(
        self,
        factors: Sequence[Factor],
        masks: Sequence[tuple[str, str]],
        arrays: Mapping[Key, NDArray[Any]],
        times: Sequence[str],
    ) -> NDArray[Any]:
        operands: list[NDArray[Any]] = []
        indices: list[str] = []
        for factor in factors:
            array = self.known[factor.key] if factor.key in self.known else arrays[factor.key]
            for axis in reversed([axis for axis, time in enumerate(factor.times) if time == "0"]):
                array = array.take(0, axis=axis)
            operands.append(array)
            indices.append("".join(_LETTERS[time] for time in factor.times if time != "0"))
        for late, early in masks:
            operands.append(np.tri(self.points))
            indices.append(_LETTERS[late] + _LETTERS[early])
        for time in times:
            operands.append(np.ones(self.points))
            indices.append(_LETTERS[time])
        out = "".join(_LETTERS[time] for time in times)
        formula = f"{','.join(indices)}->{out}"
        return np.einsum(formula, *operands, optimize=_path(formula, self.points))


@lru_cache(maxsize=4096)
def _path(formula: str, points: int) -> Any:
    """In which order the arrays of a product are multiplied."""
    arrays = [np.empty((points,) * len(letters)) for letters in formula.split("->")[0].split(",")]
    return np.einsum_path(formula, *arrays, optimize="greedy")[0]


def _put(factors: Sequence[Factor], time: str, value: str) -> list[Factor]:
    return [replace(f, times=tuple(value if own == time else own for own in f.times)) for f in factors]


def solve(equations: Iterable[Row], kernels: Collection[str], points: int, end: float) -> Arrays:
    """All functions of the equations at ``points`` times from 0 to ``end``.

    The grid grows by blocks, so that sweeps begin near to what they end with.

    Parameters
    ----------
    kernels
        Names of functions that are zero for ``s > t``.

    Raises
    ------
    ExecutionError
        If sweeps do not converge: the grid is too wide for them.
    """
    arrays: Arrays = {}
    listed, done, block = list(equations), 0, _BLOCK
    while done < points:
        size = min(points, done + block)
        found = _swept(listed, kernels, Grid(size, end / (points - 1)), _padded(arrays, size))
        if found is not None:
            arrays, done = found, size
        elif block > 1:
            block //= 2
        else:
            raise ExecutionError(
                f"points = {points}: sweeps over the integral equations up to time = {end:g} do not converge; "
                "allowed are more points"
            )
    return arrays


def _padded(arrays: Arrays, size: int) -> Arrays:
    """On a longer grid, with the last values as a guess."""
    return {key: np.pad(array, [(0, size - len(array))] * array.ndim, mode="edge") for key, array in arrays.items()}


def _swept(equations: Iterable[Row], kernels: Collection[str], grid: Grid, arrays: Arrays) -> Arrays | None:
    """Sweeps until nothing changes; ``None`` if they diverge."""
    for _ in range(_MOST):
        change = size = 0.0
        for row in equations:
            made = np.asarray(sum(grid.value(term, arrays, row.left.times) for term in row.terms))
            if row.left.key[0] in kernels and made.ndim == 2:
                made = np.tril(made)
            largest = float(np.abs(made).max())
            if not largest < _TOO_LARGE:
                return None
            change = max(change, float(np.abs(made - arrays.get(row.left.key, 0.0)).max()))
            size = max(size, largest)
            arrays[row.left.key] = made
        if change <= _CONVERGED * size:
            return arrays
    return None
