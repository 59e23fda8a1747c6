"""What can happen to a run or a spectrum: every named failure, each with what to change."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import ExecutionError

if TYPE_CHECKING:
    import numpy as np

DIVERGENCE = 1e12
"""A loss, output or error this many times its first size will not come back: the run is reported as diverged."""

_TEXT = re.compile(r"(?P<word>[a-z -]+?)(?: at step (?P<step>\d+)| at time (?P<time>\S+))?")
_COMPLETED = "completed"


class Failure(enum.Enum):
    """What can go wrong; the value is what files and messages say."""

    DIVERGED = "diverged"
    TOO_MANY_STEPS = "too many steps"
    NO_STEP = "no step within the tolerance"
    DIVERGED_BEFORE = "the run diverged before this step"
    NO_CONVERGENCE = "no convergence"
    AMBIGUOUS_BRANCH = "ambiguous branch of the Dyson equation"
    NORMALISATION = "the density does not integrate to one"
    NO_DENSITY = "all of the spectrum but a vanishing part is zero"
    NOT_FINITE = "the equations of this matrix are not finite at an infinite ratio"

    @property
    def remedy(self) -> str:
        """What to change."""
        return _REMEDIES[self]


_REMEDIES = {
    Failure.DIVERGED: "lower learning_rate (or richness, depth, init_std); what was computed before that step is kept",
    Failure.TOO_MANY_STEPS: "raise rtol or max_steps, or end the flow earlier; what was computed before is kept",
    Failure.NO_STEP: "lower tol or raise rtol; or the flow has no solution beyond this time",
    Failure.DIVERGED_BEFORE: "lower learning_rate (or richness, depth, init_std), or look at an earlier step",
    Failure.NO_CONVERGENCE: "look at another step or other grid points, or use a smaller init_std",
    Failure.AMBIGUOUS_BRANCH: "use a finer grid, or points further from the edges",
    Failure.NORMALISATION: "scan with more points: a narrow interval or gap was not seen",
    Failure.NO_DENSITY: "use a finite samples_per_dim where densities are wanted",
    Failure.NOT_FINITE: "use a finite width_per_dim and samples_per_dim, or leave this matrix out",
}
_OF_RUNS = (Failure.DIVERGED, Failure.TOO_MANY_STEPS, Failure.NO_STEP)


@dataclass(frozen=True)
class Outcome:
    """The end of a run.

    Parameters
    ----------
    failure
        What happened; ``None`` for a completed run.
    step
        The training step at which it happened.
    time
        The time at which it happened, of a flow.
    """

    failure: Failure | None = None
    step: int | None = None
    time: float | None = None

    @property
    def completed(self) -> bool:
        """Whether every step was computed."""
        return self.failure is None

    @property
    def remedy(self) -> str:
        """What to change, empty for a completed run."""
        return "" if self.failure is None else self.failure.remedy

    def attrs(self) -> dict[str, str]:
        """The attributes ``outcome`` and ``outcome_remedy`` of a result."""
        return {"outcome": str(self), "outcome_remedy": self.remedy}

    @classmethod
    def of(cls, attrs: Mapping[str, object]) -> Outcome:
        """The outcome that the attributes of a result record; completed if they record none."""
        text = str(attrs.get("outcome", _COMPLETED))
        known = {_COMPLETED: None, **{failure.value: failure for failure in _OF_RUNS}}
        match = _TEXT.fullmatch(text)
        if match is None or match["word"] not in known:
            raise ValueError(f"outcome = {text!r}: allowed are {', '.join(known)} [at step t]")
        step, time = match["step"], match["time"]
        return cls(known[match["word"]], None if step is None else int(step), None if time is None else float(time))

    def __str__(self) -> str:
        word = _COMPLETED if self.failure is None else self.failure.value
        if self.time is not None:
            return f"{word} at time {self.time:.6g}"
        return word if self.step is None else f"{word} at step {self.step}"


COMPLETED = Outcome()


def diverged(step: int) -> Outcome:
    """The outcome of a run whose numbers stopped being finite at ``step``."""
    return Outcome(Failure.DIVERGED, int(step))


def of_losses(*losses: np.ndarray, bound: float = float("inf")) -> Outcome:
    """Judge a run by its losses, arrays with the step as leading axis.

    Diverged at the first step with a loss that is not finite or exceeds ``bound`` in absolute value.
    """
    import numpy as np

    first: int | None = None
    for loss in losses:
        rows = np.asarray(loss, dtype=float).reshape(len(loss), math.prod(np.shape(loss)[1:]))
        with np.errstate(invalid="ignore"):
            bad = ~np.isfinite(rows).all(axis=1) | (np.abs(rows) > bound).any(axis=1)
        if bad.any():
            step = int(np.argmax(bad))
            first = step if first is None else min(first, step)
    return COMPLETED if first is None else diverged(first)


class SpectrumError(ValueError):
    """A spectrum that could not be computed; the message names the failure, the place and the remedy."""

    def __init__(self, failure: Failure, where: str) -> None:
        super().__init__(f"{where}: {failure.value}; {failure.remedy}")
        self.failure = failure


@contextmanager
def named(where: str) -> Iterator[None]:
    """Errors of one matrix at one step as a `SpectrumError`, so that the others can keep what they have.

    Raises
    ------
    SpectrumError
        In place of a coefficient that is not finite at these parameters, and of linear equations without a solution.
    """
    import numpy as np

    try:
        yield
    except ExecutionError as error:
        raise SpectrumError(Failure.NOT_FINITE, where) from error
    except np.linalg.LinAlgError as error:
        raise SpectrumError(Failure.NO_CONVERGENCE, where) from error
