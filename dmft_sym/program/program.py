"""A vector program: one training step that was checked, and shows itself."""

from __future__ import annotations

from dataclasses import dataclass

from .printing import program_latex, program_text
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
        How the increments of ``Learn`` enter the weights.
    name
        For titles and docstrings only; no stage looks at it.

    Raises
    ------
    ProgramError
        If a statement is ill-formed; the message names it.
    """

    def __post_init__(self) -> None:
        validate(self)

    @property
    def smallest_depth(self) -> int:
        """Smallest depth at which no scan ends before it starts."""
        return smallest_depth(self)

    def __str__(self) -> str:
        return program_text(self)

    def _repr_latex_(self) -> str:
        return program_latex(self)
