"""For which layers a derived equation holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from dmft_sym.derivation.closed_latex import condition_latex
from dmft_sym.program import LayerRange


@dataclass(frozen=True)
class Domain:
    """Ranges of the layer labels of an equation, and a condition on them."""

    ranges: tuple[tuple[sp.Symbol, LayerRange], ...] = ()
    condition: sp.Basic = sp.true

    def holds(self, values: Mapping[sp.Symbol, int]) -> bool:
        """Whether the equation exists at these layers and this depth."""
        inside = all(values[label] in layers.at(dict(values)) for label, layers in self.ranges)
        return inside and bool(self.condition.subs(dict(values)))

    @property
    def latex(self) -> str:
        """In text mode."""
        parts = [f"${sp.latex(x)} = {sp.latex(r.start)}, \\dots, {sp.latex(r.stop)}$" for x, r in self.ranges]
        if self.condition != sp.true:
            parts.append(f"if ${condition_latex(self.condition)}$")
        return ", ".join(parts)

    def __str__(self) -> str:
        text = self.latex.replace("$", "")
        for command, sign in (("\\dots", "..."), ("\\ge", ">="), ("\\le", "<=")):
            text = text.replace(command, sign)
        return f"    ({text})" if text else ""
