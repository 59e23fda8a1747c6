"""``J(z) = G(z) K`` of a spike condition, from its SymPy equations.

A level-two field ``F`` is driven by fields of training: by those that it remembers, with the strengths ``A`` of the
memories, and by Gaussian fields that are correlated with those of training. Its overlap or response with a column
``phi`` (a field or a Gaussian field of training) is

    C[F; phi] = sum_alpha G[F, alpha] sum_d known[phi, d] strength_d,

over the equations ``alpha`` at its site and what drives them. The strengths are pointwise in the steps: ``strength =
push @ x``; ``known`` are two-time matrices of training, which are multiplied column by column of a block; ``G`` is the
bulk. That is ``x = J(z) x`` (docs/mathematics.md, Spectra). ``J`` is applied without being stored.

Entries are ordered by step within a block: the leading part of a known matrix is what was known before a step, and is
a view of what is kept for all steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from dmft_sym.derivation.symbols import Correlation
from dmft_sym.program import TIME
from dmft_sym.spectra.equations.spike_equations import SpikeEquations
from dmft_sym.spectra.matrices.class_numbers import Kind
from dmft_sym.support.array_types import Floats

from .averages import Averages
from .level_two import LevelTwo, Placed
from .lowering import Factor, Labels, Lowering, Place, Term, Thing
from .spike_matrix import Block, Link, SpikeMatrix

Numbers: TypeAlias = NDArray[np.intp]
FieldName: TypeAlias = tuple[str, int | None]
Strength: TypeAlias = tuple[Numbers, Numbers, Floats]
"""``weights * x``: numbers of the values, of the unknowns, and weights."""


@dataclass(frozen=True)
class Drive:
    """What drives the equation of a level-two field: an unknown or a memory, with a coefficient.

    Attributes
    ----------
    equation
        The position of the field.
    partner
        What of training it stands next to: a field that is remembered, or a Gaussian field.
    """

    equation: int
    coefficient: sp.Expr
    unknown: Place
    partner: Thing
    labels: Labels


@dataclass
class Column:
    """A field or Gaussian field of training that level-two fields have overlaps with, or respond to.

    Attributes
    ----------
    rows
        By level-two field: its overlap or response.
    drives
        What drives the level-two fields at its sites, with the known matrix to the column.
    """

    labels: Labels
    rows: dict[int, Place] = field(default_factory=dict)
    drives: dict[Drive, Term] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Columns with the same drives.

    Attributes
    ----------
    widths
        Number of values of every column at a step.
    seen
        Level-two fields whose overlaps and responses with the columns are unknowns.
    drives
        With the number of values of each at a step.
    space_kinds
        Classes of their sites that are told apart.
    known
        Of every class, from the drives to the columns at all steps, times the share of the class; shape (T, columns, T,
        drives).
    """

    columns: list[Column]
    space_kinds: tuple[Kind, ...]
    widths: list[int]
    seen: tuple[int, ...]
    drives: dict[Drive, int]
    known: list[Floats]

    @property
    def width(self) -> int:
        """Entries a step."""
        return sum(self.widths)


class LoweredSpikes:
    """The spike condition of one matrix of one run, at any of its steps.

    Parameters
    ----------
    spikes
        Its equations.
    averages
        Of the run.
    level_two
        Its level-two fields, with their places in ``G``.
    copies
        How often every outlier is repeated by the outputs.
    """

    def __init__(
        self,
        spikes: SpikeEquations,
        averages: Averages,
        level_two: LevelTwo,
        copies: int = 1,
    ) -> None:
        self.spikes, self.averages, self.copies = spikes, averages, copies
        self.position = {name: number for number, name in enumerate(level_two.names())}
        self.placed = level_two.places
        self.lowering = Lowering(spikes.items, averages.integers)
        found = dict(self.lowering.terms())
        self.memories = {place: terms for place, terms in found.items() if place.is_memory}
        self._rows = {place: terms for place, terms in found.items() if not place.is_memory}
        self.groups = list(self._groups())
        self._places = {
            column.rows[row]: (number, k, sum(group.widths[:c]), group.widths[c])
            for number, group in enumerate(self.groups)
            for k, row in enumerate(group.seen)
            for c, column in enumerate(group.columns)
        }

    @cached_property
    def sources(self) -> dict[Link, set[int]]:
        """By level-two field and equation that drives it: the fields whose unknowns do so."""
        found: dict[Link, set[int]] = {}
        for group in self.groups:
            for drive in group.drives:
                through = self.memories.get(drive.unknown)
                unknowns = [drive.unknown] if through is None else [term.unknown for term in through]
                fields = {self.field(one) for one in unknowns if one in self._places}
                sources = {one.number for number in fields for one in self.placed[number]}
                for seen in group.seen:
                    for one, equation in zip(self.placed[seen], self.placed[drive.equation], strict=True):
                        found.setdefault((one.number, equation.number), set()).update(sources)
        return found

    def field(self, place: Place) -> int:
        """Number of the level-two field of a two-point function."""
        function, layer = place.ends[0]
        return self.position[function.__name__, layer]

    def known(self, place: Place, terms: Sequence[Term]) -> dict[Drive, Term]:
        """Terms of a left-hand side whose known matrix and unknown are not zero, by what drives it."""
        number = self.field(place)
        return {
            Drive(number, term.coefficient, term.unknown, term.partner, term.columns): term
            for term in terms
            if (term.unknown in self._rows or term.unknown in self.memories)
            and self.averages.two_time(term.known) is not None
        }

    def _columns(self) -> list[Column]:
        """Columns of all unknowns, with what drives the fields at their sites."""
        found: dict[tuple[bool, Thing], Column] = {}
        for place, terms in self._rows.items():
            drives = self.known(place, terms)
            labels = terms[0].rows if terms else ()
            column = found.setdefault((issubclass(place.function, Correlation), place.ends[1]), Column(labels))
            column.labels = column.labels or labels
            column.rows[self.field(place)] = place
            column.drives.update(drives)
        return [column for column in found.values() if column.drives]

    @staticmethod
    def _seen(columns: list[Column], memories: dict[Place, list[Term]]) -> set[Place]:
        """Unknowns that drive anything."""
        used = {drive.unknown for column in columns for drive in column.drives}
        return used | {term.unknown for place in used & memories.keys() for term in memories[place]}

    def _groups(self) -> Iterator[Group]:
        columns = self._columns()
        seen = self._seen(columns, self.memories)
        found: dict[Any, list[Column]] = {}
        for column in columns:
            rows = tuple(number for number, place in column.rows.items() if place in seen)
            found.setdefault((rows, tuple(column.drives)), []).append(column)
        for (rows, drives), members in found.items():
            if rows:
                placed = self.placed[rows[0]]
                known = [
                    one.share * np.concatenate([self._between(column, drives, one.kind) for column in members], axis=1)
                    for one in placed
                ]
                widths = [self.width(column.labels) for column in members]
                parts = {drive: self.width(drive.labels) for drive in drives}
                yield Group(members, tuple(one.kind for one in placed), widths, rows, parts, known)

    def _between(self, column: Column, drives: tuple[Drive, ...], kind: Kind) -> Floats:
        """Known matrices from drives to a column, shape (T, values of the column, T, values of the drives)."""
        whole = np.concatenate([self.known_matrix(column.drives[drive], kind) for drive in drives], axis=2)
        return whole.reshape(self.averages.steps, -1, *whole.shape[1:])

    def width(self, labels: Labels) -> int:
        """Number of values of labels other than the step."""
        return int(np.prod([self.averages.sizes.get(slot, 1) for slot, _ in labels if slot != TIME.name], dtype=int))

    def known_matrix(self, term: Term, kind: Kind = None) -> Floats:
        """The known matrix of a term at all steps, shape (values of the column, T, values of the drive)."""
        array = self.averages.two_time(term.known, kind)
        assert array is not None
        axes = [label for label in term.known_labels if self._is_axis(label[0])]
        order = [axes.index(label) for label in (*term.rows, *term.columns) if self._is_axis(label[0])]
        return np.transpose(array, order).reshape(-1, self.averages.steps, self.width(term.columns))

    def _is_axis(self, slot: str) -> bool:
        return slot == TIME.name or slot in self.averages.sizes

    def at(self, step: int, horizon: int | None = None) -> SpikesAtStep:
        """The condition before the update of ``step``.

        Parameters
        ----------
        horizon
            Steps of training that are part of the index set: ``step`` of them, or more. What happens after ``step``
            does not move outliers, but the vectors of an outlier know it.
        """
        return SpikesAtStep(self, step, step if horizon is None else horizon)


@dataclass(frozen=True)
class SpikesAtStep:
    """The spike condition at a step: ``J(z)``, and where its unknowns are."""

    lowered: LoweredSpikes
    step: int
    horizon: int

    @cached_property
    def _starts(self) -> tuple[list[int], int]:
        """Where the unknowns of every group begin, and how many there are."""
        counts = [len(group.seen) * group.width * self.horizon for group in self.lowered.groups]
        return [sum(counts[:number]) for number in range(len(counts))], sum(counts)

    def entries(self, place: Place) -> Numbers:
        """Where the values of an unknown are, by step and labels; shape (horizon * values,)."""
        if place not in self.lowered._places:  # it is zero
            return np.zeros(0, dtype=int)
        number, k, offset, width = self.lowered._places[place]
        group = self.lowered.groups[number]
        start = self._starts[0][number] + k * group.width * self.horizon + offset
        return self._spread(start, group.width, width)

    def _spread(self, start: int, total: int, width: int) -> Numbers:
        """Entries of one of several things that are ordered by step."""
        return (start + np.arange(self.horizon)[:, None] * total + np.arange(width)).ravel()

    @cached_property
    def matrix(self) -> SpikeMatrix:
        """``J(z)``."""
        h, made = self.horizon, _Push()
        blocks = []
        for group, start in zip(self.lowered.groups, self._starts[0], strict=True):
            total, width = sum(group.drives.values()), group.width * h
            for number, kind in enumerate(group.space_kinds):
                known = np.ascontiguousarray(group.known[number][:h, :, :h].reshape(width, h * total))
                parts = self._parts(group, total, number, kind)
                for k, seen in enumerate(group.seen):
                    place = self.lowered.placed[seen][number].number
                    unknowns = slice(start + k * width, start + (k + 1) * width)
                    blocks.append(Block(place, unknowns, slice(made.end, made.end + h * total), known))
                    made.add(place, h * total, parts)
        scale = self._scale()
        push, fields, equations = made.matrix(len(scale))
        copies = self.lowered.copies
        return SpikeMatrix(tuple(blocks), push, fields, equations, scale, self.lowered.sources, copies, h)

    def _parts(self, group: Group, total: int, number: int, kind: Kind) -> list[tuple[int, Numbers, Strength]]:
        """Equations that the drives of a group belong to, rows, and strengths."""
        parts, offset = [], 0
        for drive, width in group.drives.items():
            weight = self.lowered.averages.number(drive.coefficient, self.step, kind)
            row, column, strength = self.strength(drive.unknown, kind)
            equation = self.lowered.placed[drive.equation][number].number
            parts.append((equation, self._spread(offset, total, width), (row, column, weight * strength)))
            offset += width
        return parts

    @property
    def unknowns(self) -> Iterable[Place]:
        """Overlaps and responses that ``x`` has."""
        return self.lowered._places

    def places(self, unknown: Place) -> list[Placed]:
        """Where the level-two field of an unknown is."""
        return self.lowered.placed[self.lowered.field(unknown)]

    def known_to(self, term: Term, kind: Kind = None) -> Floats:
        """The known matrix of a term from the steps of the matrix to those of a direction."""
        return self.lowered.known_matrix(term, kind)[:, : self.horizon].reshape(-1, self.horizon)

    def driven(self, term: Term, x: Floats, kind: Kind = None) -> Floats:
        """What a term multiplies its known matrix with, for unknowns ``x``; by step and labels."""
        rows, columns, weights = self.strength(term.unknown, kind)
        count = self.horizon * self.lowered.width(term.columns)
        weight = self.lowered.averages.number(term.coefficient, self.step, kind)
        return weight * np.bincount(rows, weights * x[columns], minlength=count)

    def strength(self, unknown: Place, kind: Kind = None) -> Strength:
        """An unknown or a memory as ``weights * x``: numbers of its values, of the unknowns, and weights."""
        if unknown not in self.lowered.memories:
            entries = self.entries(unknown)
            return np.arange(len(entries)), entries, np.ones(len(entries))
        made = [self._remembered(term, kind) for term in self.lowered.memories[unknown]]
        rows, columns, weights = map(np.concatenate, zip(*made, strict=True))
        return rows, columns, weights

    def _remembered(self, term: Term, kind: Kind) -> Strength:
        """A term of a memory: pointwise in the steps, and a sum over labels that the memory does not have."""
        kept = [label for label in dict.fromkeys((*term.rows, *term.columns)) if self.lowered._is_axis(label[0])]
        sizes = [self._size(slot) for slot, _ in kept]
        values = dict(zip(kept, (part.ravel() for part in np.indices(sizes)), strict=True))

        def flat(labels: Labels) -> Numbers:
            found = np.zeros(len(values[kept[0]]), int)
            for label in labels:
                if label in values:
                    found = found * self._size(label[0]) + values[label]
            return found

        weight = np.full(int(np.prod(sizes)), self.lowered.averages.number(term.coefficient, self.step, kind))
        for factor in term.factors:
            weight *= self._worth(factor)[tuple(values[label] for label in factor.labels if label in values)]
        entries = self.entries(term.unknown)
        if not len(entries):
            return entries, entries, np.zeros(0)
        return flat(term.rows), entries[flat(term.columns)], weight

    def _size(self, slot: str) -> int:
        return self.horizon if slot == TIME.name else self.lowered.averages.sizes[slot]

    def _worth(self, factor: Factor) -> Floats:
        """A scalar, or what increments of the steps before are worth: nothing if they are later."""
        if factor.place is not None:
            return self.lowered.averages.scalar(factor.place)
        kernel = self.lowered.averages.recursion.kernel(self.step)[:0:-1]
        return np.concatenate([kernel, np.zeros(self.horizon - self.step)])

    def _scale(self) -> Floats:
        """Overlaps are of the size of the field of training, responses of the inverse size of what is responded to."""
        scale = np.ones(self._starts[1])
        for place in self.lowered._places:
            function, layer = place.ends[1]
            size = self.lowered.averages.size(function, layer)[: self.horizon].ravel()
            scale[self.entries(place)] = size if issubclass(place.function, Correlation) else 1 / size
        return scale


class _Push:
    """Collects the entries of the sparse matrix of strengths."""

    def __init__(self) -> None:
        self.end = 0
        self._entries: list[Strength] = []
        self._bulk: list[tuple[Numbers, Numbers]] = []

    def add(self, seen: int, count: int, parts: list[tuple[int, Numbers, Strength]]) -> None:
        """Rows for one level-two field."""
        equations = np.zeros(count, dtype=int)
        for equation, places, (row, column, weight) in parts:
            equations[places] = equation
            self._entries.append((self.end + places[row], column, weight))
        self._bulk.append((np.full(count, seen), equations))
        self.end += count

    def matrix(self, size: int) -> tuple[csr_matrix, Numbers, Numbers]:
        """The matrix, with the bulk response of every row."""
        none = np.zeros(0, dtype=int)
        rows, columns, weights = map(np.concatenate, zip((none, none, np.zeros(0)), *self._entries, strict=True))
        fields, equations = map(np.concatenate, zip((none, none), *self._bulk, strict=True))
        return csr_matrix((weights, (rows, columns)), shape=(self.end, size)), fields, equations
