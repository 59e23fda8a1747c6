"""Site functions as text: expressions become the body of one loop over sites, which LLVM makes vectors of.

The loop calls functions of ``numba_math``, which the module imports or contains. Conditions are selections, so
that both sides are computed and there are no branches.
"""

from __future__ import annotations

import keyword
from collections.abc import Sequence

import sympy as sp

from dmft_sym.program import ProgramError
from dmft_sym.program.site_expressions import prepare, walk
from dmft_sym.support.messages import show

from .expression_text import ATOM, PRODUCT, SUM, ExpressionText, Text

RESERVED = {"abs", "i", "inf", "math", "nan", "nb", "njit", "np", "range", "types"}


def site_lines(
    expressions: Sequence[sp.Expr],
    arrays: Sequence[sp.Symbol],
    scalars: Sequence[sp.Symbol],
    outputs: Sequence[str],
) -> tuple[list[str], frozenset[str]]:
    """What stands inside of a loop over sites ``i`` that writes ``expressions``, one to each of ``outputs``.

    Parameters
    ----------
    expressions
        Site functions of ``arrays`` and ``scalars``.
    arrays, scalars
        Symbols whose values are contiguous arrays, one number a site, and numbers that all sites share.
    outputs
        Names of the arrays that are written.

    Returns
    -------
    lines, functions
        The lines, and the functions of ``numba_math`` that they call.

    Raises
    ------
    ProgramError
        If an expression is not a site function, or a name not an identifier or used twice.
    """
    _check_names((*outputs, *(s.name for s in arrays), *(s.name for s in scalars)))
    body = _body(expressions, arrays, scalars, outputs)
    return body.lines, frozenset(body.functions)


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        plain = name.isidentifier() and name.isascii() and not keyword.iskeyword(name)
        if not plain or name.startswith("_") or name in RESERVED:
            raise ProgramError(f"name {show(name)}: allowed are identifiers that a generated module does not use")
        if names.count(name) > 1:
            raise ProgramError(f"name {show(name)}: allowed is one use of a name")


def _body(
    expressions: Sequence[sp.Expr], arrays: Sequence[sp.Symbol], scalars: Sequence[sp.Symbol], outputs: Sequence[str]
) -> _Lines:
    prepared = prepare(expressions, [*arrays, *scalars])
    taken = {*outputs, *(s.name for s in arrays), *(s.name for s in scalars)}
    used = set().union(*(e.free_symbols for e in (*prepared.results, *(value for _, value in prepared.common))))
    lines = _Lines(taken)
    for symbol in arrays:
        if symbol in used:
            lines.names[symbol] = lines.line(f"{symbol.name}[i]", f"{symbol.name}_i")
    lines.names.update((symbol, symbol.name) for symbol in scalars)
    for symbol, value in prepared.common:
        lines.names[symbol] = lines.line(walk(value, lines).text)
    for output, result in zip(outputs, prepared.results, strict=True):
        lines.lines.append(f"{output}[i] = {walk(result, lines).text}")
    return lines


class _Lines(ExpressionText):
    """Text, and assignments that stand before it."""

    def __init__(self, taken: set[str]) -> None:
        super().__init__({})
        self.lines: list[str] = []
        self.functions: set[str] = set()
        self._taken = taken
        self._powers: dict[tuple[str, int], Text] = {}
        self._count = 0

    def line(self, text: str, name: str | None = None) -> str:
        """Assign ``text`` to a new name, which is returned."""
        while name is None or name in self._taken:
            name = f"s{self._count}"
            self._count += 1
        self._taken.add(name)
        self.lines.append(f"{name} = {text}")
        return name

    def literal(self, value: float) -> str:
        return repr(value)

    def power(self, base: Text, exponent: int) -> Text:
        """Products of squares, each computed once."""
        if not base.text.isidentifier():
            base = self._named(base, 1)
        if exponent <= 3:
            return Text(" * ".join([base.text] * exponent), PRODUCT)
        half = self._named(self.power(base, exponent // 2), exponent // 2, base.text)
        text = f"{half.text} * {half.text}"
        return Text(f"{text} * {base.text}" if exponent % 2 else text, PRODUCT)

    def _named(self, value: Text, exponent: int, base: str | None = None) -> Text:
        key = base or value.text, exponent
        if key not in self._powers:
            self._powers[key] = Text(self.line(value.text))
        return self._powers[key]

    def call(self, name: str, arguments: Sequence[Text]) -> Text:
        values = ", ".join(argument.text for argument in arguments)
        if name == "abs":
            return Text(f"abs({values})")
        if name == "sqrt":
            return Text(f"np.sqrt({values})")
        return self._library(f"_{name}", values)

    def _library(self, name: str, arguments: str) -> Text:
        self.functions.add(name)
        return Text(f"{name}({arguments})")

    def select(self, condition: Text, then: Text, other: Text) -> Text:
        return self._library("_select", f"{condition.text}, {then.text}, {other.text}")

    def compare(self, operator: str, left: Text, right: Text) -> Text:
        return Text(f"{left.text} {operator} {right.text}", SUM)

    def logic(self, operator: str, operands: Sequence[Text]) -> Text:
        if operator == "not":
            return Text(f"not {operands[0].at(ATOM)}", SUM)
        sign = " & " if operator == "and" else " | "
        return Text(sign.join(operand.at(ATOM) for operand in operands), SUM)
