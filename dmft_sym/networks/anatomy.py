"""What a statement is made of: its form, the things that it refers to, and its coefficients.

Two statements do the same to different things if their forms are equal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import sympy as sp

from dmft_sym.program import Assign, Compute, FieldRef, ForLayers, Linear, MatrixRef, ScalarRef, SiteFunction, VectorRef

Ref: TypeAlias = FieldRef | ScalarRef | MatrixRef | VectorRef
_REFS = (FieldRef, ScalarRef, MatrixRef, VectorRef)


@dataclass(frozen=True)
class Anatomy:
    """A statement taken apart.

    Parameters
    ----------
    form
        What is left; ``None`` for a scan, which is like nothing else.
    refs, coefficients
        In the order in which they stand in the statement.
    """

    form: Hashable
    refs: tuple[Ref, ...]
    coefficients: tuple[sp.Expr, ...]


def anatomy(statement: Any) -> Anatomy:
    """Take a statement, or anything that is made of the language, apart."""
    found = _Parts([], [])
    form = found.take(statement)
    return Anatomy(None if isinstance(statement, ForLayers) else form, tuple(found.refs), tuple(found.coefficients))


@dataclass
class _Parts:
    refs: list[Ref]
    coefficients: list[sp.Expr]

    def take(self, thing: Any) -> Hashable:
        """The form of a part."""
        if isinstance(thing, _REFS):
            self.refs.append(thing)
            return self._kind(thing)
        if isinstance(thing, Linear):
            self.coefficients += [coefficient for coefficient, _ in thing.terms]
            return ("sum", *(self.take(atom) for _, atom in thing.terms))
        if isinstance(thing, SiteFunction | Compute):
            return self._function(thing)
        if isinstance(thing, tuple):
            return tuple(self.take(part) for part in thing)
        if dataclasses.is_dataclass(thing) and not isinstance(thing, sp.Basic):
            entries = (getattr(thing, entry.name) for entry in dataclasses.fields(thing))
            return (type(thing).__name__, *(self.take(entry) for entry in entries))
        return thing if isinstance(thing, Hashable) else repr(thing)

    def _function(self, function: SiteFunction | Compute) -> Hashable:
        """Functions have symbols that are named after their arguments: here these are numbered."""
        names = {symbol: sp.Symbol(f"_{k}", real=True) for k, (symbol, _) in enumerate(function.arguments)}
        whole = () if isinstance(function, SiteFunction) else (function.target, function.over, function.along)
        arguments = tuple(ref for _, ref in function.arguments)
        return (type(function).__name__, function.expression.xreplace(names), *map(self.take, (*whole, arguments)))

    @staticmethod
    def _kind(ref: Ref) -> Hashable:
        """What has to be alike in things that stand for each other."""
        if isinstance(ref, MatrixRef):
            return ("matrix", ref.matrix.source, ref.matrix.target, ref.matrix.fresh)
        if isinstance(ref, FieldRef):
            return ("field", ref.field.space, ref.field.axes, ref.field if ref.field.data else None)
        if isinstance(ref, ScalarRef):
            return ("scalar", ref.scalar.axes, ref.initial, ref.scalar if ref.scalar.data else None)
        return ("vector", ref)


def with_refs(thing: Any, new: dict[Ref, Ref]) -> Any:
    """A copy in which every reference that has another one in ``new`` is replaced by it, all at once."""
    if isinstance(thing, _REFS):
        return new.get(thing, thing)
    if isinstance(thing, tuple):
        return tuple(with_refs(part, new) for part in thing)
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        parts = {entry.name: getattr(thing, entry.name) for entry in dataclasses.fields(thing)}
        changed = {key: with_refs(value, new) for key, value in parts.items()}
        return thing if changed == parts else dataclasses.replace(thing, **changed)
    return thing


def with_coefficients(statement: Any, coefficients: Sequence[sp.Expr]) -> Any:
    """A statement with other coefficients, in the order of its anatomy."""
    left = list(coefficients)

    def changed(thing: Any) -> Any:
        if isinstance(thing, Linear):
            return Linear(tuple((left.pop(0), changed(atom)) for _, atom in thing.terms))
        return thing

    return replace(statement, value=changed(statement.value)) if isinstance(statement, Assign) else statement
