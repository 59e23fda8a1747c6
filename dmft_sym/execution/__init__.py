"""A vector program runs: the finite network, and the infinite one in growing coordinates.

Both execute the same plan behind the small interface `Arithmetic`; the second is exact for linear programs and
independent of the saddle-point derivation, which it checks.
"""

from dmft_sym.support.errors import ExecutionError

from .flow.run import flow_coordinates, flow_finite
from .interface import Arithmetic
from .result import ExecutionResult
from .runner import finite_memory, run_coordinates, run_finite, run_sampled

__all__ = [
    "Arithmetic",
    "ExecutionError",
    "ExecutionResult",
    "finite_memory",
    "flow_coordinates",
    "flow_finite",
    "run_coordinates",
    "run_finite",
    "run_sampled",
]
