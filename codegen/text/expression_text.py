"""Arithmetic of expressions as Python text, with brackets where they are needed; dialects say the rest."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from dmft_sym.program.site_expressions import Algebra

SUM, PRODUCT, ATOM = range(3)
_SOFTMAX = sp.Function("softmax")


@dataclass(frozen=True)
class Text:
    """A piece of Python: its text, and how strongly its outermost operation binds."""

    text: str
    level: int = ATOM

    def at(self, level: int) -> str:
        """The text as an operand of an operation of ``level``."""
        return self.text if self.level >= level else f"({self.text})"


class ExpressionText(Algebra[Text]):
    """Numbers, symbols, sums and products; symbols are written as ``names`` says."""

    def __init__(self, names: Mapping[sp.Symbol, str]) -> None:
        self.names = dict(names)

    @abstractmethod
    def literal(self, value: float) -> str:
        """How a number is written."""

    def number(self, value: float) -> Text:
        return Text(self.literal(value), ATOM if value >= 0 else PRODUCT)

    def symbol(self, symbol: sp.Symbol) -> Text:
        return Text(self.names[symbol])

    def add(self, plus: Sequence[Text], minus: Sequence[Text]) -> Text:
        text = " + ".join(term.at(PRODUCT) for term in plus)
        for term in minus:
            text += f" - {term.at(PRODUCT)}" if text else f"-{term.at(PRODUCT)}"
        return Text(text, SUM)

    def multiply(self, factors: Sequence[Text], divisors: Sequence[Text]) -> Text:
        signed = factors[0].text == self.literal(-1.0) and len(factors) > 1
        text = " * ".join(factor.at(PRODUCT) for factor in factors[signed:])
        if divisors:
            below = " * ".join(divisor.at(PRODUCT if len(divisors) > 1 else ATOM) for divisor in divisors)
            text += f" / {below}" if len(divisors) == 1 else f" / ({below})"
        return Text(f"-{text}" if signed else text, PRODUCT)


def without_softmax(expressions: Sequence[sp.Expr]) -> tuple[list[sp.Expr], list[tuple[sp.Symbol, sp.Expr]]]:
    """Expressions with a symbol for every ``softmax``, and these symbols with what each softmax acts on."""
    found = sorted({part for e in expressions for part in e.atoms(_SOFTMAX)}, key=sp.default_sort_key)
    symbols = {part: sp.Symbol(f"share{number}", real=True) for number, part in enumerate(found)}
    return [e.xreplace(symbols) for e in expressions], [(symbol, part.args[0]) for part, symbol in symbols.items()]
