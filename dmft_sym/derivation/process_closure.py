"""How the single-site processes of a program on given samples close: as matrix algebra, or by sampling.

A process whose site-wise functions are all linear (at given scalars) is Gaussian: its tangents are the same at every
site, its correlations are ``R Sigma R^T``, and averages that are at most quadratic in its fields follow from these. Any
other process is sampled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import sympy as sp

from dmft_sym.program import Average, Field, FieldRef, SiteFunction, Space, is_linear

from .processes import Process, process_of
from .single_site import CausalEquation, Noise, ResponseMemory, ScalarEquation, SiteEquation
from .tangents import TangentEquation, tangent_equations


@dataclass(frozen=True)
class ResponseKind:
    """Responses that some memory needs: of a field (family) to a Gaussian field (family)."""

    row: Field
    noise: Noise


@dataclass(frozen=True)
class ProcessClosure:
    """One single-site process and how it closes.

    Attributes
    ----------
    gaussian
        Whether it closes as matrix algebra.
    obstacles
        The functions that are not linear, or not quadratic under an average; empty if ``gaussian``.
    equations, tangents
        Its equations in causal order, and their derivatives.
    responses
        What memories need, here or elsewhere.
    """

    process: Process
    gaussian: bool
    obstacles: tuple[SiteFunction, ...]
    equations: tuple[SiteEquation, ...]
    responses: tuple[ResponseKind, ...]

    @property
    def space(self) -> Space:
        """The space of its sites."""
        return self.equations[0].target.space

    @property
    def tracked(self) -> tuple[Noise, ...]:
        """Gaussian fields with respect to which tangents are needed."""
        if self.gaussian:
            return tuple(self.process.noises)
        return tuple(dict.fromkeys(kind.noise for kind in self.responses))

    @cached_property
    def tangents(self) -> tuple[TangentEquation, ...]:
        """Derivatives of the equations of fields that depend on a tracked Gaussian field."""
        return tuple(tangent_equations(self.equations, self.tracked))

    @property
    def jumps(self) -> tuple[TangentEquation, ...]:
        """Tangents that miss a point mass, where a function jumps in a field that has tangents."""
        return tuple(tangent for tangent in self.tangents if tangent.jumps)

    @property
    def by_parts(self) -> bool:
        """Whether responses are averages ``<a u> <u u>^{-1}``, because tangents at sampled sites miss point masses."""
        return not self.gaussian and bool(self.jumps)


def close_processes(equations: Sequence[CausalEquation], processes: Iterable[Process]) -> list[ProcessClosure]:
    """Decide for every process how it closes."""
    sites = [e for e in equations if isinstance(e, SiteEquation)]
    averages = [e.statement for e in equations if isinstance(e, ScalarEquation) and isinstance(e.statement, Average)]
    processes = [process for process in processes if process.fields]
    kinds = list(
        dict.fromkeys(
            ResponseKind(term.row.field, term.noise)
            for e in sites
            for term in e.memories
            if isinstance(term, ResponseMemory)
        )
    )
    own = [tuple(e for e in sites if e.target.field in process.shift) for process in processes]
    nonlinear = [_nonlinear(equations) for equations in own]
    obstacles = _obstacles(averages, processes, nonlinear)
    closures = []
    for process, equations_of, found in zip(processes, own, obstacles, strict=True):
        needed = tuple(kind for kind in kinds if kind.row in process.shift and kind.noise in process.shift)
        closures.append(ProcessClosure(process, not found, found, equations_of, needed))
    return closures


def _nonlinear(equations: Iterable[SiteEquation]) -> tuple[SiteFunction, ...]:
    functions = [e.function for e in equations if e.function is not None]
    return tuple(dict.fromkeys(f for f in functions if not is_linear(f)))


def _obstacles(
    averages: Sequence[Average], processes: Sequence[Process], nonlinear: Sequence[tuple[SiteFunction, ...]]
) -> list[tuple[SiteFunction, ...]]:
    """Of every process, its functions that are not linear and the averages that do not follow from correlations.

    Fields of independent processes have no correlation, so that averages of their products are zero, unless one of the
    processes is sampled; what it meets under an average is then sampled too.
    """
    found = list(nonlinear)
    while True:
        sampled = [process for process, functions in zip(processes, found, strict=True) if functions]
        more = [_not_quadratic(averages, process, processes, sampled) for process in processes]
        now = [tuple(dict.fromkeys((*old, *new))) for old, new in zip(nonlinear, more, strict=True)]
        if now == found:
            return found
        found = now


def _not_quadratic(
    averages: Iterable[Average], process: Process, processes: Sequence[Process], sampled: Sequence[Process]
) -> tuple[SiteFunction, ...]:
    """Averages that involve the process and do not follow from its correlations."""
    found = []
    for average in averages:
        for _, function in average.terms:
            fields = {ref.field for _, ref in function.fields if isinstance(ref, FieldRef)}
            mine = [field for field in fields if field in process.shift]
            shared = [process_of(processes, field) for field in fields]
            meets = any(other is not process and any(other is one for one in sampled) for other in shared)
            if mine and (meets or quadratic_form(function) is None):
                found.append(function)
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class QuadraticForm:
    """``constant + sum_k coefficient_k a_k b_k`` in fields; coefficients are functions of scalars.

    Terms of first order are left out: Gaussian fields have mean zero.
    """

    constant: sp.Expr
    products: tuple[tuple[sp.Expr, FieldRef, FieldRef], ...]


def quadratic_form(function: SiteFunction) -> QuadraticForm | None:
    """The function as a polynomial of at most second order in its fields; ``None`` if it is not one."""
    symbols = [symbol for symbol, _ in function.fields]
    if not function.expression.is_polynomial(*symbols):
        return None
    polynomial = sp.Poly(function.expression, *symbols)
    if polynomial.total_degree() > 2:
        return None
    refs = [ref for _, ref in function.fields]
    constant, products = sp.Integer(0), []
    for powers, coefficient in polynomial.terms():
        places = [place for place, power in enumerate(powers) for _ in range(power)]
        if not places:
            constant = coefficient
        elif len(places) == 2:
            products.append((coefficient, refs[places[0]], refs[places[1]]))
    return QuadraticForm(constant, tuple(products))  # type: ignore[arg-type]
