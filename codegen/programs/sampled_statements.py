"""Statements of a program as lines of a generated sampled solver: the fields of a step, and its updates."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence

import sympy as sp
from dmft_sym.codegen.text.wrapping import WIDTH, wrapped

from dmft_sym.program import (
    OUTPUT,
    Assign,
    Average,
    Compute,
    FieldRef,
    ForLayers,
    Learn,
    MatrixRef,
    Outer,
    Product,
    ProgramError,
    Relabelled,
    SiteFunction,
    SiteMap,
    Statement,
    VectorRef,
)

from .sampled_functions import Functions
from .sampled_places import DeclaredPlaces, Numbers, plus

_INDENT = "    "
_INNER = WIDTH - 12  # of lines that are indented up to three times more
Lines = Iterator[str]


class StatementWriter:
    """Writes statements; names functions and numbers on the way.

    Attributes
    ----------
    shares : int
        Most softmaxes of a statement.
    """

    def __init__(self, places: DeclaredPlaces, numbers: Numbers, functions: Functions) -> None:
        self.places, self.numbers, self.functions = places, numbers, functions
        self.labels = places.labels
        self.sizes = ", ".join(self.labels.arguments)
        optimizer, recursion = places.program.optimizer, places.program.optimizer.recursion
        more = (recursion.from_increment, recursion.first) if recursion.mixed else ()
        self.optimizer = ", ".join(numbers.text(value) for value in (optimizer.momentum, optimizer.decay, *more))
        self.shares = 0

    def fields(self) -> list[str]:
        """Lines that compute the fields and scalars of a step."""
        return list(self._block(self.places.program.statements, self._field_lines))

    def updates(self) -> list[str]:
        """Lines that change the weights at the end of a step."""
        return list(self._block(self.places.program.statements, self._update_lines))

    def first_uses(self) -> list[str]:
        """Lines that note matrices from the inputs and vectors in the order of their first use."""
        return list(self._block(self.places.program.statements, self._use_lines))

    def _block(self, statements: Sequence[Statement], write: Callable[[Statement], Lines]) -> Lines:
        """Lines of statements; scans without lines are left out."""
        for statement in statements:
            if not isinstance(statement, ForLayers):
                yield from write(statement)
                continue
            with self.places.scan(statement.index, statement.layers, statement.descending) as head:
                body = list(self._block(statement.body, write))
            if body:
                yield head
                yield from (_INDENT + line for line in body)

    # Fields and scalars

    def _field_lines(self, statement: Statement) -> Lines:
        lines: Lines
        if isinstance(statement, Assign):
            lines = self._assign(statement)
        elif isinstance(statement, SiteMap):
            lines = self._map(statement)
        elif isinstance(statement, Average):
            lines = self._average(statement)
        elif isinstance(statement, Compute):
            lines = self._compute(statement)
        else:
            return
        yield from _comment(statement)
        yield from lines

    def _assign(self, statement: Assign) -> Lines:
        place = f"{self.places.row(statement.target)}, {self.labels.count(statement.target.axes)}"
        yield f"replica.clear({place})"
        parts = list(self._parts(statement))
        for number, part in enumerate(parts, 1):
            yield from part
            if len(parts) > 1:
                yield f"replica.settle({place}, {number == len(parts)})"

    def _parts(self, statement: Assign) -> Iterator[list[str]]:
        """Lines for each part of a sum, fields before products."""
        target = statement.target
        counts = self.labels.counts(target.axes)
        for coefficient, atom in statement.value.terms:
            if isinstance(atom, FieldRef | VectorRef):
                to, source = (self._stepped(ref) for ref in (target, atom))
                yield [f"replica.add({to}, {self.numbers.text(coefficient)}, {source}, {counts})"]
            elif isinstance(atom, Relabelled):
                yield from self._relabelled(coefficient, atom, target)
        for coefficient, atom in statement.value.terms:
            if isinstance(atom, Product):
                yield self._multiply(coefficient, atom, target)
            elif not isinstance(atom, FieldRef | VectorRef | Relabelled):
                raise ProgramError(f"{statement}: a training step adds up layers in a scan")

    def _relabelled(self, coefficient: sp.Expr, atom: Relabelled, target: FieldRef) -> Iterator[list[str]]:
        """A line for every term of a sum over labels."""
        to, steps, counts = self._stepped(target), self.labels.steps_of(atom), self.labels.counts(target.axes)
        for offset in self.labels.terms(atom):
            source = f"({plus(self.places.row(atom.field), offset)}, {steps})"
            yield [f"replica.add({to}, {self.numbers.text(coefficient)}, {source}, {counts})"]

    def _stepped(self, ref: FieldRef | VectorRef) -> str:
        """First row of a field, and steps from one value of every label to the next."""
        return f"({self.places.row(ref)}, {self.labels.steps(ref.axes)})"

    def _multiply(self, coefficient: sp.Expr, product: Product, target: FieldRef) -> list[str]:
        axes, row = product.operand.axes, self.places.row(target)
        run = self.labels.run(axes, target.axes)
        if run is not None:
            return [self._product(coefficient, product, f"{row}, {self.labels.count(target.axes)}, {run}")]
        apart, rows = f"at.{self.places.apart}", self.labels.count(axes)
        source = f"({apart}, {self.labels.steps(axes)})"
        return [
            f"fields[{apart} : {plus(apart, rows)}, :n] = 0.0",
            self._product(coefficient, product, f"{apart}, {rows}, 1"),
            f"replica.add({self._stepped(target)}, 1.0, {source}, {self.labels.counts(target.axes)})",
        ]

    def _product(self, coefficient: sp.Expr, product: Product, place: str) -> str:
        """The line that adds a product to the rows of a ``place``: the first one, how many, and how they repeat."""
        places, operand, matrix = self.places, product.operand, product.matrix.matrix
        if product.transpose:
            coefficient = sp.powsimp(sp.cancel(coefficient * matrix.aspect), force=True)
        place = f"{place}, {self.numbers.text(coefficient)}"
        if matrix.source.finite:
            return f"replica.multiply_inputs({places.matrix(product.matrix)}, {place})"
        side = places.side(product.matrix, product.transpose)
        return f"replica.multiply({side}, {places.row(operand)}, {self.labels.count(operand.axes)}, {place})"

    def _arguments(self, function: SiteFunction) -> list[str]:
        """First rows, scalars and parameters that a function is called with."""
        rows = [self.places.row(ref) for _, ref in function.fields]
        scalars = [self.places.scalar(ref) for _, ref in function.scalars]
        parameters = sorted(function.parameters, key=lambda symbol: symbol.name)
        return [*rows, *scalars, *(f"float({self.numbers.text(symbol)})" for symbol in parameters)]

    def _map(self, statement: SiteMap) -> Lines:
        target = statement.target
        name = self.functions.map(f"_map_{target.field.name}", target.axes, statement.function, statement.over)
        arguments = [self.places.row(target), *self._arguments(statement.function)]
        yield f"{name}(fields, n, {self.sizes}, {', '.join(arguments)})"

    def _average(self, statement: Average) -> Lines:
        target = statement.target
        for coefficient, function in statement.terms:
            name = self.functions.average(f"_average_{target.scalar.name}", target.axes, function)
            arguments = ", ".join(self._arguments(function))
            first = f"{self.places.scalar(target)}, {self.numbers.text(coefficient)}"
            yield f"{name}({first}, line, fields, n, {self.sizes}, {arguments})"

    def _compute(self, statement: Compute) -> Lines:
        target, name = statement.target, f"_compute_{statement.target.scalar.name}"
        used = statement.expression.free_symbols
        refs = [(symbol, ref) for symbol, ref in statement.arguments if symbol in used]
        if statement.over or statement.along != OUTPUT:
            function = self.functions.along_labels(name, statement)
            yield f"{function}({', '.join([self.places.scalar(target), self.sizes, *self._scalars(statement)])})"
            return
        function, shares = self.functions.compute(name, target.axes, statement.expression, refs)
        last = self.labels.order[-1]
        if shares and last not in target.axes:
            raise ProgramError(f"{statement}: softmax acts along the {last}s, which {target} does not have")
        self.shares = max(self.shares, shares)
        arguments = self._scalars(statement)
        yield f"{function}({', '.join([self.places.scalar(target), 'replica.work', self.sizes, *arguments])})"

    def _scalars(self, statement: Compute) -> list[str]:
        """Scalars and parameters that a function of scalars is called with."""
        used = statement.expression.free_symbols
        parameters = sorted(statement.parameters, key=lambda symbol: symbol.name)
        arguments = [self.places.scalar(ref) for symbol, ref in statement.arguments if symbol in used]
        return arguments + [f"float({self.numbers.text(symbol)})" for symbol in parameters]

    # Updates

    def _update_lines(self, statement: Statement) -> Lines:
        if not isinstance(statement, Learn):
            return
        yield from _comment(statement)
        target = statement.target
        if isinstance(target, VectorRef):
            memory = self.places.memories.get(target.vector.name)
            place = f"{self.places.row(target)}, {f'at.{memory}' if memory else None}"
            yield from self._learn("learn_vector", place, statement)
            return
        name = "learn_inputs" if target.matrix.source.finite else "learn"
        yield from self._layers(target, lambda: self._learn(name, self.places.matrix(target), statement))

    def _layers(self, target: MatrixRef, write: Callable[[], Lines]) -> Lines:
        """Lines for every layer of a family."""
        if target.layer is None or target.matrix.layers is None:
            yield from write()
            return
        assert isinstance(target.layer, sp.Symbol)
        with self.places.scan(target.layer, target.matrix.layers) as head:
            body = [_INDENT + line for line in write()]
        yield head
        yield from body

    def _learn(self, name: str, place: str, statement: Learn) -> Lines:
        """Terms of an increment, and the call that adds them."""
        target = statement.target
        yield "terms = ["
        for term in statement.terms:
            if term.index is None or term.layers is None:
                yield from wrapped("(", self._term(term, target), "),", _INDENT, _INNER)
                continue
            with self.places.scan(term.index, term.layers) as head:
                yield from wrapped("*((", self._term(term, target), f") {head.removesuffix(':')}),", _INDENT, _INNER)
        yield "]"
        yield f"replica.{name}({place}, terms, {self.optimizer})"

    def _weight(self, term: Outer) -> list[str]:
        """Coefficient of a term, its weights, and where in them that of a label is."""
        factor = self.numbers.text(term.coefficient)
        if term.weight is None:
            return [factor, "_ONE", self.labels.zeros()]
        return [factor, self.places.scalar(term.weight), f"(0, {self.labels.steps(term.weight.axes)})"]

    def _term(self, term: Outer, target: MatrixRef | VectorRef) -> list[str]:
        """A term of an increment; a matrix between sampled spaces needs rows of both factors."""
        vector = [target.vector] if isinstance(target, VectorRef) else []
        counts = self.labels.counts(self.places.program.joined(*term.factors, *vector))
        rows = [self._stepped(term.left)]
        if isinstance(target, MatrixRef) and not target.matrix.source.finite:
            assert term.right is not None
            rows = [
                f"({self.places.row(ref)}, {self.labels.count(ref.axes)}, {self.labels.steps(ref.axes)})"
                for ref in (term.left, term.right)
            ]
        return [*self._weight(term), *rows, counts]

    # First uses

    def _use_lines(self, statement: Statement) -> Lines:
        if isinstance(statement, Assign):
            for _, atom in statement.value.terms:
                if isinstance(atom, VectorRef):
                    yield self._use(atom)
                elif isinstance(atom, Product) and atom.matrix.matrix.source.finite:
                    yield self._use(atom.matrix)
        elif isinstance(statement, SiteMap | Average):
            functions = [statement.function] if isinstance(statement, SiteMap) else [f for _, f in statement.terms]
            yield from (self._use(r) for f in functions for _, r in f.fields if isinstance(r, VectorRef))
        elif isinstance(statement, Learn):
            target = statement.target
            if isinstance(target, VectorRef):
                yield self._use(target)
            elif target.matrix.source.finite:
                yield from self._layers(target, lambda: iter([self._use(target)]))

    def _use(self, ref: VectorRef | MatrixRef) -> str:
        if isinstance(ref, VectorRef):
            table, place, variance = "vectors", self.places.row(ref), ref.vector.variance
        else:
            variance = ref.matrix.variance_at(ref.layer)
            table, place = "inputs", f"({self.places.matrix(ref)})"
            if ref.matrix.isometric:
                return f"{table}.setdefault({place}, None)"
        return f"{table}.setdefault({place}, {self.numbers.text(sp.sqrt(variance))})"


def _comment(statement: Statement) -> Lines:
    yield from (f"# {line}" for line in textwrap.wrap(str(statement), 110, break_long_words=False))
