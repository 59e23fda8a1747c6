"""Closed equations as SymPy: kernels, responses, correlations and reported scalars, element by element."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

import sympy as sp

from dmft_sym.program import PAST_STEP, STEP, TIME, Assign, Axes, FieldRef, Label, LayerRange

from .arrays import Entry
from .closure import Contribution, Kernel, KernelTerm, LayerLoop, RowEquations, Weight, WeightTerm
from .domain import Domain
from .equations import Equation
from .layer_logic import within
from .pipeline import Pipeline
from .processes import Member, process_of
from .single_site import Noise
from .site_equations import SiteWriter
from .symbols import (
    FIRST,
    KEPT,
    NOW,
    PAST_KERNEL,
    SECOND,
    THEN,
    Correlation,
    Gram,
    Labelled,
    MemoryKernel,
    Place,
    ReportedAt,
    Response,
    TwoPoint,
    field_at,
)


class ClosedWriter:
    """Writes closed equations as expressions.

    Parameters
    ----------
    derivation
        The stages up to the closed equations.
    """

    def __init__(self, derivation: Pipeline) -> None:
        self.closed = derivation.closed
        self.reactions = derivation.reactions
        self.sites = SiteWriter(derivation.site_builder)
        self.labels = self.sites.labels

    def statements(self) -> Iterator[tuple[Assign, list[Equation]]]:
        """The equations that follow from every statement that assigns a field."""
        found = list(self._statements())
        defined = {equation.left.func for _, equations in found for equation in equations}
        for statement, equations in found:
            yield statement, [without_zeros(equation, defined) for equation in equations]

    def _statements(self) -> Iterator[tuple[Assign, list[Equation]]]:
        assigned = [statement for _, statement in self.closed.program.walk() if isinstance(statement, Assign)]
        for statement, rows in zip(assigned, self.closed.rows, strict=True):
            yield statement, [*self._kernels(rows), *self._responses(rows), *self._correlations(rows)]

    def observables(self) -> Iterator[Equation]:
        """Reported scalars."""
        for observable in self.closed.observables:
            values = ((TIME.name, STEP), *((label.name, label.symbol) for label in self.labels))
            left = ReportedAt.of(observable.name, None, values)
            terms = [coefficient * self.entry(entry, NOW, NOW) for coefficient, entry in observable.terms]
            yield Equation(left, (*terms, *([observable.constant] if observable.constant != 0 else [])))

    def entry(self, entry: Entry, row: Place = NOW, column: Place = THEN) -> sp.Expr:
        """An order parameter at two places."""
        array = entry.array
        kind = Correlation if array.kind == "C" else Response
        first, second = self._layers(entry)
        return kind(self._member(array.row, first, row), self._member(array.column, second, column))

    def _layers(self, entry: Entry) -> tuple[sp.Expr | None, sp.Expr | None]:
        """Layers of row and column: those that are stored, and those that follow from them."""
        array, layers = entry.array, list(entry.layers)
        row = layers.pop(0) if array.row_layers is not None else None
        column = layers.pop(0) if array.column_layers is not None else None
        process = process_of(self.closed.processes, array.row)
        if row is None and array.row.layers is not None:
            row = process.partner_layer(array.column, column, array.row)
        if column is None and array.column.layers is not None:
            column = process.partner_layer(array.row, row, array.column)
        return row, column

    def _member(self, member: Member, layer: sp.Expr | None, place: Place) -> Labelled:
        step, at = place
        if isinstance(member, Noise):
            return self.sites.noise(member, layer, step, at)
        return self._field(FieldRef(member, layer), place)

    def _field(self, ref: FieldRef, place: Place) -> Labelled:
        return field_at(ref, place[0], place[1], self.labels)

    def _kernel(self, target: FieldRef, kernel: Kernel, row: Place = NOW, column: Place = THEN) -> sp.Expr:
        return MemoryKernel(self._field(target, row), self._field(kernel.field, column))

    def _kernels(self, rows: RowEquations) -> Iterator[Equation]:
        for kernel, _ in rows.kernels:
            terms = tuple(self._kernel_term(term, rows.target.axes) for term in kernel.terms)
            note = "$s < t$" if kernel.strict else "$s \\le t$"
            yield Equation(self._kernel(rows.target, kernel), terms, _where(rows, [kernel.loop]), note)

    def _kernel_term(self, term: KernelTerm, axes: Axes) -> sp.Expr:
        kept = KEPT(STEP) if term.retained else sp.Integer(1)
        if term.entry is None:
            return term.coefficient * kept * PAST_KERNEL(STEP, PAST_STEP) * _same(axes)
        body = self.entry(term.entry)
        if term.steps == "past":
            body *= PAST_KERNEL(STEP, PAST_STEP)
        elif term.steps == "now":
            body *= sp.KroneckerDelta(STEP, PAST_STEP)
        return term.coefficient * kept * _if(term.entry.condition, body)

    def _responses(self, rows: RowEquations) -> Iterator[Equation]:
        """One equation per response of the field: all contributions to it together."""
        found: dict[sp.Expr, list[sp.Expr]] = {}
        where: dict[sp.Expr, Domain] = {}

        def add(part: Contribution, term: sp.Expr, coefficient: sp.Expr = sp.Integer(1)) -> None:
            left = self.entry(part.destination)
            found.setdefault(left, []).append(coefficient * _if(_beyond(part.condition, part.destination), term))
            where.setdefault(left, _where(rows, [part.loop], part.destination.condition))

        for part in rows.local:
            assert part.source is not None
            add(part, self.entry(part.source), part.coefficient)
        for kernel, transfers in rows.kernels:
            for part in transfers:
                add(part, self._transferred(rows.target, kernel, part))
        for part in rows.direct:
            unit = self._unit(part)
            swept = self._swept(part.destination, found)
            if swept is None:
                add(part, unit)
            else:
                left, index = swept
                found[left].append(unit * sp.KroneckerDelta(index, part.destination.layers[-1]))
        for left, terms in found.items():
            yield _pinned(Equation(left, tuple(terms), where[left]))

    def _transferred(self, target: FieldRef, kernel: Kernel, part: Contribution) -> sp.Expr:
        """``sum_t1 A(t, t1) R(t1, s)``."""
        assert part.source is not None
        body = self._kernel(target, kernel, NOW, FIRST) * self.entry(part.source, FIRST)
        last = STEP - 1 if kernel.strict else STEP
        return sp.Sum(body, (FIRST[0], 0, last), *_over(kernel.field.axes, FIRST), *_loops(kernel.loop))

    def _unit(self, part: Contribution) -> sp.Expr:
        column = part.destination.array.column
        unit = part.coefficient * _same(column.axes) * (KEPT(STEP) if part.retained else 1)
        return unit if part.destination.array.static else unit * sp.KroneckerDelta(STEP, PAST_STEP)

    def _swept(self, entry: Entry, found: Iterable[sp.Expr]) -> tuple[sp.Expr, sp.Expr] | None:
        """The response of the same row to all layers of the same noise, if it has an equation, and its layer."""
        own = self.entry(entry)
        for left in found:
            if left.func == own.func and left != own:
                a, b = left.ends, own.ends
                if a[0] == b[0] and a[1].layer is not None and a[1].layer.is_Symbol:
                    return left, a[1].layer
        return None

    def _correlations(self, rows: RowEquations) -> Iterator[Equation]:
        found: dict[sp.Expr, list[sp.Expr]] = {}
        where: dict[sp.Expr, Domain] = {}
        for weight in rows.weights:
            for target in weight.targets:
                left = self.entry(target.destination)
                found.setdefault(left, []).extend(self._weighted(weight, target))
                where.setdefault(left, _where(rows, [target.loop], target.destination.condition))
        for left, terms in found.items():
            yield _pinned(Equation(left, tuple(terms), where[left]))

    def _weighted(self, weight: Weight, target: Contribution) -> Iterator[sp.Expr]:
        for term in weight.terms:
            condition = _beyond(sp.And(term.condition, target.condition), target.destination)
            yield term.covariance.coefficient * _if(condition, self._bilinear(weight, term, target))

    def _bilinear(self, weight: Weight, term: WeightTerm, target: Contribution) -> sp.Expr:
        """``sum R(t, t1) C(t1, s1) R(s, s1)``; one sum where the Gaussian fields are independent."""
        assert target.source is not None
        covariance, noise = term.covariance, weight.noise
        place = SECOND if covariance.entry is not None else FIRST
        if covariance.fresh:
            place = (FIRST[0], SECOND[1])
        body = self.entry(term.response, NOW, FIRST) * self.entry(target.source, THEN, place)
        limits = self._steps(term.response, FIRST, STEP)
        limits += _over(noise.axes, FIRST)
        if covariance.entry is not None:
            body *= self.entry(covariance.entry, FIRST, place)
            limits += [] if covariance.fresh else self._steps(target.source, SECOND, PAST_STEP)
            limits += _over(noise.axes, SECOND)
        return sp.Sum(body, *limits, *_loops(weight.loop), *_loops(term.loop))

    def _steps(self, response: Entry, place: Place, row: sp.Expr) -> list[tuple[sp.Symbol, int, sp.Expr]]:
        """Steps of a Gaussian field up to that of the row; before it, if the row precedes the Gaussian field."""
        column = response.array.column
        if not isinstance(column, Noise) or column.static:
            return []
        return [(place[0], 0, row if (response.array.row, column) in self.reactions else row - 1)]


def without_zeros(equation: Equation, defined: Collection[type]) -> Equation:
    """Without terms that contain what has no equation: order parameters of fields that are zero."""

    def is_zero(term: sp.Expr) -> bool:
        return any(part.func not in defined and not isinstance(part, Gram) for part in term.atoms(TwoPoint))

    return replace(equation, terms=tuple(term for term in equation.terms if not is_zero(term)))


def _same(axes: Axes) -> sp.Expr:
    """The identity over labels."""
    return sp.Mul(*(sp.KroneckerDelta(label.symbol, label.other) for label in axes))


def _over(axes: Iterable[Label], place: Place) -> list[tuple[sp.Symbol, int, sp.Expr]]:
    return [(place[1](label), 0, label.size - 1) for label in axes]


def _loops(loop: LayerLoop | None) -> list[tuple[sp.Symbol, sp.Expr, sp.Expr]]:
    return [] if loop is None else [(loop.index, loop.layers.start, loop.layers.stop)]


def _if(condition: sp.Basic, term: sp.Expr) -> sp.Expr:
    """A term that is there under a condition on layers."""
    return term if condition == sp.true else sp.Piecewise((term, condition), (0, True))


def _beyond(condition: sp.Basic, entry: Entry) -> sp.Basic:
    """What a condition says that is not already the condition of an entry."""
    return sp.And(*(part for part in _parts(condition) if part not in _parts(entry.condition)))


def _parts(condition: sp.Basic) -> tuple[sp.Basic, ...]:
    return condition.args if isinstance(condition, sp.And) else () if condition == sp.true else (condition,)


def _pinned(equation: Equation) -> Equation:
    """An equation of a scan that holds at one layer alone, at this layer."""
    where = equation.where
    for relation in _parts(where.condition):
        for index, layers in where.ranges:
            slack = sp.expand(relation.lhs - relation.rhs) if isinstance(relation, sp.Eq) else sp.Integer(0)
            if abs(slack.coeff(index)) != 1:
                continue
            layer = sp.expand(index - slack / slack.coeff(index))
            others = tuple(pair for pair in where.ranges if pair[0] != index)
            left = (part.subs(index, layer) for part in _parts(where.condition) if part != relation)
            condition = sp.And(within(layer, layers, dict(others)), *left)
            return Equation(
                equation.left.subs(index, layer),
                tuple(term.subs(index, layer) for term in equation.terms),
                Domain(others, condition, where.descending),
            )
    return equation


def _where(rows: RowEquations, loops: Iterable[LayerLoop | None], condition: sp.Basic = sp.true) -> Domain:
    scans: list[tuple[sp.Symbol, LayerRange]] = [(scan.index, scan.layers) for scan in rows.scans]
    scans += [(loop.index, loop.layers) for loop in loops if loop is not None]
    return Domain(tuple(scans), condition, any(scan.descending for scan in rows.scans))
