"""What a check finds, and rates that are fitted to distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

_TOLERANCE = 0.1


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check.

    Attributes
    ----------
    holds
        Whether it holds; ``None`` if it does not apply, or is undecided.
    words
        What was found.
    undecided
        Whether the check applies but found neither, as the words say why.
    """

    holds: bool | None
    words: str
    undecided: bool = False

    @property
    def mark(self) -> str:
        """In a word of at most four letters."""
        return "open" if self.undecided else {None: "n/a", True: "ok", False: "FAIL"}[self.holds]

    def __str__(self) -> str:
        return f"undecided: {self.words}" if self.undecided else self.words


Verdicts: TypeAlias = tuple[Verdict, Verdict, Verdict]
"""By structure, exactly, and by the approach in numbers."""


def fitted(sizes: Sequence[float], distances: Sequence[float], rate: float) -> Verdict:
    """Whether distances fall with a power of the sizes."""
    if max(distances) < 1e-12:
        return Verdict(True, "no distance at all")
    x, y = np.log(sizes), np.log(np.maximum(distances, 1e-300))
    slopes = np.diff(y) / np.diff(x)
    slope, error = float(slopes[-1]), float(abs(slopes[-1] - slopes[-2]))
    holds = abs(slope - rate) < _TOLERANCE + error and error < _TOLERANCE
    return Verdict(holds, f"rate {slope:.2f} +- {error:.2f}, expected {rate:g}; distance {distances[-1]:.1e}")
