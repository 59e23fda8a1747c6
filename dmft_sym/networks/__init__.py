"""Forward passes become vector programs: tracing, reverse mode, parametrizations, training rules."""

from .parametrization import MUP, NTK, Parametrization, Scalings
from .proportional import Proportional
from .standard import Network, deep_linear, network
from .trace import Outputs, Trace, Tracer, Vector, Weights, trace
from .training import GradientDescent, OnlineSGD, TrainingRule

__all__ = [
    "MUP",
    "NTK",
    "GradientDescent",
    "Network",
    "OnlineSGD",
    "Outputs",
    "Parametrization",
    "Proportional",
    "Scalings",
    "Trace",
    "Tracer",
    "TrainingRule",
    "Vector",
    "Weights",
    "deep_linear",
    "network",
    "trace",
]
