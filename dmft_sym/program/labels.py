"""Labels of a program, and the symbols by which they are written: step, layer, sample, output, and what else it has.

Labels are the axes that stay finite when the spaces grow (docs/mathematics.md): they index order parameters and are
never averaged over. Which labels beside step and layer a program has is said by the fields and scalars it declares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import sympy as sp

from .errors import ProgramError


@dataclass(frozen=True)
class Label:
    """An index of fields and scalars with finitely many values.

    Parameters
    ----------
    name
        What messages and axes of results call it, e.g. ``"sample"``.
    symbol, other
        The index at one place, and at the other place of a two-point function or under a sum: ``mu`` and ``nu``.
    size
        How many values it has: ``P``, or a number where the forward pass says how many.
    original
        The label of whose values these are another copy: the second index of ``a_ij``.

    Examples
    --------
    >>> token = Label.of("token", "k", "k'", "K")
    >>> Field("h", Space("N", 1), axes=(SAMPLE, token))
    """

    name: str
    symbol: sp.Symbol
    other: sp.Symbol
    size: sp.Expr
    original: Label | None = None

    @staticmethod
    def of(name: str, symbol: str, other: str, size: str | int, original: Label | None = None) -> Label:
        """The label whose symbols have these names; it counts from 0."""
        index, elsewhere = (sp.Symbol(text, integer=True, nonnegative=True) for text in (symbol, other))
        count = sp.Symbol(size, integer=True, positive=True) if isinstance(size, str) else sp.Integer(size)
        return Label(name, index, elsewhere, count, original)

    def __hash__(self) -> int:
        return hash(self.name)  # fields are keys of many tables

    def __str__(self) -> str:
        return self.name


TIME = Label.of("step", "t", "s", "T")
SAMPLE = Label.of("sample", "mu", "nu", "P")
OUTPUT = Label.of("output", "c", "c'", "C")
LAYER = Label(
    "layer",
    sp.Symbol("l", integer=True, positive=True),
    sp.Symbol("l_s", integer=True, positive=True),
    sp.Symbol("L", integer=True, positive=True),
)
STEP, PAST_STEP = TIME.symbol, TIME.other
DEPTH, SAMPLES, OUTPUTS = LAYER.size, SAMPLE.size, OUTPUT.size

Axes: TypeAlias = tuple[Label, ...]
"""Which labels beside step and layer a thing has, in the order of its program."""
At: TypeAlias = Callable[[Label], sp.Symbol]
"""The value of every label at some place."""


def here(label: Label) -> sp.Symbol:
    """Values at the first place of two."""
    return label.symbol


def elsewhere(label: Label) -> sp.Symbol:
    """Values at the other place, or under a sum."""
    return label.other


def elsewhere_but(kept: Axes) -> At:
    """Values under a sum that does not run over the labels ``kept``."""
    return lambda label: label.symbol if label in kept else label.other


def size_of(label: Label, sizes: Mapping[Label, int]) -> int:
    """How many values a label has: what the forward pass says, or one of the ``sizes``."""
    return int(label.size) if label.size.is_Integer else sizes[label]


def joined_axes(parts: Iterable[Axes], order: Axes) -> Axes:
    """The labels that occur in any of ``parts``, in the ``order`` of a program."""
    found = {label for part in parts for label in part}
    return tuple(label for label in order if label in found)


def common_order(parts: Iterable[Axes]) -> Axes:
    """The labels of all ``parts`` in an order that all of these have, the first ones first.

    Raises
    ------
    ProgramError
        If there is none.
    """
    parts = list(dict.fromkeys(parts))
    rest = list(dict.fromkeys(label for part in parts for label in part))
    found: list[Label] = []
    while rest:
        later = {label for part in parts for label in [other for other in part if other in rest][1:]}
        free = [label for label in rest if label not in later]
        if not free:
            raise ProgramError(f"labels {', '.join(map(str, rest))}: allowed is the same order in all axes")
        found.append(free[0])
        rest.remove(free[0])
    return tuple(found)


@dataclass(frozen=True)
class LayerRange:
    """Inclusive range ``start..stop`` of a layer label, with symbolic or integer ends.

    A range with ``stop < start`` is empty; this is how ``depth = 1`` has no hidden-to-hidden matrix.
    """

    start: sp.Expr
    stop: sp.Expr

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", sp.sympify(self.start, strict=True))
        object.__setattr__(self, "stop", sp.sympify(self.stop, strict=True))

    @property
    def length(self) -> sp.Expr:
        """Number of layers in the range (may be negative-or-zero for an empty one)."""
        return sp.expand(self.stop - self.start + 1)

    def shifted(self, offset: sp.Expr) -> LayerRange:
        """The range with both ends moved by ``offset``."""
        return LayerRange(sp.expand(self.start + offset), sp.expand(self.stop + offset))

    def at(self, values: dict[sp.Symbol, int]) -> range:
        """The integers of the range once its symbols have ``values``."""
        start, stop = (int(end.subs(values)) for end in (self.start, self.stop))
        return range(start, stop + 1)

    def __str__(self) -> str:
        return f"{self.start}..{self.stop}"
