"""Members of families of matrices: one for every layer of a scan, and single ones outside of it.

Members are independent, so that those which are used outside of the scan are matrices of their own, and the family is
what is left: the layers of the scan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import sympy as sp

from dmft_sym.program import UNIT, GaussianMatrix, LayerRange, MatrixRef, ProgramError


class Members:
    """Which members of families a forward pass uses.

    Parameters
    ----------
    declare
        Declares a single matrix, which is trained as a member of the family at that layer is.
    """

    def __init__(self, declare: Callable[[GaussianMatrix, GaussianMatrix, sp.Expr], GaussianMatrix]) -> None:
        self._declare = declare
        self._spans: dict[GaussianMatrix, LayerRange] = {}
        self._singles: dict[GaussianMatrix, dict[sp.Expr, GaussianMatrix]] = {}

    def in_scan(self, ref: MatrixRef, index: sp.Symbol, span: LayerRange) -> sp.Integer:
        """How far the layer of the member is from the index of the scan.

        Raises
        ------
        ProgramError
            If the family has no such members, or others in another scan.
        """
        family, name = ref.matrix.layers, ref.matrix.name
        assert family is not None
        shift = sp.expand(ref.layer - index)
        used = span.shifted(shift)
        rest = [sp.expand(used.start - family.start), sp.expand(family.stop - used.stop)]
        fits = all(end.is_Integer and end >= 0 for end in rest)
        if not shift.is_Integer or (shift != 0 and not fits):
            raise ProgramError(
                f"{ref}: inside the scan over {index} a family is indexed by {index} itself; number {name} by the "
                f"layers of the scan, layers=({span.start}, {span.stop}), and write {name}[{index}]"
            )
        if not fits or self._spans.setdefault(ref.matrix, used) != used:
            raise _other_layers(ref, used)
        return shift

    def outside(self, ref: MatrixRef) -> MatrixRef:
        """The matrix that a member outside of scans is."""
        family, layer = ref.matrix.layers, ref.layer
        assert family is not None
        assert layer is not None
        ends = [sp.expand(layer - family.start), sp.expand(family.stop - layer)]
        if not any(end.is_Integer and end >= 0 for end in ends) or any(end.is_negative for end in ends):
            raise _outside_of_scans(ref)
        singles = self._singles.setdefault(ref.matrix, {})
        if layer not in singles:
            text = str(layer).replace(" ", "").replace("-", "m").replace("+", "p").replace("*", "x")
            name = f"{ref.matrix.name}{'' if layer.is_Integer else '_'}{text}"
            single = replace(ref.matrix, name=name, variance=ref.matrix.variance_at(layer), layers=None)
            singles[layer] = self._declare(single, ref.matrix, layer)
        return MatrixRef(singles[layer])

    def families(self) -> dict[GaussianMatrix, GaussianMatrix]:
        """What is left of families.

        Raises
        ------
        ProgramError
            If a member is used both ways, or not at all.
        """
        found = {}
        for family in {**self._spans, **self._singles}:
            assert family.layers is not None
            span, singles = self._spans.get(family), dict(self._singles.get(family, {}))
            first = next(iter(singles), family.layers.start)
            left = _without(family.layers, singles)
            if singles or (span is None and left.length != 0):
                raise _outside_of_scans(MatrixRef(family, first))
            if span is not None and left != span:
                raise _other_layers(MatrixRef(family, first), span)
            found[family] = replace(family, layers=left)
        return found


def _without(layers: LayerRange, singles: dict[sp.Expr, GaussianMatrix]) -> LayerRange:
    """The layers without single ones at their ends, which are taken away."""
    start, stop = sp.expand(layers.start), sp.expand(layers.stop)
    while singles.pop(start, None) is not None:
        start = sp.expand(start + 1)
    while singles.pop(stop, None) is not None:
        stop = sp.expand(stop - 1)
    return LayerRange(start, stop)


def _other_layers(ref: MatrixRef, span: LayerRange) -> ProgramError:
    return ProgramError(
        f"{ref}: the scan runs over the layers {span}, but the family {ref.matrix.name} has {ref.matrix.layers}; "
        f"declare a family for every scan, here with layers=({span.start}, {span.stop})"
    )


def _outside_of_scans(ref: MatrixRef) -> ProgramError:
    family, name = ref.matrix.layers, ref.matrix.name
    assert family is not None
    kind, used = ("vector", f"h + {name}[l]") if ref.matrix.source == UNIT else ("matrix", f"{name}[l] @ h")
    return ProgramError(
        f"{ref}: a {kind} family is used inside a scan over its layers, net.scan(lambda l, h: {used}, "
        f"h, layers=({family.start}, {family.stop})), and outside of it by members that no scan uses, at its ends; a "
        f"{kind} for one place is declared without layers"
    )
