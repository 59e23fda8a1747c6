"""Closed equations -> IR: terms become loops, guards and matrix nodes. Nothing is decided here, and no network known.

Every group of nodes stands below the number of the equation that it computes. Rows that several equations need are
computed once: kernels ``A``, which are equations of their own, and the products ``W = sum R C`` of correlations
``C = sum R C R^T``, which equations share where they are the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product

import sympy as sp

from dmft_sym.derivation.arrays import OrderParameter
from dmft_sym.derivation.closure import STAGE_OF_CLOSURE, ClosedEquations, StatementEquations
from dmft_sym.derivation.domain import parts_of
from dmft_sym.derivation.equations import Equation
from dmft_sym.derivation.exports import NamedParameter
from dmft_sym.derivation.layer_logic import within
from dmft_sym.derivation.single_site import Noise
from dmft_sym.derivation.site_equations import at_another_layer
from dmft_sym.derivation.symbols import NOW, THEN, Correlation, MemoryKernel, Response, TwoPoint, field_at
from dmft_sym.program import (
    LAYER,
    Compute,
    FieldRef,
    LayerRange,
    Learn,
    Outer,
    ProgramError,
    SquaredNorm,
    Step,
    VectorRef,
)
from dmft_sym.program.validation import smallest_depth

from . import ir
from .terms import Limits, Term

Nodes = tuple[ir.Node, ...]
_WEIGHING = (Compute, SquaredNorm)


def lower(closed: ClosedEquations, exports: Iterable[NamedParameter] = ()) -> ir.March:
    """Lower closed equations to a march.

    Parameters
    ----------
    exports
        Order parameters that users see, by name.
    """
    program = closed.program
    names = _Names(closed)
    body: list[ir.Node] = []
    # Statements of one scan share its loop: at every layer they run in the order of the program.
    for scans, group in itertools.groupby(closed.statements, key=lambda part: part.scans):
        nodes = tuple(node for part in group for node in _of_classes(part, _StatementLowering(names, part).nodes()))
        for scan in reversed(scans):
            nodes = (ir.Loop(scan.index, scan.layers.start, scan.layers.stop, scan.descending, nodes),)
        body += nodes
    return ir.March(
        title=program.name,
        statements=str(program),
        parameters=tuple(s for s in closed.parameters if not s.is_integer),
        integers=tuple(s for s in closed.parameters if s.is_integer),
        arrays=tuple(names.specs.values()),
        definitions=tuple(map(names.comment, closed.definitions)),
        body=tuple(body),
        observables=tuple(map(names.observable, closed.observables)),
        exports=tuple(ir.Export(e.name, names.specs[e.array], e.scale, e.layer) for e in exports),
        smallest_depth=smallest_depth(program),
        recursion=program.optimizer.recursion,
        weight=_weight(program),
        given=tuple(scalar.name for scalar in program.given_anew),
        weighing=tuple(_weighing(names, program)),
        classes=tuple(ir.Classes(c.label.size, c.share, program.class_values) for c in program.classes),
    )


def _of_classes(part: StatementEquations, nodes: Iterator[ir.Node]) -> Nodes:
    """Nodes of a statement, repeated for every class of the sites that it is of."""
    classes = part.statement.target.space.classes
    if classes is None:
        return tuple(nodes)
    head, *body = nodes
    return head, ir.Loop(classes.label.symbol, sp.Integer(0), classes.last, False, tuple(body))


def _weight(program: Step) -> str | None:
    """The scalar by which all increments are weighted alike.

    Raises
    ------
    ProgramError
        If they are weighted differently.
    """
    weights = {term.weight for rule in program.learned.values() for term in rule.terms}
    if program.common_weight is None and weights - {None}:
        raise ProgramError(f"weights {', '.join(map(str, weights))} of increments: allowed is one, the same for all")
    return None if program.common_weight is None else program.common_weight.name


def _weighing(names: _Names, program: Step) -> Iterator[ir.Node]:
    """Norms of gradients, from correlations of the step, and functions of them."""
    given = tuple(scalar.name for scalar in program.given_anew)
    for equation in names.weights:
        yield names.comment(equation)
        statement = names.statements[equation.left.func.__name__]
        if isinstance(statement, Compute):
            function = statement.expression.xreplace({s: sp.Symbol(ref.scalar.name) for s, ref in statement.arguments})
            yield ir.SetScalar(statement.target.scalar.name, function, given)
            continue
        target = statement.target.scalar.name
        yield ir.SetScalar(target, sp.Integer(0), given)
        for update in statement.updates:
            for one, other in product(update.terms, map(at_another_layer, update.terms)):
                yield from _norm_of_pair(names, statement, update, one, other)


def _norm_of_pair(names: _Names, statement: SquaredNorm, update: Learn, one: Outer, other: Outer) -> Iterator[ir.Node]:
    """Of two terms of an update, at all layers that they are summed over."""
    if one.weight is not None:
        raise ProgramError(f"{statement}: allowed in closed equations are gradients without weights")
    try:
        left = names.between(one.left, other.left)
        right = None if one.right is None or other.right is None else names.between(one.right, other.right)
    except KeyError as error:
        raise ProgramError(f"{statement}: closed equations do not have {error}; use conditioning") from error
    coefficient = statement.factor(update) * one.coefficient * other.coefficient
    spaces = [field.space for field in (one.left, one.right) if field is not None]
    classes = [space.classes for space in spaces if space.classes is not None]
    if len(classes) > 1:
        raise ProgramError(f"{statement}: allowed in closed equations are matrices with classes of sites on one side")
    for kinds in classes:
        coefficient *= kinds.value(kinds.share)
    node: ir.Node = ir.AddNorm(statement.target.scalar.name, coefficient, left, right)
    for kinds in classes:
        node = ir.Loop(kinds.label.symbol, sp.Integer(0), kinds.last, False, (node,))
    family = None if isinstance(update.target, VectorRef) else update.target.matrix.layers
    ranges = [(LAYER.symbol, family), (one.index, one.layers), (other.index, other.layers)]
    for index, layers in ranges:
        if index is not None and layers is not None:
            node = ir.Loop(index, layers.start, layers.stop, False, (node,))
    yield node


class _Names:
    """Arrays of order parameters, and numbers of equations."""

    def __init__(self, closed: ClosedEquations) -> None:
        self.families = closed.families
        self.specs = {array: _spec(array, closed.absent) for array in closed.arrays}
        self.weights = closed.weights
        self.labels = closed.program.labels
        self.statements = {s.target.scalar.name: s for _, s in closed.program.walk() if isinstance(s, _WEIGHING)}
        self.numbers = {equation: number for number, equation in enumerate(closed.equations, start=1)}

    def ref(self, point: TwoPoint) -> ir.Ref:
        """The matrix that an order parameter is kept in."""
        array = self.families[point.func]
        stored = zip(point.ends, (array.row_layers, array.column_layers), strict=True)
        layers = (end.layer for end, layers in stored if layers is not None)
        indices = (point.ends[0].site_class, *layers)
        return ir.Ref(self.specs[array], tuple(index for index in indices if index is not None))

    def between(self, a: FieldRef, b: FieldRef) -> ir.Ref:
        """The correlation of two fields."""
        pairs = zip((a, b), (NOW, THEN), strict=True)
        ends = [field_at(field, *place, self.labels) for field, place in pairs]
        if a.space.classes is not None:
            ends = [end.of_class(a.space.classes.label.symbol) for end in ends]
        return self.ref(Correlation(*ends))

    def transposed(self, point: Correlation) -> ir.Ref:
        """The matrix with row and column exchanged."""
        return self.ref(Correlation(*reversed(point.ends)))

    def comment(self, equation: Equation) -> ir.Comment:
        """Number and left-hand side."""
        return ir.Comment(f"({STAGE_OF_CLOSURE}.{self.numbers[equation]}) {equation.left}")

    def observable(self, equation: Equation) -> ir.Observable:
        """A sum of correlations at equal times and a constant."""
        terms = [(term.coefficient, term.point(Correlation), term.sums) for term in map(Term.of, equation.terms)]
        refs = tuple((factor, self.ref(point), sums) for factor, point, sums in terms if point is not None)
        constant = sp.Add(*(coefficient for coefficient, point, _ in terms if point is None))
        return ir.Observable(equation.label, refs, constant, self.comment(equation))


def _spec(array: OrderParameter, absent: Iterable[sp.Symbol]) -> ir.ArraySpec:
    axes = tuple((layers.start, layers.stop) for layers in array.stored)
    if array.classes is not None:
        axes = ((sp.Integer(0), array.classes.last), *axes)
    words = "response of {} to {}" if array.kind == "R" else "correlation of {} and {}"
    meaning = words.format(array.row.name, array.column.name)
    mirror = "" if array.kind == "R" else f"C_{array.column.name}_{array.row.name}"
    scale = array.column.scale.subs(dict.fromkeys(absent, 1)) if isinstance(array.column, Noise) else sp.Integer(1)
    return ir.ArraySpec(array.name, axes, array.static, array.kind == "R", meaning, mirror, scale)


class _Row:
    """An equation with its place inside of the loops of a statement.

    Attributes
    ----------
    loops
        Layers that it is repeated over beside those of the scan.
    guard
        The condition on layers under which it holds; of an equation at one layer of the scan, that it is this one.
    """

    def __init__(self, equation: Equation, part: StatementEquations) -> None:
        assert isinstance(equation.left, TwoPoint)
        self.equation = equation
        self.left: TwoPoint = equation.left
        self.terms = tuple(map(Term.of, equation.terms))
        scans, ranges = {scan.index: scan.layers for scan in part.scans}, dict(equation.where.ranges)
        classes = part.statement.target.space.classes  # of a statement, repeated around all of its equations
        outside = {*scans} if classes is None else {*scans, classes.label.symbol}
        self.loops: Limits = tuple((i, r.start, r.stop) for i, r in ranges.items() if i not in outside)
        slack = (part.statement.target.layer or 0) - (self.left.ends[0].layer or 0)
        layers = {i: sp.expand(i - slack / sp.expand(slack).coeff(i)) for i in scans if i not in ranges}
        known = {relation for i, layer in layers.items() for relation in parts_of(within(layer, scans[i], {}))}
        at = (sp.Eq(i, layer, evaluate=False) for i, layer in layers.items())
        self.guard = sp.And(*at, *(part for part in parts_of(equation.where.condition) if part not in known))


class _StatementLowering:
    """Nodes of the equations of one statement."""

    def __init__(self, names: _Names, part: StatementEquations) -> None:
        self.names = names
        self.part = part
        rows = [_Row(equation, part) for equation in part.equations]
        self.kernels, self.responses, self.correlations = (
            [row for row in rows if isinstance(row.left, kind)] for kind in (MemoryKernel, Response, Correlation)
        )

    def nodes(self) -> Iterator[ir.Node]:
        """Responses to what is in the step, kernels with what they propagate, correlations."""
        yield ir.Statement(str(self.part.statement))
        for row in self.responses:
            yield from self._commented(row, (self._added(row, t) for t in row.terms if t.point(MemoryKernel) is None))
        for kernel in self.kernels:
            yield self.names.comment(kernel.equation)
            yield from _looped(kernel.loops, kernel.guard, *self._propagated(kernel))
        yield from (self.names.comment(row.equation) for row in self.correlations)
        yield from self._correlated()
        for row in self.correlations:
            copy = ir.CopyTransposed(self.names.transposed(row.left), self.names.ref(row.left))
            yield from _looped(row.loops, row.guard, copy)

    def _commented(self, row: _Row, terms: Iterable[Nodes]) -> Nodes:
        nodes = tuple(itertools.chain(*terms))
        return (self.names.comment(row.equation), *nodes) if nodes else ()

    def _added(self, row: _Row, term: Term) -> Nodes:
        """A field of the same step, or the Gaussian field itself: at one layer of those of the equation."""
        left, loops, guard, source = row.left, row.loops, sp.And(row.guard, term.condition), term.point(Response)
        for loop in row.loops:
            layer = term.value_of(loop[0])
            if layer is not None:
                guard = sp.And(guard, within(layer, LayerRange(*loop[1:]), dict(row.equation.where.ranges)))
                left, loops = left.subs(loop[0], layer), tuple(other for other in loops if other != loop)
        ref = self.names.ref(left)
        if source is None:
            return _looped(loops, guard, ir.AddIdentity(ref, term.coefficient, term.retained))
        node = ir.AddFirstRow if source.ends[0].step == 0 else ir.AddRow
        return _looped(loops, guard, node(ref, term.coefficient, self.names.ref(source)))

    def _propagated(self, kernel: _Row) -> Iterator[ir.Node]:
        """The row of a kernel and its products with response matrices."""
        yield ir.StartKernel()
        for term in kernel.terms:
            source = term.point(TwoPoint)
            ref = None if source is None else self.names.ref(source)
            add = ir.AddKernel(term.coefficient, ref, term.steps, term.retained)
            yield from _looped(term.sums, term.condition, add)
        for row in self.responses:
            terms = (term for term in row.terms if term.point(kernel.left.func) is not None)
            yield from self._commented(row, (self._product(row, term) for term in terms))

    def _product(self, row: _Row, term: Term) -> Nodes:
        source = term.point(Response)
        assert source is not None
        product = ir.AddProduct(self.names.ref(row.left), self.names.ref(source))
        return _looped(row.loops, sp.And(row.guard, term.condition), product)

    def _correlated(self) -> Iterator[ir.Node]:
        """Rows ``W``, each with the correlations that it enters."""
        shared: dict[tuple[Nodes, Limits, sp.Basic], Nodes] = {}
        for row in self.correlations:
            for (source, outer, condition), terms in _groups(row).items():
                start = ir.StartWeight(source.ends[1].step is None)
                weights = (start, *itertools.chain(*(self._weight(term, outer) for term in terms)))
                inside, outside = _split(sp.And(row.guard, condition), row.loops)
                target = ir.AddCorrelation(self.names.ref(row.left), self.names.ref(source))
                key = (weights, outer, outside)
                shared[key] = (*shared.get(key, ()), *_looped(row.loops, inside, target))
        for (weights, outer, condition), targets in shared.items():
            yield from _looped(outer, condition, *weights, *targets)

    def _weight(self, term: Term, outer: Limits) -> Nodes:
        """A term of ``W = sum R C``, summed over the layers of its Gaussian field."""
        response, covariance = term.point(Response, present=True), term.point(Correlation)
        assert response is not None
        inner = tuple(limit for limit in term.sums if limit not in outer)
        add = ir.AddWeight(term.coefficient, self.names.ref(response), None, None, False)
        if covariance is not None:
            fresh = covariance.ends[0].step == covariance.ends[1].step
            matrix, transposed = self.names.ref(covariance), self.names.transposed(covariance)
            add = replace(add, covariance=matrix, transposed=transposed, fresh=fresh)
        return _looped(inner, _split(term.condition, inner)[0], add)


def _groups(row: _Row) -> dict[tuple[Response, Limits, sp.Basic], list[Term]]:
    """Terms of a correlation by the response of the column, its layers, and the condition outside of other sums."""
    found: dict[tuple[Response, Limits, sp.Basic], list[Term]] = {}
    for term in row.terms:
        source = term.point(Response, present=False)
        assert source is not None
        layer = source.ends[1].layer
        outer = tuple(limit for limit in term.sums if layer is not None and layer.has(limit[0]))
        inner = tuple(limit for limit in term.sums if limit not in outer)
        found.setdefault((source, outer, _split(term.condition, inner)[1]), []).append(term)
    return found


def _split(condition: sp.Basic, loops: Limits) -> tuple[sp.Basic, sp.Basic]:
    """The part of a condition that depends on the labels of loops, and the rest."""
    indices = {index for index, _, _ in loops}
    inside = [part for part in parts_of(condition) if part.free_symbols & indices]
    return sp.And(*inside), sp.And(*(part for part in parts_of(condition) if part not in inside))


def _looped(loops: Limits, condition: sp.Basic, *nodes: ir.Node) -> Nodes:
    """Nodes inside of loops, under a condition that stands as far outside as it can."""
    inside, outside = _split(condition, loops)
    nodes = _guarded(inside, nodes)
    for index, start, stop in reversed(loops):
        nodes = (ir.Loop(index, start, stop, False, nodes),)
    return _guarded(outside, nodes)


def _guarded(condition: sp.Basic, nodes: Nodes) -> Nodes:
    return nodes if condition == sp.true else (ir.Guard(condition, nodes),)
