"""The language of vector programs: what is computed at one training step of a wide network."""

from .classes import CLASS_INDEX, ClassValue, SiteClasses, class_value, class_values
from .declarations import ONE, UNIT, Field, GaussianMatrix, RandomVector, Scalar, Space
from .equal_outputs import outputs_are_alike
from .errors import ProgramError
from .expressions import (
    FieldRef,
    Initial,
    LayerSum,
    Linear,
    MatrixRef,
    Product,
    Relabelled,
    ScalarRef,
    SiteFunction,
    VectorRef,
)
from .increments import Increment, LinearMap
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
from .layer_numbers import OfLayer
from .optimizer import Optimizer, Recursion
from .program import Program
from .statements import Assign, Average, Compute, ForLayers, Learn, Observe, Outer, SiteMap, SquaredNorm, Statement
from .step import Step, field_refs, is_linear, reads, scalar_refs, walk
from .unroll import flat_statements, flatten

__all__ = [
    "CLASS_INDEX",
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
    "ClassValue",
    "Compute",
    "Field",
    "FieldRef",
    "ForLayers",
    "GaussianMatrix",
    "Increment",
    "Initial",
    "Label",
    "LayerRange",
    "LayerSum",
    "Learn",
    "Linear",
    "LinearMap",
    "MatrixRef",
    "Observe",
    "OfLayer",
    "Optimizer",
    "Outer",
    "Product",
    "Program",
    "ProgramError",
    "RandomVector",
    "Recursion",
    "Relabelled",
    "Scalar",
    "ScalarRef",
    "SiteClasses",
    "SiteFunction",
    "SiteMap",
    "Space",
    "SquaredNorm",
    "Statement",
    "Step",
    "VectorRef",
    "class_value",
    "class_values",
    "field_refs",
    "flat_statements",
    "flatten",
    "is_linear",
    "joined_axes",
    "outputs_are_alike",
    "reads",
    "scalar_refs",
    "walk",
]
