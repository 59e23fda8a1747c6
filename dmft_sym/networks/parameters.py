"""The run-time parameters of a network in the proportional regime: symbol, keyword, meaning, range."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import annotated_types as at
import sympy as sp

from dmft_sym.program import DEPTH, OUTPUTS

NU = sp.Symbol("nu", positive=True)
ALPHA = sp.Symbol("alpha", positive=True)
GAMMA = sp.Symbol("gamma", positive=True)
ETA = sp.Symbol("eta0", positive=True)
INIT_VARIANCE = sp.Symbol("s2", nonnegative=True)
LABEL_NOISE = sp.Symbol("sigma_eps", nonnegative=True)
MOMENTUM = sp.Symbol("m", nonnegative=True)
DECAY = sp.Symbol("lambda", nonnegative=True)


@dataclass(frozen=True)
class Parameter(at.GroupedMetadata):
    """A run-time argument: its symbol in the equations and what users may pass.

    In an annotation, as in ``Annotated[float, parameter]``, it stands for its range; so keys of specs have theirs.

    Parameters
    ----------
    allowed
        The allowed values in words, for error messages.
    low, high
        Bounds; ``open_low`` excludes the lower one, ``high`` is always excluded unless infinite.
    """

    symbol: sp.Symbol
    keyword: str
    meaning: str
    low: float = 0.0
    high: float = float("inf")
    open_low: bool = True
    infinite: bool = False
    integer: bool = False
    default: float | None = None

    @property
    def allowed(self) -> str:
        """Allowed values in words."""
        kind = "an integer" if self.integer else "a number"
        low = f"> {self.low:g}" if self.open_low else f">= {self.low:g}"
        high = "" if self.high == float("inf") else f" and < {self.high:g}"
        return f"{kind} {low}{high}" + (" or inf" if self.infinite else ", finite")

    def __iter__(self) -> Iterator[object]:
        """The range in the terms of `annotated_types`; finite is less than infinity."""
        yield at.Gt(self.low) if self.open_low else at.Ge(self.low)
        if not self.infinite and not self.integer:
            yield at.Lt(self.high)

    def admits(self, value: float) -> bool:
        """Whether ``value`` is in range."""
        if value != value or (value == float("inf") and not self.infinite):
            return False
        if self.integer and value != int(value):
            return False
        return (value > self.low if self.open_low else value >= self.low) and (
            value < self.high or (value == self.high and self.infinite)
        )


STANDARD = (
    Parameter(DEPTH, "depth", "number L of hidden layers", open_low=False, low=1, integer=True),
    Parameter(OUTPUTS, "outputs", "number C of outputs", open_low=False, low=1, integer=True, default=1),
    Parameter(ALPHA, "samples_per_dim", "alpha = P/D (batch per dimension when online)", infinite=True),
    Parameter(NU, "width_per_dim", "nu = N/D", infinite=True),
    Parameter(GAMMA, "richness", "gamma0, turned into gamma by the parametrization"),
    Parameter(ETA, "learning_rate", "eta0"),
    Parameter(INIT_VARIANCE, "init_std", "standard deviation of initial weights", open_low=False, default=1.0),
    Parameter(LABEL_NOISE, "label_noise", "sigma_eps", open_low=False, default=0.0),
    Parameter(MOMENTUM, "momentum", "heavy-ball coefficient m", open_low=False, high=1.0, default=0.0),
    Parameter(DECAY, "weight_decay", "decoupled decay lambda per step", open_low=False, high=1.0, default=0.0),
)
BY_KEYWORD = {parameter.keyword: parameter for parameter in STANDARD}
