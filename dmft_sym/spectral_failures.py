"""What can go wrong with a spectrum: named, each with what to change."""

from __future__ import annotations

import enum


class Failure(enum.Enum):
    """Why a spectrum could not be computed; the value is the word that messages use."""

    NO_CONVERGENCE = "no convergence"
    AMBIGUOUS_BRANCH = "ambiguous branch of the Dyson equation"
    NEAR_EDGE = "an outlier is closer to the edge than the tolerance"
    NORMALISATION = "the density does not integrate to one"
    DIVERGED = "the run diverged before this step"

    @property
    def remedy(self) -> str:
        """What to change."""
        return _REMEDIES[self]


_REMEDIES = {
    Failure.NO_CONVERGENCE: "look at another step or other grid points, or use a smaller init_std",
    Failure.AMBIGUOUS_BRANCH: "use a finer grid, or points further from the edges",
    Failure.NEAR_EDGE: "look at a later step, or lower the tolerance",
    Failure.NORMALISATION: "scan with more points: a narrow interval or gap was not seen",
    Failure.DIVERGED: "lower learning_rate (or richness, depth, init_std), or look at an earlier step",
}


class SpectrumError(ValueError):
    """A spectrum that could not be computed; the message names the failure, the place and the remedy."""

    def __init__(self, failure: Failure, where: str) -> None:
        super().__init__(f"{where}: {failure.value}; {failure.remedy}")
        self.failure = failure
