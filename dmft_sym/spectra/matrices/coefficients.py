"""Numbers for the coefficients of a matrix program: matrices over outputs, where they contain correlations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sympy as sp

from dmft_sym.execution.evaluate import Evaluator
from dmft_sym.program import ProgramError
from dmft_sym.support.array_types import Floats

from .equal_time import EqualTime

Correlate = Callable[[EqualTime], Floats]
"""Gives an equal-time correlation of the training run, shape (C, C)."""


class Coefficients:
    """Evaluates the coefficients of a matrix program at one step of a run.

    Parameters
    ----------
    number
        Evaluates what does not depend on the step.
    correlate
        Evaluates correlations.
    outputs
        Number of outputs that the level-two fields carry; 1 if they carry none.
    """

    def __init__(self, number: Evaluator, correlate: Correlate, outputs: int) -> None:
        self._number, self._correlate, self._outputs = number, correlate, outputs
        self._known: dict[EqualTime, Floats] = {}

    def matrix(self, coefficient: sp.Expr, where: object) -> Floats:
        """The coefficient as a matrix over outputs, shape (C, C).

        Raises
        ------
        ProgramError
            If it is not linear in correlations.
        ValueError
            If it has no finite value.
        """
        correlations = sorted(coefficient.atoms(EqualTime), key=str)
        names = {found: sp.Dummy() for found in correlations}
        rest = sp.expand(coefficient.xreplace(names)) if names else coefficient
        total: Floats = np.zeros((self._outputs, self._outputs))
        for found, name in names.items():
            factor = rest.coeff(name, 1)
            rest = sp.expand(rest - factor * name)
            if factor.free_symbols & set(names.values()) or name in rest.free_symbols:
                raise ProgramError(f"{where}: the coefficient {coefficient} is not linear in correlations")
            total = total + self._number(factor, where) * self._correlation(found)
        return total + self._number(rest, where) * np.eye(self._outputs) if rest != 0 else total

    def _correlation(self, found: EqualTime) -> Floats:
        if found not in self._known:
            self._known[found] = self._correlate(found)
        return self._known[found]
