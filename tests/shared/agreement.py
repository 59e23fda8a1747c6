"""March against coordinates: every order parameter that both routes give, and the zeros that the march assumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp
from averages import far_sector, noise_rows, noise_side, products_of

from dmft_sym.derivation.arrays import OrderParameter
from dmft_sym.derivation.processes import Process, process_of
from dmft_sym.derivation.uses import Use
from dmft_sym.execution import ExecutionResult, run_coordinates
from dmft_sym.execution.coordinates import Side
from dmft_sym.execution.plan import Multiply
from dmft_sym.program import FieldRef, LayerRange, Space
from dmft_sym.solvers.arguments import run_arguments
from dmft_sym.theory import Theory

Layer = int | None
CANCELLED = 1e-13
"""Norms below this are rounding: fields whose parts cancel have no scale of their own, the others are of order one."""


@dataclass
class Agreement:
    """Largest deviation of every compared matrix, relative to the largest entry of its kind.

    Attributes
    ----------
    losses, correlations
        By name (and layers).
    responses
        Fields as sums of responses to the noises of one matrix.
    zeros
        Overlaps of fields that the march takes to be independent.
    """

    losses: dict[str, float] = field(default_factory=dict)
    correlations: dict[str, float] = field(default_factory=dict)
    responses: dict[str, float] = field(default_factory=dict)
    zeros: dict[str, float] = field(default_factory=dict)

    def worst(self) -> tuple[str, float]:
        """Name and size of the largest deviation."""
        everything = {**self.losses, **self.correlations, **self.zeros, **self.responses}
        name = max(everything, key=lambda key: everything[key])
        return name, everything[name]


class Diverged(Exception):  # noqa: N818
    """The learning rate is beyond stability: nothing to compare."""


def compare_routes(
    theory: Theory,
    parameters: Mapping[str, float],
    steps: int,
    *,
    backend: str = "numpy",
    tol: float = 1e-11,
) -> Agreement:
    """March a theory, run its program in coordinates, and compare."""
    arguments = run_arguments(theory, steps, parameters)
    marched = theory.compile(backend).raw(steps=steps, **parameters)
    run = run_coordinates(
        theory.program,
        arguments.values,
        arguments.outputs,
        steps,
        tol=tol,
        record_steps=range(steps),
        data=arguments.data,
    )
    if run.steps < steps or marched["steps"] < steps:
        raise Diverged
    integers = {symbol: int(v) for symbol, v in arguments.values.items() if symbol.is_integer}
    return _Comparison(theory, marched, run, integers, arguments.values).agreement()


def entries(
    array: OrderParameter, process: Process, integers: Mapping[sp.Symbol, int]
) -> Iterator[tuple[tuple[int, ...], Layer, Layer]]:
    """Index, layer of the row and layer of the column of every matrix of an array."""

    def numbers(layers: LayerRange) -> range:
        # Min and Max of symbolic ends are evaluated here.
        return layers.at(dict(integers))

    def number(layer: sp.Expr | None) -> Layer:
        return None if layer is None else int(layer.subs(dict(integers)))

    if array.row_layers is not None and array.column_layers is not None:
        for i, row in enumerate(numbers(array.row_layers)):
            for j, column in enumerate(numbers(array.column_layers)):
                yield (i, j), row, column
    elif array.offset is not None and array.row_layers is not None:
        for i, row in enumerate(numbers(array.row_layers)):
            yield (i,), row, number(row + array.offset)
    elif array.row_layers is not None:
        for i, row in enumerate(numbers(array.row_layers)):
            yield (i,), row, None
    elif array.column_layers is not None:
        for i, column in enumerate(numbers(array.column_layers)):
            yield (i,), None, column
    else:
        row = None if array.row.layers is None else number(process.partner_layer(array.column, None, array.row))
        column = None if array.column.layers is None else number(process.partner_layer(array.row, None, array.column))
        yield (), row, column


class _Comparison:
    def __init__(
        self,
        theory: Theory,
        marched: Mapping[str, np.ndarray],
        run: ExecutionResult,
        integers: Mapping[sp.Symbol, int],
        values: Mapping[sp.Symbol, float],
    ) -> None:
        self.theory = theory
        self.marched = marched
        self.run = run
        self.integers = integers
        self.values = values
        self.refs = {(ref.field.name, _layer(ref)): ref for ref in run.fields}
        self.stacks = {key: self._stack(ref) for key, ref in self.refs.items()}

    def agreement(self) -> Agreement:
        found = Agreement()
        for name, line in self.run.observables.items():
            found.losses[name] = _relative(self.marched[name], line, np.abs(line).max(initial=0))
        seen = self._correlations(found)
        self._zeros(found, seen)
        self._responses(found)
        return found

    def _stack(self, ref: FieldRef) -> np.ndarray:
        snapshots = self.run.fields[ref]
        size = max(s.shape[1] for s in snapshots)
        padded = np.stack([np.pad(s, ((0, 0), (0, size - s.shape[1]))) for s in snapshots])
        return padded.reshape(padded.shape[0] * padded.shape[1], size)

    def _overlap(self, a: tuple[str, Layer], b: tuple[str, Layer]) -> np.ndarray:
        """``<a(t) b(s)>`` over (step, output); zero between sectors."""
        n = len(self.stacks[a])
        one, other = (self.run.arithmetic.plan.fields[self.refs[key]] for key in (a, b))
        sectors = self.run.arithmetic.plan.slots
        if sectors[one] != sectors[other]:
            return np.zeros((n, n))
        size = min(self.stacks[a].shape[1], self.stacks[b].shape[1])
        overlap = self.stacks[a][:, :size] @ self.stacks[b][:, :size].T
        name = self.run.arithmetic.plan.sectors[sectors[one]]
        if name.ephemeral:  # bases of different steps are unrelated
            outputs = self.run.arithmetic.plan.outputs
            overlap *= np.kron(np.eye(n // outputs), np.ones((outputs, outputs)))
        return overlap

    def _scale(self, a: tuple[str, Layer], b: tuple[str, Layer]) -> float:
        return _norm(self.stacks[a]) * _norm(self.stacks[b])

    def _correlations(self, found: Agreement) -> set[tuple[tuple[str, Layer], tuple[str, Layer]]]:
        seen = set()
        for array in self.theory.closed.arrays:
            if array.kind != "C":
                continue
            process = process_of(self.theory.processes, array.row)
            for index, row, column in entries(array, process, self.integers):
                a, b = (array.row.name, row), (array.column.name, column)
                if a not in self.refs or b not in self.refs:
                    continue
                seen.add((a, b))
                march = self.marched[array.name][index]
                expected = self._overlap(a, b)
                found.correlations[f"C {a} {b}"] = _relative(march, expected, self._scale(a, b))
        return seen

    def _zeros(self, found: Agreement, seen: set) -> None:
        """Fields of different processes, or of different positions of an aligned one, do not overlap."""
        for a, one in self.refs.items():
            for b, other in self.refs.items():
                if (a, b) in seen or one.space != other.space:
                    continue
                here = process_of(self.theory.processes, one)
                if other.field in here.shift and not self._apart(here, one, other):
                    continue
                found.zeros[f"0 {a} {b}"] = _relative(0.0, self._overlap(a, b), self._scale(a, b))

    def _apart(self, process: Process, one: FieldRef, other: FieldRef) -> bool:
        if process.coupled:
            return False
        positions = [
            sp.sympify((0 if ref.layer is None else ref.layer) - process.shift[ref.field]).subs(dict(self.integers))
            for ref in (one, other)
        ]
        return bool(positions[0] != positions[1])

    def _responses(self, found: Agreement) -> None:
        """Fields are ``F = sum R u`` along the directions of the noises ``u`` that the products of a matrix leave.

        The ``u`` of a smooth run are nearly dependent, so ``R`` itself is ill-conditioned, but ``R u`` is not.
        """
        tables = self._response_tables()
        plan = self.run.arithmetic.plan
        for (number, transpose), operands in self._products().items():
            spec = plan.matrices[number]
            if spec.fresh or not spec.variance or (transpose and not spec.inverse_aspect):
                continue
            product = Multiply(number, plan.fields[operands[0]], transpose, 1.0)
            side, scale = noise_side(self.run.arithmetic, product)
            noises = {o: noise_rows(self.run, o, side, scale, number) for o in operands}
            for key, ref in self.refs.items():
                if ref.space != (plan_space(self.theory, spec.key[0], transpose)):
                    continue
                along = self._along(ref, side, far_sector(self.run.arithmetic, product))
                predicted = np.zeros_like(along)
                for operand, noise in noises.items():
                    response = tables.get((key, spec.key, transpose, operand))
                    if response is not None:
                        predicted += response @ noise
                found.responses[f"R {key} {spec.key} {transpose}"] = _relative(
                    predicted, along, _norm(self.stacks[key])
                )

    def _products(self) -> dict[tuple[int, bool], list[FieldRef]]:
        """Operands of every matrix and direction."""
        plan = self.run.arithmetic.plan
        by_slot = {slot: ref for ref, slot in plan.fields.items()}
        found: dict[tuple[int, bool], list[FieldRef]] = {}
        for product in products_of(plan):
            operands = found.setdefault((product.matrix, product.transpose), [])
            if by_slot[product.operand] not in operands:
                operands.append(by_slot[product.operand])
        return found

    def _along(self, ref: FieldRef, side: Side, far: int) -> np.ndarray:
        """Coefficients of a field along the directions that a matrix has opened."""
        stack = self.stacks[ref.field.name, _layer(ref)]
        along = np.zeros((len(stack), len(side.noise)))
        plan = self.run.arithmetic.plan
        if plan.slots[plan.fields[ref]] == far:
            known = [k for k, coordinate in enumerate(side.noise) if coordinate < stack.shape[1]]
            along[:, known] = stack[:, [side.noise[k] for k in known]]
        return along

    def _response_tables(self) -> dict[tuple[Any, ...], np.ndarray]:
        """The march's responses by row, matrix, direction and operand of the product that leaves the noise."""
        found: dict[tuple[Any, ...], np.ndarray] = {}
        for array in self.theory.closed.arrays:
            source = getattr(array.column, "source", None)
            if array.kind != "R" or not isinstance(source, Use):
                continue
            process = process_of(self.theory.processes, array.row)
            scale = float(array.column.scale.subs(self.values))
            for index, row, column in entries(array, process, self.integers):
                operand = source.operand_at(None if column is None else sp.Integer(column))
                layer = None if operand.layer is None else int(operand.layer.subs(dict(self.integers)))
                if (operand.field.name, layer) in self.refs and scale:
                    matrix = (source.matrix.name, column if source.family else None)
                    key = (array.row.name, row), matrix, source.transpose, self.refs[operand.field.name, layer]
                    # Two places may apply a matrix to one field, in a scan and outside: their noises are one.
                    part = self.marched[array.name][index] / scale * self._decay(source)
                    found[key] = found[key] + part if key in found else part
        return found

    def _decay(self, source: Use) -> np.ndarray:
        """The march's responses are to the noise before weight decay, the others to what is left of it."""
        plan = self.run.arithmetic.plan
        n, outputs = len(next(iter(self.stacks.values()))), plan.outputs
        if source.matrix not in self.theory.program.learned:
            return np.ones(n)
        return np.repeat(plan.recursion.keep ** -np.arange(n // outputs, dtype=float), outputs)


def plan_space(theory: Theory, matrix: str, transpose: bool) -> Space:
    """Where the products of a matrix live."""
    declared = next(m for m in theory.program.matrices if m.name == matrix)
    return declared.source if transpose else declared.target


def _layer(ref: FieldRef) -> Layer:
    return None if ref.layer is None else int(ref.layer)


def _relative(a: np.ndarray | float, b: np.ndarray, scale: float) -> float:
    return float(np.abs(a - b).max(initial=0) / (scale or 1.0))


def _norm(stack: np.ndarray) -> float:
    """The largest norm that a field has, zero if it is rounding."""
    norm = float(np.sqrt(np.einsum("ij,ij->i", stack, stack).max(initial=0)))
    return norm if norm > CANCELLED else 0.0
