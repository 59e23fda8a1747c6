"""Single-site equations of a program with functions of sites and averages, in causal order.

Products are replaced as everywhere (`single_site`). What is new: fields carry a sample label; site-wise functions stay
functions, of fields at one site; increments are weighted by the errors of the samples, ``eta0 gamma Delta_nu(s)/P``;
a readout vector has an equation of its own, because functions and averages read its trained value; averages over sites
are deterministic numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import sympy as sp

from dmft_sym.program import (
    Assign,
    Average,
    Compute,
    Field,
    FieldRef,
    Linear,
    ProgramError,
    RandomVector,
    SiteFunction,
    SiteMap,
    Step,
    VectorRef,
)
from dmft_sym.program.reachability import reached

from .single_site import (
    CausalEquation,
    Memory,
    Noise,
    NoiseTerm,
    ResponseMemory,
    ScalarEquation,
    SiteBuilder,
    SiteEquation,
)

Response: TypeAlias = tuple[Field, Noise]


class CausalBuilder(SiteBuilder):
    """The single-site equations of a program with scalars, from the saddle points of its matrices."""

    def vector_noise(self, vector: RandomVector) -> Noise:
        """The initial value of a vector."""
        return Noise(vector, initial=True)

    def causal_equations(self) -> list[CausalEquation]:
        """Vectors as past steps left them, then fields and scalars in program order."""
        found: list[CausalEquation] = [self.vector_equation(vector) for vector in self.program.vectors]
        for scans, statement in self.program.walk():
            if isinstance(statement, Average | Compute):
                found.append(ScalarEquation(_with_vector_fields(statement), scans))
            elif isinstance(statement, SiteMap):
                function = _function(statement.function)
                found.append(SiteEquation(statement.target, scans, (), (), (), function))
            elif isinstance(statement, Assign) and not statement.target.space.finite:
                terms = [Linear.of(_field(a) if isinstance(a, VectorRef) else a, c) for c, a in statement.value.terms]
                found.append(self.equation(scans, Assign(statement.target, sum(terms, Linear()))))
        return _with_causality(found)

    def vector_equation(self, vector: RandomVector) -> SiteEquation:
        """``w(t) = w(0) + sum_{s<t} ...``."""
        noises: list[NoiseTerm] = []
        memories: list[Memory] = []
        self._vector(sp.Integer(1), VectorRef(vector), noises, memories)
        return SiteEquation(_field(VectorRef(vector)), (), tuple(noises), tuple(memories), ())


def input_factor(program: Step, ref: FieldRef) -> sp.Expr:
    """``k`` of a field ``k x`` in the space of given inputs.

    Raises
    ------
    ProgramError
        If the field is anything else.
    """
    if ref.field.data:
        return sp.Integer(1)
    for scans, statement in program.walk():
        if isinstance(statement, Assign) and statement.target == ref and not scans:
            terms = statement.value.terms
            if len(terms) == 1 and isinstance(terms[0][1], FieldRef):
                return terms[0][0] * input_factor(program, terms[0][1])
    raise ProgramError(f"{ref}: allowed in the space of given inputs is a number times the inputs")


def vector_field(vector: RandomVector) -> Field:
    """A random vector with its trained part, as a field of the single-site process."""
    return Field(vector.name, vector.space, axes=vector.axes)


def _field(ref: VectorRef) -> FieldRef:
    return FieldRef(vector_field(ref.vector))


def _function(function: SiteFunction) -> SiteFunction:
    """The function with vectors as fields."""
    arguments = tuple((s, _field(a) if isinstance(a, VectorRef) else a) for s, a in function.arguments)
    return SiteFunction(function.expression, arguments)


def _with_vector_fields(statement: Average | Compute) -> Average | Compute:
    if isinstance(statement, Compute):
        return statement
    return Average(statement.target, tuple((c, _function(f)) for c, f in statement.terms))


def _with_causality(equations: Sequence[CausalEquation]) -> list[CausalEquation]:
    """Response sums that include ``s = t`` are those whose row follows the Gaussian field within a step."""
    within = _within_a_step([e for e in equations if isinstance(e, SiteEquation)])
    found: list[CausalEquation] = []
    for equation in equations:
        if isinstance(equation, SiteEquation):
            memories = tuple(_timed(term, within) for term in equation.memories)
            found.append(replace(equation, memories=memories))
        else:
            found.append(equation)
    return found


def _timed(term: Memory, within: set[Response]) -> Memory:
    if not isinstance(term, ResponseMemory):
        return term
    return replace(term, equal_time=(term.row.field, term.noise) in within)


def _within_a_step(equations: Sequence[SiteEquation]) -> set[Response]:
    """Fields with the Gaussian fields of the same step that they depend on."""
    noises = list(dict.fromkeys(term.noise for equation in equations for term in equation.noises))
    rules: list[tuple[list[Response], Response]] = []
    for equation in equations:
        target = equation.target.field
        rules += [([], (target, term.noise)) for term in equation.noises]
        sources: list[tuple[Field, list[Response]]] = [(ref.field, []) for ref in equation.arguments]
        sources += [(term.field.field, []) for term in equation.locals]
        for term in equation.memories:
            if isinstance(term, ResponseMemory):  # the memory has the present in it if its row responds to the present
                sources.append((term.field.field, [(term.row.field, term.noise)]))
        rules += [([*needed, (source, noise)], (target, noise)) for source, needed in sources for noise in noises]
    return reached((), rules)
