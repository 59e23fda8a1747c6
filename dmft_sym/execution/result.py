"""What a run hands back: scalars per step, how it ended, fields at recorded steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmft_sym.program import FieldRef, ScalarRef
from dmft_sym.support.outcomes import Outcome

from .interface import Arithmetic, Array


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
    scalars : dict of ndarray, shape (step, samples, C) or a part of it
        The scalars that the program computes, such as its outputs.
    fields : dict
        For every field (integer layer) one array (labels, size at that step) per recorded step.
    recorded : list of int
        The recorded steps.
    """

    observables: dict[str, NDArray[np.float64]]
    outcome: Outcome
    ranks: dict[str, NDArray[np.int64]]
    arithmetic: Arithmetic
    scalars: Mapping[ScalarRef, NDArray[np.float64]]
    fields: Mapping[FieldRef, list[Array]]
    recorded: list[int]

    @property
    def steps(self) -> int:
        """Number of steps whose results are kept."""
        return min((len(rank) for rank in self.ranks.values()), default=0)
