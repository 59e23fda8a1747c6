"""A problem on its way to another process: what it is made from goes, and it is made once where it arrives."""

from __future__ import annotations

import functools
from collections.abc import Callable

from dmft_sym.workers.task import packed, unpacked

from .problem import Problem


class CarriedProblem:
    """Stands for a problem in what workers are given.

    Parameters
    ----------
    problem
        The problem; networks of a notebook or a script go by value.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def __reduce__(self) -> tuple[Callable[[bytes], CarriedProblem], tuple[bytes]]:
        return _arrived, (packed(self.problem.recipe),)


def _arrived(recipe: bytes) -> CarriedProblem:
    return CarriedProblem(_made(recipe))


@functools.lru_cache(maxsize=64)
def _made(recipe: bytes) -> Problem:
    """The problem of a recipe, made once in a process."""
    made: Problem = unpacked(recipe).made()
    return made
