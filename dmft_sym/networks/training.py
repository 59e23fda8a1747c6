"""Training rules: how errors are drawn and how increments become weights."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, replace

import sympy as sp

from dmft_sym.program import (
    LAYER,
    GaussianMatrix,
    Learn,
    MatrixRef,
    Optimizer,
    ProgramError,
    RandomVector,
    ScalarRef,
    VectorRef,
)

from .parameters import DECAY, MOMENTUM
from .reverse import Backward


@dataclass(frozen=True)
class TrainingRule:
    """Gradient descent on the squared loss ``(1/2P) sum (f - y)^2`` with optional memory.

    Parameters
    ----------
    momentum
        Heavy-ball coefficient in [0, 1); a run may override a non-zero one.
    weight_decay
        Decoupled decay per step in [0, 1).
    centered
        Subtract the output that the network has at initialization, for the error, the reported losses and outputs
        alike: training begins at zero output. The limit of small richness needs it.

    Raises
    ------
    ProgramError
        Naming the argument, its value and what is allowed.
    """

    momentum: float = 0.0
    weight_decay: float = 0.0
    centered: bool = False

    def __post_init__(self) -> None:
        for key in ("momentum", "weight_decay"):
            value = getattr(self, key)
            bad = isinstance(value, bool) or not isinstance(value, numbers.Real)
            if bad or not 0 <= value < 1:
                raise ProgramError(f"{key} = {value!r}: allowed is a number >= 0 and < 1")
        if not isinstance(self.centered, bool):
            raise ProgramError(f"centered = {self.centered!r}: allowed is True or False")

    @property
    def fresh(self) -> bool:
        """Whether the samples are drawn anew at every step."""
        return False

    def optimizer(self) -> Optimizer:
        """The memory of the program, with a symbol for every part that is switched on."""
        return Optimizer(MOMENTUM if self.momentum else sp.Integer(0), DECAY if self.weight_decay else sp.Integer(0))


def updates(
    backward: Backward, frozen: frozenset[str], coefficient: sp.Expr, weight: ScalarRef | None = None
) -> list[Learn]:
    """The updates of a program: of every matrix and readout that is not ``frozen``, by its gradient.

    Parameters
    ----------
    coefficient, weight
        Common factors of all terms.

    Raises
    ------
    ProgramError
        If there are none.
    """
    learns = []
    for target, gradient in backward.gradients.items():
        if target.name not in frozen:
            terms = tuple(replace(term, coefficient=coefficient * term.coefficient, weight=weight) for term in gradient)
            learns.append(Learn(_weights(target), terms))
    if not learns:
        raise ProgramError("nothing is trained: at least one matrix or readout needs train=True")
    return learns


def _weights(target: GaussianMatrix | RandomVector) -> MatrixRef | VectorRef:
    """A readout, or a matrix with the index of its family."""
    if isinstance(target, RandomVector):
        return VectorRef(target)
    return MatrixRef(target, None if target.layers is None else LAYER.symbol)


@dataclass(frozen=True)
class GradientDescent(TrainingRule):
    """Full-batch gradient descent: the same ``P = alpha D`` samples at every step."""


@dataclass(frozen=True)
class OnlineSGD(TrainingRule):
    """One-pass SGD: a fresh batch of ``B = alpha D`` samples at every step."""

    @property
    def fresh(self) -> bool:
        """Always true: no sample is seen twice."""
        return True
