"""Forward passes become vector programs: tracing, reverse mode, parametrizations, training rules."""

from .labelled import mean, norm, softmax
from .losses import Loss
from .outputs import Outputs
from .parametrization import MUP, NTK, Parametrization, Scalings
from .standard import Network, deep_linear, mlp, network
from .trace import Tracer, trace
from .traced import Trace
from .training import GradientDescent, GradientFlow, OnlineSGD, TrainingRule
from .vectors import Vector, Weights

__all__ = [
    "MUP",
    "NTK",
    "GradientDescent",
    "GradientFlow",
    "Loss",
    "Network",
    "OnlineSGD",
    "Outputs",
    "Parametrization",
    "Scalings",
    "Trace",
    "Tracer",
    "TrainingRule",
    "Vector",
    "Weights",
    "deep_linear",
    "mean",
    "mlp",
    "network",
    "norm",
    "softmax",
    "trace",
]
