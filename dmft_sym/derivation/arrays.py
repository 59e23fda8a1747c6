"""Order parameters as arrays: which exist, and how their layer labels are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp

from dmft_sym.program import LAYER, Field, FieldRef, LayerRange, SiteClasses

from .layer_logic import Ranges, intersection, same, within
from .processes import Member, Process, process_of
from .single_site import Noise
from .site_equations import SiteWriter
from .symbols import NOW, THEN, Correlation, Labelled, Place, Response, TwoPoint


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
    def classes(self) -> SiteClasses | None:
        """Classes of sites, for each of which there is a matrix."""
        return self.row.space.classes

    @property
    def stored(self) -> tuple[LayerRange, ...]:
        """Ranges of the leading axes of layers."""
        return tuple(layers for layers in (self.row_layers, self.column_layers) if layers is not None)


@dataclass(frozen=True)
class Entry:
    """One two-time matrix of an order parameter: layers of row and column, and the condition under which it exists."""

    array: OrderParameter
    row: sp.Expr | None
    column: sp.Expr | None
    condition: sp.Basic = sp.true


class ArrayTable:
    """The order parameters that are kept, and the SymPy functions that they are in equations.

    Parameters
    ----------
    processes
        All of the program: order parameters are of two members of one process.
    sites
        Writes Gaussian fields with their labels.
    """

    def __init__(self, processes: Sequence[Process], sites: SiteWriter) -> None:
        self.processes = processes
        self.sites = sites
        self.arrays: dict[tuple[str, Field, Member], OrderParameter] = {}

    def declare(self, kind: str, row: Field, column: Member) -> None:
        """Declare the array of two members of one process (once)."""
        key = (kind, row, column)
        if key not in self.arrays:
            self.arrays[key] = _layout(kind, process_of(self.processes, row), row, column)

    def entry(self, kind: str, row: FieldRef, column: Member, layer: sp.Expr | None, ranges: Ranges) -> Entry | None:
        """The matrix for ``row`` and ``column`` at ``layer``; ``None`` if it cannot exist."""
        array = self.arrays.get((kind, row.field, column))
        if array is None:
            return None
        process = process_of(self.processes, row)
        condition = sp.true if process.coupled else _aligned(process, row, column, layer, ranges)
        for stored, value in ((array.row_layers, row.layer), (array.column_layers, layer)):
            if stored is not None and value is not None:
                condition = sp.And(condition, within(value, stored, ranges))
        if condition == sp.false:
            return None
        # Layers that are not stored follow from the others.
        first = row.layer if array.row_layers is not None else process.partner_layer(column, layer, row.field)
        second = layer if array.column_layers is not None else process.partner_layer(row.field, first, column)
        return Entry(array, first, second, condition)

    def average(self, entry: Entry, row: Place = NOW, column: Place = THEN) -> sp.Expr:
        """The average over all sites: of classes that there are, the sum with their shares."""
        point, classes = self.point(entry, row, column), entry.array.classes
        return point if classes is None else classes.average(point)

    def point(self, entry: Entry, row: Place = NOW, column: Place = THEN) -> TwoPoint:
        """The matrix as a function of labels at two places; at sites of one class where there are several."""
        kind = Correlation if entry.array.kind == "C" else Response
        ends = self._member(entry.array.row, entry.row, row), self._member(entry.array.column, entry.column, column)
        return kind(*ends)

    @property
    def families(self) -> dict[type[TwoPoint], OrderParameter]:
        """The arrays by the functions that they are in equations, in the order of their declaration."""
        found = {}
        for array in self.arrays.values():
            row, column = (None if member.layers is None else LAYER.symbol for member in (array.row, array.column))
            found[self.point(Entry(array, row, column)).func] = array
        return found

    def field(self, ref: FieldRef, place: Place) -> Labelled:
        """A field at a place."""
        return self._member(ref.field, ref.layer, place)

    def _member(self, member: Member, layer: sp.Expr | None, place: Place) -> Labelled:
        if isinstance(member, Noise):
            found: Labelled = self.sites.noise(member, layer, *place)
        else:
            found = self.sites.field(FieldRef(member, layer), *place)
        classes = member.space.classes
        return found if classes is None else found.of_class(classes.label.symbol)


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
