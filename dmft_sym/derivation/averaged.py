"""The average over the Gaussian matrices of a program: where it uses them, the action, and its stationarity."""

from __future__ import annotations

from functools import cached_property

from dmft_sym.program import Program

from .action import MatrixAction, matrix_action
from .saddle_point import SaddlePoint, saddle_point
from .uses import UseTable


class AveragedProgram:
    """The first stages of a derivation, each made when it is first asked for.

    Attributes
    ----------
    program
        One training step.
    """

    program: Program

    @cached_property
    def uses(self) -> UseTable:
        """Where the program uses its Gaussian matrices."""
        return UseTable(self.program)

    @cached_property
    def actions(self) -> dict[str, MatrixAction]:
        """Action of every matrix that is not zero at the start, before and after the average."""
        return {uses.matrix.name: matrix_action(uses) for uses in self.uses.matrices if uses.random}

    @cached_property
    def saddle_points(self) -> dict[str, SaddlePoint]:
        """Stationarity conditions of every matrix' part of the action."""
        return {name: saddle_point(action) for name, action in self.actions.items()}
