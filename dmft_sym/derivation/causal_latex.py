"""Equations of a program on given samples in LaTeX: the single site, scalars, responses and tangents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dmft_sym.program import Average, Axes, Optimizer
from dmft_sym.program.printing import (
    argument_latex,
    expression_latex,
    field_latex,
    function_latex,
    scalar_latex,
)

from .pipeline import Pipeline
from .process_closure import ProcessClosure
from .single_site import CausalEquation, ScalarEquation
from .site_latex import covariance_lines, scan_note, site_line
from .stage import Line, signed
from .tangents import Slope, TangentEquation

STAGE_OF_SITES = 6
"""Number of the stage that has the single-site equations."""


def numbered_equations(derivation: Pipeline) -> list[tuple[CausalEquation, Line, str]]:
    """Every single-site equation and scalar in causal order, as it is printed, with its number."""
    optimizer, labels = derivation.program.optimizer, derivation.program.labels
    lines = [equation_line(equation, labels, optimizer) for equation in derivation.equations]
    return [
        (equation, line, f"{STAGE_OF_SITES}.{place}")
        for place, (equation, line) in enumerate(zip(derivation.equations, lines, strict=True), start=1)
    ]


def equation_line(equation: CausalEquation, labels: Axes, optimizer: Optimizer) -> Line:
    """One relation of the single-site process, or a scalar."""
    if isinstance(equation, ScalarEquation):
        return scalar_line(equation)
    return site_line(equation, labels, optimizer)


def scalar_line(equation: ScalarEquation) -> Line:
    """An average over sites, or a function of scalars."""
    statement = equation.statement
    note = scan_note(equation.scans)
    if isinstance(statement, Average):
        terms = [signed(c, f"\\left\\langle {function_latex(f)} \\right\\rangle") for c, f in statement.terms]
        return Line(scalar_latex(statement.target), tuple(terms), note)
    names = {symbol: argument_latex(ref) for symbol, ref in statement.arguments}
    return Line(scalar_latex(statement.target), (f"+ {expression_latex(statement.expression, names)}",), note)


def gaussian_lines(derivation: Pipeline) -> Iterator[Line]:
    """Covariances of all Gaussian fields."""
    for closure in derivation.closures:
        yield from covariance_lines(derivation.site_builder, closure.process.noises)


def tangent_line(tangent: TangentEquation, labels: Axes, optimizer: Optimizer) -> Line:
    r"""The derivative of one equation, ``\partial`` standing for the derivative by any tracked Gaussian field."""
    equation = tangent.equation
    if equation.function is not None:
        terms = [f"+ {_slope(slope)}\\, \\partial {field_latex(slope.argument)}" for slope in tangent.slopes]
        note = scan_note(equation.scans)
        if tangent.jumps:
            where = " and ".join(f"${field_latex(ref)}$" for ref in tangent.jumps)
            note = ", ".join(part for part in (note, f"and a point mass where it jumps in {where}") if part)
        return Line(f"\\partial {field_latex(equation.target)}", tuple(terms), note)
    return site_line(tangent.linear, labels, optimizer, tangent=True)


def _slope(slope: Slope) -> str:
    text = function_latex(slope.function)
    return f"\\big( {text} \\big)" if slope.function.expression.is_Add else text


def process_lines(closure: ProcessClosure, labels: Axes, optimizer: Optimizer) -> Iterator[Line]:
    """How one process closes: its averages and its tangents."""
    heading = f"Space {closure.space}, " + ("closes as matrix algebra" if closure.gaussian else "sampled")
    yield replace(_averages(closure), heading=heading)
    if closure.by_parts:
        yield _BY_PARTS
    for tangent in closure.tangents:
        yield tangent_line(tangent, labels, optimizer)


_BY_PARTS = Line(
    "\\Big\\langle \\frac{\\partial a}{\\partial u} \\Big\\rangle",
    ("+ \\sum_{u'} \\big\\langle a\\, u' \\big\\rangle\\, \\big[ \\langle u\\, u \\rangle^{-1} \\big]_{u'\\,u}",),
    "by parts (Stein), as sampled sites miss point masses; $u'$ runs over the Gaussian fields of the same matrix",
)


def _averages(closure: ProcessClosure) -> Line:
    """Averages over the process: of samples, or of Gaussian fields."""
    if not closure.gaussian:
        return Line("\\big\\langle F \\big\\rangle", ("+ \\frac{1}{S} \\sum_{i=1}^{S} F_{i}",), "$S$ sampled sites")
    body = (
        "+ \\sum_{u,\\,u'} \\frac{\\partial a}{\\partial u}\\, \\big\\langle u\\, u' \\big\\rangle\\, "
        "\\frac{\\partial b}{\\partial u'}"
    )
    note = "$u$ and $u'$ run over the Gaussian fields of the process, at all their labels"
    return Line("\\big\\langle a\\, b \\big\\rangle", (body,), note)
