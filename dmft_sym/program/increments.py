"""Updates of extensive rank: what a step adds to a matrix, as a linear map that is made of the program's own matrices.

`Learn` adds finitely many outer products of fields. Where the number of outputs grows with the width, what is added has
as many as there are outputs, and no finite number of fields knows it. It is a polynomial of the matrices, and what it
does to a vector is written in the language of programs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp

from .declarations import GaussianMatrix
from .expressions import FieldRef, Product
from .statements import Assign


@dataclass(frozen=True)
class LinearMap:
    """What a matrix does to a vector: assignments from ``input`` to ``output``, in the order of execution.

    Products are products with the matrices of a program, and every field is a field of this map alone.
    """

    statements: tuple[Assign, ...]
    input: FieldRef
    output: FieldRef

    @property
    def products(self) -> Iterator[Product]:
        """Its products with matrices."""
        for statement in self.statements:
            yield from (atom for _, atom in statement.value.terms if isinstance(atom, Product))

    def __str__(self) -> str:
        return "\n".join([f"{self.input} -> {self.output}:", *(f"    {statement}" for statement in self.statements)])

    @property
    def symbols(self) -> set[sp.Symbol]:
        """Symbols of its coefficients."""
        return {s for a in self.statements for coefficient, _ in a.value.terms for s in coefficient.free_symbols}


@dataclass(frozen=True)
class Increment:
    """``matrix += increment`` at every step, for all matrices at once; the increment and its transpose as maps."""

    matrix: GaussianMatrix
    forward: LinearMap
    transposed: LinearMap

    def __str__(self) -> str:
        lines = [f"learn {self.matrix}, by what is added to {self.matrix} {self.forward.input}:"]
        return "\n".join([*lines, *(f"    {statement}" for statement in self.forward.statements)])
