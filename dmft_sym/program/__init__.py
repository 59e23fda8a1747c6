"""The language of vector programs: what is computed at one training step of a wide network."""

from .declarations import Field, GaussianMatrix, RandomVector, Space
from .errors import ProgramError
from .expressions import FieldRef, LayerSum, Linear, MatrixRef, Product, VectorRef
from .labels import DEPTH, OUTPUT, OUTPUTS, PAST_STEP, STEP, LayerRange
from .program import Optimizer, Program
from .statements import Assign, ForLayers, Learn, Observe, Outer, Statement
from .unroll import flat_statements, flatten

__all__ = [
    "DEPTH",
    "OUTPUT",
    "OUTPUTS",
    "PAST_STEP",
    "STEP",
    "Assign",
    "Field",
    "FieldRef",
    "ForLayers",
    "GaussianMatrix",
    "LayerRange",
    "LayerSum",
    "Learn",
    "Linear",
    "MatrixRef",
    "Observe",
    "Optimizer",
    "Outer",
    "Product",
    "Program",
    "ProgramError",
    "RandomVector",
    "Space",
    "Statement",
    "VectorRef",
    "flat_statements",
    "flatten",
]
