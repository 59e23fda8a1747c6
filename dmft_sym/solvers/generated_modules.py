"""The generated modules of a problem, from the cache or made now."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dmft_sym.derivation.pipeline import Pipeline
    from dmft_sym.derivation.problem import Problem
    from dmft_sym.program.step import Step

HASH = "__dmft_sym_hash__"
LOADED, COMPILED = 5_000, 50_000
"""Steps in growing coordinates for which machine code is worth loading, and making."""


def march_module(problem: Problem, backend: str) -> ModuleType:
    """The module that marches the closed equations."""
    from dmft_sym.codegen import solver_source
    from dmft_sym.support.progress import DERIVING, notice

    def made() -> str:
        with notice(DERIVING):
            return solver_source(problem, backend, alone=False)

    told_apart: tuple[str, ...] = (problem.variant,) if problem.variant else ()
    if len(problem.observed) > 1:  # correlations of one field with itself are there in any case
        told_apart += ("observed " + " ".join(field.name for field in problem.observed),)
    return _module(problem.program, backend, made, (*problem.probes, *told_apart))


def sampled_module(problem: Problem) -> ModuleType:
    """The module that runs the program on sampled sites."""
    from dmft_sym.codegen import solver_source

    return _module(problem.executed, "sampled", lambda: solver_source(problem, "numba", alone=False))


def coordinates_module(steps: int, dtype: str = "float64") -> ModuleType | None:
    """The compiled arithmetic of growing coordinates, one for all networks, if a run is long enough for it.

    A run of some thousand steps is over before Numba is imported. The first run of at least `COMPILED` steps compiles,
    which takes about ten seconds; from then on those of at least `LOADED` steps take what is in the cache. All others
    interpret the plan (``None``), which gives the same numbers to rounding.
    """
    if steps < LOADED:
        return None
    import numpy as np

    from dmft_sym.cache.machine_code import at_hand
    from dmft_sym.cache.modules import load_module, program_key
    from dmft_sym.codegen.programs.coordinates import write
    from dmft_sym.support.progress import compilation_notice

    module = load_module(program_key("any plan", "coordinates"), "coordinates", write)
    types = module.signature(np.dtype(dtype))
    if not at_hand(module.advance, types):
        if steps < COMPILED:
            return None
        with compilation_notice(once="once for all networks"):
            module.advance.compile(types)
    return module


def two_time_module(problem: Pipeline, backend: str) -> ModuleType:
    """The module that samples the two-time equations."""
    from dmft_sym.codegen import direct_source

    kind = "direct" if backend == "numpy" else f"direct_{backend}"
    return _module(problem.program, kind, lambda: direct_source(problem, backend, alone=False))


def _module(program: Step, kind: str, make: Callable[[], str], probes: tuple[str, ...] = ()) -> ModuleType:
    from contextlib import nullcontext

    from dmft_sym.cache.modules import load_module, program_key
    from dmft_sym.support.progress import compilation_notice

    with compilation_notice() if kind in ("numba", "sampled", "direct_numba") else nullcontext():
        return load_module(program_key(str(program), kind, probes), kind, make)


def hash_of(module: ModuleType | None) -> str:
    """The hash of a module's source; empty if there is no module."""
    return "" if module is None else str(module.__dict__[HASH])
