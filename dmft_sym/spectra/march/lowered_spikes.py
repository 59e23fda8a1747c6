"""``J(z)`` of a spike condition from its SymPy equations: every term becomes a block of a matrix.

Unknowns are overlaps and responses of level-two fields at the past steps and labels; memories are put in. A term is
``coefficient(z) * known * unknown``, where the coefficient contains bulk responses and the known part two-time averages
of training, errors of samples and what increments are worth.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.derivation.equations import Equation
from dmft_sym.derivation.symbols import KERNEL, MemoryKernel, ScalarAt, TwoPoint
from dmft_sym.program import PAST_STEP
from dmft_sym.spectra.equations.bulk_equations import BulkResponse

Floats: TypeAlias = NDArray[np.float64]
Known: TypeAlias = Callable[[sp.Expr], Floats]
"""The values of a two-time average or a scalar at given layers, an axis for every other label, steps before ``t``."""
Resolvents: TypeAlias = Callable[[BulkResponse, float], float]
"""A bulk response at an eigenvalue."""


@dataclass(frozen=True)
class _Block:
    """``coefficient * values`` from one family of unknowns to another, shape (rows, columns)."""

    row: sp.Expr
    column: sp.Expr
    coefficient: sp.Expr
    values: Floats


class LoweredSpikes:
    """``J(z)`` of one matrix at one step.

    Parameters
    ----------
    items
        The spike equations.
    sizes
        Length of every index: past steps, and labels by the symbols that run over them.
    integers, values
        Values of layers' symbols, and of parameters.
    known
        Averages of training.
    kernel
        What an increment of the steps ``0, ..., t - 1`` is worth at ``t``, shape (t,).
    """

    def __init__(
        self,
        items: Sequence[Equation],
        sizes: Callable[[sp.Symbol], int],
        integers: Mapping[sp.Symbol, int],
        values: Mapping[sp.Symbol, float],
        known: Known,
        kernel: Floats,
    ) -> None:
        self.sizes, self.integers, self.values, self.known, self.kernel = sizes, integers, values, known, kernel
        self.functions = {item.left.func for item in items}
        self.places: dict[sp.Expr, slice] = {}
        self.blocks: list[_Block] = []
        instances = [pair for item in items for pair in self._instances(item)]
        for left, _ in instances:
            self._place(left)
        for left, terms in instances:
            for term in terms:
                self.blocks += self._lowered(left, term)
        self.size = max((place.stop for place in self.places.values()), default=0)

    def _instances(self, item: Equation) -> Iterator[tuple[sp.Expr, list[sp.Expr]]]:
        """The equation at every layer where it holds."""
        ranges = [layers.at(dict(self.integers)) for _, layers in item.where.ranges]
        for layers in itertools.product(*ranges):
            bound = {**self.integers, **dict(zip((index for index, _ in item.where.ranges), layers, strict=True))}
            if item.where.holds(bound):
                yield item.left.subs(bound), [term.subs(bound) for term in item.terms]

    def _indices(self, point: sp.Expr) -> list[sp.Symbol]:
        """Symbols of the labels of a thing; layers are numbers."""
        return [argument for argument in point.args if argument.is_Symbol]

    def _key(self, point: sp.Expr) -> sp.Expr:
        """An unknown without its labels: the function at its layers."""
        return point.func(*(a if not a.is_Symbol else sp.S.NaN for a in point.args))

    def _place(self, point: sp.Expr) -> slice:
        key = self._key(point)
        if key not in self.places:
            start = max((place.stop for place in self.places.values()), default=0)
            count = int(np.prod([self.sizes(symbol) for symbol in self._indices(point)]))
            self.places[key] = slice(start, start + count)
        return self.places[key]

    def _lowered(self, left: sp.Expr, term: sp.Expr) -> Iterator[_Block]:
        """Blocks of a term, one for every layer that it is summed over."""
        factors = list(sp.Mul.make_args(term))
        sums = [factor for factor in factors if isinstance(factor, sp.Sum)]
        outer = sp.Mul(*(factor for factor in factors if factor not in sums))
        (body, limits) = (sums[0].function, sums[0].limits) if sums else (sp.Integer(1), ())
        layered = [limit for limit in limits if limit[1] != 0 and limit[0] not in self._steps(limits)]
        ranges = [range(int(low.subs(self.integers)), int(high.subs(self.integers)) + 1) for _, low, high in layered]
        for layers in itertools.product(*ranges):
            bound = dict(zip((symbol for symbol, *_ in layered), layers, strict=True))
            block = self._block(left, (outer * body).subs(bound))
            if block is not None:
                yield block

    @staticmethod
    def _steps(limits: Sequence[Any]) -> set[sp.Symbol]:
        return {symbol for symbol, low, _ in limits if low.has(PAST_STEP)}

    def _block(self, left: sp.Expr, product: sp.Expr) -> _Block | None:
        coefficient: sp.Expr = sp.Integer(1)
        operands: list[tuple[Floats, list[sp.Symbol]]] = []
        unknown: sp.Expr | None = None
        for factor in sp.Mul.make_args(product):
            if isinstance(factor, TwoPoint) and factor.func in self.functions:
                unknown = factor
            elif isinstance(factor, TwoPoint | ScalarAt) and self._indices(factor):
                operands.append((self.known(self._key(factor)), self._indices(factor)))
            elif factor.has(KERNEL):
                operands.append((self.kernel, [PAST_STEP]))
            else:
                coefficient = coefficient * factor
        assert unknown is not None
        if self._key(unknown) not in self.places:
            return None  # no layer where it has an equation
        values = self._contracted(self._indices(left), self._indices(unknown), operands)
        return _Block(self._key(left), self._key(unknown), coefficient, values)

    def _contracted(
        self, rows: list[sp.Symbol], columns: list[sp.Symbol], operands: list[tuple[Floats, list[sp.Symbol]]]
    ) -> Floats:
        """The known part as a matrix from the labels of an unknown to those of the left-hand side."""
        letters = {symbol: number for number, symbol in enumerate(dict.fromkeys([*rows, *columns]))}
        free = len(letters)
        out = [letters[symbol] for symbol in rows]
        parts: list[Any] = [x for array, symbols in operands for x in (array, [letters[symbol] for symbol in symbols])]
        for symbol in columns:
            size = self.sizes(symbol)
            if symbol in rows:  # the same label on both sides
                parts += [np.eye(size), [letters[symbol], free]]
                out.append(free)
                free += 1
            else:
                parts += [np.ones(size), [letters[symbol]]]
                out.append(letters[symbol])
        for symbol in rows:
            parts += [np.ones(self.sizes(symbol)), [letters[symbol]]]
        made = np.einsum(*parts, out, optimize=True)
        count = int(np.prod([self.sizes(symbol) for symbol in rows]))
        return np.asarray(made, dtype=np.float64).reshape(count, -1)

    def matrix(self, z: float, resolvents: Resolvents) -> Floats:
        """``J(z)`` without memories, shape (unknowns, unknowns)."""
        whole = np.zeros((self.size, self.size))
        for block in self.blocks:
            weight = self._weight(block.coefficient, z, resolvents)
            whole[self.places[block.row], self.places[block.column]] += weight * block.values
        memory = np.zeros(self.size, dtype=bool)
        for key, place in self.places.items():
            memory[place] = isinstance(key, MemoryKernel)
        own, through = whole[np.ix_(~memory, ~memory)], whole[np.ix_(~memory, memory)]
        return np.asarray(own + through @ whole[np.ix_(memory, ~memory)])

    def _weight(self, coefficient: sp.Expr, z: float, resolvents: Resolvents) -> float:
        bulk = {response: resolvents(response, z) for response in coefficient.atoms(BulkResponse)}
        present = {point: float(self.known(point)) for point in coefficient.atoms(TwoPoint)}
        numbers = {part: sp.Float(value) for part, value in {**bulk, **present}.items()}
        return float(coefficient.xreplace(numbers).subs(self.values))


def outliers_above(edge: float, condition: Callable[[float], Floats]) -> Floats:
    """Points above the edge at which an eigenvalue of ``J(z)`` is one, descending, with multiplicity.

    Parameters
    ----------
    condition
        ``J(z)`` as a matrix.
    """
    from scipy.optimize import brentq

    def real_eigenvalues(z: float) -> Floats:
        found = np.linalg.eigvals(condition(z))
        kept = found.real[np.abs(found.imag) < 1e-9 * np.abs(found).max(initial=1.0)]
        return np.sort(kept)[::-1]

    def excess(z: float, rank: int) -> float:
        found = real_eigenvalues(z)
        return float(found[rank] - 1) if len(found) > rank else -1.0

    count = int((real_eigenvalues(edge) > 1).sum())
    roots = []
    for rank in range(count):
        high = edge + max(0.1 * abs(edge), 1e-3)
        while excess(high, rank) > 0:
            high = edge + 2 * (high - edge)
        roots.append(brentq(excess, edge, high, args=(rank,), xtol=1e-13, rtol=1e-13))
    return np.sort(np.array(roots))[::-1]
