"""What a regime is: which axes of training stay finite and which grow, and all that follows from the choice.

A regime is the data of a theory. It sets what a forward pass is traced for, writes the program of one training step,
and says which arguments a run takes, how large finite networks are, and which method is the default. Nothing outside of
this folder asks which regime it is: what differs is asked from the regime, or read off the program.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import sympy as sp

from dmft_sym.networks.parameters import Parameter
from dmft_sym.networks.standard import Network
from dmft_sym.networks.traced import Setting, Trace
from dmft_sym.networks.training import TrainingRule
from dmft_sym.program import GaussianMatrix, Program
from dmft_sym.program.observations import Observations

from .keys import Check, NetworkKeys, Spec


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
    sections
        The sections of specs with their keys (`dmft_sym.regimes.keys`), in the order in which they are read.
    checks
        What its keys may be together.
    spectra_of_runs
        Whether spectra are found along a run, ``solver(matrices=...)``, and not by `dmft_sym.spectrum` alone.
    """

    word: ClassVar[str]
    example: ClassVar[str]
    where: ClassVar[str]
    default_method: ClassVar[str]
    size: ClassVar[Size]
    arguments: ClassVar[tuple[Parameter, ...]] = ()
    old_methods: ClassVar[Mapping[str, tuple[str, bool | None]]] = {}
    sections: ClassVar[Mapping[str, type]]
    checks: ClassVar[tuple[Check, ...]] = ()
    spectra_of_runs: ClassVar[bool] = False

    @property
    @abstractmethod
    def setting(self) -> Setting:
        """What forward passes are traced for."""

    @property
    @abstractmethod
    def text(self) -> str:
        """Loss, data and learning rate, as a derivation states them at its beginning (LaTeX text mode)."""

    @abstractmethod
    def program(self, trace: Trace, training: TrainingRule, name: str) -> Program:
        """One step of training.

        Raises
        ------
        ProgramError
            If the network does not fit the regime.
        """

    def executed(self, program: Program, trace: Trace, training: TrainingRule) -> Program:
        """The program that finite networks and sampled sites run: the same step, which may need fewer fields for it.

        What it trains must be what ``program`` trains, number by number; measurements are of the fields of ``program``.
        """
        return program

    def observations(self, trace: Trace) -> Observations:
        """What is observed of the fields of the program."""
        return trace.observations

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
    def own_parameters(self) -> tuple[Parameter, ...]:
        """Parameters that the program of this regime alone has."""
        return ()

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

    def given_anew(self, training: TrainingRule, steps: int) -> dict[str, np.ndarray[Any, Any]]:
        """Arrays that are given from outside for every one of so many steps, by name; the first axis has the steps.

        Raises
        ------
        ArgumentError
            If a number is not allowed.
        """
        return training.given(steps)

    @classmethod
    @abstractmethod
    def of_spec(cls, spec: Spec) -> Self:
        """The data that a spec describes.

        Raises
        ------
        InputError
            If they cannot be had.
        """

    @abstractmethod
    def network(self, keys: NetworkKeys) -> Network:
        """The network that a spec describes, on these data."""

    placeholder: ClassVar[Mapping[str, str]] = {"kind": "deep-linear"}
    """Keys of ``[network]`` that stand for a network of the user's own."""

    @classmethod
    def completed(cls, spec: Spec, folder: str) -> Spec:
        """A spec with defaults that depend on other keys, and files relative to its folder."""
        usual = "conditioning" if spec.training.continuous else cls.default_method
        return spec.replaced("solver", method=spec.solver.method or usual)
