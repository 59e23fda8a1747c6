"""Arrays in the annotations of the library."""

from typing import Any, TypeAlias

import numpy as np

_Floats: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]
_Ints: TypeAlias = np.ndarray[Any, np.dtype[np.integer[Any]]]
