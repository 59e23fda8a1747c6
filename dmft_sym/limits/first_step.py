"""Fields split into what they were at the first step and what changed: the same training, written as another program.

Centered training subtracts a field of the first step. What this field is made of, ``x``, becomes ``x_0 + dx``: weights
are ``W + dW`` with the increments ``dW`` as matrices of their own that start at zero, and ``W x_0`` is the same at
every step. A difference ``x - x(0)`` is then ``dx``: large terms that cancel are gone before anything is averaged, and
the usual derivation follows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeAlias

import sympy as sp

from dmft_sym.program import (
    Assign,
    Field,
    FieldRef,
    ForLayers,
    GaussianMatrix,
    Initial,
    Learn,
    Linear,
    Product,
    Program,
    RandomVector,
    Statement,
    VectorRef,
    reads,
    walk,
)
from dmft_sym.program.expressions import Atom

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

Weights: TypeAlias = GaussianMatrix | RandomVector
Parts: TypeAlias = dict[Field, Field]
"""Fields that parts of fields are, those that are zero left out."""
Term: TypeAlias = tuple[sp.Expr, Atom]
Change: TypeAlias = Callable[[Statement], Iterable[Statement]]


def split_program(program: Program) -> Program | None:
    """A program with the same training in which no field of the first step occurs.

    ``None`` if there is none to begin with, or if what it is made of would not stay what it is without increments:
    where weights decay, or something is drawn anew at every step.
    """
    split = _Split(program)
    return split.program() if split.applies else None


class _Split:
    """The rewriting of a program, with the names that it makes."""

    def __init__(self, whole: Program) -> None:
        self.whole = whole
        self.assigned = [s for _, s in whole.walk() if isinstance(s, Assign)]
        self.names = {thing.name for things in (whole.fields, whole.matrices, whole.vectors) for thing in things}
        self.fields = self._upstream()
        self.inner = [s for s in self.assigned if s.target.field in self.fields]
        self.increments = {weights: self._increment(weights) for weights in self._learned()}
        self.first = self._parts("{}_0", self._first)
        self.change = self._parts("d{}", self._change)

    @property
    def applies(self) -> bool:
        """Whether fields of the first step are there, and would stay what they are without increments."""
        only_sums = self.whole.linear and len(self.whole.fields) == len({s.target.field for s in self.assigned})
        still = not any(_moves(atom) for s in self.inner for _, atom in s.value.terms)
        return bool(self.fields) and only_sums and still and not self.whole.optimizer.recursion.decays

    def program(self) -> Program:
        """The split program, without fields that nothing reads any more."""
        statements = tuple(_scanned(self.whole.statements, self._statements))
        made = {*self.first.values(), *self.change.values(), *self.fields}
        while True:
            flat = [s for _, s in walk(statements)]
            read = {ref.field for s in flat for ref in reads(s) if isinstance(ref, FieldRef)}
            kept = [s for s in flat if not isinstance(s, Assign) or s.target.field not in made - read]
            if len(kept) == len(flat):
                return replace(self.whole, statements=statements)
            statements = tuple(_scanned(statements, partial(_only, kept)))

    # What is split

    def _upstream(self) -> tuple[Field, ...]:
        """Fields of the first step, and all that they are made of."""
        atoms = [atom for s in self.assigned for _, atom in s.value.terms]
        found = dict.fromkeys(atom.field.field for atom in atoms if isinstance(atom, Initial))
        waiting = list(found)
        while waiting:
            field = waiting.pop()
            refs = [ref for s in self.assigned if s.target.field == field for ref in reads(s)]
            new = [ref.field for ref in refs if isinstance(ref, FieldRef) and ref.field not in found]
            found |= dict.fromkeys(new)
            waiting += dict.fromkeys(new)
        return tuple(found)

    def _learned(self) -> Iterator[Weights]:
        """Trained weights of these fields."""
        weights = dict.fromkeys(_weights(atom) for s in self.inner for _, atom in s.value.terms)
        yield from (w for w in weights if w is not None and w in self.whole.learned)

    def _increment(self, weights: Weights) -> Weights:
        """What weights learn; those that start at zero are all that they have learned."""
        if weights.variance == 0:
            return weights
        return replace(weights, name=self._name(f"d{weights.name}"), variance=sp.Integer(0))

    def _parts(self, name: str, terms: Callable[[sp.Expr, Atom, Parts], list[Term]]) -> Parts:
        """Names of a part of every field that has it: found from none, as the fields that are reached by terms."""
        fields = {x: replace(x, name=self._name(name.format(x.name))) for x in self.fields}
        found: Parts = {}
        while True:
            reached = {s.target.field for s in self.inner for term in s.value.terms if terms(*term, found)}
            if reached == set(found):
                return found
            found = {x: fields[x] for x in self.fields if x in reached}

    def _name(self, wanted: str) -> str:
        while wanted in self.names:
            wanted += "_"
        self.names.add(wanted)
        return wanted

    # Terms

    def _first(self, coefficient: sp.Expr, atom: Atom, first: Parts) -> list[Term]:
        """A term at the first step."""
        weights = _weights(atom)
        if weights is not None and weights.variance == 0:
            return []
        moved = atom if isinstance(atom, VectorRef) else _of_part(atom, first)
        return [] if moved is None else [(coefficient, moved)]

    def _change(self, coefficient: sp.Expr, atom: Atom, change: Parts) -> list[Term]:
        """What has changed of a term since: ``W dx + dW x``."""
        weights, found = _weights(atom), []
        moved = _of_part(atom, change)
        if moved is not None and (weights is None or weights.variance != 0):
            found.append((coefficient, moved))
        if weights in self.increments:
            found.append((coefficient, _with_weights(atom, self.increments[weights])))
        return found

    def _whole(self, coefficient: sp.Expr, atom: Atom) -> list[Term]:
        """A term of a statement that is not split: weights are ``W + dW``."""
        weights = _weights(atom)
        learned = [_with_weights(atom, self.increments[weights])] if weights in self.increments else []
        kept = [] if weights is not None and learned == [atom] else [atom]
        return [(coefficient, part) for part in (*kept, *learned)]

    # Statements

    def _statements(self, statement: Statement) -> Iterable[Statement]:
        if isinstance(statement, Learn):
            weights = statement.target.declared
            new = {statement.target.kind: self.increments.get(weights, weights)}
            return [replace(statement, target=replace(statement.target, **new))]
        if not isinstance(statement, Assign):
            return [statement]
        return self._three(statement) if statement.target.field in self.fields else [self._rewritten(statement)]

    def _three(self, statement: Assign) -> Iterator[Assign]:
        """``x_0``, ``dx`` and ``x = x_0 + dx``."""
        field, terms = statement.target.field, statement.value.terms
        both = Linear()
        for parts, of in ((self.first, self._first), (self.change, self._change)):
            if field in parts:
                part = FieldRef(parts[field], statement.target.layer)
                yield Assign(part, _sum(found for term in terms for found in of(*term, parts)))
                both += Linear.of(part)
        yield Assign(statement.target, both)

    def _rewritten(self, statement: Assign) -> Assign:
        """A statement in which ``a x + b x(0)`` is ``(a + b) x_0 + a dx``, and weights are ``W + dW``."""
        value, first = Linear(), _initial(statement)
        for coefficient, atom in statement.value.terms:
            if not isinstance(atom, Initial) and atom not in first:
                value += _sum(self._whole(coefficient, atom))
        for ref, shift in first.items():
            own = sum((c for c, atom in statement.value.terms if atom == ref), sp.Integer(0))
            for factor, parts in ((sp.simplify(own + shift), self.first), (own, self.change)):
                part = _of_part(ref, parts)
                value += Linear() if part is None or factor == 0 else Linear.of(part, factor)
        return replace(statement, value=value)


def _only(kept: list[Statement], statement: Statement) -> list[Statement]:
    return [statement] if statement in kept else []


def _initial(statement: Assign) -> dict[FieldRef, sp.Expr]:
    """Fields of the first step with their coefficients."""
    return {atom.field: c for c, atom in statement.value.terms if isinstance(atom, Initial)}


def _moves(atom: Atom) -> bool:
    """Whether a term is not the same at every step although no weight has changed."""
    weights = _weights(atom)
    return isinstance(atom, Initial) or (weights is not None and weights.fresh)


def _weights(atom: Atom) -> Weights | None:
    """The matrix or vector of a term."""
    if isinstance(atom, Product):
        return atom.matrix.matrix
    return atom.vector if isinstance(atom, VectorRef) else None


def _with_weights(atom: Atom, weights: Weights) -> Atom:
    """A term with other weights."""
    if isinstance(atom, Product):
        assert isinstance(weights, GaussianMatrix)
        return replace(atom, matrix=replace(atom.matrix, matrix=weights))
    assert isinstance(weights, RandomVector)
    return VectorRef(weights)


def _of_part(atom: Atom, parts: Parts) -> Atom | None:
    """A term with a part of its field in place of it; ``None`` if this part is zero, or there is no field."""
    ref = atom.operand if isinstance(atom, Product) else atom
    if not isinstance(ref, FieldRef) or ref.field not in parts:
        return None
    part = replace(ref, field=parts[ref.field])
    return replace(atom, operand=part) if isinstance(atom, Product) else part


def _sum(terms: Iterable[Term]) -> Linear:
    return sum((Linear.of(atom, coefficient) for coefficient, atom in terms), Linear())


def _scanned(statements: Iterable[Statement], change: Change) -> Iterator[Statement]:
    """Statements with others in their places, in scans too; scans that become empty are gone."""
    for statement in statements:
        if not isinstance(statement, ForLayers):
            yield from change(statement)
            continue
        body = tuple(_scanned(statement.body, change))
        if body:
            yield replace(statement, body=body)


def split_problem(theory: Problem) -> Problem | None:
    """The problem of the split program; ``None`` where a program is not split."""
    program = split_program(theory.program)
    return None if program is None else problem_of(theory, program)


def problem_of(theory: Problem, program: Program) -> Problem:
    """The problem of another program for the same training."""
    made = copy.copy(theory)
    stages = {
        name for kind in type(theory).__mro__ for name, of in vars(kind).items() if isinstance(of, cached_property)
    }
    made.__dict__ = {name: value for name, value in made.__dict__.items() if name not in stages}
    made.program, made.executed, made.joint_derivations = program, program, {}
    made.parameters = tuple(p for p in theory.parameters if p.symbol in program.parameters)
    return made
