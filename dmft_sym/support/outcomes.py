"""How a run ended: named outcomes, each with what to change."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_TEXT = re.compile(r"(?P<kind>[a-z -]+?)(?: at step (?P<step>\d+))?")


class Kind(enum.Enum):
    """What can happen to a run; the value is the word that files and messages use."""

    COMPLETED = "completed"
    DIVERGED = "diverged"

    @property
    def remedy(self) -> str:
        """What to change, empty if there is nothing to change."""
        return _REMEDIES[self]


_REMEDIES = {
    Kind.COMPLETED: "",
    Kind.DIVERGED: "lower learning_rate (or richness, depth, init_std); what was computed before that step is kept",
}


@dataclass(frozen=True)
class Outcome:
    """The end of a run.

    Parameters
    ----------
    kind
        What happened.
    step
        The training step at which it happened; ``None`` for a completed run.
    """

    kind: Kind = Kind.COMPLETED
    step: int | None = None

    @property
    def completed(self) -> bool:
        """Whether every step was computed."""
        return self.kind is Kind.COMPLETED

    @property
    def remedy(self) -> str:
        """What to change, empty for a completed run."""
        return self.kind.remedy

    def attrs(self) -> dict[str, str]:
        """The attributes ``outcome`` and ``outcome_remedy`` of a result."""
        return {"outcome": str(self), "outcome_remedy": self.remedy}

    @classmethod
    def of(cls, attrs: Mapping[str, object]) -> Outcome:
        """The outcome that the attributes of a result record; completed if they record none."""
        text = str(attrs.get("outcome", "completed"))
        match = _TEXT.fullmatch(text)
        if match is None or match["kind"] not in {kind.value for kind in Kind}:
            raise ValueError(f"outcome = {text!r}: allowed are {', '.join(kind.value for kind in Kind)} [at step t]")
        return cls(Kind(match["kind"]), None if match["step"] is None else int(match["step"]))

    def __str__(self) -> str:
        return self.kind.value if self.step is None else f"{self.kind.value} at step {self.step}"


COMPLETED = Outcome()


def diverged(step: int) -> Outcome:
    """The outcome of a run whose numbers stopped being finite at ``step``."""
    return Outcome(Kind.DIVERGED, int(step))


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
