"""Stages of a derivation as objects that can be printed."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp


@dataclass(frozen=True)
class Line:
    """One displayed relation ``left = sum of terms``, with a note on where it holds.

    Attributes
    ----------
    left
        LaTeX of the left-hand side.
    terms
        LaTeX of the terms, each with its sign; sums are broken after every ``width`` of them.
    note
        Range of the labels, or a word of explanation (LaTeX text mode).
    """

    left: str
    terms: tuple[str, ...]
    note: str = ""
    relation: str = "="
    width: int = 2

    @property
    def latex(self) -> str:
        """One row, unbroken."""
        text = _unsigned(" ".join(self.terms) or "0")
        note = f"\\qquad \\text{{{self.note}}}" if self.note else ""
        return f"{self.left} {self.relation} {text}{note}"

    def rows(self) -> str:
        """Rows of an ``aligned`` block."""
        groups = [self.terms[i : i + self.width] for i in range(0, len(self.terms), self.width)] or [("0",)]
        rows = [f"{self.left} &{self.relation} {_unsigned(' '.join(groups[0]))}"]
        rows += [f"&\\quad {' '.join(group)}" for group in groups[1:]]
        if self.note:
            rows.append(f"&\\qquad \\text{{({self.note})}}")
        return " \\\\\n".join(rows)


@dataclass(frozen=True)
class Stage:
    """A step of the derivation.

    Attributes
    ----------
    name
        Short title.
    text
        What was done and why (LaTeX text mode).
    lines
        Displayed relations.
    expressions
        The SymPy expressions behind the lines, where there are any.
    display
        A display that stands before the lines.
    """

    name: str
    text: str
    lines: tuple[Line, ...]
    expressions: tuple[sp.Expr, ...] = ()
    display: str = ""

    @property
    def displays(self) -> list[str]:
        """The relations as ``aligned`` blocks."""
        blocks = [f"\\begin{{aligned}}\n{line.rows()}\n\\end{{aligned}}" for line in self.lines]
        return [self.display, *blocks] if self.display else blocks

    @property
    def latex(self) -> str:
        """Text and displays of the stage."""
        return "\n".join([self.text, *(f"\\[\n{block}\n\\]" for block in self.displays)])

    def _repr_latex_(self) -> str:
        if self.display and not self.lines:
            return f"$${self.display}$$"
        rows = " \\\\\n".join(line.rows() for line in self.lines)
        return f"$$\\begin{{aligned}}\n{rows}\n\\end{{aligned}}$$"

    def _repr_markdown_(self) -> str:
        return "\n\n".join([f"### {self.name}", self.text, *(f"$$\n{block}\n$$" for block in self.displays)])

    def __str__(self) -> str:
        return f"{self.name}\n{'-' * len(self.name)}\n{self.latex}"


def _unsigned(text: str) -> str:
    return text[2:] if text.startswith("+ ") else text


def signed(coefficient: sp.Expr, body: str) -> str:
    """A term with its sign in front: ``"+ s2 R"``, ``"- x"``."""
    coefficient = sp.sympify(coefficient, strict=True)
    sign = "+"
    if coefficient.could_extract_minus_sign():
        sign, coefficient = "-", -coefficient
    if coefficient == 1:
        return f"{sign} {body}"
    factor = sp.latex(coefficient)
    return f"{sign} {f'({factor})' if coefficient.is_Add else factor}\\, {body}"
