"""Equations of a program on given samples in LaTeX: the single site, scalars, responses and tangents."""

from __future__ import annotations

from collections.abc import Iterator

from dmft_sym.program import Average, Optimizer
from dmft_sym.program.printing import (
    argument_latex,
    expression_latex,
    function_latex,
    scalar_latex,
)

from .fixed import FixedDerivation
from .fixed_sites import CausalEquation, ScalarEquation
from .site_latex import covariance_lines, scan_note, site_line
from .stage import Line, signed

STAGE_OF_SITES = 6
"""Number of the stage that has the single-site equations."""


def numbered_equations(derivation: FixedDerivation) -> list[tuple[CausalEquation, Line, str]]:
    """Every single-site equation and scalar in causal order, as it is printed, with its number."""
    optimizer = derivation.program.optimizer
    lines = [equation_line(equation, optimizer) for equation in derivation.equations]
    return [
        (equation, line, f"{STAGE_OF_SITES}.{place}")
        for place, (equation, line) in enumerate(zip(derivation.equations, lines, strict=True), start=1)
    ]


def equation_line(equation: CausalEquation, optimizer: Optimizer) -> Line:
    """One relation of the single-site process, or a scalar."""
    if isinstance(equation, ScalarEquation):
        return scalar_line(equation)
    return site_line(equation, optimizer)


def scalar_line(equation: ScalarEquation) -> Line:
    """An average over sites, or a function of scalars."""
    statement = equation.statement
    note = scan_note(equation.scans)
    if isinstance(statement, Average):
        terms = [signed(c, f"\\left\\langle {function_latex(f)} \\right\\rangle") for c, f in statement.terms]
        return Line(scalar_latex(statement.target), tuple(terms), note)
    names = {symbol: argument_latex(ref) for symbol, ref in statement.arguments}
    return Line(scalar_latex(statement.target), (f"+ {expression_latex(statement.expression, names)}",), note)


def gaussian_lines(derivation: FixedDerivation) -> Iterator[Line]:
    """Covariances of all Gaussian fields."""
    for closure in derivation.closures:
        yield from covariance_lines(derivation.builder, closure.process.noises)
