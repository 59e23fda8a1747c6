"""One step of a direct two-time solver: every single-site equation, term by term, in the order of the derivation."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import sympy as sp
from dmft_sym.codegen.text.coefficient_text import number_text
from dmft_sym.codegen.text.numpy_text import numpy_lines

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
from dmft_sym.program import Average, FieldRef, ForLayers, ProgramError, SiteFunction

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
        for memory in equation.memories:
            yield from self._memory(target, memory, equation)
        for local in equation.locals:
            if local.step == 0:
                raise ProgramError(
                    f"{local.field}(0): allowed at the first step are scalars in a direct two-time solver"
                )
            yield f"{target}.add_field(t, {number_text(local.coefficient)}, {self.scope.ref(local.field)})"
        if equation.function is not None:
            yield from self._map(target, equation)

    def _memory(self, target: str, term: Memory, equation: SiteEquation) -> Iterator[str]:
        past = self.scope.ref(term.field)
        if isinstance(term, VectorMemory):
            lines = [f"{target}.add_vector_memory(t, {self._weight(term)}, {past})"]
        elif isinstance(term, UpdateMemory):
            overlap = f"overlap({self.scope.ref(term.row)}, {self.scope.ref(term.past)}, t)[:, :, :t]"
            lines = [f"{target}.add_memory(t, {overlap} * ({self._weight(term)}), {past})"]
        else:
            noise = self.scope.at(term.noise, term.noise_layer)
            found = f"response({self.scope.ref(term.row)}, {noise}, t, {term.equal_time})"
            factor = self.scope.factor(term.coefficient, term.retained)
            lines = [f"{target}.add_memory(t, scaled({factor}, {found}), {past})"]
            lines = self._guarded(lines, term, equation)
        if term.index is not None and term.layers is not None:
            lines = [layer_loop(term.index, term.layers), *(f"    {line}" for line in lines)]
        yield from lines

    def _guarded(self, lines: list[str], term: ResponseMemory, equation: SiteEquation) -> list[str]:
        """The product in the other direction may not exist at a layer."""
        if term.noise_layer is None or term.noise.layers is None:
            return lines
        ranges = {scan.index: scan.layers for scan in equation.scans}
        if term.index is not None and term.layers is not None:
            ranges[term.index] = term.layers
        condition = within(term.noise_layer, term.noise.layers, ranges)
        if condition == sp.true:
            return lines
        if condition == sp.false:
            return []
        return [f"if {condition_text(condition)}:", *(f"    {line}" for line in lines)]

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
