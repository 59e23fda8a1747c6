"""IR -> mpmath: the plain NumPy lines on arrays of ``mpf``, at the precision of the context (``mp.dps``)."""

from __future__ import annotations

from dmft_sym.program import ProgramError

from .ir import March
from .numpy_backend import NumpyStyle
from .python_text import ModuleWriter


class MpmathStyle(NumpyStyle):
    """NumPy lines on object arrays; numbers are converted on entry and constants stay exact."""

    imports: tuple[str, ...] = ("import numpy as np", "from mpmath import mp")
    dtype = "object"
    exact = "mpf"

    def convert(self, name: str) -> str:
        return f"mp.mpf({name})"

    def numbers(self, name: str) -> str:
        return f"np.array([mp.mpf(float(value)) for value in {name}], dtype)"

    def finite(self, row: str) -> str:
        return f"all(mp.isfinite(value) for value in {row})"


def write(march: March, alone: bool = True) -> str:
    """The module's source; it stands alone in any case.

    Raises
    ------
    ProgramError
        If increments are weighted by norms, whose functions are those of floats.
    """
    if march.weighing:
        raise ProgramError("backend = 'mpmath' with norms of gradients: allowed are 'numba' and 'numpy'")
    return ModuleWriter(march, MpmathStyle(), "mpmath").text()
