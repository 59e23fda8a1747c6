"""Total derivatives of single-site equations with respect to Gaussian fields: the recursion of the tangents.

Responses are averages of ``d field(t) / d noise(s)``, memories included. The equation of a field is differentiated term
by term: its own Gaussian fields give the identity at ``s = t``; kernels of memories are deterministic, so memories hand
on the tangents of past fields with the same kernels; a site-wise function hands on those of its arguments times its
slopes (chain rule), and these differ from site to site unless the function is linear. The chain rule is that of
reverse mode, which does not know the other terms: they are no statements of a program but memories.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dmft_sym.program import Field, FieldRef, SiteFunction
from dmft_sym.program.reachability import reached
from dmft_sym.program.site_derivatives import has_jump, slopes

from .single_site import Noise, SiteEquation


@dataclass(frozen=True)
class Slope:
    """``d function / d argument``, a site-wise function of the same fields."""

    function: SiteFunction
    argument: FieldRef


@dataclass(frozen=True)
class TangentEquation:
    """The derivative of ``equation`` with respect to Gaussian fields of its process.

    Attributes
    ----------
    linear
        The terms of the equation that depend on these Gaussian fields, to be read with tangents in place of fields: the
        identity for the Gaussian fields themselves, the same kernels, the same coefficients.
    slopes
        Chain rule for a site-wise function.
    jumps
        Arguments in which the function jumps: its derivative has a point mass there, which ``slopes`` leave out.
    """

    equation: SiteEquation
    linear: SiteEquation
    slopes: tuple[Slope, ...] = ()
    jumps: tuple[FieldRef, ...] = ()


def tangent_equations(equations: Sequence[SiteEquation], noises: Iterable[Noise]) -> list[TangentEquation]:
    """Differentiate the equations of all fields that depend on ``noises``."""
    noises = set(noises)
    fields = reached_fields(equations, noises)
    return [_tangent_equation(e, fields, noises) for e in equations if e.target.field in fields]


def _tangent_equation(equation: SiteEquation, fields: set[Field], noises: set[Noise]) -> TangentEquation:
    linear = replace(
        equation,
        noises=tuple(term for term in equation.noises if term.noise in noises),
        memories=tuple(term for term in equation.memories if term.field.field in fields),
        locals=tuple(term for term in equation.locals if term.field.field in fields),
    )
    function = equation.function
    if function is None:
        return TangentEquation(equation, linear)
    moving = {symbol: ref for symbol, ref in function.fields if isinstance(ref, FieldRef) and ref.field in fields}
    chain = (Slope(slope, ref) for ref, slope in slopes(function) if isinstance(ref, FieldRef) and ref.field in fields)
    jumps = (ref for symbol, ref in moving.items() if has_jump(function.expression, symbol))
    return TangentEquation(equation, linear, tuple(chain), tuple(jumps))


def reached_fields(equations: Sequence[SiteEquation], noises: Iterable[Noise]) -> set[Field]:
    """Fields that depend on one of the Gaussian fields, now or through a memory: those whose tangents do not vanish."""
    noises = set(noises)
    driven = (e.target.field for e in equations if any(n.noise in noises and n.coefficient != 0 for n in e.noises))
    return reached(driven, [([ref.field], e.target.field) for e in equations for ref in _sources(e)])


def _sources(equation: SiteEquation) -> Iterator[FieldRef]:
    """Fields on the right-hand side, those of past steps included."""
    yield from equation.arguments
    yield from (term.field for term in (*equation.memories, *equation.locals))
