"""The NTK (Gauss-Newton) matrix, derived from the training program: how one update moves the error.

One gradient step changes the error by ``r -> r - eta0 S r`` to first order in ``eta0``. Both factors are in the
program: forward fields, and with them the updates, are linear in the error; the error is a function of the weights.
``S p`` is the tangent of the error along the updates in which ``p`` stands for the error (docs/mathematics.md,
section 4).

This tangent is taken along updates that are linear in another vector, so that its weights are correlations; reverse
mode (`networks.reverse`) has adjoints instead, and `derivation.tangents` differentiates equations whose matrices are
averaged over. Only the search for what depends on what is theirs too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import sympy as sp

from dmft_sym.networks.parameters import ETA
from dmft_sym.program import (
    Assign,
    Field,
    FieldRef,
    ForLayers,
    GaussianMatrix,
    LayerSum,
    Learn,
    Linear,
    MatrixRef,
    Outer,
    Product,
    Program,
    ProgramError,
    RandomVector,
    Statement,
    VectorRef,
    reads,
    walk,
)
from dmft_sym.program.reachability import Rule, reached

from .equal_time import EqualTime
from .matrix_program import MatrixProgram, fresh_name


def tangent_kernel(program: Program, name: str = "NTK") -> MatrixProgram:
    """``S`` with ``S p = -(1/eta0) d error / d step`` as a level-two program.

    Raises
    ------
    ProgramError
        If the program reports no training loss ``<r r>``, or if its updates are not linear in the error.
    """
    return _Tangent(program, error_field(program)).matrix(name)


def error_field(program: Program) -> FieldRef:
    """The error: the field whose mean square is the training loss."""
    if program.outputs_apart:
        raise ProgramError("matrix = 'NTK': allowed are networks whose outputs all have the same readouts")
    for observe in program.observables:
        if observe.name == "train_loss" and len(observe.terms) == 1:
            _, first, second = observe.terms[0]
            if first == second and first.layer is None:
                return first
    raise ProgramError("matrix = 'NTK': the program must observe train_loss = <r r>, the mean square of one field")


class _Tangent:
    def __init__(self, program: Program, error: FieldRef) -> None:
        self.program = program
        self.error = error
        self.assigns = [s for _, s in program.walk() if isinstance(s, Assign)]
        self.driven = self._driven()
        self.moved = self._moved()
        self.probe = Field(fresh_name("p", program), error.space)
        self.images = {f: self._field(f, f"{f.name}_p") for f in self.driven} | {error.field: self.probe}
        self.changes = {f: self._field(f, f"d_{f.name}") for f in self.moved}
        self.changes[error.field] = Field(fresh_name("Sp", program), error.space)

    def matrix(self, name: str) -> MatrixProgram:
        forward = _map(self.program.statements, self._image)
        tangent = _map(self.program.statements, self._change)
        output = FieldRef(self.changes[self.error.field])
        statements = _needed((*forward, *tangent), output)
        return MatrixProgram(name, self.program, statements, FieldRef(self.probe), output, per_output=True)

    def _field(self, field: Field, name: str) -> Field:
        return Field(fresh_name(name, self.program), field.space, field.layers)

    def _driven(self) -> set[Field]:
        """Fields that depend on the error within the step."""
        return reached({self.error.field}, _dependences(self.assigns)) - {self.error.field}

    def _moved(self) -> set[Field]:
        """Fields before the error that change with the weights and that the error depends on."""
        above = _origins(self.assigns, self.error.field)
        before = [statement for statement in self.assigns if statement.target.field in above]
        learned = self.program.learned
        trained = (s.target.field for s in before if any(_weights(atom) in learned for _, atom in s.value.terms))
        return reached(trained, _dependences(before)) | {self.error.field}

    def _image(self, statement: Assign) -> Assign | None:
        """The statement with the level-two field in the error's place; what does not depend on it drops out."""
        if statement.target.field not in self.images or statement.target == self.error:
            return None
        terms = Linear()
        for coefficient, atom in statement.value.terms:
            image = _replaced(atom, self.images)
            if image is not None:
                terms += Linear.of(image, coefficient)
        return Assign(_at(statement.target, self.images), terms)

    def _change(self, statement: Assign) -> Assign | None:
        """The tangent of the statement along the updates."""
        if statement.target.field not in self.changes:
            return None
        terms = Linear()
        for coefficient, atom in statement.value.terms:
            moved = _replaced(atom, self.changes)
            if moved is not None:
                terms += Linear.of(moved, coefficient)
            terms += self._update(atom).scaled(coefficient)
        if statement.target == self.error:
            terms = terms.scaled(-1)
        return Assign(_at(statement.target, self.changes), terms)

    def _update(self, atom: object) -> Linear:
        """What the increment of the weights of ``atom`` does, per unit of learning rate."""
        weights = _weights(atom)
        rule = None if weights is None else self.program.learned.get(weights)
        if rule is None:
            return Linear()
        terms = Linear()
        for outer in rule.terms:
            if isinstance(atom, VectorRef):
                terms += self._term(outer.left, sp.sympify(outer.coefficient, strict=True) / ETA, outer)
            elif isinstance(atom, Product):
                terms += self._product(atom, rule, outer)
        return terms

    def _product(self, product: Product, rule: Learn, outer: Outer) -> Linear:
        """``coefficient left right^T / n`` on the operand, or its transpose: a scalar times a level-two field."""
        assert isinstance(rule.target, MatrixRef) and outer.right is not None
        bound = {} if rule.target.layer is None else {rule.target.layer: product.matrix.layer}
        left, right = outer.left.at(bound), outer.right.at(bound)
        vector, scalar = (right, left) if product.transpose else (left, right)
        factor = sp.sympify(outer.coefficient, strict=True).subs(bound) / ETA
        if product.transpose:
            factor *= product.matrix.matrix.aspect
        if scalar.field in self.images:
            raise ProgramError(
                f"matrix = 'NTK': the update of {product.matrix} moves {product} by an overlap with {scalar}, which "
                f"depends on the error itself, as where a network uses a matrix and its transpose; allowed for this "
                f"network are its weight matrices and products of them"
            )
        operand = product.operand
        if outer.index is not None:  # sums over layers have an index of their own
            other = sp.Symbol("l_s", integer=True, positive=True)
            vector, scalar = (ref.at({outer.index: other}) for ref in (vector, scalar))
            factor = factor.subs(outer.index, other)
            outer = Outer(outer.coefficient, outer.left, outer.right, other, outer.layers)
        return self._term(vector, factor * EqualTime.of(operand, scalar), outer)

    def _term(self, vector: FieldRef, factor: sp.Expr, outer: Outer) -> Linear:
        if vector.field not in self.images:
            return Linear()
        image = _at(vector, self.images)
        factor = sp.powdenest(sp.cancel(factor), force=True)
        if outer.index is None or outer.layers is None:
            return Linear.of(image, factor)
        return Linear.of(LayerSum(image, outer.index, outer.layers), factor)


def _dependences(assigns: Iterable[Assign]) -> list[Rule[Field]]:
    """From every field that is read to the one that is assigned."""
    return [([ref.field], s.target.field) for s in assigns for ref in reads(s) if isinstance(ref, FieldRef)]


def _origins(assigns: Iterable[Assign], field: Field) -> set[Field]:
    """The field and all that it is made from."""
    return reached({field}, [([target], source) for (source,), target in _dependences(assigns)])


def _map(statements: Iterable[Statement], change: Callable[[Assign], Assign | None]) -> tuple[Statement, ...]:
    """Every assignment mapped (or dropped), scans kept."""
    found: list[Statement] = []
    for statement in statements:
        if isinstance(statement, ForLayers):
            body = _map(statement.body, change)
            if body:
                found.append(ForLayers(statement.index, statement.layers, body, statement.descending))
        elif isinstance(statement, Assign):
            new = change(statement)
            if new is not None:
                found.append(new)
    return tuple(found)


def _needed(statements: tuple[Statement, ...], output: FieldRef) -> tuple[Statement, ...]:
    """Without the statements that the output does not depend on."""
    needed = _origins((s for _, s in walk(statements) if isinstance(s, Assign)), output.field)
    return _map(statements, lambda s: s if s.target.field in needed else None)


def _weights(atom: object) -> GaussianMatrix | RandomVector | None:
    """The matrix or vector of an atom, if it has one."""
    if isinstance(atom, Product):
        return atom.matrix.matrix
    return atom.vector if isinstance(atom, VectorRef) else None


def _replaced(atom: object, fields: dict[Field, Field]) -> FieldRef | Product | LayerSum | None:
    """The atom with its field replaced, ``None`` if it has none of ``fields``."""
    if isinstance(atom, FieldRef):
        return _at(atom, fields) if atom.field in fields else None
    if isinstance(atom, Product) and atom.operand.field in fields:
        return replace(atom, operand=_at(atom.operand, fields))
    if isinstance(atom, LayerSum) and atom.field.field in fields:
        return replace(atom, field=_at(atom.field, fields))
    return None


def _at(ref: FieldRef, fields: dict[Field, Field]) -> FieldRef:
    return FieldRef(fields[ref.field], ref.layer)
