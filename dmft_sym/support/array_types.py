"""Types of arrays."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
"""Of any numbers: complex, or real where a solution is."""
Floats: TypeAlias = NDArray[np.floating[Any]]
