"""Site-wise functions, averages and functions of scalars as compiled loops over labels and sites, each written once."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sympy as sp
from dmft_sym.codegen.text.expression_text import without_softmax
from dmft_sym.codegen.text.site_text import RESERVED, site_lines
from dmft_sym.codegen.text.wrapping import wrapped

from dmft_sym.program import Axes, Compute, ProgramError, ScalarRef, SiteFunction

from .sampled_labels import Labels

_INDENT = "    "
# Names in the functions that arguments cannot have.
_TAKEN = frozenset({"n", "fields", "out", "factor", "total", "work"})


@dataclass(frozen=True)
class Argument:
    """An argument of a function: what it is called there, its labels, and whether it differs from site to site."""

    symbol: sp.Symbol
    axes: Axes
    sites: bool = False

    @property
    def given(self) -> str:
        """What the caller gives: a first row, values by label, or a number."""
        return f"at_{self.symbol}" if self.sites else f"all_{self.symbol}"

    def taken(self, labels: Labels) -> str:
        """The line that takes the part of the present labels."""
        place = labels.place(self.axes)
        if self.sites:
            where = f"{self.given}" if place == "0" else f"{self.given} + {place}"
            return f"{self.symbol} = fields[{where}, :n]"
        return f"{self.symbol} = {self.given}[{place}]"


class Functions:
    """The functions of a module."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._taken = {*_TAKEN, *labels.arguments, *labels.indices}
        self._names: dict[tuple[object, ...], str] = {}
        self._texts: dict[str, str] = {}

    def texts(self) -> list[str]:
        """Source of the functions."""
        return list(self._texts.values())

    def map(self, stem: str, axes: Axes, function: SiteFunction, over: Axes = ()) -> str:
        """Name of ``f(fields, n, M, C, first row of the result, *arguments)``, which sets a field."""
        place = self._labels.place(axes)
        before = [f"out = fields[{'at_out' if place == '0' else f'at_out + {place}'}, :n]"]
        before += ["out[:] = 0.0"] if over else []
        given = ["fields", "n", *self._labels.arguments, "at_out"]
        return self._site_loop(stem, axes, function, "At every site and label,", given, before=before, over=over)

    def average(self, stem: str, axes: Axes, function: SiteFunction) -> str:
        """Name of ``f(total, factor, line, fields, n, M, C, *arguments)``, which adds averages to a scalar."""
        after = [f"total[{self._labels.place(axes)}] += factor * _mean(out)"]
        given = ["total", "factor", "out", "fields", "n", *self._labels.arguments]
        return self._site_loop(stem, axes, function, "Add factor * the average of", given, after=after)

    def _site_loop(
        self,
        stem: str,
        axes: Axes,
        function: SiteFunction,
        meaning: str,
        given: Sequence[str],
        before: Sequence[str] = (),
        after: Sequence[str] = (),
        over: Axes = (),
    ) -> str:
        """Name of a function that sets ``out`` at all sites, for every label; ``given`` are its first arguments.

        It is summed ``over`` labels.
        """
        expression, arguments, parameters = _renamed(function, self._taken)
        key = (meaning, axes, over, expression, *arguments, *parameters)
        if key not in self._names:
            arrays = [a.symbol for a in arguments if a.sites]
            scalars = [a.symbol for a in arguments if not a.sites]
            lines, _ = site_lines((expression,), arrays, [*scalars, *parameters], ("out",))
            if over:
                lines = [*lines[:-1], lines[-1].replace(" = ", " += ", 1)]
            term = [
                *(argument.taken(self._labels) for argument in arguments),
                "for i in range(n):",
                *(_INDENT + line for line in lines),
            ]
            body = [*before, *self._labels.loops(over, term), *after]
            given = [*given, *(a.given for a in arguments), *map(str, parameters)]
            self._put(key, stem, given, [_doc(expression, meaning), *self._labels.loops(axes, body)])
        return self._names[key]

    def compute(
        self, stem: str, axes: Axes, expression: sp.Expr, refs: Sequence[tuple[sp.Symbol, ScalarRef]]
    ) -> tuple[str, int]:
        """Name of ``f(total, work, M, C, *arguments)``, which sets a scalar, and how many rows of ``work`` it needs.

        All values of the last label are computed together, so that ``softmax`` can act along them.
        """
        parameters = sorted(expression.free_symbols - {symbol for symbol, _ in refs}, key=lambda symbol: symbol.name)
        names = _plain_names(self._taken, [*(symbol for symbol, _ in refs), *parameters])
        expression = expression.xreplace(names)
        arguments = [Argument(names[symbol], ref.axes) for symbol, ref in refs]
        (expression,), shares = without_softmax([expression])
        key = ("compute", axes, expression, *shares, *arguments, *(names[s] for s in parameters))
        if key not in self._names:
            scalars = [names[s] for s in parameters]
            body = self._span(axes, expression, shares, arguments, scalars)
            given = ["total", "work", *self._labels.arguments, *(a.given for a in arguments), *map(str, scalars)]
            others = tuple(label for label in axes if label != self._labels.order[-1])
            self._put(key, stem, given, [_doc(expression, "For every label,"), *self._labels.loops(others, body)])
        return self._names[key], len(shares)

    def along_labels(self, stem: str, statement: Compute) -> str:
        """Name of ``f(total, M, C, *arguments)``, which sets a scalar to a sum over labels, or softmax along one."""
        function = SiteFunction(statement.expression, statement.arguments)
        expression, arguments, parameters = _renamed(function, self._taken)
        arguments = [argument for argument in arguments if argument.symbol in expression.free_symbols]
        axes, over = statement.target.axes, statement.over
        key = ("along", axes, over, statement.along, expression, *arguments, *parameters)
        if key not in self._names:
            (plain,), shares = without_softmax([expression])
            if shares and ([share for share, _ in shares] != [plain] or over):
                raise ProgramError(f"{statement}: allowed is softmax of an expression by itself")
            inner = shares[0][1] if shares else plain
            lines, _ = site_lines((inner,), [], [*(a.symbol for a in arguments), *parameters], ("out",))
            place = self._labels.place(axes)
            lines = [*lines[:-1], f"total[{place}] {'+' if over else ''}= {lines[-1].removeprefix('out[i] = ')}"]
            loops = self._labels.loops((*axes, *over), [*(a.taken(self._labels) for a in arguments), *lines])
            body = [*(["total[:] = 0.0"] if over else []), *loops]
            if shares:
                others = tuple(label for label in axes if label != statement.along)
                body += self._labels.loops(others, self._labels.softmax(axes, statement.along))
            given = ["total", *self._labels.arguments, *(a.given for a in arguments), *map(str, parameters)]
            self._put(key, stem, given, [_doc(expression, "For every label,"), *body])
        return self._names[key]

    def _span(
        self,
        axes: Axes,
        expression: sp.Expr,
        shares: Sequence[tuple[sp.Symbol, sp.Expr]],
        arguments: Sequence[Argument],
        parameters: Sequence[sp.Symbol],
    ) -> list[str]:
        """Lines for all values of the last label."""
        labels = self._labels
        wide = [a.symbol for a in arguments if labels.order[-1] in a.axes]
        narrow = [*(a.symbol for a in arguments if a.symbol not in wide), *parameters]
        lines = [f"out = total[{labels.span(axes)}]"]
        lines += [
            f"{a.symbol} = {a.given}[{labels.span(a.axes)}]" if a.symbol in wide else a.taken(labels) for a in arguments
        ]
        lines += [f"{share} = work[{number}]" for number, (share, _) in enumerate(shares)]
        for share, inner in shares:
            lines += [*_label_loop(inner, wide, narrow, str(share)), f"_softmax({share})"]
            wide.append(share)
        return [*lines, *_label_loop(expression, wide, narrow, "out")]

    def _put(self, key: tuple[object, ...], stem: str, arguments: Sequence[str], body: Sequence[str]) -> None:
        name, number = stem, 2
        while name in self._texts:
            name, number = f"{stem}{number}", number + 1
        self._names[key] = name
        head = '@njit(cache=True, nogil=True, error_model="numpy")'
        lines = [head, *wrapped(f"def {name}(", arguments, "):"), *(_INDENT + line for line in body)]
        self._texts[name] = "\n".join(lines)


def _label_loop(value: sp.Expr, arrays: Sequence[sp.Symbol], scalars: Sequence[sp.Symbol], output: str) -> list[str]:
    """The loop over the last label that sets ``output``."""
    loop, _ = site_lines((value,), arrays, scalars, (output,))
    return ["for i in range(out.size):", *(_INDENT + line for line in loop)]


def _doc(expression: sp.Expr, what: str) -> str:
    """A docstring that shows an expression, if it is short."""
    text = str(expression)
    return f'"""{what} {text if len(text) < 80 else "this expression"}."""'


def _renamed(function: SiteFunction, taken: Iterable[str]) -> tuple[sp.Expr, list[Argument], list[sp.Symbol]]:
    """The expression with names that a loop can use, its arguments and its parameters."""
    parameters = sorted(function.parameters, key=lambda symbol: symbol.name)
    names = _plain_names(taken, [*(symbol for symbol, _ in function.arguments), *parameters])
    arguments = [Argument(names[s], ref.axes, True) for s, ref in function.fields]
    arguments += [Argument(names[s], ref.axes) for s, ref in function.scalars]
    return function.expression.xreplace(names), arguments, [names[s] for s in parameters]


def _plain_names(names: Iterable[str], symbols: Sequence[sp.Symbol]) -> dict[sp.Symbol, sp.Symbol]:
    """Real symbols with names that are free, not among ``names``."""
    taken = {*RESERVED, *names}
    found = {}
    for symbol in symbols:
        plain = symbol.name.isidentifier() and symbol.name.isascii()
        name = symbol.name.lstrip("_") if plain else "value"
        while not name or name in taken or keyword.iskeyword(name) or name.startswith(("at_", "all_", "share")):
            name = f"v_{name}"
        taken.add(name)
        found[symbol] = sp.Symbol(name, real=True)
    return found
