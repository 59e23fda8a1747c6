"""Single-site equations as SymPy: fields, scalars, Gaussian fields with their covariances, and tangents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import sympy as sp

from dmft_sym.program import (
    LAYER,
    ONE,
    OUTPUT,
    PAST_STEP,
    STEP,
    TIME,
    Assign,
    Average,
    Axes,
    Compute,
    FieldRef,
    Initial,
    Label,
    LayerSum,
    Learn,
    Observe,
    Outer,
    Product,
    Relabelled,
    Scalar,
    ScalarRef,
    SiteFunction,
    SiteMap,
    SquaredNorm,
    Statement,
    Step,
    VectorRef,
    joined_axes,
)
from dmft_sym.program.expressions import Atom
from dmft_sym.program.labels import At, LayerRange, elsewhere, elsewhere_but, here

from .domain import Domain
from .equations import Equation
from .single_site import (
    CausalEquation,
    LocalTerm,
    Memory,
    Noise,
    NoiseTerm,
    ResponseMemory,
    ScalarEquation,
    SiteBuilder,
    UpdateMemory,
    VectorMemory,
)
from .symbols import (
    COLUMN,
    KEPT,
    KERNEL,
    NOW,
    PAST_KERNEL,
    THEN,
    Applied,
    Correlation,
    FieldAt,
    Gram,
    Labelled,
    NoiseAt,
    Place,
    Response,
    ScalarAt,
    SiteAverage,
    Tangent,
    field_at,
    values_of,
)
from .tangents import TangentEquation
from .uses import Use

STAGE_OF_SITES = 6
"""Number of the stage that has the single-site equations."""
_SOFTMAX = sp.Function("softmax")
LAG = sp.Symbol("tau", integer=True, positive=True)


class SiteWriter:
    """Writes the terms of single-site equations as expressions.

    Parameters
    ----------
    builder
        What made them.
    moved
        What stands for a field or a Gaussian field: itself, or its derivative.
    """

    def __init__(self, builder: SiteBuilder, moved: Callable[[Labelled], sp.Expr] = lambda part: part) -> None:
        self.builder = builder
        self.labels = builder.program.labels
        self.plain = builder.program.optimizer.recursion.plain
        self.moved = moved

    def equation(self, equation: CausalEquation) -> Equation:
        """One relation of the single-site process, or a scalar."""
        where = Domain.of(equation.scans)
        if isinstance(equation, ScalarEquation):
            return Equation(self.scalar(equation.target), tuple(self._scalar_terms(equation)), where)
        left = self.moved(self.field(equation.target))
        if equation.function is not None:
            return Equation(left, (_label_sum(self.function(equation.function), equation.over),), where)
        terms = [self._noise_term(term) for term in equation.noises]
        terms += [self._memory(term) for term in equation.memories]
        terms += [self._local(term) for term in equation.locals]
        return Equation(left, tuple(terms), where)

    def field(self, ref: FieldRef, step: sp.Expr = STEP, at: At = here) -> FieldAt:
        """A field at one site."""
        return field_at(ref, step, at, self.labels)

    def scalar(self, ref: ScalarRef, step: sp.Expr = STEP, at: At = here) -> ScalarAt:
        """A scalar, perhaps at the first step."""
        step = sp.Integer(0) if ref.initial else step
        return ScalarAt.of(ref.scalar.name, ref.layer, values_of(ref, step, at, self.labels))

    def noise(self, noise: Noise, layer: sp.Expr | None, step: sp.Expr = STEP, at: At = here) -> NoiseAt:
        """A Gaussian field at one site."""
        values = tuple((label.name, at(label)) for label in self.labels if label in noise.axes)
        values = values if noise.static else ((("step"), step), *values)
        if noise.scale != 1:
            return NoiseAt.of(noise.name.replace("_", "bar_", 1), layer, values, bar=True)
        if noise.initial:
            return NoiseAt.of(f"{noise.name}_0", layer, values, initial=True)
        return NoiseAt.of(noise.name, layer, values)

    def function(self, function: SiteFunction) -> sp.Expr:
        """A site-wise function of labelled fields and scalars."""
        return function.expression.xreplace({s: self._argument(a) for s, a in function.arguments})

    def _argument(self, argument: object) -> sp.Expr:
        if isinstance(argument, VectorRef):
            values = tuple((label.name, label.symbol) for label in argument.axes)
            return FieldAt.of(argument.vector.name, None, values)
        assert isinstance(argument, FieldRef | ScalarRef)
        return self.field(argument) if isinstance(argument, FieldRef) else self.scalar(argument)

    def _scalar_terms(self, equation: ScalarEquation) -> Iterator[sp.Expr]:
        statement = equation.statement
        if isinstance(statement, Average):
            yield from (c * SiteAverage(self.function(f)) for c, f in statement.terms)
        elif isinstance(statement, SquaredNorm):
            yield from self._squared_norm(statement)
        else:
            yield self._computed(statement)

    def _computed(self, statement: Compute) -> sp.Expr:
        """A function of scalars, or a sum of one."""
        made = statement.expression.xreplace({s: self.scalar(ref) for s, ref in statement.arguments})
        if statement.along != OUTPUT:
            made = made.replace(_SOFTMAX, lambda inner: _SOFTMAX(inner, statement.along.symbol))
        return _label_sum(made, statement.over)

    def _squared_norm(self, statement: SquaredNorm) -> Iterator[sp.Expr]:
        """Of every update the terms in pairs, each at labels and a layer of its own."""
        for update in statement.updates:
            family = None if isinstance(update.target, VectorRef) else update.target.matrix.layers
            kept = update.target.axes if isinstance(update.target, VectorRef) else ()
            for one, other in product(update.terms, map(at_another_layer, update.terms)):
                places = ((STEP, here), (STEP, elsewhere_but(kept)))
                body = statement.factor(update) * one.coefficient * other.coefficient
                body *= self.overlap(one.left, other.left, *places)
                if one.right is not None and other.right is not None:
                    body *= self.overlap(one.right, other.right, *places)
                limits: list[tuple[sp.Expr, ...]] = []
                for term, (step, at) in zip((one, other), places, strict=True):
                    body *= sp.Integer(1) if term.weight is None else self.scalar(term.weight, step, at)
                    axes = joined_axes((part.axes for part in term.factors), self.labels)
                    limits += [(at(label), sp.Integer(0), label.size - 1) for label in axes]
                    if term.index is not None and term.layers is not None:
                        limits.append((term.index, term.layers.start, term.layers.stop))
                if family is not None:
                    limits.append((LAYER.symbol, family.start, family.stop))
                yield sp.Sum(body, *dict.fromkeys(limits))

    def _noise_term(self, term: NoiseTerm) -> sp.Expr:
        return term.coefficient * self._kept(term.retained) * self.moved(self.noise(term.noise, term.layer))

    def statement(self, statement: Statement) -> sp.Expr:
        """The right-hand side of a statement of the program, or the increment of an update."""
        if isinstance(statement, Assign):
            return sp.Add(*(c * self._atom(atom) for c, atom in statement.value.terms))
        if isinstance(statement, SiteMap):
            return _label_sum(self.function(statement.function), statement.over)
        if isinstance(statement, Average):
            return sp.Add(*(c * SiteAverage(self.function(f)) for c, f in statement.terms))
        if isinstance(statement, Compute):
            return self._computed(statement)
        if isinstance(statement, Observe):
            averages = (c * SiteAverage(self.field(a) * self.field(b)) for c, a, b in statement.terms)
            return sp.Add(*averages, statement.constant)
        if isinstance(statement, SquaredNorm):
            return sp.Add(*self._squared_norm(statement))
        assert isinstance(statement, Learn)
        parts = (sp.Mul(term.coefficient, *map(self._argument, term.factors)) for term in statement.terms)
        return sp.Add(*parts)

    def _atom(self, atom: Atom) -> sp.Expr:
        if isinstance(atom, Product):
            return Applied.of(atom.matrix, atom.transpose, self.field(atom.operand))
        if isinstance(atom, LayerSum):
            return sp.Sum(self.field(atom.field), (atom.index, atom.layers.start, atom.layers.stop))
        if isinstance(atom, Initial):
            return self.field(atom.field, sp.Integer(0))
        if isinstance(atom, Relabelled):
            return self._relabelled(atom)
        return self._argument(atom)

    def _kept(self, retained: bool) -> sp.Expr:
        return KEPT(STEP) if retained else sp.Integer(1)

    def _local(self, term: LocalTerm) -> sp.Expr:
        if term.labels is not None:
            return term.coefficient * self._relabelled(term.labels)
        body = self.moved(self.field(term.field, term.step))
        return term.coefficient * body if term.index is None else self._sum(term.coefficient * body, (), term)

    def _relabelled(self, atom: Relabelled) -> sp.Expr:
        """A field at other labels than its own, or summed over some."""
        body = self.moved(self.field(atom.field, at=lambda label: atom.at(label).symbol))
        return _label_sum(body, atom.over)

    def _memory(self, term: Memory) -> sp.Expr:
        if isinstance(term, ResponseMemory):
            return self._response_memory(term)
        at = elsewhere_but(term.kept) if isinstance(term, VectorMemory) else elsewhere
        body = self.moved(self.field(term.field, PAST_STEP, at))
        if isinstance(term, UpdateMemory):
            body *= self.overlap(term.row, term.past)
        if term.weight is not None:
            body *= self.scalar(term.weight, PAST_STEP, at)
        if not self.plain:
            body *= KERNEL(STEP - PAST_STEP)
        parts = [part.axes for part in (term.field, term.weight) if part is not None]
        if isinstance(term, UpdateMemory):
            summed: Axes = joined_axes([*parts, term.past.axes], self.labels)
        else:
            summed = tuple(label for label in joined_axes(parts, self.labels) if label not in term.kept)
        return term.coefficient * self._sum(body, summed, term, STEP - 1)

    def overlap(self, row: FieldRef, past: FieldRef, at_row: Place = NOW, at_past: Place = THEN) -> sp.Expr:
        """The correlation of a field now with one in the past; a given number for inputs."""
        if row.field == past.field == ONE:
            return sp.Integer(1)
        kind = Gram if row.space.finite else Correlation
        return kind(self.field(row, *at_row), self.field(past, *at_past))

    def _response_memory(self, term: ResponseMemory) -> sp.Expr:
        past = STEP if term.noise.fresh else PAST_STEP
        noise = self.noise(term.noise, term.noise_layer, past, elsewhere)
        body = Response(self.field(term.row), noise) * self.moved(self.field(term.field, past, elsewhere))
        last = None if term.noise.fresh else STEP if term.equal_time else STEP - 1
        return term.coefficient * self._kept(term.retained) * self._sum(body, term.field.axes, term, last)

    def _sum(
        self, body: sp.Expr, axes: Iterable[Label], term: Memory | LocalTerm, last: sp.Expr | None = None
    ) -> sp.Expr:
        """Over past steps up to ``last``, labels at the other place, and layers."""
        limits = [] if last is None else [(PAST_STEP, sp.Integer(0), last)]
        limits += [(label.other, sp.Integer(0), label.size - 1) for label in axes]
        if term.index is not None and isinstance(term.layers, LayerRange):
            limits.append((term.index, term.layers.start, term.layers.stop))
        return sp.Sum(body, *limits) if limits else body

    def covariances(self, noises: Iterable[Noise]) -> Iterator[Equation]:
        """Covariances of the Gaussian fields of a process."""
        noises = list(noises)
        for number, a in enumerate(noises):
            for b in noises[number:]:
                if self.builder.noise_covariance(a, b) is None:
                    continue
                first = a.source.index if isinstance(a.source, Use) else None
                second = b.source.index if isinstance(b.source, Use) else None
                if isinstance(b.source, Use) and second is not None and not b.source.family:
                    second = LAYER.other
                left = Correlation(self.noise(a, first), self.noise(b, second, *THEN))
                yield Equation(left, (self.covariance(a, first, NOW, b, second, THEN),))

    def covariance(
        self, a: Noise, layer_a: sp.Expr | None, at_a: Place, b: Noise, layer_b: sp.Expr | None, at_b: Place
    ) -> sp.Expr:
        """``<a b>`` of two Gaussian fields at any two places; zero if they are independent."""
        coefficient = self.builder.noise_covariance(a, b, layer_a)
        if coefficient is None:
            return sp.Integer(0)
        same_step = sp.KroneckerDelta(at_a[0], at_b[0]) if a.fresh else sp.Integer(1)
        if not isinstance(a.source, Use) or not isinstance(b.source, Use):
            deltas = (sp.KroneckerDelta(at_a[1](label), at_b[1](label)) for label in a.axes)
            return coefficient * sp.Mul(*deltas) * same_step
        members = [
            layer if use.index is not None else use.member for use, layer in ((a.source, layer_a), (b.source, layer_b))
        ]
        same_member = sp.Integer(1)
        if a.source.family and None not in members:
            same_member = sp.KroneckerDelta(*members)
        first, second = a.source.operand_at(layer_a), b.source.operand_at(layer_b)
        return coefficient * same_member * self.overlap(first, second, at_a, at_b) * same_step

    def derivative(self, tangent: TangentEquation) -> Equation:
        """The derivative of one equation: linear in what fields have `moved` to."""
        if tangent.equation.function is None:
            return self.equation(tangent.linear)
        terms = (
            _label_sum(self.function(slope.function) * self.moved(self.field(slope.argument)), tangent.equation.over)
            for slope in tangent.slopes
        )
        note = ""
        if tangent.jumps:
            where = " and ".join(f"${sp.latex(self.field(ref))}$" for ref in tangent.jumps)
            note = f"and a point mass where it jumps in {where}"
        left = self.moved(self.field(tangent.equation.target))
        return Equation(left, tuple(terms), Domain.of(tangent.equation.scans), note)


def at_another_layer(term: Outer) -> Outer:
    """A term that is summed over layers, with another index of these."""
    if term.index is None:
        return term

    def moved(ref: Any) -> Any:
        return ref if ref is None or ref.layer is None else replace(ref, layer=ref.layer.subs(term.index, LAYER.other))

    left, right, weight = map(moved, (term.left, term.right, term.weight))
    coefficient = sp.sympify(term.coefficient, strict=True).subs(term.index, LAYER.other)
    return Outer(coefficient, left, right, LAYER.other, term.layers, weight)


def of_weights(writer: SiteWriter, program: Step) -> Iterator[Equation]:
    """Where no field depends on scalars: how those that weigh increments are computed."""
    for _, statement in program.walk():
        if isinstance(statement, SquaredNorm | Compute):
            yield writer.equation(ScalarEquation(statement, ()))


def weight_at(scalar: Scalar, step: sp.Expr = STEP) -> ScalarAt:
    """A scalar without labels, at a step."""
    return ScalarAt.of(scalar.name, None, ((TIME.name, step),))


def _label_sum(body: sp.Expr, over: Axes) -> sp.Expr:
    """A sum over values of labels at one place."""
    limits = [(label.symbol, sp.Integer(0), label.size - 1) for label in over]
    return sp.Sum(body, *limits) if limits else body


def _member(use: Use, layer: sp.Expr | None) -> sp.Expr | None:
    """Which member of a family of matrices is used, if it is a family."""
    if not use.family:
        return None
    return use.member if use.index is None else layer


def tangent_writer(builder: SiteBuilder) -> SiteWriter:
    """Writes derivatives by any Gaussian field of a process."""
    return SiteWriter(builder, lambda part: Tangent(part, COLUMN))


def of_training(program: Step, past: bool = False) -> Iterator[Equation]:
    """What a training rule does to increments and to initial weights; ``past``: with the kernel of past steps."""
    optimizer, weight = program.optimizer, program.common_weight
    plain = optimizer.recursion.plain
    for scalar in program.given_anew:
        if scalar.formula is not None:
            yield Equation(weight_at(scalar), (scalar.formula,), note="of $T$ steps")
    if past:
        kernel = sp.Integer(1) if plain else KERNEL(STEP - PAST_STEP)
        kernel *= sp.Integer(1) if weight is None else weight_at(weight, PAST_STEP)
        value = sp.Piecewise((kernel, PAST_STEP < STEP), (0, True))
        yield Equation(PAST_KERNEL(STEP, PAST_STEP), (value,), note="what an increment of step $s$ is worth")
    if not plain:
        yield Equation(KERNEL(LAG), (optimizer.kernel(LAG),), note="$\\tau$ steps after an increment")
    if optimizer.recursion.decays:
        yield Equation(KEPT(STEP), (optimizer.retention(STEP),), note="what is left of initial weights")
