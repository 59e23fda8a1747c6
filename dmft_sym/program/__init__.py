"""The language of vector programs: what is computed at one training step of a wide network."""

from .declarations import ONE, UNIT, Field, GaussianMatrix, RandomVector, Scalar, Space
from .errors import ProgramError
from .expressions import FieldRef, Initial, LayerSum, Linear, MatrixRef, Product, ScalarRef, SiteFunction, VectorRef
from .labels import (
    DEPTH,
    LAYER,
    OUTPUT,
    OUTPUTS,
    PAST_STEP,
    SAMPLE,
    SAMPLES,
    STEP,
    TIME,
    Axes,
    Label,
    LayerRange,
    joined_axes,
)
from .optimizer import Optimizer, Recursion
from .program import Program
from .statements import Assign, Average, Compute, ForLayers, Learn, Observe, Outer, SiteMap, SquaredNorm, Statement
from .step import Step, field_refs, is_linear, reads, scalar_refs, walk
from .unroll import flat_statements, flatten

__all__ = [
    "DEPTH",
    "LAYER",
    "ONE",
    "OUTPUT",
    "OUTPUTS",
    "PAST_STEP",
    "SAMPLE",
    "SAMPLES",
    "STEP",
    "TIME",
    "UNIT",
    "Assign",
    "Average",
    "Axes",
    "Compute",
    "Field",
    "FieldRef",
    "ForLayers",
    "GaussianMatrix",
    "Initial",
    "Label",
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
    "Recursion",
    "Scalar",
    "ScalarRef",
    "SiteFunction",
    "SiteMap",
    "Space",
    "SquaredNorm",
    "Statement",
    "Step",
    "VectorRef",
    "field_refs",
    "flat_statements",
    "flatten",
    "is_linear",
    "joined_axes",
    "reads",
    "scalar_refs",
    "walk",
]
