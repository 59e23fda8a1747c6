"""Gaussian closure: with site-wise linear functions, responses and correlations close among themselves.

The equations are SymPy, kept statement by statement in the order of the program inside a step: everything on a
right-hand side is known when it is needed (causality; no fixed-point iteration). Generators lower them as they stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import sympy as sp

from dmft_sym.program import STEP, TIME, Assign, Field, ForLayers, Observe, ProgramError, Step

from .arrays import ArrayTable, OrderParameter
from .equations import Equation, without_zeros
from .processes import Process, process_of
from .row_equations import RowWriter
from .single_site import Noise, Reaction, SiteBuilder, SiteEquation, UpdateMemory
from .site_equations import SiteWriter, of_training, of_weights
from .symbols import NOW, Correlation, ReportedAt, TwoPoint
from .tangents import reached_fields
from .uses import Use, assigns

STAGE_OF_CLOSURE = 7
"""Number of the stage that has the closed equations."""


@dataclass(frozen=True)
class StatementEquations:
    """The closed equations of the row of one field, with the statement of the program that they follow from."""

    scans: tuple[ForLayers, ...]
    statement: Assign
    equations: tuple[Equation, ...]


@dataclass(frozen=True)
class ClosedEquations:
    """The closed equations of a program, in marching order.

    Attributes
    ----------
    families
        Every order parameter that has to be kept, by the function of labels that it is in the equations.
    definitions
        What the training rule does to increments and initial weights.
    statements
        What follows from every statement that assigns a field.
    observables
        Reported scalars.
    weights
        Norms of gradients, and what increments are multiplied by, where these are computed.
    absent
        Parameters of the program that have gone to a limit, and occur in no equation.
    """

    program: Step
    processes: tuple[Process, ...]
    families: Mapping[type[TwoPoint], OrderParameter]
    definitions: tuple[Equation, ...]
    statements: tuple[StatementEquations, ...]
    observables: tuple[Equation, ...]
    weights: tuple[Equation, ...] = ()
    absent: tuple[sp.Symbol, ...] = ()

    @property
    def parameters(self) -> tuple[sp.Symbol, ...]:
        """Parameters that the equations may have."""
        return tuple(symbol for symbol in self.program.parameters if symbol not in self.absent)

    @property
    def arrays(self) -> tuple[OrderParameter, ...]:
        """Every order parameter that has to be kept."""
        return tuple(self.families.values())

    @property
    def equations(self) -> tuple[Equation, ...]:
        """All of them, in the order of their numbers, which begin with 1."""
        rows = [equation for statement in self.statements for equation in statement.equations]
        return (*self.definitions, *rows, *self.weights, *self.observables)


class Closure:
    """Builds `ClosedEquations` from single-site equations."""

    def __init__(
        self,
        builder: SiteBuilder,
        equations: Sequence[SiteEquation],
        processes: Sequence[Process],
        reactions: frozenset[Reaction],
        observed: Sequence[Field] = (),
    ) -> None:
        self.builder = builder
        self.program = builder.program
        self.site_equations = equations
        self.processes = processes
        self.reactions = reactions
        self.observed = observed
        self.table = ArrayTable(processes, SiteWriter(builder))
        self.reach = {noise: reached_fields(equations, [noise]) for p in processes for noise in p.noises}
        self._declare()

    def close(self) -> ClosedEquations:
        """All equations, of what is not zero."""
        found = [self._statement(*place) for place in zip(assigns(self.program), self.site_equations, strict=True)]
        defined = {equation.left.func for part in found for equation in part.equations}
        statements = tuple(
            replace(part, equations=tuple(without_zeros(equation, defined) for equation in part.equations))
            for part in found
        )
        observables = tuple(without_zeros(self._observable(o), defined) for o in self.program.observables)
        definitions = tuple(of_training(self.program, past=True))
        weights = tuple(map(self._over_classes, of_weights(SiteWriter(self.builder), self.program)))
        return ClosedEquations(
            self.program, tuple(self.processes), self.table.families, definitions, statements, observables, weights
        )

    def _over_classes(self, equation: Equation) -> Equation:
        """With averages over sites that are of several classes written as sums over these."""
        spaces = {field.name: field.space.classes for field in self.program.fields}

        def summed(point: Correlation) -> sp.Expr:
            classes = spaces.get(point.ends[0].name)
            if classes is None:
                return point
            return classes.average(Correlation(*(end.of_class(classes.label.symbol) for end in point.ends)))

        points = {point: summed(point) for term in equation.terms for point in term.atoms(Correlation)}
        return replace(equation, terms=tuple(term.xreplace(points) for term in equation.terms))

    def _declare(self) -> None:
        for process in self.processes:
            for row in process.fields:
                for noise in process.noises:
                    if row in self.reach[noise]:
                        self.table.declare("R", row, noise)
        for a, b in self._needed_correlations():
            if b in process_of(self.processes, a).shift:
                self.table.declare("C", a, b)
                self.table.declare("C", b, a)
        self._check_names()

    def _check_names(self) -> None:
        """Names of arrays join two names, and two pairs of names may read the same: ``a, b_c`` and ``a_b, c``."""
        owners: dict[str, OrderParameter] = {}
        for array in self.table.arrays.values():
            other = owners.setdefault(array.name, array)
            if other != array:
                both = " and the ".join(_described(x) for x in (other, array))
                raise ProgramError(f"{array.name} would name the {both}: allowed are names that tell them apart")

    def _needed_correlations(self) -> Iterable[tuple[Field, Field]]:
        """Correlations of operands (noise covariances), of update memories, of observables, and of every field itself.

        The last are there to be reported: few are not among the others, so that they cost little. Observables of the
        user's own are made of those of the fields that they read.
        """
        for uses in (uses for uses in self.builder.uses.matrices if uses.random):
            for places in (uses.forward, uses.transposed):
                for a in places:
                    for b in places:
                        yield a.operand.field, b.operand.field
        for equation in self.site_equations:
            for memory in equation.memories:
                if isinstance(memory, UpdateMemory):
                    yield memory.row.field, memory.past.field
        for observe in self.program.observables:
            for _, first, second in observe.terms:
                yield first.field, second.field
        for own in self.program.fields:
            yield own, own
        yield from combinations(self.observed, 2)

    def _statement(self, assigned: tuple[tuple[ForLayers, ...], Assign], equation: SiteEquation) -> StatementEquations:
        row = RowWriter(self.table, self.reactions, equation)
        return StatementEquations(*assigned, tuple(row.equations()))

    def _observable(self, observe: Observe) -> Equation:
        """Equal-time correlations plus a constant."""
        values = ((TIME.name, STEP), *((label.name, label.symbol) for label in self.program.labels))
        terms: list[sp.Expr] = []
        for coefficient, a, b in observe.terms:
            entry = self.table.entry("C", a, b.field, b.layer, {})
            if entry is not None:
                terms.append(coefficient * self.table.average(entry, NOW, NOW))
        terms += [observe.constant] if observe.constant != 0 else []
        return Equation(ReportedAt.of(observe.name, None, values), tuple(terms))


def _described(array: OrderParameter) -> str:
    """In words: two order parameters of one name differ in what it is made from."""
    if not isinstance(array.column, Noise):
        return f"correlation of {array.row.name} and {array.column.name}"
    source = array.column.source
    if isinstance(source, Use):
        product = f"{source.matrix.name}{'^T' if source.transpose else ''} {source.operand}"
        return f"response of {array.row.name} to the Gaussian field {array.column.name} of {product}"
    return f"response of {array.row.name} to the vector {array.column.name}"
