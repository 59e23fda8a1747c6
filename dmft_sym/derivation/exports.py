"""Names under which users see order parameters: ``C_h``, ``R_h``, ``C_g``, ``R_g``.

``C_F`` is the autocorrelation of a field. ``R_F`` is the response of a field that a matrix acts on to the Gaussian
field that the transposed product with the same matrix leaves behind, the response that enters the saddle point.
Several matrices (or members of a family) may give one name; whoever labels results joins them along the layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from .arrays import OrderParameter
from .closure import ClosedEquations
from .processes import process_of
from .single_site import Noise
from .uses import Use, UseTable


@dataclass(frozen=True)
class NamedParameter:
    """``name = scale * array`` (``scale`` undoes the size-free normalisation of the Gaussian fields).

    ``layer`` is the one layer of the row at which an array without a layer axis exists, if the row is a family.
    """

    name: str
    array: OrderParameter
    scale: sp.Expr
    layer: sp.Expr | None = None


def named_parameters(closed: ClosedEquations, uses: UseTable) -> list[NamedParameter]:
    """Order parameters to report, in the order of the arrays."""
    found = []
    for array in closed.arrays:
        if array.kind == "C" and array.row == array.column:
            found.append(NamedParameter(f"C_{array.row.name}", array, sp.Integer(1)))
        elif array.kind == "R" and isinstance(array.column, Noise) and _conjugate(array, closed, uses):
            layer = None
            if array.row.layers is not None and not array.stored:
                process = process_of(closed.processes, array.row)
                layer = process.partner_layer(array.column, None, array.row)
            found.append(NamedParameter(f"R_{array.row.name}", array, 1 / array.column.scale, layer))
    return found


def _conjugate(array: OrderParameter, closed: ClosedEquations, uses: UseTable) -> bool:
    """Whether the row is the operand of a matrix whose other direction leaves the column behind.

    For a source added to a readout: whether the readout is applied to the row.
    """
    noise = array.column
    assert isinstance(noise, Noise)
    if not isinstance(noise.source, Use):
        rule = closed.program.learned.get(noise.source) if noise.probe else None
        return rule is not None and any(term.left.field == array.row for term in rule.terms)
    return any(partner.operand.field == array.row for partner in uses.partners(noise.source))
