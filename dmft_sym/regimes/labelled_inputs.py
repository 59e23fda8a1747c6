"""Inputs with labels in the proportional regime: a sample is several Gaussian inputs, such as tokens.

``x_mu^k ~ N(0, I_D)`` are independent, and so are the teachers: ``y_c = D^{-1/2} sum_k beta*_c^k . x^k + noise``. The
forward pass acts on all of them with the same matrices, and the sum of samples that it is traced for has the label,
``v^k = (1/alpha) D^{-1/2} X^k^T r``. The program is written out: labels are names of its fields, every token has a data
matrix and a teacher of its own, and everything else knows of outputs alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import sympy as sp

from dmft_sym.networks.labelled import declared
from dmft_sym.program import (
    OUTPUT,
    Assign,
    Axes,
    Field,
    FieldRef,
    GaussianMatrix,
    Label,
    Linear,
    MatrixRef,
    Product,
    ProgramError,
    RandomVector,
    Space,
    Statement,
    Step,
    VectorRef,
)
from dmft_sym.program.expressions import Atom
from dmft_sym.program.observations import Observations
from dmft_sym.program.written_labels import members, values_of, written_statements
from dmft_sym.support.messages import show

Sizes = Mapping[str, int] | tuple[tuple[str, int], ...]


def checked_labels(labels: Sizes) -> tuple[tuple[str, int], ...]:
    """Names of labels with their numbers of values.

    Raises
    ------
    ProgramError
        If they are something else.
    """
    pairs = tuple(labels.items()) if isinstance(labels, Mapping) else labels
    if not isinstance(pairs, tuple) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
        raise ProgramError(f'labels = {show(labels)}: allowed are numbers of values by name, labels={{"token": 3}}')
    axes_of(pairs)
    return pairs


def axes_of(labels: tuple[tuple[str, int], ...]) -> Axes:
    """The labels of inputs."""
    found: list[Label] = []
    for name, size in labels:
        found.append(declared(name, size, found))
    return tuple(found)


@dataclass(frozen=True)
class LabelledInputs:
    """The data of a program whose inputs have labels, written out.

    Parameters
    ----------
    axes
        Labels of the inputs.
    dim, samples
        Spaces of one input, and of the samples.
    fresh
        Whether every step has samples of its own.
    variance
        Of the teachers.
    """

    axes: Axes
    dim: Space
    samples: Space
    fresh: bool
    variance: sp.Expr

    @property
    def teacher(self) -> FieldRef:
        """Stands for the teachers, until they are written out."""
        return FieldRef(Field("betastar", self.dim, axes=(*self.axes, OUTPUT)))

    def field(self, name: str) -> FieldRef:
        """A field of the inputs' space with their labels."""
        return FieldRef(Field(name, self.dim, axes=(*self.axes, OUTPUT)))

    def written(self, labels: Step, statements: Iterable[Statement]) -> list[Statement]:
        """Statements with labels written out, and a random vector for every teacher."""
        found: list[Statement] = []
        for statement in written_statements(labels, tuple(statements)):
            if isinstance(statement, Assign):
                terms = tuple((c, self._vector(atom)) for c, atom in statement.value.terms)
                statement = replace(statement, value=Linear(terms))
            found.append(statement)
        return found

    def _vector(self, atom: Atom) -> Atom:
        names = members(self.teacher.field)
        if isinstance(atom, FieldRef) and atom.field.name in names and atom.field.space == self.dim:
            return VectorRef(RandomVector(atom.field.name, self.dim, self.variance))
        return atom

    def ones(self, ref: FieldRef) -> list[FieldRef]:
        """The fields that a field is written out as."""
        return [FieldRef(replace(ref.field, name=name, axes=(OUTPUT,))) for name in members(ref.field)]

    @property
    def matrices(self) -> list[MatrixRef]:
        """The data matrix of every value of the labels."""
        names = members(Field("X", self.dim, axes=(*self.axes, OUTPUT)))
        return [MatrixRef(GaussianMatrix(name, self.dim, self.samples, fresh=self.fresh)) for name in names]

    def error(self, seen: FieldRef) -> Linear:
        """``sum_k X^k seen^k``."""
        pairs = zip(self.matrices, self.ones(seen), strict=True)
        return sum((Linear.of(Product(matrix, one)) for matrix, one in pairs), Linear())

    def sums_of_samples(self, error: FieldRef, target: FieldRef, factor: sp.Expr) -> list[Statement]:
        """``target^k = factor X^k^T error``."""
        pairs = zip(self.matrices, self.ones(target), strict=True)
        return [Assign(one, Linear.of(Product(matrix, error, True), factor)) for matrix, one in pairs]


def written_observations(labels: Step, observations: Observations) -> Observations:
    """Observables with labels written out: ``q_0``, ``q_1``, ... of ``q`` with a label."""
    statements = written_statements(labels, observations.statements)
    targets = []
    for name, scalar in observations.targets:
        fixed = tuple(label for label in scalar.axes if label.size.is_Integer)
        rest = tuple(label for label in scalar.axes if label not in fixed)
        tails = ["".join(f"_{values[label]}" for label in fixed) for values in values_of(fixed)]
        targets += [(name + tail, replace(scalar, name=scalar.name + tail, axes=rest)) for tail in tails]
    return Observations(statements, tuple(targets))
