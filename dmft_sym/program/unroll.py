"""Write out the scans of a program for given integers (depth and the like)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

import sympy as sp

from .errors import ProgramError
from .expressions import (
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
from .labels import LayerRange
from .statements import Assign, Average, Compute, ForLayers, Learn, Observe, Outer, SiteMap, SquaredNorm, Statement
from .step import Step

Integers = Mapping[sp.Symbol, int]
Ref = TypeVar("Ref", FieldRef, ScalarRef, MatrixRef, FieldRef | VectorRef | ScalarRef)


def flat_statements(program: Step, integers: Integers) -> list[Statement]:
    """The statements of one step with every scan written out and every layer index an integer.

    Parameters
    ----------
    integers
        Values of the integer symbols in layer ranges, e.g. ``{L: 3}``.

    Raises
    ------
    ProgramError
        If a layer range depends on a symbol that has no value.
    """
    return flatten(program.statements, integers)


def flatten(statements: tuple[Statement, ...], integers: Integers) -> list[Statement]:
    """`flat_statements` of a part of a program, or of statements that are not a training step."""
    return list(_flatten(statements, dict(integers)))


def _integer(value: sp.Expr, integers: Integers, where: object) -> int:
    number = sp.sympify(value, strict=True).subs(dict(integers))
    if not number.is_Integer:
        missing = ", ".join(sorted(s.name for s in number.free_symbols)) or str(number)
        raise ProgramError(
            f"{where}: layer index {value} needs an integer value for {missing}; a layer of a scan exists inside of it"
        )
    return int(number)


def _layers(layers: LayerRange, integers: Integers, where: object) -> range:
    return range(_integer(layers.start, integers, where), _integer(layers.stop, integers, where) + 1)


def _flatten(statements: tuple[Statement, ...], integers: dict[sp.Symbol, int]) -> Iterator[Statement]:
    for statement in statements:
        if isinstance(statement, ForLayers):
            order = _layers(statement.layers, integers, statement)
            for layer in reversed(order) if statement.descending else order:
                yield from _flatten(statement.body, {**integers, statement.index: layer})
        elif isinstance(statement, Learn):
            yield from _learns(statement, integers)
        elif isinstance(statement, SquaredNorm):
            learns = tuple(learn for update in statement.updates for learn in _learns(update, integers))
            yield SquaredNorm(statement.target, learns, statement.scale)
        elif isinstance(statement, Assign):
            yield Assign(_at(statement.target, integers), _linear(statement.value, integers))
        elif isinstance(statement, SiteMap):
            yield SiteMap(_at(statement.target, integers), _function(statement.function, integers), statement.over)
        elif isinstance(statement, Average):
            terms = ((_coefficient(c, integers), _function(f, integers)) for c, f in statement.terms)
            yield Average(_at(statement.target, integers), tuple(terms))
        elif isinstance(statement, Compute):
            arguments = tuple((s, _at(ref, integers)) for s, ref in statement.arguments)
            expression = _coefficient(statement.expression, integers)
            target = _at(statement.target, integers)
            yield replace(statement, target=target, expression=expression, arguments=arguments)
        else:
            yield Observe(
                statement.name,
                tuple((c, _at(a, integers), _at(b, integers)) for c, a, b in statement.terms),
                statement.constant,
            )


def _learns(statement: Learn, integers: dict[sp.Symbol, int]) -> Iterator[Learn]:
    target = statement.target
    if isinstance(target, VectorRef) or target.layer is None:
        yield Learn(target, tuple(_outers(statement.terms, integers)), statement.rate)
        return
    family = target.matrix.layers
    assert family is not None and isinstance(target.layer, sp.Symbol)
    for layer in _layers(family, integers, statement):
        bound = {**integers, target.layer: layer}
        member, terms = MatrixRef(target.matrix, sp.Integer(layer)), tuple(_outers(statement.terms, bound))
        yield Learn(member, terms, _coefficient(statement.rate, bound))


def _outers(terms: tuple[Outer, ...], integers: dict[sp.Symbol, int]) -> Iterator[Outer]:
    for term in terms:
        layers: list[dict[sp.Symbol, int]] = [integers]
        if term.index is not None and term.layers is not None:
            layers = [{**integers, term.index: layer} for layer in _layers(term.layers, integers, term)]
        for bound in layers:
            right = None if term.right is None else _at(term.right, bound)
            weight = None if term.weight is None else _at(term.weight, bound)
            yield Outer(_coefficient(term.coefficient, bound), _at(term.left, bound), right, weight=weight)


def _coefficient(value: sp.Expr, integers: Integers) -> sp.Expr:
    return sp.sympify(value, strict=True).subs(dict(integers))


def _at(ref: Ref, integers: Integers) -> Ref:
    """A member of a family at its layer."""
    return ref if ref.layer is None else replace(ref, layer=sp.Integer(_integer(ref.layer, integers, ref)))


def _function(function: SiteFunction, integers: Integers) -> SiteFunction:
    arguments = tuple((symbol, _at(ref, integers)) for symbol, ref in function.arguments)
    return SiteFunction(_coefficient(function.expression, integers), arguments)


def _linear(value: Linear, integers: Integers) -> Linear:
    total = Linear()
    for coefficient, atom in value.terms:
        if isinstance(atom, LayerSum):
            for layer in atom.layers.at(dict(integers)):
                bound = {**integers, atom.index: layer}
                total += Linear.of(_at(atom.field, bound), _coefficient(coefficient, bound))
            continue
        if isinstance(atom, FieldRef):
            atom = _at(atom, integers)
        elif isinstance(atom, Initial | Relabelled):
            atom = replace(atom, field=_at(atom.field, integers))
        elif isinstance(atom, Product):
            atom = Product(_at(atom.matrix, integers), _at(atom.operand, integers), atom.transpose)
        total += Linear.of(atom, _coefficient(coefficient, integers))
    return total
