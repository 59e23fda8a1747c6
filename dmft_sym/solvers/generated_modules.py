"""The generated modules of a problem, from the cache or made now."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

HASH = "__dmft_sym_hash__"


def march_module(problem: Problem, backend: str) -> ModuleType:
    """The module that marches the closed equations."""
    from dmft_sym.codegen import solver_source
    from dmft_sym.support.progress import notice

    def made() -> str:
        with notice("deriving the equations (a few seconds, once for each network)"):
            return solver_source(problem, backend, alone=False)

    return _module(problem, backend, made, problem.probes)


def sampled_module(problem: Problem) -> ModuleType:
    """The module that runs the program on sampled sites."""
    from dmft_sym.codegen import solver_source

    return _module(problem, "sampled", lambda: solver_source(problem, "numba", alone=False))


def two_time_module(problem: Problem) -> ModuleType:
    """The module that samples the two-time equations."""
    from dmft_sym.codegen import direct_source

    return _module(problem, "direct", lambda: direct_source(problem))


def _module(problem: Problem, kind: str, make: Callable[[], str], probes: tuple[str, ...] = ()) -> ModuleType:
    from contextlib import nullcontext

    from dmft_sym.cache.modules import load_module, program_key
    from dmft_sym.support.progress import compilation_notice

    with compilation_notice() if kind in ("numba", "sampled") else nullcontext():
        return load_module(program_key(str(problem.program), kind, probes), kind, make)


def hash_of(module: ModuleType | None) -> str:
    """The hash of a module's source; empty if there is no module."""
    return "" if module is None else str(module.__dict__[HASH])
