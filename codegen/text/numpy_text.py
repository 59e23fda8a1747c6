"""Functions at one site, and of scalars, as NumPy text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy as sp

from dmft_sym.program.site_expressions import prepare, walk

from .expression_text import ATOM, PRODUCT, SUM, ExpressionText, Text, without_softmax

_CALLS = {
    "abs": "np.abs",
    "atan": "np.arctan",
    "erf": "erf",
    "max": "np.maximum",
    "min": "np.minimum",
}


class NumpyText(ExpressionText):
    """Pieces of NumPy."""

    def literal(self, value: float) -> str:
        return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)

    def power(self, base: Text, exponent: int) -> Text:
        return Text(f"{base.at(ATOM)} ** {exponent}", PRODUCT)

    def call(self, name: str, arguments: Sequence[Text]) -> Text:
        return Text(f"{_CALLS.get(name, f'np.{name}')}({', '.join(argument.text for argument in arguments)})")

    def select(self, condition: Text, then: Text, other: Text) -> Text:
        return Text(f"np.where({condition.text}, {then.text}, {other.text})")

    def compare(self, operator: str, left: Text, right: Text) -> Text:
        return Text(f"{left.at(SUM)} {operator} {right.at(SUM)}", SUM)

    def logic(self, operator: str, operands: Sequence[Text]) -> Text:
        if operator == "not":
            return Text(f"~({operands[0].text})")
        sign = " & " if operator == "and" else " | "
        return Text(sign.join(f"({operand.text})" for operand in operands), SUM)


def numpy_lines(expressions: Sequence[sp.Expr], names: Mapping[sp.Symbol, str]) -> tuple[list[str], list[str]]:
    """Assignments of what several expressions share, and the text of each expression.

    ``softmax`` of scalars acts along the last axis.

    Raises
    ------
    ProgramError
        If a function or number in them is not allowed.
    """
    plain, shares = without_softmax(expressions)
    lines = []
    for share, part in shares:
        before, (inner,) = numpy_lines([part], names)
        lines += [*before, f"{share.name} = softmax({inner})"]
    names = {**names, **{share: share.name for share, _ in shares}}
    prepared = prepare(plain, names)
    algebra = NumpyText(names)
    for symbol, value in prepared.common:
        lines.append(f"{symbol.name} = {walk(value, algebra).text}")
        algebra.names[symbol] = symbol.name
    return lines, [walk(result, algebra).text for result in prepared.results]
