"""What a solver runs: an arithmetic that carries out one of the two methods, and the call that it gets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from dmft_sym.support.deprecation import warn_old_word
from dmft_sym.support.outcomes import COMPLETED, Outcome, diverged

from .arguments import RunArguments, check_flag

if TYPE_CHECKING:
    import xarray as xr

    from dmft_sym.derivation.problem import Problem
    from dmft_sym.regimes import Regime
    from dmft_sym.results.parts import Parts

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)``."""
EQUATIONS, CONDITIONING = "equations", "conditioning"
WORDS = (EQUATIONS, CONDITIONING)


@dataclass(frozen=True)
class Call:
    """One call of a solver, checked.

    Attributes
    ----------
    backend
        Language of generated modules.
    options
        The options of the arithmetic, defaults filled in.
    checkpoint
        Where the state is kept now and then, if the arithmetic `resumes`.
    """

    problem: Problem
    backend: str
    arguments: RunArguments
    options: SimpleNamespace
    progress: Progress | None
    checkpoint: Parts | None = None


@dataclass(frozen=True)
class Solved:
    """What came out: variables, how the run ended, and what results say about it."""

    dataset: xr.Dataset
    outcome: Outcome
    attributes: Mapping[str, Any]


class Arithmetic(ABC):
    """One way to carry out a method.

    Attributes
    ----------
    method
        ``"equations"`` or ``"conditioning"``.
    summary
        What it does, in a line.
    options
        Names of the options that it takes.
    continuous
        Whether it carries out a flow, and no steps.
    unused
        Names of options that may be given and mean nothing to it.
    resumes
        Whether it goes on from a checkpoint.
    """

    method: ClassVar[str]
    summary: ClassVar[str]
    options: ClassVar[frozenset[str]]
    continuous: ClassVar[bool] = False
    unused: ClassVar[frozenset[str]] = frozenset()
    resumes: ClassVar[bool] = False

    @staticmethod
    @abstractmethod
    def applies(problem: Problem) -> bool:
        """Whether it can solve the problem."""

    @staticmethod
    @abstractmethod
    def exact(problem: Problem) -> bool:
        """Whether its results have no sampling error."""

    @abstractmethod
    def run(self, call: Call) -> Solved:
        """Carry out a call."""


def current_method(regime: Regime, method: Any, exact: bool | None) -> tuple[str | None, bool | None]:
    """The method and whether it is to be exact; words of before 0.2 are translated, with a warning."""
    if exact is not None:
        check_flag("exact", exact)
    if not isinstance(method, str) or method not in regime.old_methods:
        return method, exact
    new, known = regime.old_methods[method]
    extra = "" if known is None else f", exact={known}"
    warn_old_word(f"method={method!r}", f"method={new!r}{extra}")
    return new, known if exact is None else exact


def counted(progress: Progress | None, steps: int, before: int = 0, networks: int = 1) -> Callable[[int], None] | None:
    """What a network calls when steps are done, ``before`` others of all ``networks`` being finished."""
    return None if progress is None else lambda done: progress(before * steps + done, networks * steps)


def end_of_run(done: int, steps: int) -> Outcome:
    """How a run ended that has done so many of its steps."""
    return COMPLETED if done == steps else diverged(done)
