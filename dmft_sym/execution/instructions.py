"""A plan as lines of numbers, which the compiled arithmetic of growing coordinates carries out one after another.

A line is an operation and its arguments; what they are stands where they are carried out, in the module that is
compiled (``codegen/library/coordinate_steps.py``), and operations go by the names that it gives them. Scalars are rows
of *registers*, one number for each of their labels: observables first, then the scalars of the program that are
computed, then what is given, constants and intermediate results. A row of an operand is found in a list of rows; -1 is
the place of a list that is not there, for operands that have the labels of the result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.program import ScalarRef
from dmft_sym.program.site_expressions import Algebra, prepare, walk
from dmft_sym.support.errors import ExecutionError

from .coordinates import GrowingCoordinates
from .interface import Array
from .plan import (
    AverageSites,
    Combine,
    ComputeScalar,
    Evaluation,
    Factor,
    Increment,
    LearnVector,
    MapSites,
    Multiply,
    PlannedAverage,
    Remember,
    Rows,
    Step,
)

Operations = Mapping[str, int]
WIDTH = 12
"""Numbers in a line."""
_NAMES = {
    "==": "EQUAL",
    "!=": "UNEQUAL",
    "<": "LESS",
    "<=": "LESS_EQUAL",
    ">": "LESS",  # of exchanged operands
    ">=": "LESS_EQUAL",
}


@dataclass
class Instructions:
    """Lines of a step, and what they refer to.

    Attributes
    ----------
    lines : list
        Begin of the step, fields and scalars, a line that keeps them, updates.
    numbers : list of float
        Coefficients.
    lists : list of int
        Rows of operands, one list after another.
    registers : list of float
        Registers as they are at first.
    observables, scalars : dict
        Slices of the registers that are kept at every step.
    """

    lines: list[tuple[int, ...]] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)
    lists: list[int] = field(default_factory=list)
    registers: list[float] = field(default_factory=list)
    observables: dict[str, slice] = field(default_factory=dict)
    scalars: dict[ScalarRef, slice] = field(default_factory=dict)

    @property
    def tracked(self) -> int:
        """Number of registers that are kept at every step."""
        return max((part.stop for part in (*self.observables.values(), *self.scalars.values())), default=0)

    def code(self) -> NDArray[np.int64]:
        """All lines, shape (lines, `WIDTH`)."""
        return np.array([(*line, *(0,) * (WIDTH - len(line))) for line in self.lines], np.int64).reshape(-1, WIDTH)


def instructions(network: GrowingCoordinates, operations: Operations) -> Instructions:
    """The lines of one step of a network.

    Parameters
    ----------
    operations
        Numbers of operations by name.

    Raises
    ------
    ExecutionError
        If a field is not a linear function of fields, or a scalar not a bilinear one.
    """
    writer = _Writer(network, operations)
    writer.begin()
    for step in network.plan.steps:
        writer.step(step)
    for average in network.plan.averages:
        writer.observe(average)
    writer.line("KEEP")
    writer.learn()
    return writer.done


def _root(value: Factor) -> Factor:
    return math.sqrt(value) if isinstance(value, float) else np.sqrt(value)


class _Writer:
    def __init__(self, network: GrowingCoordinates, operations: Operations) -> None:
        self.network, self.plan, self.operations = network, network.plan, operations
        self.done = Instructions()
        self._constants: dict[tuple[float, int], int] = {}
        self._lists: dict[bytes, int] = {}
        for average in self.plan.averages:
            first = self.registers(average.rows)
            self.done.observables[average.name] = slice(first, first + average.rows)
        self.scalars: dict[int, int] = {}  # register of every scalar
        given = {*self.plan.given, *self.plan.given_anew}
        computed = {ref: number for ref, number in self.plan.scalars.items() if number not in given}
        for ref, number in computed.items():
            self.scalars[number] = self.registers(len(network.scalars[number]))
            self.done.scalars[ref] = slice(self.scalars[number], len(self.done.registers))
        for number in self.plan.given:
            self.scalars[number] = self.registers(len(network.scalars[number]), network.scalars[number])
        for number in set(range(len(network.scalars))) - set(self.scalars):  # those of the first step
            self.scalars[number] = self.registers(len(network.scalars[number]))

    def line(self, operation: str, *arguments: int) -> None:
        """One more line."""
        self.done.lines.append((self.operations[operation], *arguments))

    def number(self, value: Factor) -> int:
        """Place of a coefficient."""
        if not isinstance(value, float):
            raise ExecutionError("classes of sites: allowed is the interpreted plan, compiled lines do not know them")
        self.done.numbers.append(value)
        return len(self.done.numbers) - 1

    def rows(self, rows: Rows) -> int:
        """Place of a list of rows."""
        if rows is None:
            return -1
        key = np.asarray(rows, np.int64).tobytes()
        if key not in self._lists:
            self._lists[key] = len(self.done.lists)
            self.done.lists.extend(rows.tolist())
        return self._lists[key]

    def registers(self, count: int, values: Sequence[float] | Array = ()) -> int:
        """Place of so many new registers."""
        self.done.registers.extend(float(value) for value in (values if len(values) else [0.0] * count))
        return len(self.done.registers) - count

    def constant(self, value: float, count: int) -> int:
        """Place of so many registers with one value."""
        if (value, count) not in self._constants:
            self._constants[value, count] = self.registers(count, [value] * count)
        return self._constants[value, count]

    def begin(self) -> None:
        """Forget fresh matrices and the sectors that do not survive a step, open fresh vectors."""
        plan = self.plan
        for number, spec in enumerate(plan.matrices):
            if spec.fresh:
                self.line("CLEAR_MATRIX", number)
        for number, sector in enumerate(plan.sectors):
            if sector.ephemeral:
                self.line("CLEAR_SECTOR", number)
        for vector in plan.vectors:
            if vector.fresh:
                self.line("ZERO", vector.slot)
                for row in range(plan.rows[vector.slot] if np.any(vector.variance) else 0):
                    self.line("OPEN_VECTOR", vector.slot, self.number(_root(vector.variance)), row)
        for scalar, rows in plan.given_anew.items():
            self.line("GIVEN", self.scalars[scalar], rows.shape[1], self.registers(rows.size, rows.ravel()))

    def step(self, step: Step) -> None:
        """A statement that assigns a field or a scalar."""
        if isinstance(step, Combine):
            self._combine(step)
        elif isinstance(step, MapSites):
            self._map_sites(step)
        elif isinstance(step, AverageSites):
            self._average(step)
        elif isinstance(step, Remember):
            self._remember(step)
        elif isinstance(step, ComputeScalar):
            self._compute(step)
        else:
            raise ExecutionError("norms of gradients: allowed is the plain arithmetic, without a module")

    def _combine(self, step: Combine) -> None:
        if not step.terms:
            self.line("ZERO", step.target)
        for number, (coefficient, slot, rows) in enumerate(step.terms):
            operation = "ADD" if number else "SCALE"
            self.line(operation, step.target, self.number(coefficient), slot, self.rows(rows))
        for product in step.products:
            self._multiply(product, step.target)

    def _multiply(self, product: Multiply, target: int) -> None:
        coefficient, rows = self.number(product.coefficient), self.rows(product.rows)
        self.line("MULTIPLY", target, coefficient, product.operand, rows, product.matrix, int(product.transpose))

    def _map_sites(self, step: MapSites) -> None:
        self.line("ZERO", step.target)
        for value in step.values:
            expressions = _Expressions(self, value, self.plan.rows[step.target])
            for slope, (slot, rows) in zip(value.function.slope_expressions, value.slots, strict=True):
                self.line("ADD_EACH", step.target, expressions.value(slope), slot, self.rows(rows))

    def _average(self, step: AverageSites) -> None:
        count = len(self.network.scalars[step.target])
        out = self.scalars[step.target]
        self._set(out, self.constant(0.0, count), count)
        for coefficient, value in step.terms:
            expressions = _Expressions(self, value, count)
            for i, j, product in value.function.product_expressions:
                if product == 0:
                    continue
                factor = expressions.times(coefficient, expressions.value(product))
                if i < 0:
                    self.line("PLUS", out, count, out, factor)
                else:
                    (a, a_rows), (b, b_rows) = value.slots[i], value.slots[j]
                    self.line("DOT", out, factor, a, self.rows(a_rows), b, self.rows(b_rows), count)

    def _compute(self, step: ComputeScalar) -> None:
        if step.sums or (step.function.along != -1 and step.function.along != len(step.shape) - 1):
            raise ExecutionError(f"{step.function.expression} along a label: allowed is the interpreted arithmetic")
        count, out = math.prod(step.shape), self.scalars[step.target]
        expressions = _Expressions(self, Evaluation(step.function, (), step.scalars), count)
        expression, shares = step.function.parts
        for share, argument in shares.items():
            found = self.registers(count)
            self.line("SOFTMAX", found, count, expressions.value(argument), step.shape[-1])
            expressions.places[share] = found
        self._set(out, expressions.value(expression), count)

    def _remember(self, step: Remember) -> None:
        """A line that is carried out once."""
        self.line("ONCE")
        if step.scalar:
            self._set(self.scalars[step.target], self.scalars[step.source], len(self.network.scalars[step.target]))
        else:
            self.line("SCALE", step.target, self.number(1.0), step.source, -1)

    def _set(self, out: int, value: int, count: int) -> None:
        self.line("TAKE", out, count, value, -1)

    def observe(self, average: PlannedAverage) -> None:
        """A sum of averages of products."""
        out = self.done.observables[average.name].start
        self._set(out, self.constant(average.constant, average.rows), average.rows)
        for coefficient, a, b in average.terms:
            self.line("DOT", out, self.constant(coefficient, average.rows), a, -1, b, -1, average.rows)

    def learn(self) -> None:
        """The updates."""
        for rule in self.plan.learn_matrices:
            counts = [self._increment_rows(term) for term in rule.terms]
            self.line("BEGIN_UPDATE", rule.matrix)
            for term, count in zip(rule.terms, counts, strict=True):
                left, right = (term.left, self.rows(term.left_rows)), (term.right, self.rows(term.right_rows))
                coefficient, weight = self.number(term.coefficient), self._weight(term)
                self.line("INCREMENT", rule.matrix, coefficient, *left, *right, *weight, count)
            self.line("END_UPDATE", rule.matrix, sum(counts))
        for vector in self.plan.learn_vectors:
            self._learn_vector(vector)

    def _increment_rows(self, term: Increment) -> int:
        return self.plan.rows[term.right] if term.right_rows is None else len(term.right_rows)

    def _weight(self, term: Increment) -> tuple[int, int, int, int]:
        """Weight, its rows, the row of the sum that every label belongs to, number of labels."""
        labels = math.prod(term.shape)
        weight = (-1, -1) if term.weight < 0 else (self.scalars[term.weight], self.rows(term.weight_rows))
        kept = None
        if term.sum_axes:
            sizes = [1 if axis in term.sum_axes else size for axis, size in enumerate(term.shape)]
            kept = np.broadcast_to(np.arange(math.prod(sizes)).reshape(sizes), term.shape).reshape(-1)
        return (*weight, self.rows(kept), labels)

    def _learn_vector(self, rule: LearnVector) -> None:
        """See `Recursion.update`."""
        recursion, slot = self.plan.recursion, rule.slot
        memory = self.network.memories.get(slot)
        if recursion.keep != 1:
            self.line("SCALE", slot, self.number(recursion.keep), slot, -1)
        if memory is not None:
            self.line("SCALE", memory, self.number(recursion.memory), memory, -1)
            if recursion.from_increment != 0:
                self.line("ADD", slot, self.number(-recursion.from_increment), memory, -1)
        target = slot if memory is None else memory
        for term in rule.terms:
            left = (term.left, self.rows(term.left_rows))
            self.line("ACCUMULATE", target, self.number(term.coefficient), *left, -1, -1, *self._weight(term))
        if memory is not None:
            self.line("ADD", slot, self.number(recursion.first), memory, -1)


class _Expressions(Algebra[int]):
    """Functions of scalars at the labels of a result: an operation is a line, a value the place of its registers."""

    def __init__(self, writer: _Writer, value: Evaluation, count: int) -> None:
        self._writer, self._count = writer, count
        self.places: dict[sp.Symbol, int] = {}
        for symbol, (number, rows) in zip(value.function.scalars, value.scalars, strict=True):
            place = writer.scalars[number]
            self.places[symbol] = place if rows is None else self._line("TAKE", place, writer.rows(rows))

    def value(self, expression: sp.Expr) -> int:
        """Place of the value of an expression in the scalars."""
        prepared = prepare([sp.sympify(expression, strict=True)], list(self.places))
        self.places |= {symbol: walk(part, self) for symbol, part in prepared.common}
        return walk(prepared.results[0], self)

    def times(self, factor: float, value: int) -> int:
        """Place of a multiple."""
        return value if factor == 1 else self._line("TIMES", self.number(factor), value)

    def _line(self, operation: str, *arguments: int) -> int:
        out = self._writer.registers(self._count)
        self._writer.line(operation, out, self._count, *arguments)
        return out

    def number(self, value: float) -> int:
        return self._writer.constant(value, self._count)

    def symbol(self, symbol: sp.Symbol) -> int:
        return self.places[symbol]

    def add(self, plus: Sequence[int], minus: Sequence[int]) -> int:
        total = plus[0] if plus else self.number(0.0)
        for term in plus[1:]:
            total = self._line("PLUS", total, term)
        for term in minus:
            total = self._line("MINUS", total, term)
        return total

    def multiply(self, factors: Sequence[int], divisors: Sequence[int]) -> int:
        product = self._product(factors)
        return self._line("DIVIDE", product, self._product(divisors)) if divisors else product

    def _product(self, factors: Sequence[int]) -> int:
        product = factors[0]
        for factor in factors[1:]:
            product = self._line("TIMES", product, factor)
        return product

    def power(self, base: int, exponent: int) -> int:
        return self._line("POWER", base, exponent)

    def call(self, name: str, arguments: Sequence[int]) -> int:
        return self._line(name.upper(), *arguments)

    def select(self, condition: int, then: int, other: int) -> int:
        return self._line("SELECT", condition, then, other)

    def compare(self, operator: str, left: int, right: int) -> int:
        pair = (right, left) if operator.startswith(">") else (left, right)
        return self._line(_NAMES[operator], *pair)

    def logic(self, operator: str, operands: Sequence[int]) -> int:
        if operator == "not":
            return self._line("NOT", operands[0])
        result = operands[0]
        for operand in operands[1:]:
            result = self._line(operator.upper(), result, operand)
        return result
