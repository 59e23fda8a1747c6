"""Order parameters as arrays: which exist, and how their layer labels are stored."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from dmft_sym.program import Field, FieldRef, LayerRange

from .layer_logic import Ranges, intersection, same, within
from .processes import Member, Process
from .single_site import Noise


@dataclass(frozen=True)
class OrderParameter:
    """A family of two-time matrices over ``(step, output)``.

    ``R[row, column]`` is the response of a field to a Gaussian field, ``C[row, column]`` the correlation of
    two fields. Layer labels are stored for the row, for the column, for both, or (``offset`` given) for the
    row alone with the column's layer equal to the row's plus ``offset``.

    Attributes
    ----------
    static
        The column is one draw for all steps: columns run over outputs only.
    """

    kind: str
    row: Field
    column: Member
    row_layers: LayerRange | None
    column_layers: LayerRange | None
    offset: sp.Expr | None = None

    @property
    def static(self) -> bool:
        """Whether the column has no step label."""
        return isinstance(self.column, Noise) and self.column.static

    @property
    def name(self) -> str:
        """Identifier in generated code, e.g. ``R_h_u_W``."""
        return f"{self.kind}_{self.row.name}_{self.column.name}"

    @property
    def stored(self) -> tuple[LayerRange, ...]:
        """Ranges of the leading axes."""
        return tuple(layers for layers in (self.row_layers, self.column_layers) if layers is not None)


@dataclass(frozen=True)
class Entry:
    """One two-time matrix of an order parameter, with the condition under which it exists."""

    array: OrderParameter
    layers: tuple[sp.Expr, ...]
    condition: sp.Basic = sp.true


class ArrayTable:
    """Finds the matrix for a row field and a column at given layers."""

    def __init__(self) -> None:
        self.arrays: dict[tuple[str, Field, Member], OrderParameter] = {}

    def declare(self, kind: str, process: Process, row: Field, column: Member) -> OrderParameter | None:
        """Declare the array of two members of one process (once); ``None`` if it is always empty."""
        key = (kind, row, column)
        if key not in self.arrays:
            self.arrays[key] = _layout(kind, process, row, column)
        return self.arrays[key]

    def entry(
        self,
        kind: str,
        process: Process,
        row: FieldRef,
        column: Member,
        layer: sp.Expr | None,
        ranges: Ranges,
    ) -> Entry | None:
        """The matrix for ``row`` and ``column`` at ``layer``; ``None`` if it cannot exist."""
        array = self.arrays.get((kind, row.field, column))
        if array is None:
            return None
        condition = sp.true if process.coupled else _aligned(process, row, column, layer, ranges)
        if condition == sp.false:
            return None
        layers: list[sp.Expr] = []
        for stored, value in ((array.row_layers, row.layer), (array.column_layers, layer)):
            if stored is not None and value is not None:
                condition = sp.And(condition, within(value, stored, ranges))
                layers.append(value)
        return None if condition == sp.false else Entry(array, tuple(layers), condition)


def _layout(kind: str, process: Process, row: Field, column: Member) -> OrderParameter:
    if process.coupled:
        return OrderParameter(kind, row, column, row.layers, column.layers)
    if row.layers is None or column.layers is None:
        return OrderParameter(kind, row, column, None, None)
    offset = sp.expand(process.shift[column] - process.shift[row])
    return OrderParameter(kind, row, column, intersection(row.layers, column.layers.shifted(-offset)), None, offset)


def _aligned(process: Process, row: FieldRef, column: Member, layer: sp.Expr | None, ranges: Ranges) -> sp.Basic:
    """Condition for two members to sit at the same position of an aligned process."""
    here = (sp.Integer(0) if row.layer is None else row.layer) - process.shift[row.field]
    there = (sp.Integer(0) if layer is None else layer) - process.shift[column]
    return same(here, there, ranges)
