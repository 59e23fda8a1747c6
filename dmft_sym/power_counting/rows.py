"""What is said of one matrix, and of one scalar."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from .arguments import Exponent


@dataclass(frozen=True)
class MatrixScaling:
    """What the width does to one matrix, a family of matrices or a readout.

    Attributes
    ----------
    name
        Of the matrix.
    fan_in
        ``"N"`` if the number of its inputs grows, ``"D"`` from given inputs, ``"1"`` for a vector.
    init, multiplier, learning_rate
        Exponents of the variance of stored entries, of what stands before them, and of the learning rate; ``None`` for
        what starts at zero, or is frozen.
    update
        Exponent of what its updates add to the fields that it makes; to the output, for a readout.
    """

    name: str
    fan_in: str
    init: Exponent | None
    multiplier: Exponent
    learning_rate: Exponent | None
    update: sp.Expr

    @property
    def verdict(self) -> str:
        """``"lazy"``, ``"moves"``, ``"blows up"`` or ``"frozen"``."""
        if self.learning_rate is None:
            return "frozen"
        return "moves" if self.update == 0 else "blows up" if self.update > 0 else "lazy"


@dataclass(frozen=True)
class ScalarExponents:
    """Exponents of a scalar: of its mean over networks, and of what differs between networks.

    Attributes
    ----------
    mean, fluctuation
        Minus infinity for what vanishes.
    """

    mean: sp.Expr
    fluctuation: sp.Expr

    @property
    def size(self) -> sp.Expr:
        """The larger one."""
        return sp.Max(self.mean, self.fluctuation)
