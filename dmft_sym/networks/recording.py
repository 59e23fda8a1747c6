"""Fields and statements while a forward pass is recorded: names, those given late, and blocks of scans."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, TypeVar, cast

import sympy as sp

from dmft_sym.program import (
    OUTPUT,
    Assign,
    Average,
    Axes,
    Compute,
    Field,
    FieldRef,
    GaussianMatrix,
    LayerRange,
    Linear,
    MatrixRef,
    ProgramError,
    RandomVector,
    Relabelled,
    Scalar,
    SiteFunction,
    SiteMap,
    Space,
    Statement,
    scalar_refs,
)

from .labelled import axes_of, content_of, inner_order
from .renaming import renamed
from .traced import Setting
from .vectors import Member, Vector

Declared = TypeVar("Declared", Space, Field, GaussianMatrix, RandomVector, Scalar)


class Recording(ABC):
    """The statements recorded so far, and the names of things; a tracer adds what may be done to vectors."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._input = FieldRef(setting.input)
        self._blocks: list[list[Statement]] = [[]]
        self._known: list[dict[Linear | SiteFunction, FieldRef]] = [{}]  # of each block, the fields by their contents
        self._automatic: set[FieldRef] = set()  # fields that we have named
        self._aliases: list[tuple[FieldRef, FieldRef]] = []  # and names that were given to them later
        self._names: dict[str, object] = {field.name: field for field in (setting.input, *setting.given)}
        self._scan_index: list[tuple[sp.Symbol, LayerRange]] = []
        self._labels = [label for label in dict.fromkeys((*setting.axes, *setting.input.axes)) if label != OUTPUT]

    @abstractmethod
    def apply(self, function: Any, *arguments: Any) -> Any:
        """A site-wise function of vectors."""

    @abstractmethod
    def multiply(self, ref: MatrixRef, transposed: bool, vector: Vector) -> Vector:
        """A matrix, or its transpose, times a vector."""

    def as_field(self, vector: Vector) -> FieldRef:
        """The vector as a named field (matrices and updates act on fields)."""
        if not isinstance(vector, Vector):
            raise ProgramError(
                f"expected a traced vector, got {type(vector).__name__}: allowed are W @ h, net.apply(function, h), "
                'net.readout("w", h)'
            )
        if vector.function is None and (held := vector.combination.only):
            return cast(FieldRef, self._current(held))
        content = self._content(vector)
        known = self._known[-1]
        if content not in known:
            name = self._free_name("h" if isinstance(content, Linear) else "phi")
            ref = self._new_member(name, vector.space, axes_of(content))
            self._automatic.add(ref)
            self._put(ref, content)
        return known[content]

    def assign(self, name: str | Member, vector: Vector) -> Vector:
        """Name a vector; see `Vector.named`."""
        if vector.space.finite:
            raise ProgramError(f"the name {name}: inputs are given and have one, {self._input}")
        axes = axes_of(content_of(vector))
        ref = name.ref if isinstance(name, Member) else self._new_member(name, vector.space, axes)
        if ref.space != vector.space:
            raise ProgramError(f"{ref} = {vector.combination}: spaces {ref.space} and {vector.space} differ")
        self._assign(ref, vector)
        return Vector(self, Linear.of(ref), vector.space)

    def _new_member(self, name: str, space: Space, axes: Axes) -> FieldRef:
        """A new field, with the index of the scan that it stands in."""
        layers = self._scan_index[-1][1] if self._scan_index else None
        field = self._declare(Field(name, space, layers, self._axes(axes)))
        return FieldRef(field, self._scan_index[-1][0] if self._scan_index else None)

    def _axes(self, found: Axes) -> Axes:
        """Labels of a field or a scalar that is made of things with these labels."""
        return inner_order(self._labels, (*self.setting.axes, *found))

    def _assign(self, ref: FieldRef, vector: Vector) -> None:
        """Assign a vector; if it is a field that we have named, that field gets the name of ``ref``."""
        content = self._content(vector)
        held = content.only if isinstance(content, Linear) else None
        field = held or self._known[-1].get(content)
        if field not in self._automatic or field not in self._known[-1].values():
            self._put(ref, content)
            return
        assert field is not None
        self._automatic.remove(field)
        self._aliases.append((field, ref))
        self._names[field.field.name] = ref.field  # the old name stays taken: vectors of before are known by it
        self._blocks[-1] = [self._current(statement) for statement in self._blocks[-1]]
        self._known[-1] = {self._current(key): self._current(value) for key, value in self._known[-1].items()}

    def _carry(self, ref: FieldRef, vector: Vector, later: tuple[Vector, ...]) -> None:
        """Assign the next value of a carry; a copy if this layer uses it already, or the ``later`` carries do.

        The next layer comes first in reverse mode and assigns the adjoint of the carry; what this layer adds is that of
        the field that was copied.
        """
        held = vector.combination.only if vector.function is None else None
        field = self._current(held) if held else self._known[-1].get(self._content(vector))
        if isinstance(field, FieldRef) and field in self._automatic and self._is_used(field, later):
            self._put(ref, Linear.of(field))
        else:
            self._assign(ref, vector)

    def _is_used(self, field: FieldRef, later: tuple[Vector, ...]) -> bool:
        """Whether a statement of this block has the field on its right, or one that will assign a later vector."""
        other = FieldRef(Field("other", field.space, field.field.layers, field.axes), field.layer)
        written = [s for s in self._depending() if getattr(s, "target", None) != field]
        return any(renamed(thing, field, other) != thing for thing in (*written, *map(self._content, later)))

    def _depending(self) -> Iterator[Statement]:
        """Statements of this block, without averages that no field of it depends on: observables read what there is."""
        read = {ref for s in self._blocks[-1] if not isinstance(s, Average | Compute) for ref in scalar_refs(s)}
        for statement in reversed(self._blocks[-1]):
            if not isinstance(statement, Average | Compute) or statement.target in read:
                read |= set(scalar_refs(statement))
                yield statement

    def _content(self, vector: Vector) -> Linear | SiteFunction:
        return self._current(vector.combination if vector.function is None else vector.function)

    def _current(self, thing: Any) -> Any:
        """Names of today for those that fields had when ``thing`` was recorded."""
        for old, new in self._aliases:
            thing = renamed(thing, old, new)
        return thing

    def _put(self, ref: FieldRef, content: Linear | SiteFunction) -> None:
        if isinstance(content, Linear):
            self._emit(Assign(ref, self._apart(content, ref.axes)))
        else:
            self._emit(SiteMap(ref, content))
        self._known[-1].setdefault(content, ref)

    def _apart(self, content: Linear, axes: Axes) -> Linear:
        """Sums over a label that the result has get fields of their own: the two indices are not the same."""
        terms = []
        for coefficient, atom in content.terms:
            if isinstance(atom, Relabelled) and set(atom.over) & set(axes):
                atom = self.as_field(Vector(self, Linear.of(atom), atom.space))
            terms.append((coefficient, atom))
        return Linear(tuple(terms))

    def _free_name(self, stem: str) -> str:
        number = 1
        while f"{stem}{number}" in self._names:
            number += 1
        return f"{stem}{number}"

    def _unused(self, name: str) -> str:
        """The name, or another one if it is taken."""
        while name in self._names:
            name += "_"
        return name

    def _emit(self, statement: Statement) -> None:
        self._blocks[-1].append(statement)

    def _declare(self, thing: Declared) -> Declared:
        if thing.name in self.setting.reserved:
            taken = ", ".join(sorted(self.setting.reserved))
            raise ProgramError(f"the name {thing.name} is taken by the data; the names {taken} are not free")
        if thing.name in self._names:
            raise ProgramError(f"the name {thing.name} is used for two different things")
        self._names[thing.name] = thing
        return thing
