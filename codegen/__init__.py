"""Source of solvers.

`generate`: closed equations -> IR -> ``numba`` (fast), ``numpy`` (the judge), ``mpmath`` (any precision) or ``exact``
(rational functions) text. On given samples `sampled` writes the solver on sampled sites from the program, `two_time`
the direct one from the single-site equations.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

from dmft_sym.program import ProgramError
from dmft_sym.support.messages import show

if TYPE_CHECKING:
    from dmft_sym.derivation.closure import ClosedEquations
    from dmft_sym.derivation.exports import NamedParameter
    from dmft_sym.derivation.pipeline import Pipeline
    from dmft_sym.derivation.problem import Problem

BACKENDS = ("numba", "numpy", "mpmath", "exact")


def generate(
    closed: ClosedEquations, exports: Iterable[NamedParameter] = (), backend: str = "numba", alone: bool = True
) -> str:
    """Source of a module that marches closed equations.

    Parameters
    ----------
    alone
        Whether the module stands alone, with what it needs of the library; otherwise it imports the library.

    Raises
    ------
    ValueError
        If there is no such back end.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend = {backend!r}: allowed are {', '.join(BACKENDS)}")
    from .equations.lower import lower

    writer = import_module(f".equations.{backend}_backend", __name__)
    source: str = writer.write(lower(closed, exports), alone)
    return source


def solver_source(problem: Problem, backend: str = "numba", method: str | None = None, alone: bool = True) -> str:
    """Source of the solver of a problem, standing alone or with the library imported; see `Theory.source`."""
    if not problem.program.averaged:
        return generate(problem.closed, problem.order_parameters, backend, alone)
    if method == "equations":
        return direct_source(problem, backend, alone)
    from .programs.sampled import write

    if backend != "numba":
        raise ProgramError(
            f"backend = {show(backend)}: allowed is 'numba' where samples are given; 'numpy' runs the program "
            "itself, and method = 'equations' has the two-time equations"
        )
    return write(problem.executed, alone)


def direct_source(problem: Pipeline, backend: str = "numpy", alone: bool = True) -> str:
    """Source of the direct two-time solver of a derivation, ``numpy`` or ``numba``; see `Theory.direct_source`."""
    from .equations.two_time import KINDS, two_time_source

    if backend not in KINDS:
        raise ProgramError(
            f"backend = {show(backend)}: allowed are {', '.join(map(show, KINDS))} where samples are given"
        )
    if not problem.program.averaged:
        raise ProgramError("direct_source: allowed for given samples, data=ds.Samples(inputs, targets)")
    return two_time_source(problem, backend, alone)
