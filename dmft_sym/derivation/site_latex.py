"""Single-site equations in LaTeX."""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp

from dmft_sym.program import OUTPUT, PAST_STEP, STEP, FieldRef, RandomVector
from dmft_sym.program.printing import field_latex, latex_name

from .action import OTHER_OUTPUT
from .single_site import (
    LocalTerm,
    Memory,
    Noise,
    NoiseTerm,
    ResponseMemory,
    SiteBuilder,
    SiteEquation,
    UpdateMemory,
    VectorMemory,
)
from .stage import Line, signed


def noise_latex(noise: Noise, layer: sp.Expr | None, step: sp.Expr | None = STEP, output: sp.Expr = OUTPUT) -> str:
    """A Gaussian field with its labels; barred if it is normalised by the aspect ratio."""
    accent = "" if noise.scale == 1 else "bar"
    body = latex_name(noise.name, layer, output=output, accent=accent)
    return body if noise.static or step is None else f"{body}({sp.latex(step)})"


def site_line(equation: SiteEquation) -> Line:
    """One field's single-site equation."""
    terms = [_noise(term) for term in equation.noises]
    terms += [_memory(term) for term in equation.memories]
    terms += [_local(term) for term in equation.locals]
    note = ""
    if equation.scans:
        scan = equation.scans[0]
        first, last = scan.layers.start, scan.layers.stop
        first, last = (last, first) if scan.descending else (first, last)
        note = f"${sp.latex(scan.index)} = {sp.latex(first)}, \\dots, {sp.latex(last)}$"
    return Line(field_latex(equation.target), tuple(terms), note)


def _noise(term: NoiseTerm) -> str:
    body = noise_latex(term.noise, term.layer)
    return signed(term.coefficient, f"\\rho(t)\\, {body}" if term.retained else body)


def _local(term: LocalTerm) -> str:
    return signed(term.coefficient, field_latex(term.field))


def _memory(term: Memory) -> str:
    past = field_latex(term.field, PAST_STEP, OTHER_OUTPUT)
    if isinstance(term, VectorMemory):
        past = field_latex(term.field, PAST_STEP, OUTPUT)
        return signed(term.coefficient, f"\\sum_{{s<t}} \\kappa(t-s)\\, {past}")
    layer = "" if term.index is None else f", {sp.latex(term.index)}"
    if isinstance(term, UpdateMemory):
        overlap = (
            f"\\big\\langle {field_latex(term.row)}\\, {field_latex(term.past, PAST_STEP, OTHER_OUTPUT)} \\big\\rangle"
        )
        return signed(term.coefficient, f"\\sum_{{s<t, c'{layer}}} \\kappa(t-s)\\, {overlap}\\, {past}")
    return signed(term.coefficient, _response_sum(term, layer, past))


def _response_sum(term: ResponseMemory, layer: str, past: str) -> str:
    noise = noise_latex(term.noise, term.noise_layer, PAST_STEP, OTHER_OUTPUT)
    response = f"\\Big\\langle \\frac{{\\partial {field_latex(term.row)}}}{{\\partial {noise}}} \\Big\\rangle"
    steps = "s = t" if term.noise.fresh else "s \\le t"
    rho = "\\rho(t) " if term.retained else ""
    return f"{rho}\\sum_{{{steps}, c'{layer}}} {response}\\, {past}"


def covariance_lines(builder: SiteBuilder, noises: Iterable[Noise]) -> list[Line]:
    """Covariances of the Gaussian fields of a process."""
    noises = list(noises)
    lines = []
    for number, a in enumerate(noises):
        for b in noises[number:]:
            coefficient = builder.noise_covariance(a, b)
            if coefficient is not None:
                lines.append(_covariance(a, b, coefficient))
    return lines


def _covariance(a: Noise, b: Noise, coefficient: sp.Expr) -> Line:
    if isinstance(a.source, RandomVector) or isinstance(b.source, RandomVector):
        left = f"\\big\\langle {noise_latex(a, None)}\\, {noise_latex(b, None, PAST_STEP, OTHER_OUTPUT)} \\big\\rangle"
        delta = "\\delta_{c c'}" + ("\\, \\delta_{t s}" if a.fresh else "")
        return Line(left, (signed(coefficient, delta),))
    other = b.source.index
    if other is not None and not b.source.family:
        other = sp.Symbol("l_s", integer=True, positive=True)
    first, second = a.source.operand, b.source.operand_at(other)
    left = (
        f"\\big\\langle {noise_latex(a, a.source.index)}\\, "
        f"{noise_latex(b, other, PAST_STEP, OTHER_OUTPUT)} \\big\\rangle"
    )
    delta = "\\, \\delta_{t s}" if a.fresh else ""
    right = f"\\big\\langle {field_latex(first)}\\, {_past(second)} \\big\\rangle{delta}"
    return Line(left, (signed(coefficient, right),))


def _past(ref: FieldRef) -> str:
    return field_latex(ref, PAST_STEP, OTHER_OUTPUT)
