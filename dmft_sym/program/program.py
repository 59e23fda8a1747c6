"""A vector program: one training step that was checked, and shows itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy as sp

from dmft_sym.support import notebook

from .increments import Increment
from .printing import program_displays, program_text
from .statements import ForLayers, Learn, Statement
from .step import Step
from .validation import smallest_depth, validate


@dataclass(frozen=True)
class Program(Step):
    """One training step of a wide network over growing spaces.

    Parameters
    ----------
    statements
        In the order of execution; backward fields, error, forward fields, updates for the proportional
        regime.
    optimizer
        How the increments of ``Learn`` enter the weights. Its ``weight`` becomes a factor of their terms, here and
        nowhere else.
    name
        For titles and docstrings only; no stage looks at it.
    increments
        Updates of extensive rank, of matrices that the statements use; without them all updates are ``Learn``.

    Raises
    ------
    ProgramError
        If a statement is ill-formed; the message names it.
    """

    increments: tuple[Increment, ...] = ()

    def __post_init__(self) -> None:
        weight = self.optimizer.weight
        if weight != 1:
            object.__setattr__(self, "statements", tuple(_weighted(s, weight) for s in self.statements))
            object.__setattr__(self, "optimizer", replace(self.optimizer, weight=sp.Integer(1)))
        validate(self)

    @property
    def smallest_depth(self) -> int:
        """Smallest depth at which no scan ends before it starts."""
        return smallest_depth(self)

    @property
    def parameters(self) -> tuple[sp.Symbol, ...]:
        """Free symbols, those of updates of extensive rank among them."""
        found = {symbol for increment in self.increments for symbol in increment.forward.symbols}
        return tuple(sorted({*super().parameters, *found}, key=lambda symbol: symbol.name))

    def __str__(self) -> str:
        lines = (f"    {line}" for increment in self.increments for line in str(increment).splitlines())
        return "\n".join([program_text(self), *lines])

    def _repr_html_(self) -> str:
        declared = notebook.folded(f"program {self.name}: as text", notebook.listing(str(self)))
        return declared + "".join(map(notebook.display, program_displays(self)))

    def _repr_latex_(self) -> str:
        return "\n".join(f"$$\n{block}\n$$" for block in program_displays(self))

    def __repr__(self) -> str:
        return notebook.shortened(
            [
                f"<program {self.name}: {len(self.statements)} statements>",
                f"  matrices {', '.join(matrix.name for matrix in self.matrices)}",
                f"  parameters {', '.join(map(str, self.parameters))}",
            ]
        )


def _weighted(statement: Statement, weight: sp.Expr) -> Statement:
    """Updates with a factor; other statements as they are."""
    if isinstance(statement, ForLayers):
        return replace(statement, body=tuple(_weighted(inner, weight) for inner in statement.body))
    if not isinstance(statement, Learn):
        return statement
    return replace(statement, terms=tuple(replace(t, coefficient=weight * t.coefficient) for t in statement.terms))
