"""Names of families that single things become members of, and how their layers are counted."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from dmft_sym.program import FieldRef

from .anatomy import Ref
from .repeats import Repeat

_NUMBERED = re.compile(r"([A-Za-z][A-Za-z0-9_]*?)(0|[1-9]\d*)")


def numbered(names: Sequence[str]) -> tuple[str, int] | None:
    """Stem and first number of names that count upwards.

    Examples
    --------
    >>> numbered(["W2", "W3", "W4"])
    ('W', 2)
    """
    found = [_NUMBERED.fullmatch(name) for name in names]
    parts = [(match[1], int(match[2])) for match in found if match]
    if len(parts) < len(names) or parts != [(parts[0][0], parts[0][1] + k) for k in range(len(parts))]:
        return None
    return parts[0]


class Names:
    """Names of the families of a scan, and the layers of their members, which are in the names that users gave.

    Parameters
    ----------
    repeat
        The statements that become the scan.
    others
        Names that are not free.
    automatic
        Names of fields that the user did not name, which may be counted otherwise.

    Attributes
    ----------
    first
        The layer of the vectors that the first block starts from; ``None`` if the names of fields do not count alike.
    lead
        How far the layers of matrices are ahead of it.
    """

    def __init__(self, repeat: Repeat, others: Iterable[str], automatic: Collection[str]) -> None:
        self._taken, self._automatic = set(others), automatic
        counts = [self._matrix_count([m.matrix.name for m in members]) for members in repeat.matrices.values()]
        matrices = [count for count in counts if count is not None]
        named: set[int | None] = set()
        unnamed: list[int] = []
        for place in range(repeat.period):
            names = [block[place].declared.name for block in repeat.targets]
            count = numbered(names)
            layer = None if count is None else count[1] - (place in repeat.carries)
            if isinstance(repeat.targets[0][place], FieldRef) and not set(names) & set(automatic):
                named.add(None if count is not None and count[0] in self._taken else layer)
            elif layer is not None and place in repeat.carries:
                unnamed.append(layer)
        self.first = next(iter([*named, *unnamed, *matrices, 1])) if len(named) < 2 else None
        self.lead = 0 if self.first is None or not matrices else matrices[0] - self.first

    def _matrix_count(self, names: Sequence[str]) -> int | None:
        count = numbered(names)
        return None if count is None or count[0] in self._taken else count[1]

    def of_fields(self, things: Sequence[Ref]) -> str:
        """The name of a family of fields or scalars."""
        return self._free(self._stem([thing.declared.name for thing in things]))

    def may_be(self, name: str, family: str) -> bool:
        """Whether a field may become the first member of a family: by no name of its own, or by that of the member."""
        return name in self._automatic or numbered([name]) == (family, self.first)

    def copy_of(self, name: str) -> str:
        """A free name for a field that is copied to the member of a family."""
        return self._free(f"{name}_new")

    def of_matrices(self, names: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """The name of a family of matrices, and names of its members if these are not made of it and the layer."""
        assert self.first is not None
        plain = self._matrix_count(names) == self.first + self.lead
        return self._free(self._stem(names)), () if plain else tuple(names)

    @staticmethod
    def _stem(names: Sequence[str]) -> str:
        count = numbered(names)
        return names[0].rstrip("0123456789") if count is None else count[0]

    def _free(self, stem: str) -> str:
        name, number = stem, 2
        while name in self._taken:
            name, number = f"{stem}_{number}", number + 1
        self._taken.add(name)
        return name
