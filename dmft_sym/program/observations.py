"""Observables of the user's own: averages over sites, and functions of these, that nothing depends on.

They are no part of a step. Every arithmetic shows the fields of a step, and observables are computed of these, so that
what they are asked of does not know of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import sympy as sp

from .declarations import Field, Scalar
from .expressions import FieldRef
from .statements import Statement
from .step import reads, symbols_of, walk


@dataclass(frozen=True)
class Observations:
    """What is observed of the fields of a step.

    Parameters
    ----------
    statements
        Averages, functions of these, and sums and site-wise functions of fields, without products with matrices.
    targets
        The scalar that is reported under a name; of a family all layers are.
    """

    statements: tuple[Statement, ...] = ()
    targets: tuple[tuple[str, Scalar], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.targets)

    @property
    def names(self) -> tuple[str, ...]:
        """Under which they are reported."""
        return tuple(name for name, _ in self.targets)

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """Fields of the network that they are functions of."""
        own = {statement.target.declared for statement in self._inner}  # type: ignore[union-attr]
        refs = (ref for statement in self._inner for ref in reads(statement) if isinstance(ref, FieldRef))
        return tuple(dict.fromkeys(ref.field for ref in refs if ref.field not in own))

    @property
    def parameters(self) -> set[sp.Symbol]:
        """Free symbols, without the indices of scans."""
        indices = {scan.index for scans, _ in walk(self.statements) for scan in scans}
        found: set[sp.Symbol] = set()
        for scans, statement in walk(self.statements):
            found |= symbols_of(statement)
            for scan in scans:
                found |= scan.layers.start.free_symbols | scan.layers.stop.free_symbols
        return found - indices

    def text(self, name: str) -> str:
        """What is reported under a name: the statement that makes it."""
        scalar = dict(self.targets)[name]
        made = [str(s) for s in self._inner if s.target.declared == scalar]  # type: ignore[union-attr]
        return made[0].split(" = ", 1)[1] if made else str(scalar)

    def __str__(self) -> str:
        lines = [str(statement) for statement in self.statements]
        return "\n".join([*lines, *(f"observe {name} = {scalar}" for name, scalar in self.targets)])

    @property
    def _inner(self) -> Iterator[Statement]:
        return (statement for _, statement in walk(self.statements))
