"""Counts powers of the width along a run: the derived single-site equations, marched in exponents.

Every field of every step is kept as the exponents of its parts (`Powers`). A Gaussian field has the size of the operand
of its matrix. An update brings the average of two fields, which is of their size where its mean does not vanish and
smaller by ``N^{-1/2}`` where it does. A response is the part of a field that is odd in that Gaussian field alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import sympy as sp

from dmft_sym.program import FieldRef, ScalarRef, SiteFunction

from .equations import (
    CountedEquations,
    Entry,
    FieldStep,
    Form,
    LocalEntry,
    NoiseEntry,
    NoiseInstance,
    ResponseEntry,
    ScalarStep,
    UpdateEntry,
    Values,
)
from .functions import function_powers
from .powers import BLOWN_UP, CHANGED, ONE, ZERO, Powers, average, overlap, total


@dataclass
class CountedStep:
    """Exponents at one step of training.

    Attributes
    ----------
    fields, scalars
        Of every field and every scalar.
    features
        The fields of the forward pass.
    products
        What the initial entries of every matrix make of the fields of the forward pass; of a readout, itself times the
        field that it reads.
    updates
        The same of its updates so far.
    increments
        What a layer adds to a field that it hands on.
    """

    fields: dict[FieldRef, Powers] = field(default_factory=dict)
    scalars: dict[ScalarRef, Powers] = field(default_factory=dict)
    features: list[FieldRef] = field(default_factory=list)
    products: dict[str, Powers] = field(default_factory=dict)
    updates: dict[str, Powers] = field(default_factory=dict)
    increments: dict[FieldRef, Powers] = field(default_factory=dict)

    def update_size(self, name: str) -> int:
        """The size of what the updates of a matrix add; that of nothing is far below any other."""
        size = self.updates.get(name, ZERO).size
        return -BLOWN_UP if size is None else size


def count(equations: CountedEquations, values: Values, steps: int) -> list[CountedStep]:
    """March the equations in exponents.

    Parameters
    ----------
    values
        The exponent of every symbol.
    steps
        Updates that are made.

    Returns
    -------
    list of CountedStep
        Initialization, and after every update.
    """
    march = _March(values)
    for _ in range(steps + 1):
        march.step(equations.steps, equations.readouts)
    return march.history


class _March:
    def __init__(self, values: Values) -> None:
        self.values = values
        self.history: list[CountedStep] = []

    @property
    def now(self) -> CountedStep:
        return self.history[-1]

    def step(self, steps: Iterable[FieldStep | ScalarStep], readouts: Iterable[tuple[str, FieldRef, FieldRef]]) -> None:
        self.history.append(CountedStep())
        for step in steps:
            if isinstance(step, ScalarStep):
                self.now.scalars[step.target] = self._scalar(step)
            elif step.function is not None:
                self.now.fields[step.target] = self._function(step.function)
            else:
                self._sum(step)
            if isinstance(step, FieldStep) and step.forward:
                self.now.features.append(step.target)
        for name, vector, ref in readouts:
            self._read(name, vector, ref)

    def _sum(self, step: FieldStep) -> None:
        """A field, and what it has beside the field of the layer below."""
        made = [(entry, self._entry(entry, step)) for entry in step.entries]
        self.now.fields[step.target] = total([powers for _, powers in made])
        carried = [e for e, _ in made if isinstance(e, LocalEntry) and e.field.field == step.target.field]
        if carried and step.forward:
            self.now.increments[step.target] = total([powers for entry, powers in made if entry not in carried])

    def _read(self, name: str, vector: FieldRef, ref: FieldRef) -> None:
        """The readout times what it reads, as means over sites."""
        weights, read = self.now.fields[vector], self.now.fields[ref]
        changed = overlap(weights.changed, read)
        self.now.updates[name] = self.now.updates.get(name, ZERO) | changed
        size = None if weights.size is None or read.size is None else weights.size + read.size
        self.now.products[name] = self.now.products.get(name, ZERO) | (ZERO if size is None else Powers.of(size))

    def _scalar(self, step: ScalarStep) -> Powers:
        if step.expression is not None:
            return function_powers(step.expression, {s: self._scalar_now(ref) for s, ref in step.arguments})
        parts = (average(self._function(f)).times(form.at(self.values)) for form, f in step.averages)
        return total(list(parts))

    def _scalar_now(self, ref: ScalarRef) -> Powers:
        return ONE if ref.scalar.data else self.now.scalars[ref]

    def _function(self, function: SiteFunction) -> Powers:
        arguments: Mapping[sp.Symbol, Powers] = {
            symbol: self._scalar_now(ref) if isinstance(ref, ScalarRef) else self.now.fields[ref]  # type: ignore[index]
            for symbol, ref in function.arguments
        }
        return function_powers(function.expression, arguments)

    def _entry(self, entry: Entry, step: FieldStep) -> Powers:
        exponent = entry.form.at(self.values)
        if isinstance(entry, NoiseEntry):
            made = self._noise(entry.noise).times(exponent)
            if step.forward and entry.noise.name:
                self.now.products[entry.noise.name] = self.now.products.get(entry.noise.name, ZERO) | made
            return made
        if isinstance(entry, LocalEntry):
            return self.now.fields[entry.field].times(exponent)
        if isinstance(entry, ResponseEntry):
            return self._response(entry).times(exponent)
        made = self._update(entry).times(exponent, CHANGED)
        if step.forward and entry.row is not None:
            self.now.updates[entry.name] = self.now.updates.get(entry.name, ZERO) | made
        return made

    def _noise(self, noise: NoiseInstance) -> Powers:
        """As large as the operand, and in part along its first value and earlier Gaussian fields of the matrix."""
        half = noise.variance.at(self.values) // 2
        if noise.operand is None:
            return Powers.of(half, noise.sign)
        operand, first = self.now.fields[noise.operand], self.history[0].fields[noise.operand]
        along = overlap(operand.changed, first.direction).sizes_of_marks() if first else {}
        parts = {(noise.sign, marks): half + size for marks, size in operand.initial.sizes_of_marks().items()}
        for marks, size in operand.changed.sizes_of_marks().items():
            parts[noise.sign, marks] = half + along.get(marks, size)
            if along.get(marks, size - 1) < size:
                parts[noise.later, marks] = half + size
        return total([Powers(parts), *(self._along(operand, other, cov) for other, cov in noise.siblings)])

    def _along(self, operand: Powers, other: NoiseInstance, covariance: Form) -> Powers:
        """The part along another Gaussian field of the same matrix, from the overlap of the operands."""
        assert other.operand is not None
        scale = covariance.at(self.values) - other.variance.at(self.values) // 2
        return overlap(operand, self._latest(other.operand).direction).times(scale) * Powers.of(0, other.sign)

    def _latest(self, ref: FieldRef) -> Powers:
        steps = (step for step in reversed(self.history) if ref in step.fields)
        return next((step.fields[ref] for step in steps), ZERO)

    def _response(self, entry: ResponseEntry) -> Powers:
        """``sum_s <d row / d noise(s)> field(s)``: the noise is as large as the field, times the root of its variance.

        The row is taken to respond to all steps alike, so that the largest one tells how much.
        """
        now = self.now.fields[entry.row]
        row = now.odd_in(entry.noise.sign) | now.odd_in(entry.noise.later)
        past = self.history if entry.equal_time else self.history[:-1]
        fields = total([step.fields.get(entry.field, ZERO) for step in past])
        scale = entry.noise.variance.at(self.values) // 2
        return row * fields.direction.times(-scale) if row else ZERO

    def _update(self, entry: UpdateEntry) -> Powers:
        return total([self._past(entry, step) for step in self.history[:-1]])

    def _past(self, entry: UpdateEntry, step: CountedStep) -> Powers:
        made = step.fields[entry.field]
        if entry.weight is not None:
            made = step.scalars[entry.weight] * made
        if entry.row is None or entry.past is None or entry.row.space.finite:
            return made
        return overlap(self.now.fields[entry.row], step.fields[entry.past]) * made
