"""Powers of the width that a random quantity consists of: the algebra in which exponents are counted.

A field at one site of its single-site process is a function of independent Gaussian fields, each of which may change
its sign. It is kept as its *parts*: those that are odd in the same Gaussian fields, with the largest exponent among
them. Sums take the larger exponent, products add exponents and signs, and only what is even in all of them has a mean
over sites; the mean of anything else vanishes in the limit and is of relative size ``N^{-1/2}`` at finite width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import sympy as sp
from numpy.typing import NDArray

RANDOM, CHANGED = 1, 2
"""Marks of a part: its coefficient is a number that differs between networks; it is not there at initialization."""
MARKS = (0, RANDOM, CHANGED, RANDOM | CHANGED)
Part: TypeAlias = tuple[int, int]
"""The Gaussian fields that a part is odd in, as the bits of a number, and its marks."""
UNIT = 5_040_000
"""Exponents are whole numbers of this part of one: sums and comparisons of them are exact, and quick."""
HALF = UNIT // 2
BLOWN_UP = 1000 * UNIT
"""Stands for what grows faster than any power."""
MOST_SIGNS = 3
"""Parts that are odd in more Gaussian fields than this are left out: the leading parts of means have fewer factors."""
DEEPEST = 2 * UNIT
"""Parts that are smaller by more than this power than the largest one with the same marks are left out."""


_MANY = 2_000
"""Of more pairs of parts, products are taken all at once."""
Column: TypeAlias = tuple[Callable[[tuple[Part, int]], int], np.ufunc]
_COLUMNS: tuple[Column, ...] = (
    (lambda item: item[0][0], np.bitwise_xor),
    (lambda item: item[0][1], np.bitwise_or),
    (lambda item: item[1], np.add),
)
"""Signs, marks and exponents of parts, and what becomes of them in a product."""


def units(exponent: sp.Rational) -> int:
    """An exponent in units, to the nearest one."""
    nearest = (sp.sympify(exponent, strict=True) * UNIT).round()
    return int(nearest)  # integers of SymPy are slow


def exponent_of(size: int | None) -> sp.Expr:
    """A size as an exponent; minus infinity for zero, infinity for what grows faster than any power."""
    if size is None:
        return -sp.oo
    return sp.oo if size > BLOWN_UP // 2 else sp.Rational(size, UNIT)


@dataclass(frozen=True)
class Powers:
    """A random quantity as the exponents of its parts; nothing at all is zero.

    Parameters
    ----------
    parts
        Exponent of the width for every part, in units.
    """

    parts: Mapping[Part, int]

    @staticmethod
    def of(exponent: int = 0, signs: int = 0, marks: int = 0) -> Powers:
        """One part."""
        return Powers({(signs, marks): exponent})

    @cached_property
    def size(self) -> int | None:
        """The largest exponent; ``None`` for zero."""
        return max(self.parts.values(), default=None)

    def marked(self, *marks: int) -> Powers:
        """The parts with these marks."""
        return Powers({part: e for part, e in self.parts.items() if part[1] in marks})

    @property
    def changed(self) -> Powers:
        """What is not there at initialization."""
        return self.marked(CHANGED, CHANGED | RANDOM)

    @property
    def initial(self) -> Powers:
        """What is there at initialization."""
        return self.marked(0, RANDOM)

    @property
    def mean(self) -> Powers:
        """What is the same in all networks."""
        return self.marked(0, CHANGED)

    @property
    def fluctuation(self) -> Powers:
        """What differs between networks."""
        return self.marked(RANDOM, CHANGED | RANDOM)

    def odd_in(self, signs: int) -> Powers:
        """The parts that are odd in just these Gaussian fields, as factors of them."""
        return Powers({(0, marks): e for (odd, marks), e in self.parts.items() if odd == signs})

    def times(self, exponent: int, marks: int = 0) -> Powers:
        """The quantity times a power of the width."""
        found: dict[Part, int] = {}
        for (signs, old), e in self.parts.items():
            _put(found, signs, old | marks, e + exponent)
        return Powers(found)

    @property
    def normalised(self) -> Powers:
        """The quantity divided by its size."""
        return self if self.size is None else self.times(-self.size)

    @property
    def direction(self) -> Powers:
        """The same as a direction: a random factor leaves its sign, which whatever goes along it has as well."""
        same = [Powers({(signs, marks & ~RANDOM): e}) for (signs, marks), e in self.normalised.parts.items()]
        return total(same)

    def sizes_of_marks(self) -> dict[int, int]:
        """The largest exponent for every set of marks."""
        return {marks: size for marks in MARKS if (size := self.marked(marks).size) is not None}

    def __or__(self, other: Powers) -> Powers:
        """The sum."""
        return total((self, other))

    def __mul__(self, other: Powers) -> Powers:
        if len(self.parts) * len(other.parts) > _MANY:
            return Powers(pruned(products(self.parts, other.parts)))
        found: dict[Part, int] = {}
        factors = list(other.parts.items())
        for (a, left), e in self.parts.items():
            for (b, right), f in factors:
                part, exponent = (a ^ b, left | right), e + f
                if found.get(part, exponent) <= exponent:
                    found[part] = exponent
        return Powers(pruned({part: e for part, e in found.items() if part[0].bit_count() <= MOST_SIGNS}))

    def __bool__(self) -> bool:
        return bool(self.parts)


ZERO = Powers({})
ONE = Powers.of()


def _put(found: dict[Part, int], signs: int, marks: int, exponent: int) -> None:
    if found.get((signs, marks), exponent) <= exponent:
        found[signs, marks] = exponent


def products(left: Mapping[Part, int], right: Mapping[Part, int]) -> dict[Part, int]:
    """The larger exponents of the products of parts, all pairs at once, without those of too many signs."""
    if not left or not right:
        return {}
    signs, marks, exponents = (_outer(column, left, right) for column in _COLUMNS)
    left_over = signs.copy()
    for _ in range(MOST_SIGNS):
        left_over &= left_over - 1  # takes the lowest sign away
    few = left_over == 0
    keys, places = np.unique(signs[few] * len(MARKS) + marks[few], return_inverse=True)
    largest = np.full(len(keys), np.iinfo(np.int64).min)
    np.maximum.at(largest, places, exponents[few])
    parts = ((int(key) // len(MARKS), int(key) % len(MARKS)) for key in keys)
    return dict(zip(parts, map(int, largest), strict=True))


def _outer(column: Column, left: Mapping[Part, int], right: Mapping[Part, int]) -> NDArray[np.int64]:
    """What all pairs of parts have in common, flat."""
    read, combine = column
    sides = (np.array([read(item) for item in parts.items()], np.int64) for parts in (left, right))
    return np.asarray(combine.outer(*sides)).ravel()


def pruned(parts: Mapping[Part, int]) -> dict[Part, int]:
    """The parts that are not too small to matter among those with the same marks."""
    largest: dict[int, int] = {}
    for (_, marks), exponent in parts.items():
        largest[marks] = max(exponent, largest.get(marks, exponent))
    return {part: exponent for part, exponent in parts.items() if exponent >= largest[part[1]] - DEEPEST}


def total(quantities: Iterator[Powers] | tuple[Powers, ...] | list[Powers]) -> Powers:
    """The sum: the larger exponent of every part."""
    found: dict[Part, int] = {}
    for quantity in quantities:
        for (signs, marks), exponent in quantity.parts.items():
            _put(found, signs, marks, exponent)
    return Powers(pruned(found))


def average(quantity: Powers) -> Powers:
    """``<quantity>`` over the sites: the mean of what is even, and a fluctuation of the whole."""
    found: dict[Part, int] = {}
    for (signs, marks), exponent in quantity.parts.items():
        if not signs:
            _put(found, 0, marks, exponent)
        _put(found, 0, marks | RANDOM, exponent - HALF)
    return Powers(found)


def overlap(left: Powers, right: Powers) -> Powers:
    """``<left right>``."""
    found: dict[Part, int] = {}
    for (signs, marks), e in left.parts.items():
        for other in MARKS:
            if (f := right.parts.get((signs, other))) is not None:
                _put(found, 0, marks | other, e + f)
    for marks, e in left.sizes_of_marks().items():
        for other, f in right.sizes_of_marks().items():
            _put(found, 0, marks | other | RANDOM, e + f - HALF)
    return Powers(found)
