"""Stages of a derivation as objects that can be printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp


@dataclass(frozen=True)
class Line:
    """One displayed relation with the label that generated code refers to."""

    latex: str
    label: str = ""
    note: str = ""


@dataclass(frozen=True)
class Stage:
    """A step of the derivation.

    Attributes
    ----------
    name
        Short title.
    text
        What was done and why, in LaTeX text mode.
    lines
        Displayed relations.
    expressions
        The SymPy expressions behind the lines, where there are any.
    """

    name: str
    text: str
    lines: tuple[Line, ...]
    expressions: tuple[sp.Expr, ...] = ()

    @property
    def latex(self) -> str:
        """Body of the stage as LaTeX (text and displays)."""
        parts = [self.text]
        for line in self.lines:
            tag = f"\\tag{{{line.label}}}" if line.label else ""
            note = f"\\qquad\\text{{{line.note}}}" if line.note else ""
            parts.append(f"\\begin{{dmath*}}\n{line.latex}{note} {tag}\n\\end{{dmath*}}")
        return "\n\n".join(parts)

    def _repr_latex_(self) -> str:
        rows = " \\\\\n".join(_aligned(line) for line in self.lines)
        return f"$$\\begin{{aligned}}\n{rows}\n\\end{{aligned}}$$"

    def __str__(self) -> str:
        return self.name


def _aligned(line: Line) -> str:
    label = f"\\qquad(\\mathrm{{{line.label}}})" if line.label else ""
    return f"& {line.latex}{label}"


def equation(left: str, right: str | sp.Expr) -> str:
    """``left = right`` with a SymPy right-hand side printed."""
    return f"{left} = {right if isinstance(right, str) else sp.latex(right)}"


def join(parts: Sequence[str]) -> str:
    """Sum of already signed LaTeX terms."""
    text = " ".join(parts) or "0"
    return text[2:] if text.startswith("+ ") else text
