"""Single-site equations, as they are printed, -> the nodes of `two_time_ir`.

Read off the SymPy equations: what a sum runs over and its factors say which memory it is, coefficients of tangents are
slopes, averages over sites stay averages. Which process is Gaussian says its closure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, product

import sympy as sp

from dmft_sym.derivation.average_equations import AverageWriter
from dmft_sym.derivation.equations import Equation
from dmft_sym.derivation.layer_logic import within
from dmft_sym.derivation.plain_text import plain
from dmft_sym.derivation.single_site import CausalEquation, Noise, ScalarEquation, SiteEquation
from dmft_sym.derivation.site_equations import STAGE_OF_SITES, SiteWriter, at_another_layer, tangent_writer
from dmft_sym.derivation.symbols import (
    Correlation,
    FieldAt,
    Labelled,
    NoiseAt,
    Response,
    ScalarAt,
    SiteAverage,
    Tangent,
    TwoPoint,
)
from dmft_sym.program import (
    LAYER,
    OUTPUT,
    PAST_STEP,
    STEP,
    Field,
    FieldRef,
    LayerRange,
    ProgramError,
    Scalar,
    ScalarRef,
    SquaredNorm,
    VectorRef,
)

from . import two_time_ir as ir
from .two_time_scope import Scope


class Lowering:
    """The equations of a derivation as nodes.

    Parameters
    ----------
    scope
        The derivation, and names of its objects in the module.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope, self.derivation = scope, scope.derivation
        self.writer = SiteWriter(self.derivation.site_builder)
        self.things: dict[type[Labelled], Field | Noise | Scalar] = dict(self._things())
        writer = tangent_writer(self.derivation.site_builder)
        tangents = [tangent for closure in self.derivation.closures for tangent in closure.tangents]
        self.slopes = {id(t.equation): writer.derivative(t).terms for t in tangents if t.equation.function is not None}
        self.scalars = iter(AverageWriter(self.derivation).scalars)
        self.labels = {label.other for label in self.derivation.program.labels}
        self.drawn: set[str] = set()

    def _things(self) -> Iterator[tuple[type[Labelled], Field | Noise | Scalar]]:
        """What functions of labels stand for."""
        for thing in self.scope.names.things:
            layer = None if thing.layers is None else LAYER.symbol
            if isinstance(thing, Noise):
                yield self.writer.noise(thing, layer).func, thing
            elif isinstance(thing, Scalar):
                yield self.writer.scalar(ScalarRef(thing, layer)).func, thing
            else:
                yield self.writer.field(FieldRef(thing, layer)).func, thing

    def step(self) -> Iterator[ir.Node]:
        """What a step does, equation by equation."""
        numbered = enumerate(self.derivation.causal, start=1)
        for scans, group in groupby(numbered, lambda pair: pair[1].scans):
            body = tuple(self._numbered(place, equation) for place, equation in group)
            if scans:
                yield ir.Loop(scans[0].index, scans[0].layers, body, scans[0].descending)
            else:
                yield from body

    def _numbered(self, place: int, causal: CausalEquation) -> ir.Numbered:
        equation = self.writer.equation(causal)
        line = equation.line(averages=True)
        text = plain(f"{line.left} = " + " ".join(line.terms).removeprefix("+ "))
        return ir.Numbered(f"{STAGE_OF_SITES}.{place}", text, tuple(self._nodes(causal, equation)))

    def _nodes(self, causal: CausalEquation, equation: Equation) -> Iterator[ir.Node]:
        if isinstance(causal, ScalarEquation) and isinstance(causal.statement, SquaredNorm):
            next(self.scalars)
            yield from self._norm(causal.statement)
        elif isinstance(causal, ScalarEquation):
            right = next(self.scalars).right
            summed = isinstance(right, sp.Sum)  # over outputs: other labels are written out
            yield ir.Compute(self.item(equation.left), self.functions([right.function if summed else right]), summed)
        elif causal.function is not None:
            yield self._map(causal, equation)
        else:
            yield from self._sum(equation)

    def _norm(self, statement: SquaredNorm) -> Iterator[ir.Node]:
        """Updates one after the other, families layer by layer; terms in pairs."""
        target = self.item(self.writer.scalar(statement.target))
        for update in statement.updates:
            family = None if isinstance(update.target, VectorRef) else update.target.matrix.layers
            for one, other in product(update.terms, map(at_another_layer, update.terms)):
                if one.weight is None or one.weight != other.weight:
                    raise ProgramError(f"{statement}: allowed in a direct two-time solver is one weight of all terms")
                left, right = (self._pair(*pair) for pair in ((one.left, other.left), (one.right, other.right)))
                assert left is not None
                coefficient = statement.factor(update) * one.coefficient * other.coefficient
                weight = self.number(self.writer.scalar(one.weight))
                ranges = [(LAYER.symbol, family), (one.index, one.layers), (other.index, other.layers)]
                loops = tuple((index, layers) for index, layers in ranges if index is not None and layers is not None)
                yield from _Place(loops).around((ir.AddNorm(target, coefficient, weight, left, right),))

    def _pair(self, first: FieldRef | None, second: FieldRef | None) -> tuple[ir.Item, ir.Item] | None:
        if first is None or second is None:
            return None
        return self.item(self.writer.field(first)), self.item(self.writer.field(second))

    def item(self, part: Labelled) -> ir.Item:
        """What a function of labels is in the module."""
        thing = self.things[part.func]
        return ir.Item(self.scope.names.of(thing), None if thing.layers is None else part.layer)

    def number(self, part: ScalarAt) -> ir.Number:
        """A scalar of the module; those that are given have no steps."""
        item = self.item(part)
        return ir.Number(item.name, item.layer, part.step is None, part.step == 0)

    def functions(self, expressions: Iterable[sp.Expr]) -> ir.Functions:
        """Functions of what is known at the present step."""
        given = sp.Tuple(*expressions)
        averages = sorted(given.atoms(SiteAverage), key=str)
        others = given.xreplace(dict.fromkeys(averages, sp.Integer(1))).atoms(FieldAt, ScalarAt, Correlation)
        symbols = {part: sp.Symbol(str(part), real=True) for part in [*averages, *sorted(others, key=str)]}
        arguments = tuple((symbol, self._argument(part)) for part, symbol in symbols.items())
        return ir.Functions(tuple(given.xreplace(symbols)), arguments)

    def _argument(self, part: sp.Expr) -> ir.Item | ir.SiteMean | ir.Moment:
        if isinstance(part, SiteAverage):
            return ir.SiteMean(self.functions(part.args))
        if isinstance(part, Correlation):
            return ir.Moment(*map(self.item, part.ends))
        return self.number(part) if isinstance(part, ScalarAt) else self.item(part)

    def _map(self, causal: SiteEquation, equation: Equation) -> ir.Map:
        """A site-wise function, with the chain rule."""
        target, closure = self.item(equation.left), self.scope.closure_of[causal.target.field]
        if closure.by_parts:
            fields = sorted(equation.right.atoms(FieldAt), key=str)
            return ir.Map(target, self.functions(equation.terms), tuple(map(self.item, fields)), sloped=False)
        slopes = [(tangent, term) for term in self.slopes.get(id(causal), ()) for tangent in term.atoms(Tangent)]
        expressions = [term.xreplace({tangent: sp.Integer(1)}) for tangent, term in slopes]
        if not closure.gaussian:
            expressions = [*equation.terms, *expressions]
        items = tuple(self.item(tangent.args[0]) for tangent, _ in slopes)
        return ir.Map(target, self.functions(expressions), items, sampled=not closure.gaussian)

    def _sum(self, equation: Equation) -> Iterator[ir.Node]:
        """Gaussian fields, fields of the same step, and memories; those of the same past are one."""
        target = self.item(equation.left)
        memories: dict[tuple[ir.Item, _Place], list[ir.ResponseKernel | ir.UpdateKernel]] = {}
        for term in equation.terms:
            total = next(iter(term.atoms(sp.Sum)), None)
            if total is None:
                yield from self._present(target, term)
                continue
            coefficient, body = term.xreplace({total: sp.Integer(1)}), total.function
            limits = {symbol: limit for symbol, *limit in total.limits}
            last = limits.pop(PAST_STEP, (None, None))[1]
            layers = tuple((symbol, LayerRange(*limits[symbol])) for symbol in limits if symbol not in self.labels)
            if last is None:
                yield from _Place(layers).around(tuple(self._present(target, coefficient * body)))
                continue
            (past,) = body.atoms(FieldAt)
            kernel = self._kernel(body, coefficient, last == STEP, each=OUTPUT.other not in limits)
            place = _Place(layers, self._condition(body, {**dict(equation.where.ranges), **dict(layers)}))
            memories.setdefault((self.item(past), place), []).append(kernel)
        for (past, place), kernels in memories.items():
            yield from place.around((ir.Remember(target, past, tuple(kernels)),))

    def _present(self, target: ir.Item, term: sp.Expr) -> Iterator[ir.Node]:
        """A Gaussian field, drawn where it first occurs, or a field of the same step."""
        for part in term.atoms(FieldAt, NoiseAt):
            item, noise = self.item(part), isinstance(part, NoiseAt)
            if not noise and part.step == 0:
                raise ProgramError(f"{part}: allowed at the first step are scalars in a direct two-time solver")
            if noise and part.step is not None and item.name not in self.drawn:
                self.drawn.add(item.name)
                yield ir.Draw(item)
            yield ir.Add(target, term.xreplace({part: sp.Integer(1)}), item, noise)

    def _kernel(
        self, body: sp.Expr, coefficient: sp.Expr, now: bool, each: bool
    ) -> ir.ResponseKernel | ir.UpdateKernel:
        """What multiplies the past."""
        weight, overlap = next((self.number(part) for part in body.atoms(ScalarAt)), None), None
        for pair in body.atoms(TwoPoint):
            overlap = self.item(pair.ends[0]), self.item(pair.ends[1])
            if isinstance(pair, Response):
                return ir.ResponseKernel(coefficient, *overlap, now)
        return ir.UpdateKernel(coefficient, weight, overlap, each)

    def _condition(self, body: sp.Expr, ranges: Mapping[sp.Symbol, LayerRange]) -> sp.Basic:
        """Where the product in the other direction exists, to whose Gaussian field there is a response."""
        for response in body.atoms(Response):
            column = response.ends[1]
            layers = self.things[column.func].layers
            if column.layer is not None and layers is not None:
                return within(column.layer, layers, ranges)
        return sp.true


@dataclass(frozen=True)
class _Place:
    """Layers that a term is summed over, and a condition on them."""

    layers: tuple[tuple[sp.Symbol, LayerRange], ...] = ()
    condition: sp.Basic = sp.true

    def around(self, nodes: tuple[ir.Node, ...]) -> tuple[ir.Node, ...]:
        """The nodes of the term, at this place."""
        if self.condition == sp.false:
            return ()
        nodes = nodes if self.condition == sp.true else (ir.Guard(self.condition, nodes),)
        for index, layers in self.layers:
            nodes = (ir.Loop(index, layers, nodes),)
        return nodes
