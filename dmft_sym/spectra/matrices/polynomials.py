"""Matrices that were trained by updates of extensive rank, as polynomials of the matrices at initialization.

A step adds to a matrix what is a polynomial of all matrices of the program (`dmft_sym.program.Increment`). Put into
each other, the updates of the first steps make the trained matrix a linear program over the initial matrices, for which
level two is what it is for any product of matrices. Its length grows by three with every step if all is trained.
"""

from __future__ import annotations

from dmft_sym.networks.linear_maps import MapWriter
from dmft_sym.program import GaussianMatrix, Increment, Linear, MatrixRef, Program, ProgramError, Space

from .matrix_program import MatrixProgram, names_of
from .transpose import transpose

LONGEST = 250
"""Largest number of fields of a polynomial."""


class LongPolynomialError(ProgramError):
    """A matrix is a polynomial with too many terms; the message is one line."""


class TrainedWriter(MapWriter):
    """Writes maps whose products are those with the matrices of a step, as products with the initial ones.

    Parameters
    ----------
    program
        Whose updates are put into each other.
    space
        Of the input.
    """

    def __init__(self, program: Program, space: Space) -> None:
        super().__init__("a", space, names_of(program))
        self.rules: dict[GaussianMatrix, Increment] = {rule.matrix: rule for rule in program.increments}
        self.step = 0
        self._done: dict[tuple[MatrixRef, bool, int, Linear], Linear] = {}

    def times(self, matrix: MatrixRef, value: Linear, transpose: bool = False) -> Linear:
        """A matrix at the present step, or its transpose, times a vector."""
        if len(self.statements) > LONGEST:
            raise LongPolynomialError(f"a polynomial of more than {LONGEST} fields")
        rule = self.rules.get(matrix.matrix)
        if rule is None or not self.step:
            return super().times(matrix, value, transpose)
        key = matrix, transpose, self.step, value
        if key not in self._done:
            self.step -= 1
            before = self.times(matrix, value, transpose)
            added = self.after(rule.transposed if transpose else rule.forward, value)
            self.step += 1
            self._done[key] = before + added
        return self._done[key]


def trained_matrix(matrix: MatrixProgram, step: int) -> MatrixProgram:
    """A matrix before the update of a step, in terms of the matrices at the first one.

    Parameters
    ----------
    matrix
        A matrix of a program with updates of extensive rank, or a product or sum of such.

    Raises
    ------
    LongPolynomialError
        If it has too many terms.
    """
    program, flat = matrix.program, matrix.flat({})
    writer = TrainedWriter(program, flat.input.space)
    writer.step = step
    value = writer.carried_out(flat.statements, {flat.input: Linear.of(writer.input)})[flat.output]
    found = writer.finished(value, flat.output.space)
    if flat.symmetric:
        return MatrixProgram(matrix.name, program, found.statements, found.input, found.output)
    seed = MapWriter("b", flat.output.space, names_of(program)).input
    back, last = transpose(found.statements, found.input, found.output, seed, program)
    return MatrixProgram(matrix.name, program, found.statements, found.input, found.output, back, seed, last)
