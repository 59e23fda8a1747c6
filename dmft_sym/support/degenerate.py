"""Which outliers of a list are one and the same."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .array_types import Floats

DEGENERATE = 1e-6
"""Relative distance below which outliers of the theory are one and the same."""
RESOLVED = 4.0
"""Sampled outliers are told apart if they differ by more than this multiple of their standard errors."""


def degenerate(values: Floats, errors: Floats | None = None) -> list[slice]:
    """Groups of equal numbers in a descending list that may end in NaN; with standard errors, of equal ones up to them.

    A number whose standard error is not known is taken for exact.
    """
    finite = values[np.isfinite(values)]
    least = DEGENERATE * np.abs(finite[:-1])
    if errors is not None:
        known = np.nan_to_num(errors[np.isfinite(values)])
        least = np.maximum(least, RESOLVED * np.hypot(known[:-1], known[1:]))
    jumps = np.flatnonzero(-np.diff(finite) > least) + 1
    ends = [0, *jumps.tolist(), len(finite)]
    return [slice(a, b) for a, b in pairwise(ends) if b > a]
