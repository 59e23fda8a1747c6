"""Level two: spectra of the matrices of a trained network, by the same averaging rule."""

from .matrices.catalogue import matrix_names, matrix_program
from .matrices.equal_time import EqualTime
from .matrices.matrix_program import FlatMatrix, MatrixProgram
from .matrices.operators import operator

__all__ = ["EqualTime", "FlatMatrix", "MatrixProgram", "matrix_names", "matrix_program", "operator"]
