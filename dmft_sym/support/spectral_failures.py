"""What can go wrong with a spectrum: named, each with what to change."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import ExecutionError


class Failure(enum.Enum):
    """Why a spectrum could not be computed; the value is the word that messages use."""

    NO_CONVERGENCE = "no convergence"
    AMBIGUOUS_BRANCH = "ambiguous branch of the Dyson equation"
    NORMALISATION = "the density does not integrate to one"
    NO_DENSITY = "all of the spectrum but a vanishing part is zero"
    NOT_FINITE = "the equations of this matrix are not finite at an infinite ratio"
    DIVERGED = "the run diverged before this step"

    @property
    def remedy(self) -> str:
        """What to change."""
        return _REMEDIES[self]


_REMEDIES = {
    Failure.NO_CONVERGENCE: "look at another step or other grid points, or use a smaller init_std",
    Failure.AMBIGUOUS_BRANCH: "use a finer grid, or points further from the edges",
    Failure.NORMALISATION: "scan with more points: a narrow interval or gap was not seen",
    Failure.NO_DENSITY: "use a finite samples_per_dim where densities are wanted",
    Failure.NOT_FINITE: "use a finite width_per_dim and samples_per_dim, or leave this matrix out",
    Failure.DIVERGED: "lower learning_rate (or richness, depth, init_std), or look at an earlier step",
}


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
