"""Closure of a program with averages as SymPy: what order parameters are, process by process.

A sampled process gives averages over its sites, and responses are averages of tangents. In a Gaussian process tangents
are the same at every site: they are the responses, and correlations are quadratic in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import product

import sympy as sp

from dmft_sym.program import LAYER, Average, Field, FieldRef

from .domain import Domain
from .equations import Equation
from .pipeline import Pipeline
from .process_closure import ProcessClosure, quadratic_form
from .processes import Member
from .single_site import Noise, ScalarEquation
from .site_equations import SiteWriter, tangent_writer
from .symbols import (
    FIRST,
    NOW,
    SECOND,
    STEPS,
    THEN,
    Correlation,
    Labelled,
    NoiseAt,
    Place,
    Response,
    SiteAverage,
    Tangent,
    TwoPoint,
)
from .tangents import tangent_equations

_LAYERS = (LAYER.symbol, LAYER.other, *sp.symbols("l_1 l_2", integer=True, positive=True))
"""Layers of the row, of the column, and two that sums run over."""


class AverageWriter:
    """Writes what closes a program with averages.

    Parameters
    ----------
    derivation
        The stages up to the closure.
    others
        Expressions whose order parameters are wanted too.
    """

    def __init__(self, derivation: Pipeline, others: Iterable[sp.Expr] = ()) -> None:
        self.derivation, self.others = derivation, tuple(others)
        self.sites = SiteWriter(derivation.site_builder)
        self.closure_of: dict[Member, ProcessClosure] = {
            member: closure for closure in derivation.closures for member in closure.process.shift
        }
        self.member_of: dict[type[Labelled], Member] = {
            self._at(member, 0, NOW).func: member for member in self.closure_of
        }

    def equations(self) -> Iterator[Equation]:
        """Scalars, then what closes every process."""
        yield from self.scalars
        for closure in self.derivation.closures:
            yield from self.correlations(closure)
            yield from self.responses(closure)
            if not closure.gaussian:
                yield from map(tangent_writer(self.derivation.site_builder).derivative, closure.tangents)

    @cached_property
    def scalars(self) -> list[Equation]:
        """Scalars in causal order; averages over Gaussian processes are made of correlations."""
        return [self._scalar(e) for e in self.derivation.causal if isinstance(e, ScalarEquation)]

    @cached_property
    def _needed(self) -> list[type[TwoPoint]]:
        """Order parameters of fields that occur in any equation, without labels."""
        sites = [self.sites.equation(e) for e in self.derivation.causal]
        covariances = [e for c in self.derivation.closures for e in self.sites.covariances(c.process.noises)]
        terms = (term for equation in (*sites, *covariances, *self.scalars) for term in equation.terms)
        return _families([*terms, *self.others])

    def correlations(self, closure: ProcessClosure) -> Iterator[Equation]:
        """Correlations whose row is in a process."""
        for family in self._needed:
            row = self.member_of.get(family.row)
            if issubclass(family, Correlation) and row is not None and self.closure_of[row] is closure:
                yield self._correlation(row, self.member_of[family.column])

    def responses(self, closure: ProcessClosure) -> Iterator[Equation]:
        """Responses of a process: averages of tangents, or these themselves."""
        if closure.gaussian:
            yield from self._gaussian_responses(closure)
        else:
            yield from (self.average_response(kind.row, kind.noise) for kind in closure.responses)

    def _at(self, member: Member, number: int, place: Place) -> Labelled:
        """A field or Gaussian field, at the layer with this number."""
        layer = None if member.layers is None else _LAYERS[number]
        if isinstance(member, Noise):
            return self.sites.noise(member, layer, *place)
        return self.sites.field(FieldRef(member, layer), *place)

    def _scalar(self, equation: ScalarEquation) -> Equation:
        """An average over a Gaussian process follows from correlations."""
        statement = equation.statement
        made = self.sites.equation(equation)
        if not isinstance(statement, Average):
            return made
        terms: list[sp.Expr] = []
        for (coefficient, function), whole in zip(statement.terms, made.terms, strict=True):
            fields = [ref.field for _, ref in function.fields if isinstance(ref, FieldRef)]
            form = quadratic_form(function) if all(self.closure_of[field].gaussian for field in fields) else None
            if form is None:
                terms.append(whole)
                continue
            names = {symbol: self.sites.scalar(ref) for symbol, ref in function.scalars}
            parts = [(form.constant, sp.Integer(1))]
            parts += [(c, Correlation(self.sites.field(a), self.sites.field(b))) for c, a, b in form.products]
            terms += [coefficient * sp.sympify(c, strict=True).xreplace(names) * value for c, value in parts if c != 0]
        return replace(made, terms=tuple(terms))

    def _correlation(self, row: Member, column: Member) -> Equation:
        a, b = self._at(row, 0, NOW), self._at(column, 1, THEN)
        closure = self.closure_of[row]
        if self.closure_of[column] is not closure:
            terms: tuple[sp.Expr, ...] = (sp.Integer(0),)  # independent
        elif not closure.gaussian:
            terms = (SiteAverage(a * b),)
        else:
            terms = tuple(self._quadratic(closure, (row, a), (column, b)))
        return Equation(Correlation(a, b), terms, _where(row, column))

    def _quadratic(
        self, closure: ProcessClosure, first_end: tuple[Member, Labelled], second_end: tuple[Member, Labelled]
    ) -> Iterator[sp.Expr]:
        """``sum R(a, u) <u u'> R(b, u')`` over Gaussian fields with all their labels."""
        (row, a), (column, b) = first_end, second_end
        for u, other in product(closure.process.noises, repeat=2):
            layers = [None if member.layers is None else _LAYERS[n] for member, n in ((u, 2), (other, 3))]
            covariance = self.sites.covariance(u, layers[0], FIRST, other, layers[1], SECOND)
            if covariance != 0:
                first, second = self._at(u, 2, FIRST), self._at(other, 3, SECOND)
                limits = [*self._limits(u, 2, FIRST, row, a), *self._limits(other, 3, SECOND, column, b)]
                term = Response(a, first) * covariance * Response(b, second)
                yield sp.Sum(term, *limits) if limits else term

    def _limits(
        self, noise: Noise, number: int, place: Place, member: Member, row: Labelled
    ) -> Iterator[tuple[sp.Expr, ...]]:
        """A Gaussian field runs over steps up to that of the row, its labels and its layers."""
        if not noise.static:
            present = (member, noise) in self.derivation.reactions
            last = sp.sympify(row.step, strict=True)
            yield place[0], sp.Integer(0), last if present else last - 1
        yield from ((place[1](label), sp.Integer(0), label.size - 1) for label in noise.axes)
        if noise.layers is not None:
            yield _LAYERS[number], noise.layers.start, noise.layers.stop

    def average_response(self, row: Field, noise: Noise) -> Equation:
        """A response as the average of a tangent."""
        a, b = self._at(row, 0, NOW), self._at(noise, 1, THEN)
        return Equation(Response(a, b), (SiteAverage(Tangent(a, b)),), _where(row, noise))

    def _gaussian_responses(self, closure: ProcessClosure) -> Iterator[Equation]:
        """Derivatives of a Gaussian process by each of its Gaussian fields."""
        inner = self._bound_symbols()
        for noise in closure.tracked:
            column = self._at(noise, 3, SECOND)

            def moved(part: Labelled, column: Labelled = column) -> sp.Expr:
                return Tangent(part, column) if isinstance(part, NoiseAt) else Response(part, column)

            writer = SiteWriter(self.derivation.site_builder, moved)
            for tangent in tangent_equations(closure.equations, [noise]):
                made = writer.derivative(tangent)
                ranges = () if noise.layers is None else ((LAYER.other, noise.layers),)
                yield Equation(
                    made.left.xreplace(inner),
                    tuple(term.xreplace(inner) for term in made.terms if term != 0),
                    replace(made.where, ranges=(*made.where.ranges, *ranges)),
                )

    def _bound_symbols(self) -> dict[sp.Symbol, sp.Symbol]:
        """Sums run over places of their own; the second point is where columns are."""
        found = {STEPS[0]: STEPS[1], STEPS[2]: STEPS[0], _LAYERS[1]: _LAYERS[2], _LAYERS[3]: _LAYERS[1]}
        for label in self.sites.labels:
            found |= {label.other: FIRST[1](label), SECOND[1](label): label.other}
        return found


def _families(terms: list[sp.Expr]) -> list[type[TwoPoint]]:
    """Order parameters that occur, without labels, in the order in which they do."""
    found: dict[type[TwoPoint], None] = {}
    for term in terms:
        for part in sorted(term.atoms(TwoPoint), key=str):
            if not issubclass(part.row, NoiseAt):
                found[part.func] = None
    return list(found)


def _where(row: Member, column: Member) -> Domain:
    pairs = ((_LAYERS[0], row.layers), (_LAYERS[1], column.layers))
    return Domain(tuple((symbol, layers) for symbol, layers in pairs if layers is not None))
