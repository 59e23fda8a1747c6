"""One step of a direct two-time solver: every single-site equation, term by term, in the order of the derivation."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import sympy as sp
from dmft_sym.codegen.text.coefficient_text import number_text
from dmft_sym.codegen.text.numpy_text import numpy_lines
from dmft_sym.codegen.text.wrapping import wrapped

from dmft_sym.derivation.layer_logic import within
from dmft_sym.derivation.plain_text import plain
from dmft_sym.derivation.process_closure import quadratic_form
from dmft_sym.derivation.single_site import (
    Memory,
    Noise,
    ResponseMemory,
    ScalarEquation,
    SiteEquation,
    UpdateMemory,
    VectorMemory,
)
from dmft_sym.derivation.site_equations import STAGE_OF_SITES, SiteWriter
from dmft_sym.program import Average, FieldRef, ForLayers, SiteFunction

from .python_text import condition_text
from .two_time_scope import Scope, bracketed, layer_loop

STEP = "        "  # indentation of what is done at a step


class StepWriter:
    """Lines of the loop over steps."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.slopes = {id(t.equation): t.slopes for closure in scope.derivation.closures for t in closure.tangents}

    def lines(self) -> Iterator[str]:
        """A comment with each equation of the derivation, then what computes it; indented."""
        drawn: set[Noise] = set()
        open_scans: tuple[ForLayers, ...] = ()
        writer = SiteWriter(self.scope.derivation.site_builder)
        for place, equation in enumerate(self.scope.derivation.causal, start=1):
            line, number = writer.equation(equation).line(averages=True), f"{STAGE_OF_SITES}.{place}"
            scans = equation.scans
            if scans and scans != open_scans:
                yield STEP + layer_loop(scans[0].index, scans[0].layers, scans[0].descending)
            open_scans = scans
            indent = STEP + ("    " if scans else "")
            comment = plain(f"{line.left} = " + " ".join(line.terms).removeprefix("+ "))
            yield from textwrap.wrap(
                f"# ({number}) {comment}", 116, initial_indent=indent, subsequent_indent=f"{indent}#     "
            )
            if isinstance(equation, ScalarEquation):
                body = list(self._scalar(equation))
            else:
                body = list(self._site(equation, drawn))
            yield from (indent + text for text in body)

    def _site(self, equation: SiteEquation, drawn: set[Noise]) -> Iterator[str]:
        target = self.scope.ref(equation.target)
        for term in equation.noises:
            noise = self.scope.at(term.noise, term.layer)
            if not term.noise.static and term.noise not in drawn:
                drawn.add(term.noise)
                yield f"{noise}.draw(t)"
            yield f"{target}.add_noise(t, {self.scope.factor(term.coefficient, term.retained)}, {noise})"
        yield from self._memories(target, equation)
        for local in equation.locals:
            yield f"{target}.add_field(t, {number_text(local.coefficient)}, {self.scope.ref(local.field)})"
        if equation.function is not None:
            yield from self._map(target, equation)

    def _memories(self, target: str, equation: SiteEquation) -> Iterator[str]:
        """Memories of the same past are one: their kernels are added first."""
        kernels: dict[tuple[str, str, str], list[str]] = {}
        for term in equation.memories:
            condition = self._condition(term, equation)
            loop = "" if term.index is None or term.layers is None else layer_loop(term.index, term.layers)
            if condition != sp.false:
                guard = "" if condition == sp.true else f"if {condition_text(condition)}:"
                kernels.setdefault((loop, guard, self.scope.ref(term.field)), []).append(self._kernel(term))
        for (loop, guard, past), parts in kernels.items():
            indent = ""
            for head in filter(None, (loop, guard)):
                yield indent + head
                indent += "    "
            yield from (indent + line for line in wrapped(f"{target}.add_memory(", ["t", past, *parts], ")"))

    def _kernel(self, term: Memory) -> str:
        if isinstance(term, VectorMemory):
            return f"per_output({self._weight(term)}, {self.scope.ref(term.field)})"
        if isinstance(term, UpdateMemory):
            overlap = f"overlap({self.scope.ref(term.row)}, {self.scope.ref(term.past)}, t)[:, :, :t]"
            return f"{overlap} * ({self._weight(term)})"
        noise = self.scope.at(term.noise, term.noise_layer)
        found = f"response({self.scope.ref(term.row)}, {noise}, t, {term.equal_time})"
        return f"scaled({self.scope.factor(term.coefficient, term.retained)}, {found})"

    def _condition(self, term: Memory, equation: SiteEquation) -> sp.Basic:
        """Where the product in the other direction exists."""
        if not isinstance(term, ResponseMemory) or term.noise_layer is None or term.noise.layers is None:
            return sp.true
        ranges = {scan.index: scan.layers for scan in equation.scans}
        if term.index is not None and term.layers is not None:
            ranges[term.index] = term.layers
        return within(term.noise_layer, term.noise.layers, ranges)

    def _weight(self, term: UpdateMemory | VectorMemory) -> str:
        factor = "" if term.coefficient == 1 else f"{bracketed(number_text(term.coefficient))} * "
        weight = "" if term.weight is None else f" * {self.scope.ref(term.weight)}[:t]"
        return f"{factor}lag{weight}"

    def _map(self, target: str, equation: SiteEquation) -> list[str]:
        function = equation.function
        assert function is not None
        closure = self.scope.closure_of[equation.target.field]
        if closure.by_parts:
            lines, (value,) = numpy_lines([function.expression], self.scope.arguments(function, sites=True))
            arguments = ", ".join(f"(None, {self.scope.ref(r)})" for _, r in function.fields if isinstance(r, FieldRef))
            return [*lines, f"{target}.set_function(t, {value}, [{arguments}])"]
        slopes = self.slopes.get(id(equation), ())
        expressions = [slope.function.expression for slope in slopes]
        if not closure.gaussian:
            expressions = [function.expression, *expressions]
        lines, texts = numpy_lines(expressions, self.scope.arguments(function, sites=True))
        value = "None" if closure.gaussian else texts.pop(0)
        pairs = [f"({text}, {self.scope.ref(slope.argument)})" for text, slope in zip(texts, slopes, strict=True)]
        return [*lines, f"{target}.set_function(t, {value}, [{', '.join(pairs)}])"]

    def _scalar(self, equation: ScalarEquation) -> Iterator[str]:
        statement = equation.statement
        target = f"{self.scope.ref(statement.target)}[t]"
        if isinstance(statement, Average):
            yield f"{target} = 0"
            for coefficient, function in statement.terms:
                lines, text = self._average(function)
                yield from lines
                factor = "" if coefficient == 1 else f"{bracketed(number_text(coefficient))} * "
                yield f"{target} += {factor}{text}"
            return
        names = self.scope.arguments(SiteFunction(statement.expression, statement.arguments), sites=False)
        lines, (text,) = numpy_lines([statement.expression], names)
        yield from lines
        yield f"{target} = {text}"

    def _average(self, function: SiteFunction) -> tuple[list[str], str]:
        fields = [ref for _, ref in function.fields]
        assert isinstance(fields[0], FieldRef)
        if not self.scope.closure_of[fields[0].field].gaussian:
            lines, (text,) = numpy_lines([function.expression], self.scope.arguments(function, sites=True))
            return lines, f"np.mean({text}, axis=-1)"
        form = quadratic_form(function)
        assert form is not None
        names = self.scope.arguments(function, sites=False)
        lines, texts = numpy_lines([form.constant, *(c for c, _, _ in form.products)], names)
        parts = [] if form.constant == 0 else [texts[0]]
        for text, (_, a, b) in zip(texts[1:], form.products, strict=True):
            parts.append(f"{bracketed(text)} * moment({self.scope.ref(a)}, {self.scope.ref(b)}, t)")
        return lines, f"({' + '.join(parts) or '0'})"
