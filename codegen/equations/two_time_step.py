"""One step of a direct two-time solver as text: the nodes of `two_time_ir`, below the equations that they compute."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import zip_longest

import sympy as sp
from dmft_sym.codegen.text.coefficient_text import number_text, range_text
from dmft_sym.codegen.text.numpy_text import numpy_lines
from dmft_sym.codegen.text.wrapping import WIDTH, wrapped

from dmft_sym.derivation.symbols import KEPT
from dmft_sym.program import STEP

from . import two_time_ir as ir
from .python_text import condition_text
from .two_time_scope import item_text

_INDENT = "    "


class StepText:
    """Lines of the loop over steps.

    Parameters
    ----------
    symbols
        Names of parameters.
    """

    def __init__(self, symbols: dict[sp.Symbol, str]) -> None:
        self.symbols = symbols

    def lines(self, nodes: tuple[ir.Node, ...], indent: str = "") -> Iterator[str]:
        """All that a step does."""
        for node in nodes:
            if isinstance(node, ir.Numbered):
                text, more = f"# ({node.number}) {node.equation}", f"{indent}#     "
                yield from textwrap.wrap(text, WIDTH - 4, initial_indent=indent, subsequent_indent=more)
                yield from self.lines(node.body, indent)
            elif isinstance(node, ir.Loop):
                layers = range_text(node.layers.start, node.layers.stop, node.descending)
                yield f"{indent}for {node.index.name} in {layers}:"
                yield from self.lines(node.body, indent + _INDENT)
            elif isinstance(node, ir.Guard):
                yield f"{indent}if {condition_text(node.condition)}:"
                yield from self.lines(node.body, indent + _INDENT)
            else:
                yield from (indent + line for line in self._statement(node, WIDTH - len(indent)))

    def _statement(self, node: ir.Node, width: int) -> Iterator[str]:
        if isinstance(node, ir.Draw):
            yield f"{_item(node.noise)}.draw(t)"
        elif isinstance(node, ir.Add):
            name = "add_noise" if node.noise else "add_field"
            yield f"{_item(node.target)}.{name}(t, {_factor(node.coefficient)}, {_item(node.source)})"
        elif isinstance(node, ir.Remember):
            kernels = [self._kernel(kernel, node.past) for kernel in node.kernels]
            yield from wrapped(f"{_item(node.target)}.add_memory(", ["t", _item(node.past), *kernels], ")", "", width)
        elif isinstance(node, ir.Map):
            yield from self._map(node)
        elif isinstance(node, ir.AddNorm):
            pairs = (node.left,) if node.right is None else (node.left, node.right)
            parts = [f"{_item(node.weight)}[t]", *(f"overlap({_item(a)}, {_item(b)}, t)" for a, b in pairs)]
            factor = "" if node.coefficient == 1 else f"{_bracketed(number_text(node.coefficient))} * "
            yield from wrapped(f"{_item(node.target)}[t] += {factor}norm_of_terms(", parts, ")", "", width)
        elif isinstance(node, ir.Compute):
            lines, (text,) = self._functions(node.functions, sites=False)
            text = f"np.sum({text}, axis=-1, keepdims=True)" if node.summed else text
            yield from (*lines, f"{_item(node.target)}[t] = {text}")

    def _kernel(self, kernel: ir.ResponseKernel | ir.UpdateKernel, past: ir.Item) -> str:
        if isinstance(kernel, ir.ResponseKernel):
            found = f"response({_item(kernel.row)}, {_item(kernel.noise)}, t, {kernel.now})"
            return f"scaled({_factor(kernel.coefficient)}, {found})"
        lag = "lag" if kernel.coefficient == 1 else f"{_bracketed(number_text(kernel.coefficient))} * lag"
        if kernel.weight is not None:
            lag += f" * {_item(kernel.weight)}" + ("" if kernel.weight.given else "[:t]")
        if kernel.overlap is None:
            return f"per_output({lag}, {_item(past)})" if kernel.each else f"({lag})[None, None]"
        return f"overlap({', '.join(map(_item, kernel.overlap))}, t)[:, :, :t] * ({lag})"

    def _map(self, node: ir.Map) -> Iterator[str]:
        lines, texts = self._functions(node.functions, sites=True)
        value = texts.pop(0) if node.sampled else "None"
        slopes = zip_longest(texts if node.sloped else (), map(_item, node.fields), fillvalue="None")
        pairs = ", ".join(f"({slope}, {field})" for slope, field in slopes)
        yield from (*lines, f"{_item(node.target)}.set_function(t, {value}, [{pairs}])")

    def _functions(self, functions: ir.Functions, sites: bool) -> tuple[list[str], list[str]]:
        """Lines that come before, and the texts; scalars get an axis of sites where they meet fields."""
        names, before = dict(self.symbols), []
        for number, (symbol, argument) in enumerate(functions.arguments):
            if isinstance(argument, ir.SiteMean):
                lines, (text,) = self._functions(argument.functions, sites=True)
                names[symbol] = f"mean{number}"
                before += [*lines, f"{names[symbol]} = np.mean({text}, axis=-1)"]
            elif isinstance(argument, ir.Moment):
                names[symbol] = f"moment({_item(argument.a)}, {_item(argument.b)}, t)"
            elif isinstance(argument, ir.Number):
                shown = _item(argument) + ("" if argument.given else "[0]" if argument.first else "[t]")
                names[symbol] = f"{shown}[:, :, None]" if sites else shown
            else:
                names[symbol] = f"{_item(argument)}.values[t]"
        lines, texts = numpy_lines(functions.expressions, names)
        return [*before, *lines], texts


def _item(item: ir.Item) -> str:
    return item_text(item.name, item.layer)


def _factor(coefficient: sp.Expr) -> str:
    """A coefficient, with what weight decay leaves of initial weights."""
    kept = KEPT(STEP)
    if not coefficient.has(kept):
        return number_text(coefficient)
    return f"{_bracketed(number_text(coefficient / kept))} * rho[t]"


def _bracketed(text: str) -> str:
    """A factor of a product."""
    return f"({text})" if any(sign in text for sign in "+-/ ") else text
