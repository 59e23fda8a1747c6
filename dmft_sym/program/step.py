"""The statements of one step, and what can be read off them: fields, matrices, parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import sympy as sp

from .classes import ClassValue, SiteClasses, class_values
from .declarations import ONE, Field, GaussianMatrix, RandomVector, Scalar, Space
from .expressions import (
    Atom,
    FieldRef,
    Initial,
    LayerSum,
    Linear,
    MatrixRef,
    Product,
    Relabelled,
    ScalarRef,
    SiteFunction,
    VectorRef,
)
from .labels import LAYER, OUTPUTS, PAST_STEP, STEP, Axes, common_order, joined_axes
from .optimizer import Optimizer
from .statements import Assign, Average, Compute, ForLayers, Learn, Observe, SiteMap, SquaredNorm, Statement


@dataclass(frozen=True)
class Step:
    """Statements over growing spaces, and what they declare; see `Program`, which is one that was checked."""

    statements: tuple[Statement, ...]
    optimizer: Optimizer = field(default_factory=Optimizer)
    name: str = "network"

    def walk(self) -> Iterator[tuple[tuple[ForLayers, ...], Statement]]:
        """Every elementary statement in program order, with the scans around it."""
        yield from walk(self.statements)

    def products(self) -> Iterator[tuple[tuple[ForLayers, ...], Assign, sp.Expr, Product]]:
        """Every use of a matrix: enclosing scans, statement, coefficient, product."""
        for scans, statement in self.walk():
            if isinstance(statement, Assign):
                for coefficient, atom in statement.value.terms:
                    if isinstance(atom, Product):
                        yield scans, statement, coefficient, atom

    @property
    def learned(self) -> dict[GaussianMatrix | RandomVector, Learn]:
        """Update statement of every trained matrix and vector."""
        rules: dict[GaussianMatrix | RandomVector, Learn] = {}
        for _, statement in self.walk():
            if isinstance(statement, Learn):
                target = statement.target
                rules[target.matrix if isinstance(target, MatrixRef) else target.vector] = statement
        return rules

    @property
    def fields(self) -> tuple[Field, ...]:
        """Fields in order of first assignment."""
        return tuple(dict.fromkeys(s.target.field for _, s in self.walk() if isinstance(s, Assign | SiteMap)))

    @property
    def data_fields(self) -> tuple[Field, ...]:
        """Fields that are given from outside (the inputs), in the order of their spaces' names."""
        operands = (p.operand.field for *_, p in self.products())
        found = dict.fromkeys(field for field in operands if field.data and field != ONE)
        return tuple(sorted(found, key=lambda field: field.space.name))

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        """Scalars in order of first occurrence, those given from outside included."""
        found: dict[Scalar, None] = {}
        for _, statement in self.walk():
            found |= dict.fromkeys(ref.scalar for ref in scalar_refs(statement))
        return tuple(found)

    @property
    def averaged(self) -> bool:
        """Whether scalars are averages over sites, which fields or increments depend on."""
        return any(isinstance(statement, Average) for _, statement in self.walk())

    @property
    def common_weight(self) -> Scalar | None:
        """The scalar without labels that all increments are multiplied by, if there is one."""
        weights = {term.weight for rule in self.learned.values() for term in rule.terms}
        (found,) = weights if len(weights) == 1 else (None,)
        return None if found is None or found.axes or found.layer is not None else found.scalar

    @property
    def has_norms(self) -> bool:
        """Whether norms of gradients are in the program."""
        return any(isinstance(statement, SquaredNorm) for _, statement in self.walk())

    @property
    def given_anew(self) -> tuple[Scalar, ...]:
        """Scalars that are given anew at every step."""
        return tuple(scalar for scalar in self.scalars if scalar.fresh)

    @property
    def labels(self) -> Axes:
        """Labels of fields, vectors and scalars, in an order that the axes of all of these have."""
        fields = (thing.axes for thing in (*self.data_fields, *self.fields))
        others = (thing.axes for things in (self.vectors, self.scalars) for thing in things)
        return common_order((*fields, *others))

    def joined(self, *parts: FieldRef | ScalarRef | RandomVector) -> Axes:
        """The labels that any of ``parts`` has, in the order of the program."""
        return joined_axes((part.axes for part in parts), self.labels)

    @property
    def functions(self) -> Iterator[SiteFunction]:
        """Every site-wise function that is mapped or averaged, in program order."""
        for _, statement in self.walk():
            if isinstance(statement, SiteMap):
                yield statement.function
            elif isinstance(statement, Average):
                yield from (function for _, function in statement.terms)

    @property
    def linear(self) -> bool:
        """Whether no field is a nonlinear function of fields: the infinite network is then Gaussian."""
        maps = [s.function for _, s in self.walk() if isinstance(s, SiteMap)]
        return all(is_linear(function) for function in maps)

    @property
    def matrices(self) -> tuple[GaussianMatrix, ...]:
        """Gaussian matrices in order of first use."""
        return tuple(dict.fromkeys(p.matrix.matrix for *_, p in self.products()))

    @property
    def vectors(self) -> tuple[RandomVector, ...]:
        """Random vectors in order of first use."""
        refs = (ref for _, statement in self.walk() for ref in reads(statement))
        return tuple(dict.fromkeys(ref.vector for ref in refs if isinstance(ref, VectorRef)))

    @property
    def spaces(self) -> tuple[Space, ...]:
        """Spaces of the fields."""
        return tuple(dict.fromkeys(f.space for f in (*self.data_fields, *self.fields)))

    @property
    def classes(self) -> tuple[SiteClasses, ...]:
        """Classes of sites of its spaces."""
        return tuple(dict.fromkeys(space.classes for space in self.spaces if space.classes is not None))

    @property
    def class_values(self) -> tuple[str, ...]:
        """Names of the numbers that are given for every class of sites, those of shares first."""
        found: set[ClassValue] = set()
        for _, statement in self.walk():
            if isinstance(statement, Assign):
                found |= {value for coefficient, _ in statement.value.terms for value in class_values(coefficient)}
        for vector in self.vectors:
            found |= class_values(vector.variance)
        names = sorted(value.func.__name__ for value in found)
        return tuple(dict.fromkeys((*(classes.share for classes in self.classes), *names)))

    @property
    def observables(self) -> tuple[Observe, ...]:
        """Scalars that are reported."""
        return tuple(s for _, s in self.walk() if isinstance(s, Observe))

    @property
    def outputs_apart(self) -> bool:
        """Whether outputs have fields of their own; every one of these is one output then."""
        return any(observable.output is not None for observable in self.observables)

    @property
    def parameters(self) -> tuple[sp.Symbol, ...]:
        """Free symbols (depth included), sorted by name; labels and the number of outputs excluded."""
        found: set[sp.Symbol] = set()
        for scans, statement in self.walk():
            found |= symbols_of(statement)
            for scan in scans:
                found |= scan.layers.start.free_symbols | scan.layers.stop.free_symbols
            found -= {scan.index for scan in scans}
        for weights in (*self.matrices, *self.vectors, *self.learned):
            found |= weights.variance.free_symbols - ({LAYER.symbol} if weights.layers else set())
        for matrix in self.matrices:
            found |= matrix.aspect.free_symbols
        for space in self.spaces:
            found |= space.ratio.free_symbols
        found |= self.optimizer.free_symbols
        found -= {STEP, PAST_STEP, OUTPUTS}
        labels = (*self.labels, *(classes.label for classes in self.classes))
        found -= {symbol for label in labels for symbol in (label.symbol, label.other)}
        return tuple(sorted(found, key=lambda symbol: symbol.name))

    def integers(self, values: Mapping[sp.Symbol, float]) -> dict[sp.Symbol, int]:
        """Values of the integer parameters."""
        return {symbol: int(values[symbol]) for symbol in self.parameters if symbol.is_integer}


def walk(
    statements: Iterable[Statement], scans: tuple[ForLayers, ...] = ()
) -> Iterator[tuple[tuple[ForLayers, ...], Statement]]:
    """Every elementary statement in order, with the scans around it."""
    for statement in statements:
        if isinstance(statement, ForLayers):
            yield from walk(statement.body, (*scans, statement))
        else:
            yield scans, statement


def symbols_of(statement: Statement) -> set[sp.Symbol]:
    """Free symbols of coefficients and functions, without the labels of an update."""
    if isinstance(statement, Assign):
        return _linear_symbols(statement.value)
    if isinstance(statement, SiteMap):
        return statement.function.parameters
    if isinstance(statement, Average):
        return {s for c, f in statement.terms for s in c.free_symbols | f.parameters}
    if isinstance(statement, Compute):
        return statement.parameters
    if isinstance(statement, SquaredNorm):
        parts = (symbols_of(u) | statement.factor(u).free_symbols - _free_layer(u.target) for u in statement.updates)
        return set().union(*parts)
    if isinstance(statement, Learn):
        found: set[sp.Symbol] = set()
        for term in statement.terms:
            found |= sp.sympify(term.coefficient, strict=True).free_symbols - {term.index}
        return found - _free_layer(statement.target)
    if isinstance(statement, Observe):
        found = set(sp.sympify(statement.constant, strict=True).free_symbols)
        for coefficient, _, _ in statement.terms:
            found |= sp.sympify(coefficient, strict=True).free_symbols
        return found
    return set()


def _free_layer(target: MatrixRef | VectorRef) -> set[sp.Symbol]:
    """The layer symbol of a matrix family, over which its update is repeated."""
    return set() if isinstance(target, VectorRef) or target.layer is None else target.layer.free_symbols


def _linear_symbols(value: Linear) -> set[sp.Symbol]:
    found: set[sp.Symbol] = set()
    for coefficient, _ in value.terms:
        found |= coefficient.free_symbols
    return found


def scalar_refs(statement: Statement) -> tuple[ScalarRef, ...]:
    """Scalars that a statement assigns or reads, the assigned one first."""
    if isinstance(statement, SiteMap):
        return tuple(ref for _, ref in statement.function.scalars)
    if isinstance(statement, Average):
        inner = [ref for _, function in statement.terms for _, ref in function.scalars]
        return (statement.target, *inner)
    if isinstance(statement, Compute):
        return (statement.target, *(ref for _, ref in statement.arguments))
    if isinstance(statement, SquaredNorm):
        return (statement.target, *(term.weight for term in statement.terms if term.weight is not None))
    if isinstance(statement, Learn):
        return tuple(term.weight for term in statement.terms if term.weight is not None)
    return ()


def reads(statement: Statement) -> list[FieldRef | VectorRef | ScalarRef]:
    """Fields, vectors and scalars on the right-hand side of a statement (of a scan: none, its body has them)."""
    if isinstance(statement, Assign):
        return [_operand(atom) for _, atom in statement.value.terms]
    if isinstance(statement, SiteMap):
        return [ref for _, ref in statement.function.arguments]
    if isinstance(statement, Average):
        return [ref for _, function in statement.terms for _, ref in function.arguments]
    if isinstance(statement, Compute):
        return [ref.present for _, ref in statement.arguments]
    if isinstance(statement, Learn | SquaredNorm):
        return [ref for term in statement.terms for ref in (term.left, term.right, term.weight) if ref is not None]
    if isinstance(statement, Observe):
        return [ref for _, *pair in statement.terms for ref in pair]
    return []


def _operand(atom: Atom) -> FieldRef | VectorRef:
    """What stands behind the coefficient and the matrix of a term."""
    if isinstance(atom, Product):
        return atom.operand
    return atom.field if isinstance(atom, LayerSum | Initial | Relabelled) else atom


def is_linear(function: SiteFunction) -> bool:
    """Whether a site-wise function is linear in its fields (and vectors), at given scalars."""
    expression, symbols = function.expression, [symbol for symbol, _ in function.fields]
    slopes = [sp.diff(expression, symbol) for symbol in symbols]
    if any(slope.free_symbols & set(symbols) or slope.has(sp.Derivative, sp.Subs) for slope in slopes):
        return False
    return bool(sp.simplify(expression.subs(dict.fromkeys(symbols, sp.Integer(0)))) == 0)


def field_refs(function: SiteFunction) -> tuple[FieldRef, ...]:
    """The fields among the arguments of a site-wise function."""
    return tuple(argument for _, argument in function.fields if isinstance(argument, FieldRef))
