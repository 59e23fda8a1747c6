"""Arrays in the annotations of the library."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Floats: TypeAlias = NDArray[np.floating[Any]]
_Ints: TypeAlias = NDArray[np.integer[Any]]
