"""The eigenproblem of a matrix of the trained network, as a linear vector program (docs/mathematics.md, Spectra).

A *level-two* program is made of `Assign` and `ForLayers` over fields of its own. Products are products with the
matrices of the training program; a trained one means its value at the step ``t`` that is looked at, before the update
of that step. Coefficients are SymPy expressions in the parameters of the training program, and may contain `EqualTime`
correlations of its fields. Level-two fields have no step label, and an output label only if ``per_output``.

Two kinds of eigenproblem:

* symmetric: ``lambda p = S p + j`` with ``p = input`` and ``S p = output``;
* rectangular, for singular values: ``z b = M a + j_b`` and ``z a = M^T b + j_a`` with ``a = input``, ``M a = output``,
  ``b = transposed_input``, ``M^T b = transposed_output``; the transpose is made by reverse mode.

Anything may run the statements: nothing here depends on how the average over the matrices is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import sympy as sp

from dmft_sym.program import (
    Assign,
    FieldRef,
    LayerRange,
    Program,
    ProgramError,
    Statement,
    class_values,
    flatten,
)
from dmft_sym.program.printing import statement_latex
from dmft_sym.support import notebook


class Eigenproblem:
    """What a matrix does to a vector ``input``, and its transpose to ``transposed_input``, if it has one."""

    input: FieldRef
    output: FieldRef
    transposed_input: FieldRef | None
    transposed_output: FieldRef | None

    @property
    def symmetric(self) -> bool:
        """Whether this is an eigenvalue problem (else singular values)."""
        return self.transposed_input is None

    @property
    def pairs(self) -> tuple[tuple[FieldRef, FieldRef], ...]:
        """Eigen-equations ``z left = right + source``: one if symmetric, else two."""
        if self.transposed_input is None or self.transposed_output is None:
            return ((self.input, self.output),)
        return (self.transposed_input, self.output), (self.input, self.transposed_output)


@dataclass(frozen=True)
class MatrixProgram(Eigenproblem):
    """A matrix of a trained network, by what it does to a vector.

    Attributes
    ----------
    name
        What users call it: ``"W0"``, ``"W1"``, ``"W[l]"``, ``"NTK"``.
    program
        The training program whose matrices and correlations are meant.
    statements
        From ``input`` to ``output``.
    transposed
        From ``transposed_input`` to ``transposed_output``; empty for a symmetric matrix.
    per_output
        Whether the level-two fields carry the output label.
    index, layers
        Of a family of matrices (every ``W[l]``): its label, which the statements contain, and its range.
    member
        The one member that is meant; ``None`` for all of them.
    family
        Name of the family of matrices.
    """

    name: str
    program: Program
    statements: tuple[Statement, ...]
    input: FieldRef
    output: FieldRef
    transposed: tuple[Statement, ...] = ()
    transposed_input: FieldRef | None = None
    transposed_output: FieldRef | None = None
    per_output: bool = False
    index: sp.Symbol | None = None
    layers: LayerRange | None = None
    member: sp.Expr | None = None
    family: str = ""

    @property
    def of_classes(self) -> bool:
        """Whether its statements have numbers of classes of sites."""
        assigned = [s for s in (*self.statements, *self.transposed) if isinstance(s, Assign)]
        return any(class_values(coefficient) for s in assigned for coefficient, _ in s.value.terms)

    def with_member(self, member: int) -> MatrixProgram:
        """One member of a family of matrices."""
        return replace(self, member=sp.Integer(member), name=f"{self.family}{member}")

    def flat(self, integers: Mapping[sp.Symbol, int]) -> FlatMatrix:
        """The program with every scan written out and every layer an integer.

        Parameters
        ----------
        integers
            Values of the integer symbols of the training program, e.g. ``{L: 3}``.

        Raises
        ------
        ProgramError
            If the member does not exist at this depth, or none was chosen.
        """
        values = dict(integers)
        if self.index is not None:
            values[self.index] = self._checked_member(values)

        return FlatMatrix(
            self.name,
            tuple(_flat_assigns(self.statements, values)),
            self.input.at(values),
            self.output.at(values),
            tuple(_flat_assigns(self.transposed, values)),
            None if self.transposed_input is None else self.transposed_input.at(values),
            None if self.transposed_output is None else self.transposed_output.at(values),
            self.per_output,
        )

    def _checked_member(self, values: Mapping[sp.Symbol, int]) -> int:
        assert self.layers is not None
        if self.member is None:
            raise ProgramError(f"matrix = {self.name!r}: allowed is one member, such as {self.with_member(1).name}")
        existing = self.layers.at(dict(values))
        if int(self.member) not in existing:
            names = [f"{self.family}{number}" for number in existing]
            family = " to ".join(dict.fromkeys((names[0], names[-1]))) if names else f"no {self.family}[l]"
            raise ProgramError(
                f"matrix = {self.name!r}: allowed at this depth are {family}, matrices by their own names, and NTK"
            )
        return int(self.member)

    def __repr__(self) -> str:
        return notebook.shortened([f"<matrix {self.name} of {self.program.name}>"])

    def _repr_latex_(self) -> str:
        rows = [row for s in (*self.statements, *self.transposed) for row in statement_latex(s, self.program.labels)]
        blocks = (f"\\begin{{aligned}}\n{row}\n\\end{{aligned}}" for row in rows)
        return "\n".join(f"$$\n{block}\n\\tag{{{number}}}\n$$" for number, block in enumerate(blocks, start=1))

    def __str__(self) -> str:
        lines = [f"matrix {self.name}"]
        for statement in (*self.statements, *self.transposed):
            lines += ["    " + line for line in str(statement).splitlines()]
        lines += [f"    z {left} = {right} + source" for left, right in self.pairs]
        return "\n".join(lines)


@dataclass(frozen=True)
class FlatMatrix(Eigenproblem):
    """A `MatrixProgram` at integer depth: assignments only, in the order of execution."""

    name: str
    statements: tuple[Assign, ...]
    input: FieldRef
    output: FieldRef
    transposed: tuple[Assign, ...]
    transposed_input: FieldRef | None
    transposed_output: FieldRef | None
    per_output: bool


def _flat_assigns(statements: tuple[Statement, ...], values: Mapping[sp.Symbol, int]) -> Iterator[Assign]:
    for statement in flatten(statements, values):
        assert isinstance(statement, Assign)
        yield statement


def names_of(program: Program) -> set[str]:
    """Names of all things that a training program declares."""
    groups = (program.fields, program.matrices, program.vectors, program.spaces)
    return {thing.name for group in groups for thing in group}


def fresh_name(name: str, program: Program) -> str:
    """``name``, with underscores if the training program has something of this name."""
    taken = names_of(program)
    while name in taken:
        name += "_"
    return name
