"""Who changes sign with the readouts: ``w -> -w`` leaves the law of a network at initialization what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy as sp

from dmft_sym.derivation.single_site import Noise, ScalarEquation, SiteEquation
from dmft_sym.derivation.uses import Use
from dmft_sym.networks.parameters import GAMMA
from dmft_sym.program import Average, Compute, FieldRef, ScalarRef, SiteFunction, SquaredNorm, VectorRef

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

Parity = int
"""``1`` even, ``-1`` odd, ``0`` neither."""


class Parities:
    """Signs under a change of sign of all random readouts: of static fields, and with that of the richness of scalars.

    A product with a matrix has the sign of its operand, a function of fields the one that SymPy finds.

    Parameters
    ----------
    problem
        Whose single-site equations are read, without memories.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.known: dict[object, Parity] = {}
        for equation in problem.causal:
            made = self._of_scalar(equation) if isinstance(equation, ScalarEquation) else self._of_equation(equation)
            self.known[equation.target.declared] = made

    def of(self, ref: FieldRef | ScalarRef) -> Parity:
        """Of a field, or of a scalar if the richness changes its sign too; what is given is even."""
        return self.known.get(ref.declared, 1)

    def of_noise(self, noise: Noise) -> Parity:
        """Of a Gaussian field: a readout is odd, what a product leaves behind is like its operand."""
        return self.of(noise.source.operand) if isinstance(noise.source, Use) else -1

    def _of_equation(self, equation: SiteEquation) -> Parity:
        if equation.function is not None:
            return self.of_function(equation.function)
        readouts = {vector.name for vector in self.problem.program.vectors}
        if not equation.noises and equation.target.field.name in readouts:
            return -1  # a readout that starts from zero: its memory is odd in the richness
        parts = [self.of_noise(term.noise) for term in equation.noises]
        parts += [self.of(term.field) for term in equation.locals]
        return parts[0] if parts and len(set(parts)) == 1 else 0

    def of_function(self, function: SiteFunction) -> Parity:
        """Of a function of fields."""
        flipped, unknown = {}, False
        for symbol, argument in function.arguments:
            parity = -1 if isinstance(argument, VectorRef) else self.of(argument)
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

    def _of_scalar(self, equation: ScalarEquation) -> Parity:
        statement = equation.statement
        if isinstance(statement, Compute):
            return self.of_function(SiteFunction(statement.expression, statement.arguments))
        if isinstance(statement, SquaredNorm):
            return 1
        found = {self.of_function(f) * _sign(c, c.subs(GAMMA, -GAMMA)) for c, f in statement.terms}
        return found.pop() if len(found) == 1 else 0

    def is_output(self, equation: ScalarEquation) -> bool:
        """Whether a scalar is an average over the richness: an output of the network."""
        statement = equation.statement
        return isinstance(statement, Average) and any(
            GAMMA in sp.sympify(coefficient, strict=True).free_symbols for coefficient, _ in statement.terms
        )


def _sign(before: sp.Expr, after: sp.Expr) -> Parity:
    if sp.simplify(after - before) == 0:
        return 1
    return -1 if sp.simplify(after + before) == 0 else 0
