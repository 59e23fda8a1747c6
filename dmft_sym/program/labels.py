"""Symbols of the labels of a program: step, sample, output and layer.

Labels are the axes that stay finite when the spaces grow (docs/mathematics.md): they index order
parameters and are never averaged over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import sympy as sp

STEP = sp.Symbol("t", integer=True, nonnegative=True)
PAST_STEP = sp.Symbol("s", integer=True, nonnegative=True)
OUTPUT = sp.Symbol("c", integer=True, nonnegative=True)
OUTPUTS = sp.Symbol("C", integer=True, positive=True)
SAMPLE = sp.Symbol("mu", integer=True, nonnegative=True)
SAMPLES = sp.Symbol("P", integer=True, positive=True)
DEPTH = sp.Symbol("L", integer=True, positive=True)


Axes: TypeAlias = tuple[str, ...]
"""Which finite labels beside step and layer a thing has: a part of ``(SAMPLE_AXIS, OUTPUT_AXIS)``, in this order."""
SAMPLE_AXIS, OUTPUT_AXIS = "sample", "output"
ALL_AXES: Axes = (SAMPLE_AXIS, OUTPUT_AXIS)


def joined_axes(parts: Iterable[Axes]) -> Axes:
    """The labels that occur in any of ``parts``."""
    found = {axis for part in parts for axis in part}
    return tuple(axis for axis in ALL_AXES if axis in found)


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
