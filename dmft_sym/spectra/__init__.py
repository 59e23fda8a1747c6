"""Level two: spectra of the matrices of a trained network, by the same averaging rule."""

from .catalogue import matrix_names, matrix_program
from .equal_time import EqualTime
from .matrix_program import FlatMatrix, MatrixProgram
from .operators import operator

__all__ = ["EqualTime", "FlatMatrix", "MatrixProgram", "matrix_names", "matrix_program", "operator"]
