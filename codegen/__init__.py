"""Source of solvers. `generate`: closed equations -> IR -> ``numba`` (fast), ``numpy`` (the judge) or ``mpmath`` text.

On given samples `sampled` writes the solver on sampled sites from the program, and `two_time` the direct one from the
single-site equations.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dmft_sym.derivation.closure import ClosedEquations
    from dmft_sym.derivation.exports import NamedParameter

BACKENDS = ("numba", "numpy", "mpmath")


def generate(closed: ClosedEquations, exports: Iterable[NamedParameter] = (), backend: str = "numba") -> str:
    """Source of a module that marches closed equations.

    Raises
    ------
    ValueError
        If there is no such back end.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend = {backend!r}: allowed are {', '.join(BACKENDS)}")
    from .equations.lower import lower

    writer = import_module(f".equations.{backend}_backend", __name__)
    source: str = writer.write(lower(closed, exports))
    return source
