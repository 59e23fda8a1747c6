"""Groups of statements that repeat: what a user wrote out in Python, found in the statements of a forward pass.

Blocks repeat if they have one form, and if what each of them refers to is one of these: a field of its own, a field of
the block before (a *carry*), the same thing for all blocks, or a matrix of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dmft_sym.program import FieldRef, MatrixRef, ScalarRef, Statement

from .anatomy import Anatomy, Ref, anatomy

FEWEST = 3
"""Two blocks are as short written out as they are in a scan."""
Place = tuple[int, int]  # block, and statement in it


@dataclass(frozen=True)
class Repeat:
    """Blocks of ``period`` statements each, from ``start``, that repeat ``count`` times.

    Parameters
    ----------
    targets
        What each block assigns.
    carries
        Of statements whose results the next block reads, what the first block reads instead.
    copied
        Carries that their own block reads as well.
    captured
        What all blocks read alike.
    matrices
        For matrices of the second block, those of every block.
    blocks
        The statements, taken apart.
    """

    start: int
    period: int
    count: int
    targets: tuple[tuple[Ref, ...], ...]
    carries: dict[int, FieldRef]
    copied: frozenset[int]
    captured: frozenset[Ref]
    matrices: dict[Ref, tuple[MatrixRef, ...]]
    blocks: tuple[tuple[Anatomy, ...], ...]

    @property
    def stop(self) -> int:
        """Where the statements after it begin."""
        return self.start + self.period * self.count

    @property
    def last(self) -> dict[int, Ref]:
        """Carries as the last block leaves them."""
        return {place: self.targets[-1][place] for place in self.carries}


def best_repeat(statements: Sequence[Statement], after: Any, accepted: Callable[[Repeat], Any]) -> Any:
    """What ``accepted`` makes of the repetition that shortens the statements most, of those that it does not refuse.

    Parameters
    ----------
    after
        Whatever reads fields behind the statements.
    accepted
        Returns ``None`` for a repetition that is refused.
    """
    search = _Search([anatomy(statement) for statement in statements], anatomy(after).refs)
    best: tuple[tuple[int, ...], Any] | None = None
    for bound, period, start in sorted(search.candidates(), key=lambda c: (-c[0], *c[1:])):
        if best is not None and bound < -best[0][0]:
            break
        repeat = search.repeat(start, period, bound // period + 1)
        if repeat is None:
            continue
        rank = (-_saved(repeat), period, len(repeat.copied), start)
        if (best is None or rank < best[0]) and (made := accepted(repeat)) is not None:
            best = rank, made
    return None if best is None else best[1]


def _saved(repeat: Repeat) -> int:
    """How many statements are not needed in a scan."""
    return repeat.period * (repeat.count - 1)


class _Search:
    """Statements taken apart, with what is known of their things."""

    def __init__(self, parts: list[Anatomy], after: Sequence[Ref]) -> None:
        self.parts, self.after = parts, after
        self.users: dict[Ref, set[int]] = {}  # statements that have a matrix or a field
        for number, part in enumerate(parts):
            for ref in part.refs:
                self.users.setdefault(ref, set()).add(number)
        for ref in after:
            self.users.setdefault(ref, set()).add(len(parts))

    def candidates(self) -> Iterator[tuple[int, int, int]]:
        """How many statements may be saved, period and start, of all that have one form."""
        forms = [part.form for part in self.parts]
        numbers = {form: number for number, form in enumerate(dict.fromkeys(forms))}
        plain = [-1 if form is None else numbers[form] for form in forms]
        for period in range(1, len(plain) // FEWEST + 1):
            length = 0
            for start in range(len(plain) - period - 1, -1, -1):
                same = plain[start] >= 0 and plain[start] == plain[start + period]
                length = length + 1 if same else 0
                saved = length // period * period
                if saved >= (FEWEST - 1) * period:
                    yield saved, period, start

    def repeat(self, start: int, period: int, count: int) -> Repeat | None:
        """The longest repetition there, of ``count`` blocks at most."""
        while count >= FEWEST:
            found = _Comparison(self, start, period, count)
            fits = found.blocks_that_fit()
            if fits == count:
                return found.result()
            count = fits
        return None


class _Comparison:
    """Blocks that have one form: whether they refer to things in the same way."""

    def __init__(self, search: _Search, start: int, period: int, count: int) -> None:
        self.search, self.start, self.period, self.count = search, start, period, count
        self.blocks = tuple(
            tuple(search.parts[start + block * period + place] for place in range(period)) for block in range(count)
        )
        self.targets = tuple(tuple(part.refs[0] for part in block) for block in self.blocks)
        self.place: dict[Ref, Place] = {
            ref: (number, place) for number, block in enumerate(self.targets) for place, ref in enumerate(block)
        }
        self.carries: dict[int, FieldRef] = {}
        self.copied: set[int] = set()
        self.captured: set[Ref] = set()
        self.matrices: dict[Ref, list[MatrixRef]] = {}

    def result(self) -> Repeat:
        """What was found."""
        return Repeat(
            self.start,
            self.period,
            self.count,
            self.targets,
            self.carries,
            frozenset(self.copied),
            frozenset(self.captured),
            {ref: tuple(members) for ref, members in self.matrices.items()},
            self.blocks,
        )

    def blocks_that_fit(self) -> int:
        """How many of the blocks, from the first, refer to things as the second one does."""
        if len(self.place) < self.period * self.count or any(ref.layer is not None for ref in self.place):
            return 0
        fits = self.count
        for place in range(self.period):
            for number in range(1, len(self.blocks[1][place].refs)):
                fits = min(fits, self._fits([block[place].refs[number] for block in self.blocks], place))
                if fits < FEWEST:
                    return 0
        return min(fits, self._unread_elsewhere(), self._with_own_matrices())

    def _fits(self, refs: list[Ref], place: int) -> int:
        """The same for one thing that a statement refers to."""
        second = refs[1]
        if second in self.place:
            block, source = self.place[second]
            if block == 1 and source < place:
                if isinstance(second, FieldRef):
                    self.copied.add(source)  # if it is a carry
                return _count(self.place.get(ref) == (number, source) for number, ref in enumerate(refs))
            return self._carried(refs, source) if block == 0 else 0
        if isinstance(second, MatrixRef) and second != refs[0]:
            return self._own(refs)
        if isinstance(second, ScalarRef) and not second.scalar.data:
            return 0
        if isinstance(second, FieldRef) and not second.field.data:
            self.captured.add(second)
        return _count(ref == second for ref in refs) if refs[0] not in self.place else 0

    def _carried(self, refs: list[Ref], source: int) -> int:
        """A field of the block before, and of the first block some other."""
        first = refs[0]
        if not isinstance(first, FieldRef) or first in self.place or first.field.data:
            return 0
        if self.carries.setdefault(source, first) != first:
            return 0
        return 1 + _count(self.place.get(ref) == (number, source) for number, ref in enumerate(refs[1:]))

    def _own(self, refs: list[Ref]) -> int:
        """A matrix of every block."""
        known = self.matrices.setdefault(refs[1], [])
        if not known:
            known += [ref for ref in refs if isinstance(ref, MatrixRef)]
        plain = (isinstance(ref, MatrixRef) and ref.layer is None for ref in refs)
        return min(_count(plain), _count(ref == other for ref, other in zip(refs, known, strict=True)))

    def _unread_elsewhere(self) -> int:
        """How many blocks there may be if only the last one's carries are read behind it."""
        fits, stop = self.count, self.start + self.period * self.count
        for ref, (block, place) in self.place.items():
            if any(user >= stop for user in self.search.users[ref]):
                fits = min(fits, block + 1 if place in self.carries else block)
        self.copied &= set(self.carries)
        return fits

    def _with_own_matrices(self) -> int:
        """How many blocks have matrices that nothing else has."""
        members = [ref for known in self.matrices.values() for ref in known]
        if len(set(members)) < len(members):
            return 0
        fits = self.count
        for known in self.matrices.values():
            for block, ref in enumerate(known):
                first = self.start + block * self.period
                if not self.search.users[ref] <= set(range(first, first + self.period)):
                    fits = min(fits, block)
        return fits


def _count(same: Iterator[bool] | Any) -> int:
    """How many are true before the first one that is not."""
    number = 0
    for value in same:
        if not value:
            break
        number += 1
    return number
