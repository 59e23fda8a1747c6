"""What a run hands back: scalars per step, how it ended, fields at recorded steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.program import FieldRef, ScalarRef
from dmft_sym.support.errors import ExecutionError
from dmft_sym.support.outcomes import Outcome

from . import averages
from .interface import Arithmetic, Array
from .recording import Recording


@dataclass
class ExecutionResult:
    """Results of a run, up to the step where it ended.

    Attributes
    ----------
    observables : dict of ndarray, shape (step, C)
        Losses and whatever else the program observes; losses are per output, without the factor 1/2.
    outcome : Outcome
        Completed, or diverged with the step; the arrays then hold the steps before it.
    ranks : dict of ndarray, shape (step,)
        Number of coordinates (of sites, in a finite network) of every sector of the spaces.
    recording : Recording
        Fields at the steps asked for.
    scalars : dict of ndarray, shape (step, samples, C) or a part of it
        The scalars that the program computes, such as its outputs.
    """

    observables: dict[str, NDArray[np.float64]]
    outcome: Outcome
    ranks: dict[str, NDArray[np.int64]]
    recording: Recording
    arithmetic: Arithmetic
    scalars: Mapping[ScalarRef, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Number of steps whose results are kept."""
        return min((len(rank) for rank in self.ranks.values()), default=0)

    @property
    def fields(self) -> Mapping[FieldRef, list[Array]]:
        """The recorded fields."""
        return self.recording.fields

    def field(self, name: str, layer: int | None = None) -> FieldRef:
        """The reference of a field by its name in the program and, for a family, its layer.

        Raises
        ------
        ExecutionError
            If the program has no such field.
        """
        for ref in self.arithmetic.plan.fields:
            if ref.field.name == name and (None if ref.layer is None else int(ref.layer)) == layer:
                return ref
        known = ", ".join(str(ref) for ref in self.arithmetic.plan.fields)
        wanted = name if layer is None else f"{name}[{layer}]"
        raise ExecutionError(f"no field {wanted}: this program has {known}")

    def correlation(self, a: FieldRef, b: FieldRef | None = None) -> NDArray[Any]:
        """``<a_c(t) b_d(s)>`` between recorded steps, shape (S, C, S, C); see `averages.correlation`."""
        return averages.correlation(self, a, a if b is None else b)

    def response(self, a: FieldRef, operand: FieldRef, matrix: str, layer: int | None = None) -> NDArray[Any]:
        """Response of ``a`` to the noise of products; see `averages.response`."""
        return averages.response(self, a, operand, (matrix, layer))
