"""For which layers a derived equation holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from dmft_sym.program import ForLayers, LayerRange


@dataclass(frozen=True)
class Domain:
    """Ranges of the layer labels of an equation, and a condition on them.

    Attributes
    ----------
    descending
        Labels whose layers follow each other from the last one down.
    """

    ranges: tuple[tuple[sp.Symbol, LayerRange], ...] = ()
    condition: sp.Basic = sp.true
    descending: frozenset[sp.Symbol] = frozenset()

    @staticmethod
    def of(scans: tuple[ForLayers, ...]) -> Domain:
        """The layers of scans."""
        ranges = tuple((scan.index, scan.layers) for scan in scans)
        return Domain(ranges, descending=frozenset(scan.index for scan in scans if scan.descending))

    def at(self, index: sp.Symbol, value: sp.Expr) -> Domain:
        """With one value of a layer label, which is one of its range."""
        ranges = tuple((label, layers) for label, layers in self.ranges if label != index)
        return Domain(ranges, self.condition.subs(index, value), self.descending)

    def within(self, index: sp.Symbol | None, layers: LayerRange | None) -> Domain:
        """For the layers of one more label, if there is one."""
        if index is None or layers is None:
            return self
        return Domain((*self.ranges, (index, layers)), self.condition, self.descending)

    def holds(self, values: Mapping[sp.Symbol, int]) -> bool:
        """Whether the equation exists at these layers and this depth."""
        inside = all(values[label] in layers.at(dict(values)) for label, layers in self.ranges)
        return inside and bool(self.condition.subs(dict(values)))

    @property
    def latex(self) -> str:
        """In text mode."""
        parts = [layers_latex(label, layers, label in self.descending) for label, layers in self.ranges]
        if self.condition != sp.true:
            parts.append(f"if ${condition_latex(self.condition)}$")
        return ", ".join(parts)

    def __str__(self) -> str:
        text = self.latex.replace("$", "")
        for command, sign in (("\\dots", "..."), ("\\ge", ">="), ("\\le", "<=")):
            text = text.replace(command, sign)
        return f"    ({text})" if text else ""


def parts_of(condition: sp.Basic) -> tuple[sp.Basic, ...]:
    """The relations that a condition consists of."""
    return condition.args if isinstance(condition, sp.And) else () if condition == sp.true else (condition,)


def layers_latex(index: sp.Expr, layers: LayerRange, descending: bool = False) -> str:
    """``l = 1, ..., L-1`` in text mode, in the order in which layers follow each other."""
    first, last = (layers.stop, layers.start) if descending else (layers.start, layers.stop)
    return f"${sp.latex(index)} = {sp.latex(first)}, \\dots, {sp.latex(last)}$"


def condition_latex(condition: sp.Basic) -> str:
    """A relation between layer indices, solved for the index: ``l = 1``, ``l <= L - 2``."""
    if isinstance(condition, sp.And):
        return ",\\ ".join(sorted(condition_latex(part) for part in condition.args))
    if not isinstance(condition, (sp.Eq, sp.Ge)):
        return str(sp.latex(condition))
    slack = sp.expand(condition.lhs - condition.rhs)
    # Loop indices first, the depth last.
    for symbol in sorted(slack.free_symbols, key=lambda s: (s.name.isupper(), s.name)):
        factor = slack.coeff(symbol)
        if abs(factor) == 1:
            rest = sp.expand(-(slack - factor * symbol) / factor)
            relation = "=" if isinstance(condition, sp.Eq) else "\\ge" if factor == 1 else "\\le"
            return f"{sp.latex(symbol)} {relation} {sp.latex(rest)}"
    return str(sp.latex(condition))
