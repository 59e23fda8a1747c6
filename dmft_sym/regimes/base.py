"""What a regime is: which axes of training stay finite and which grow, and all that follows from the choice.

A regime is the data of a theory. It sets what a forward pass is traced for, writes the program of one training step,
and says which arguments a run takes, how large finite networks are, and which method is the default. Nothing outside of
this folder asks which regime it is: what differs is asked from the regime, or read off the program.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import sympy as sp

from dmft_sym.networks.parameters import Parameter
from dmft_sym.networks.standard import Network
from dmft_sym.networks.trace import Setting, Trace
from dmft_sym.networks.training import TrainingRule
from dmft_sym.program import GaussianMatrix, Program


@dataclass(frozen=True)
class Size:
    """The size of finite networks: the argument of `dmft_sym.simulate`, what it is, its default."""

    keyword: str
    meaning: str
    default: int


class Regime(ABC):
    """The data of a theory, and how they are taken to the limit.

    Attributes
    ----------
    word
        Its name in specs, ``[data] regime``.
    example
        How an instance is made, ``"Proportional()"``.
    where
        How messages call it: ``"where samples are given"``.
    default_method
        ``"equations"`` or ``"conditioning"``.
    size
        The size of finite networks.
    arguments
        Arguments of a run beside the parameters of the program.
    old_methods
        Methods, and whether they are exact where there is a choice, by the words that they had until 0.2.
    """

    word: ClassVar[str]
    example: ClassVar[str]
    where: ClassVar[str]
    default_method: ClassVar[str]
    size: ClassVar[Size]
    arguments: ClassVar[tuple[Parameter, ...]] = ()
    old_methods: ClassVar[Mapping[str, tuple[str, bool | None]]] = {}

    @property
    @abstractmethod
    def setting(self) -> Setting:
        """What forward passes are traced for."""

    @abstractmethod
    def program(self, trace: Trace, training: TrainingRule, name: str) -> Program:
        """One step of training.

        Raises
        ------
        ProgramError
            If the network does not fit the regime.
        """

    def check(self, network: Network, probes: Collection[str]) -> None:  # noqa: B027  # most regimes take any network
        """Refuse networks, and probes of them, that do not fit.

        Raises
        ------
        ProgramError
            Naming the argument, its value and what is allowed.
        """

    def noise_scale(self, matrix: GaussianMatrix, transpose: bool) -> sp.Expr:
        """By what the Gaussian field of a product is divided, so that its covariance stays finite in the limit."""
        return sp.Integer(1)

    @property
    def defaults(self) -> Mapping[str, object]:
        """Defaults of arguments of a run."""
        return {}

    def refusal(self, argument: str) -> str | None:
        """Why a standard argument means nothing here; ``None`` if it does."""
        return None

    def outputs_of(self, given: Mapping[str, Any]) -> int:
        """Number of outputs of a run with these arguments."""
        return int(given["outputs"])

    @property
    def values(self) -> dict[sp.Symbol, float]:
        """Symbols that the data set, with their values."""
        return {}

    @property
    def given(self) -> dict[str, np.ndarray[Any, Any]]:
        """Arrays that are given from outside, under the names that programs give them."""
        return {}
