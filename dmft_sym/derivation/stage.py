"""Stages of a derivation as objects that can be printed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import sympy as sp

from dmft_sym.support import notebook

from .plain_text import equation, plain, wrapped

CITATIONS = {
    "spectral": "arXiv:2605.07870",
    "linear": "arXiv:2502.02531",
    "dmft": "arXiv:2205.09653",
    "scaling": "arXiv:2402.01092",
    "features": "arXiv:2409.17858",
}
"""Papers that stages cite, by key."""
LONG = 150
"""Letters of LaTeX from which on a term has a row of its own."""
_CITE = re.compile(r"\\cite\{.*?\}")
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{5})")


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
    heading
        What stands above the relation and those after it (LaTeX text mode).
    """

    left: str
    terms: tuple[str, ...]
    note: str = ""
    relation: str = "="
    width: int = 2
    heading: str = ""

    @property
    def latex(self) -> str:
        """One row, unbroken."""
        text = _unsigned(" ".join(self.terms) or "0")
        note = f"\\qquad \\text{{{self.note}}}" if self.note else ""
        return f"{self.left} {self.relation} {text}{note}"

    def rows(self) -> str:
        """Rows of an ``aligned`` block."""
        width = 1 if any(len(term) > LONG for term in self.terms) else self.width
        groups = [self.terms[i : i + width] for i in range(0, len(self.terms), width)] or [("0",)]
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
    number
        Place in the derivation; relation ``k`` of stage ``n`` is equation ``n.k``.

    See Also
    --------
    Theory.steps : all of them.

    References
    ----------
    Martin, Siggia, Rose, Phys. Rev. A 8, 423 (1973); arXiv:2205.09653.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> stage = ds.derive(ds.deep_linear(depth=1)).steps[2]
    >>> stage.number, stage.name
    (3, 'Average over the Gaussian matrices')
    """

    name: str
    text: str
    lines: tuple[Line, ...]
    expressions: tuple[sp.Expr, ...] = ()
    number: int = 0

    def tag(self, position: int) -> str:
        """Number of the equation at a position in ``lines``."""
        return f"{self.number}.{position + 1}" if self.number else str(position + 1)

    @property
    def displays(self) -> list[str]:
        """The relations as numbered ``aligned`` blocks, each to be put into a display."""
        return [
            f"\\begin{{aligned}}\n{line.rows()}\n\\end{{aligned}}\n\\tag{{{self.tag(position)}}}"
            for position, line in enumerate(self.lines)
        ]

    @property
    def latex(self) -> str:
        """Text and displays of the stage; between their rows pages may break."""
        parts = [self.text]
        for position, line in enumerate(self.lines):
            if line.heading:
                parts.append(f"\n\\medskip\\noindent {line.heading}")
            first, *others = line.rows().split(" \\\\\n")
            rows = [f"{first} \\tag{{{self.tag(position)}}}", *(f"{row} \\notag" for row in others)]
            parts.append("\\begin{align}\n" + " \\\\\n".join(rows) + "\n\\end{align}")
        return "\n".join(parts)

    def plain(self, width: int = 100) -> str:
        """The stage as text for a terminal, with the same numbers as in LaTeX."""
        lines = [self.name, "-" * len(self.name), *wrapped(plain(self.text, CITATIONS), width), ""]
        for position, line in enumerate(self.lines):
            if line.heading:
                lines += ["", plain(line.heading, CITATIONS)] if position else [plain(line.heading, CITATIONS)]
            lines += equation(self.tag(position), line.left, line.relation, line.terms, line.note, width)
        return "\n".join(lines)

    @property
    def html(self) -> str:
        """Text and numbered displays, without the title."""
        parts = [f"<p>{html_words(self.text)}</p>"] if self.text else []
        for line, block in zip(self.lines, self.displays, strict=True):
            parts += [f"<p>{html_words(line.heading)}</p>"] if line.heading else []
            parts.append(notebook.display(block))
        return "".join(parts)

    @property
    def title(self) -> str:
        """The name with the number."""
        return f"{self.number}. {self.name}" if self.number else self.name

    def folded(self, shown: bool = False) -> str:
        """HTML that opens with a click on the title; ``shown`` if it is open from the start."""
        return notebook.folded(f"{self.title} ({counted(len(self.lines))})", self.html, shown)

    def _repr_html_(self) -> str:
        return notebook.heading(self.title) + self.html

    def _repr_latex_(self) -> str:
        return "\n".join(f"$$\n{block}\n$$" for block in self.displays)

    def _repr_markdown_(self) -> str:
        parts = [f"### {self.name}", _CITE.sub(lambda found: plain(found[0], CITATIONS), self.text)]
        for line, block in zip(self.lines, self.displays, strict=True):
            parts += [f"`{plain(line.heading)}`"] if line.heading else []
            parts.append(f"$$\n{block}\n$$")
        return "\n\n".join(parts)

    def __str__(self) -> str:
        return self.plain()

    def __repr__(self) -> str:
        return f"<{f'stage {self.number}: ' if self.number else ''}{self.name}, {counted(len(self.lines))}>"


class Stages(tuple[Stage, ...]):
    """The stages of a derivation; in a notebook each opens with a click, printed they are text."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return "".join(stage.folded() for stage in self)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self))

    def __repr__(self) -> str:
        return notebook.shortened(map(repr, self))


def counted(equations: int) -> str:
    """``"1 equation"``, ``"2 equations"``."""
    return f"{equations} equation{'' if equations == 1 else 's'}"


def html_words(text: str) -> str:
    """LaTeX text as HTML, escaped: mathematics stays between its dollars, papers become links."""
    return "".join(
        f"${escape(part, quote=False)}$" if inside else _ARXIV.sub(_link, escape(_spoken(part)))
        for inside, part in _with_math(text.split("$"))
    )


def _with_math(parts: Sequence[str]) -> Iterable[tuple[bool, str]]:
    """Every second part of a text that was split at dollars is mathematics."""
    return ((bool(place % 2), part) for place, part in enumerate(parts))


def _spoken(part: str) -> str:
    """Words in Unicode, with the spaces at their ends."""
    start, end = part[: len(part) - len(part.lstrip())], part[len(part.rstrip()) :]
    return f"{start and ' '}{plain(part, CITATIONS)}{end and ' '}" if part.strip() else part


def _link(found: re.Match[str]) -> str:
    return f'<a href="https://arxiv.org/abs/{found[1]}">{found[0]}</a>'


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
