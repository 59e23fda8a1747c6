r"""LaTeX of the stages as text for a terminal: ``R^{h[l];\,\bar{r}_{W}[l]}`` becomes ``R^(h[l]; r̄_W[l])``.

Stages are written in the part of LaTeX that their printers use. It is read here by a small parser, so that there is one
printed form of every equation and not two that might differ.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

_TOKENS = re.compile(r"\\[A-Za-z]+\*?|\\.|[{}^_$&]|\s+|.", re.DOTALL)

_SYMBOLS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "Gamma": "Γ", "delta": "δ", "Delta": "Δ", "epsilon": "ε",
    "varepsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ", "Theta": "Θ", "iota": "ι", "kappa": "κ", "lambda": "λ",
    "Lambda": "Λ", "mu": "μ", "nu": "ν", "xi": "ξ", "Xi": "Ξ", "pi": "π", "Pi": "Π", "rho": "ρ", "sigma": "σ",
    "Sigma": "Σ", "tau": "τ", "upsilon": "υ", "phi": "φ", "Phi": "Φ", "chi": "χ", "psi": "ψ", "Psi": "Ψ", "omega": "ω",
    "Omega": "Ω", "sum": "Σ", "partial": "∂", "infty": "∞", "langle": "⟨", "rangle": "⟩", "cdot": "·", "circ": "∘",
    "dots": "…", "ldots": "…", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "to": "→", "in": "∈",
    "times": "×", "Rightarrow": "⇒", "top": "ᵀ", "quad": "  ", "qquad": "   ", "min": "min", "max": "max",
    "int": "∫", "varrho": "ϱ",
}  # fmt: skip
_ACCENTS = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303"}
_SPACES = {"\\,": " ", "\\;": " ", "\\:": " ", "\\ ": " ", "\\!": "", "~": " "}
_SIZES = {"left", "right", "big", "Big", "bigg", "Bigg", "displaystyle"}
_GROUPS = {"text", "mathrm", "mathrel", "operatorname", "emph", "mathit", "texttt"}
_HELD = "\u00a0"
_BOLD = {"1": "𝟏"}
COMMANDS = {"frac", "tfrac", "sqrt", "mathbf", "cite", *_SYMBOLS, *_ACCENTS, *_SIZES, *_GROUPS}
"""What `plain` knows; other commands stay as their names."""

_UNBROKEN: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}


def plain(latex: str, citations: dict[str, str] | None = None) -> str:
    r"""LaTeX as plain text in Unicode.

    Parameters
    ----------
    latex
        Mathematics, or text with mathematics between dollars.
    citations
        What stands for a ``\cite``, by its key.
    """
    return _together(latex, citations or {}).replace(_HELD, " ")


def _together(latex: str, citations: dict[str, str]) -> str:
    """Plain text with spaces at which no line may end."""
    text = re.sub(r"[ \t\n]+", " ", _Reader(latex, citations).read()).strip()
    for loose, tight in (("( ", "("), (" )", ")"), ("⟨ ", "⟨"), (" ⟩", "⟩"), ("--", "–"), ("iΣ", "i Σ")):
        text = text.replace(loose, tight)
    return unicodedata.normalize("NFC", text)


def wrapped(text: str, width: int) -> list[str]:
    """Lines of a paragraph."""
    return textwrap.wrap(text, width, **_UNBROKEN)


def equation(number: str, left: str, relation: str, terms: Iterable[str], note: str, width: int) -> Iterator[str]:
    """An equation as lines: on one if it fits, else with a line for every term."""
    yield from (line.replace(_HELD, " ") for line in _rows(f"({number})  ", left, relation, terms, note, width))


def _rows(head: str, left: str, relation: str, terms: Iterable[str], note: str, width: int) -> Iterator[str]:
    parts = [_together(term, {}) for term in terms] or ["0"]
    parts[0] = parts[0].removeprefix("+ ")
    start = f"{head}{_together(left, {})} {_together(relation, {})} "
    note = f"({_together(note, {})})" if note else ""
    line = start + " ".join(parts) + (f"   {note}" if note else "")
    if len(line) <= width:
        yield line
        return
    term, margin = " " * (len(head) + 4), " " * (len(head) + 8)
    yield from textwrap.wrap(start + parts[0], width, subsequent_indent=margin, **_UNBROKEN)
    for part in parts[1:]:
        yield from textwrap.wrap(part, width, initial_indent=term, subsequent_indent=margin, **_UNBROKEN)
    if note:
        yield term + note


class _Reader:
    """Recursive descent over the tokens of a piece of LaTeX."""

    def __init__(self, latex: str, citations: dict[str, str]) -> None:
        self.tokens = _TOKENS.findall(latex)
        self.place = 0
        self.citations = citations

    def read(self) -> str:
        """Everything up to the end or to a closing brace, which is consumed."""
        parts: list[str] = []
        while self.place < len(self.tokens):
            token = self._next()
            if token == "}":
                break
            parts.append(self._script(token) if token in "^_" else self._atom(token))
        return "".join(parts)

    def _next(self) -> str:
        self.place += 1
        return str(self.tokens[self.place - 1])

    def _skip_spaces(self) -> None:
        while self.place < len(self.tokens) and self.tokens[self.place].isspace():
            self.place += 1

    def _argument(self) -> str:
        self._skip_spaces()
        return self._atom(self._next()) if self.place < len(self.tokens) else ""

    def _script(self, kind: str) -> str:
        body = re.sub(r"\s*([-+*/=<>,;≤≥])\s*", r"\1", self._argument().strip())
        if kind == "^" and body in ("ᵀ", "*"):
            return body
        if re.fullmatch(rf"[\w\u0300-\u036f'{',' if kind == '_' else ''}]*", body):
            return kind + body
        return f"{kind}({body.replace(',', ',' + _HELD).replace(';', ';' + _HELD)})"

    def _atom(self, token: str) -> str:
        if token == "{":
            return self.read()
        if token in _SPACES:
            return _SPACES[token]
        if not token.startswith("\\"):
            return "" if token in "$&" else token
        name = token[1:]
        if not name[0].isalpha():
            return "" if name == "\\" else name
        return self._command(name)

    def _command(self, name: str) -> str:
        if name in _SIZES:
            self._skip_spaces()
            return ""
        if name in ("frac", "tfrac"):
            top, bottom = self._argument().strip(), self._argument().strip()
            return f"{_grouped(top)}/{_grouped(bottom, '·/')}"
        if name == "sqrt":
            return "√" + _grouped(self._argument(), "/")
        if name in _ACCENTS:
            base = self._argument().strip()
            return base[:1] + _ACCENTS[name] + base[1:]
        if name == "mathbf":
            body = self._argument()
            return _BOLD.get(body, body)
        if name == "cite":
            return f"[{', '.join(self.citations.get(key, key) for key in self._argument().split(','))}]"
        if name in _GROUPS:
            return self._argument()
        if name in ("partial", "circ"):
            self._skip_spaces()
        return _SYMBOLS.get(name, name)


def _grouped(text: str, also: str = "") -> str:
    """Numerator or denominator, in parentheses where it is not a single factor."""
    return f"({text})" if re.search(r"[ +\-" + re.escape(also) + "]", _without_brackets(text)) else text


def _without_brackets(text: str) -> str:
    """Text outside of all parentheses, which may be left as it is."""
    while (shorter := re.sub(r"\([^()]*\)", "", text)) != text:
        text = shorter
    return text
