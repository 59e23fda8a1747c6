"""Who changes sign with the readouts: ``w -> -w`` leaves the law of a network at initialization what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy as sp

from dmft_sym.derivation.single_site import Noise, ScalarEquation, SiteEquation
from dmft_sym.derivation.uses import Use
from dmft_sym.networks.parameters import GAMMA
from dmft_sym.program import Average, FieldRef, SiteFunction

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

Parity = int
"""``1`` even, ``-1`` odd, ``0`` neither."""


class Parities:
    """Signs of static fields under a change of sign of all random readouts.

    A product with a matrix has the sign of its operand, a function of fields the one that SymPy finds.

    Parameters
    ----------
    problem
        Whose single-site equations are read, without memories.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.fields: dict[object, Parity] = {}
        for equation in problem.site_equations:
            self.fields[equation.target.declared] = self._of_equation(equation)

    def of(self, ref: FieldRef) -> Parity:
        """Of a field; given inputs are even."""
        return self.fields.get(ref.declared, 1)

    def of_noise(self, noise: Noise) -> Parity:
        """Of a Gaussian field: a readout is odd, what a product leaves behind is like its operand."""
        return self.of(noise.source.operand) if isinstance(noise.source, Use) else -1

    def _of_equation(self, equation: SiteEquation) -> Parity:
        if equation.function is not None:
            return self.of_function(equation.function)
        parts = [self.of_noise(term.noise) for term in equation.noises]
        parts += [self.of(term.field) for term in equation.locals]
        return parts[0] if parts and len(set(parts)) == 1 else 0

    def of_function(self, function: SiteFunction) -> Parity:
        """Of a function of fields."""
        flipped, unknown = {}, False
        for symbol, argument in function.arguments:
            parity = self.of(argument) if isinstance(argument, FieldRef) else _of_argument(argument)
            unknown |= parity == 0
            flipped[symbol] = symbol if parity == 1 else -symbol
        if unknown:
            return 0
        return _sign(function.expression, function.expression.xreplace(flipped))

    def of_average(self, equation: ScalarEquation) -> Parity:
        """Of an average over sites."""
        statement = equation.statement
        assert isinstance(statement, Average)
        found = {self.of_function(function) for _, function in statement.terms}
        return found.pop() if len(found) == 1 else 0

    def is_output(self, equation: ScalarEquation) -> bool:
        """Whether a scalar is an average over the richness: an output of the network."""
        statement = equation.statement
        return isinstance(statement, Average) and any(
            GAMMA in sp.sympify(coefficient).free_symbols for coefficient, _ in statement.terms
        )


def _of_argument(argument: object) -> Parity:
    """Of a scalar (even), or of a readout as it is."""
    return -1 if hasattr(argument, "vector") else 1


def _sign(before: sp.Expr, after: sp.Expr) -> Parity:
    if sp.simplify(after - before) == 0:
        return 1
    return -1 if sp.simplify(after + before) == 0 else 0
