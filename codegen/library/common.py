"""Arrays in annotations, and options of compiled functions."""

from typing import Any, TypeAlias

import numpy as np

_Floats: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]
_Ints: TypeAlias = np.ndarray[Any, np.dtype[np.integer[Any]]]

_INSIDE = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # called by compiled functions alone
