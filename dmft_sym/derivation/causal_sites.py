"""Single-site equations of a program with functions of sites and averages, in causal order.

Products are replaced as everywhere (`single_site`). What is new: fields carry a sample label; site-wise functions stay
functions, of fields at one site; increments are weighted by the errors of the samples, ``eta0 gamma Delta_nu(s)/P``;
a readout vector has an equation of its own, because functions and averages read its trained value; averages over sites
are deterministic numbers.
"""

from __future__ import annotations

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
    SquaredNorm,
    Step,
    VectorRef,
)

from .single_site import (
    CausalEquation,
    Memory,
    Noise,
    NoiseTerm,
    ScalarEquation,
    SiteBuilder,
    SiteEquation,
    with_causality,
)


class CausalBuilder(SiteBuilder):
    """The single-site equations of a program with scalars, from the saddle points of its matrices."""

    def vector_noise(self, vector: RandomVector) -> Noise:
        """The initial value of a vector."""
        return Noise(vector, initial=True)

    def causal_equations(self) -> list[CausalEquation]:
        """Vectors as past steps left them, then fields and scalars in program order."""
        found: list[CausalEquation] = [self.vector_equation(vector) for vector in self.program.vectors]
        for scans, statement in self.program.walk():
            if isinstance(statement, Average | Compute | SquaredNorm):
                found.append(ScalarEquation(_with_vector_fields(statement), scans))
            elif isinstance(statement, SiteMap):
                function = _function(statement.function)
                found.append(SiteEquation(statement.target, scans, (), (), (), function, statement.over))
            elif isinstance(statement, Assign) and not statement.target.space.finite:
                terms = [Linear.of(_field(a) if isinstance(a, VectorRef) else a, c) for c, a in statement.value.terms]
                found.append(self.equation(scans, Assign(statement.target, sum(terms, Linear()))))
        return with_causality(found)

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


def input_place(program: Step, ref: FieldRef) -> int | None:
    """Which of several inputs a field in their space is a multiple of."""
    if ref.field.data:
        return ref.field.place
    assigns = (s for _, s in program.walk() if isinstance(s, Assign) and s.target == ref)
    atom = next(assigns).value.terms[0][1]
    return input_place(program, atom) if isinstance(atom, FieldRef) else None


def vector_field(vector: RandomVector) -> Field:
    """A random vector with its trained part, as a field of the single-site process."""
    return Field(vector.name, vector.space, axes=vector.axes)


def _field(ref: VectorRef) -> FieldRef:
    return FieldRef(vector_field(ref.vector))


def _function(function: SiteFunction) -> SiteFunction:
    """The function with vectors as fields."""
    arguments = tuple((s, _field(a) if isinstance(a, VectorRef) else a) for s, a in function.arguments)
    return SiteFunction(function.expression, arguments)


def _with_vector_fields(statement: Average | Compute | SquaredNorm) -> Average | Compute | SquaredNorm:
    if not isinstance(statement, Average):
        return statement
    return Average(statement.target, tuple((c, _function(f)) for c, f in statement.terms))
