"""Closed equations of one statement: kernels, responses and correlations of its field's row, as SymPy.

Every field of a process is a causal linear functional of its Gaussian fields, ``F = sum_n R[F, n] n``, so the
single-site equations give linear recursions for the rows of ``R``, and ``C[F, F'] = sum R[F, n] <n n'> R[F', n']^T``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TypeAlias

import sympy as sp

from dmft_sym.program import PAST_STEP, STEP, Axes, Field, FieldRef, Label, LayerRange, Space
from dmft_sym.program.labels import here

from .arrays import ArrayTable, Entry
from .domain import Domain, parts_of
from .equations import Equation
from .layer_logic import within
from .processes import Member, process_of
from .single_site import Memory, Noise, NoiseTerm, Reaction, ResponseMemory, SiteEquation, UpdateMemory
from .symbols import FIRST, KEPT, NOW, PAST_KERNEL, SECOND, THEN, MemoryKernel, Place, TwoPoint
from .uses import Use

Loops: TypeAlias = tuple[tuple[sp.Symbol, LayerRange], ...]
"""Layer labels that a term is repeated or summed over."""
Limits: TypeAlias = list[tuple[sp.Symbol, sp.Expr, sp.Expr]]
Found: TypeAlias = dict[TwoPoint, Equation]


class RowWriter:
    """Writes the closed equations that follow from one single-site equation.

    Parameters
    ----------
    table
        Order parameters that are kept.
    reactions
        Fields with the Gaussian fields of the same step that they respond to.
    site
        The single-site equation.
    """

    def __init__(self, table: ArrayTable, reactions: frozenset[Reaction], site: SiteEquation) -> None:
        self.table = table
        self.reactions = reactions
        self.site = site
        self.target = site.target
        self.process = process_of(table.processes, site.target)
        self.scans: Loops = tuple((scan.index, scan.layers) for scan in site.scans)
        self.classes = _classes(site.target.space)

    def equations(self) -> Iterator[Equation]:
        """Kernels, then responses, then correlations."""
        yield from self._kernels()
        yield from self._responses()
        yield from self._correlations()

    def _ranges(self, *loops: Loops) -> dict[sp.Symbol, LayerRange]:
        return dict(sum(loops, self.scans))

    def _where(self, loops: Loops, condition: sp.Basic = sp.true) -> Domain:
        ranges = (*self.scans, *self.classes, *loops)
        return replace(Domain.of(self.site.scans), ranges=ranges, condition=condition)

    def _sweep(self, member: Member, symbol: str) -> tuple[sp.Expr | None, Loops]:
        """Layer of another member next to the target: a loop over all, or the aligned one."""
        if member.layers is None:
            return None, ()
        if self.process.coupled:
            index = sp.Symbol(symbol, integer=True)
            return index, ((index, member.layers),)
        return self.process.partner_layer(self.target.field, self.target.layer, member), ()

    def _add(
        self,
        found: Found,
        entry: Entry,
        loops: Loops,
        term: sp.Expr,
        condition: sp.Basic = sp.true,
        coefficient: sp.Expr = sp.Integer(1),
    ) -> None:
        """One more term of the equation for an order parameter, there under a condition on layers."""
        left = self.table.point(entry)
        if left not in found:
            found[left] = Equation(left, (), self._where(loops, entry.condition))
        beyond = sp.And(*(part for part in parts_of(condition) if part not in parts_of(entry.condition)))
        found[left] = replace(found[left], terms=(*found[left].terms, coefficient * _if(beyond, term)))

    # Kernels

    @cached_property
    def _memories(self) -> dict[tuple[FieldRef, Loops], list[tuple[Memory, sp.Expr]]]:
        """Terms of kernels by the remembered field and the layers that are remembered; independent fields have none."""
        groups: dict[tuple[FieldRef, Loops], list[tuple[Memory, sp.Expr]]] = {}
        for memory in self.site.memories:
            loops: Loops = () if memory.index is None else ((memory.index, memory.layers),)  # type: ignore[assignment]
            term = self._kernel_term(memory, loops)
            if term is None:
                continue
            if memory.index is not None and (memory.field.layer is None or not memory.field.layer.has(memory.index)):
                term, loops = sp.Sum(term, *_limits(loops)), ()
            groups.setdefault((memory.field, loops), []).append((memory, term))
        return groups

    def _kernel_term(self, memory: Memory, loops: Loops) -> sp.Expr | None:
        """A memory's share of ``A(t, s)``."""
        ranges, past, coefficient = self._ranges(loops), PAST_KERNEL(STEP, PAST_STEP), memory.coefficient
        if isinstance(memory, ResponseMemory):
            entry = self.table.entry("R", memory.row, memory.noise, memory.noise_layer, ranges)
            factor = sp.KroneckerDelta(STEP, PAST_STEP) if memory.noise.fresh else sp.Integer(1)
            coefficient *= _kept(memory.retained)
        elif isinstance(memory, UpdateMemory):
            entry = self.table.entry("C", memory.row, memory.past.field, memory.past.layer, ranges)
            factor = past
        else:
            return coefficient * past * _same(self.target.axes)
        return None if entry is None else coefficient * _if(entry.condition, self.table.average(entry) * factor)

    def _kernels(self) -> Iterator[Equation]:
        for (remembered, loops), memories in self._memories.items():
            note = "$s < t$" if _strict(memories) else "$s \\le t$"
            kernel = self._kernel(remembered, loops, THEN)
            yield Equation(kernel, tuple(term for _, term in memories), self._where(loops), note)

    def _kernel(self, remembered: FieldRef, loops: Loops, column: Place) -> sp.Expr:
        """``A(t, s)``; further memories of a field, at other layers, are ``A2``, ``A3``."""
        same = [key for key in self._memories if key[0].field == remembered.field]
        number = same.index((remembered, loops)) + 1
        what = {"letter": f"A{number}"} if number > 1 else {}
        field = self.table.field
        return MemoryKernel.between(field(self.target, NOW), field(remembered, column), **what)

    # Responses

    def _responses(self) -> Iterator[Equation]:
        """One equation per response of the field: all contributions to it together."""
        found: Found = {}
        for term in self.site.locals:
            for entry, source, loops in self._transfers(term.field):
                point = self.table.point(source, (term.step, here))
                self._add(found, entry, loops, point, source.condition, term.coefficient)
        for (remembered, outer), memories in self._memories.items():
            steps = (FIRST[0], 0, STEP - 1 if _strict(memories) else STEP)
            limits = (steps, *_over(remembered.axes, FIRST), *_limits(outer))
            for entry, source, loops in self._transfers(remembered, outer):
                product = self._kernel(remembered, outer, FIRST) * self.table.point(source, FIRST)
                self._add(found, entry, loops, sp.Sum(product, *limits), source.condition)
        for driven in self.site.noises:
            self._add_noise(found, driven)
        yield from map(_pinned, found.values())

    def _transfers(self, source: FieldRef, outer: Loops = ()) -> Iterator[tuple[Entry, Entry, Loops]]:
        """``R[target, n]`` and ``R[source, n]`` for every Gaussian field of the process."""
        for noise in self.process.noises:
            layer, loops = self._sweep(noise, "l_n")
            ranges = self._ranges(loops, outer)
            entry = self.table.entry("R", self.target, noise, layer, ranges)
            origin = self.table.entry("R", source, noise, layer, ranges)
            if entry is not None and origin is not None:
                yield entry, origin, loops

    def _add_noise(self, found: Found, driven: NoiseTerm) -> None:
        """The Gaussian field itself: of all of its layers, that of the term."""
        layer, loops = self._sweep(driven.noise, "l_n")
        entry = self.table.entry("R", self.target, driven.noise, layer, self._ranges(loops))
        unit = driven.coefficient * _same(driven.noise.axes) * _kept(driven.retained)
        if not driven.noise.static:
            unit *= sp.KroneckerDelta(STEP, PAST_STEP)
        if loops:
            unit *= sp.KroneckerDelta(layer, driven.layer)
        if entry is not None:
            self._add(found, entry, loops, unit)

    # Correlations

    def _correlations(self) -> Iterator[Equation]:
        """``sum R[F, n] <n n'> R[F', n']^T`` for all fields whose correlation with the target is kept."""
        found: Found = {}
        partners = [
            column
            for kind, row, column in self.table.arrays
            if kind == "C" and row == self.target.field and isinstance(column, Field)
        ]
        for noise in self.process.noises if partners else ():
            layer, outer = self._sweep(noise, "l_n")
            weights = list(self._weights(noise, layer, outer))
            for partner in partners:
                self._add_products(found, partner, noise, layer, outer, weights)
        yield from map(_pinned, found.values())

    def _weights(
        self, noise: Noise, layer: sp.Expr | None, outer: Loops
    ) -> Iterator[tuple[sp.Expr, sp.Expr, sp.Basic, Limits]]:
        """``sum_n R[F, n](t, t1) <n n'>``: coefficient, product, the condition under which it exists, sums."""
        for other in self.process.noises:
            coefficient = self.table.sites.builder.noise_covariance(other, noise, layer)
            if coefficient is None:
                continue
            other_layer, inner = self._sweep(other, "l_k")
            if inner and isinstance(other.source, Use) and other.source.family:
                other_layer, inner = layer, ()  # members are independent: same layer only
            ranges = self._ranges(outer, inner)
            entries = [self.table.entry("R", self.target, other, other_layer, ranges)]
            if isinstance(other.source, Use) and isinstance(noise.source, Use):
                first, second = other.source.operand_at(other_layer), noise.source.operand_at(layer)
                entries.append(self.table.entry("C", first, second.field, second.layer, ranges))
            found = [entry for entry in entries if entry is not None]
            if len(found) == len(entries):
                response, *covariance = found
                parts = (self.table.average(entry, FIRST, _place(noise)) for entry in covariance)
                product = sp.Mul(self.table.point(response, NOW, FIRST), *parts)
                condition = sp.And(*(entry.condition for entry in found))
                limits = [*self._steps(self.target.field, other, FIRST[0], STEP), *_over(noise.axes, FIRST)]
                yield coefficient, product, condition, [*limits, *_limits(inner)]

    def _add_products(
        self,
        found: Found,
        partner: Field,
        noise: Noise,
        layer: sp.Expr | None,
        outer: Loops,
        weights: Iterable[tuple[sp.Expr, sp.Expr, sp.Basic, Limits]],
    ) -> None:
        """Terms ``sum R(t, t1) C(t1, s1) R(s, s1)`` with one Gaussian field of the partner."""
        partner_layer, loops = self._sweep(partner, "l_p")
        ranges = self._ranges(outer, loops)
        entry = self.table.entry("C", self.target, partner, partner_layer, ranges)
        source = self.table.entry("R", FieldRef(partner, partner_layer), noise, layer, ranges)
        if entry is None or source is None:
            return
        limits = _limits(outer)
        if isinstance(noise.source, Use):  # without a covariance there is one sum only
            limits += _over(noise.axes, SECOND)
            limits += [] if noise.fresh else self._steps(partner, noise, SECOND[0], PAST_STEP)
        for coefficient, product, condition, sums in weights:
            term = sp.Sum(product * self.table.point(source, THEN, _place(noise)), *sums, *limits)
            self._add(found, entry, loops, term, sp.And(condition, source.condition), coefficient)

    def _steps(self, row: Field, noise: Noise, step: sp.Symbol, last: sp.Symbol) -> Limits:
        """Steps of a Gaussian field up to that of the row; before it, if the row precedes the Gaussian field."""
        return [] if noise.static else [(step, sp.Integer(0), last if (row, noise) in self.reactions else last - 1)]


def _classes(space: Space) -> Loops:
    """The index of classes, as one of layers: equations of one class do not know the others."""
    classes = space.classes
    return () if classes is None else ((classes.label.symbol, LayerRange(0, classes.last)),)


def _place(noise: Noise) -> Place:
    """Where the second Gaussian field of a covariance is: that of a vector is the first itself."""
    if not isinstance(noise.source, Use):
        return FIRST
    return (FIRST[0], SECOND[1]) if noise.fresh else SECOND


def _strict(memories: Iterable[tuple[Memory, sp.Expr]]) -> bool:
    """Whether the memory ends before ``t``: a response to what is drawn later in the step is zero at ``s = t``."""
    return not any(isinstance(memory, ResponseMemory) and memory.equal_time for memory, _ in memories)


def _kept(retained: bool) -> sp.Expr:
    return KEPT(STEP) if retained else sp.Integer(1)


def _same(axes: Axes) -> sp.Expr:
    """The identity over labels."""
    return sp.Mul(*(sp.KroneckerDelta(label.symbol, label.other) for label in axes))


def _over(axes: Iterable[Label], place: Place) -> Limits:
    return [(place[1](label), sp.Integer(0), label.size - 1) for label in axes]


def _limits(loops: Loops) -> Limits:
    return [(index, layers.start, layers.stop) for index, layers in loops]


def _if(condition: sp.Basic, term: sp.Expr) -> sp.Expr:
    """A term under a condition on layers, which stays as it is: layers may be 0, and their symbols are positive."""
    return term if condition == sp.true else sp.Piecewise((term, condition), (0, True), evaluate=False)


def _pinned(equation: Equation) -> Equation:
    """An equation of a scan that holds at one layer alone, at this layer."""
    where = equation.where
    for relation in parts_of(where.condition):
        for index, layers in where.ranges:
            slack = sp.expand(relation.lhs - relation.rhs) if isinstance(relation, sp.Eq) else sp.Integer(0)
            if abs(slack.coeff(index)) != 1:
                continue
            layer = sp.expand(index - slack / slack.coeff(index))
            others = tuple(pair for pair in where.ranges if pair[0] != index)
            left = (part.subs(index, layer) for part in parts_of(where.condition) if part != relation)
            condition = sp.And(within(layer, layers, dict(others)), *left)
            terms = (term.subs(index, layer) for term in equation.terms)
            there = tuple(term for term in terms if term != 0)  # some are for other layers only
            return Equation(equation.left.subs(index, layer), there, Domain(others, condition, where.descending))
    return equation
