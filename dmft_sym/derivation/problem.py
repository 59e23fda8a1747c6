"""A problem: a network, its data and its training, as one program; and the stages of its derivation.

The forward pass is traced at once, so that mistakes show where they are made; the SymPy stages run when they
are first needed, so that a solver found in the cache starts without them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

import sympy as sp

from dmft_sym.networks.observing import check_names
from dmft_sym.networks.parameters import STANDARD, Parameter
from dmft_sym.networks.standard import Network
from dmft_sym.networks.training import TrainingRule
from dmft_sym.program import Program, ProgramError
from dmft_sym.program.observations import Observations
from dmft_sym.regimes.base import Regime
from dmft_sym.support.messages import show

from .pipeline import Pipeline
from .replacing import replaced
from .uses import Use


@dataclass(frozen=True)
class Recipe:
    """What a problem is made from; derivations and solvers are made again, or found in the cache."""

    kind: type[Problem]
    parts: Mapping[str, Any]

    def made(self) -> Problem:
        """The problem."""
        return self.kind(**self.parts)


class Problem(Pipeline):
    """What is derived and solved: network, data, training, and the program that they make.

    Parameters
    ----------
    network, data, training
        As for `dmft_sym.derive`.
    probes
        Names of readout vectors to add a source to.

    Attributes
    ----------
    program : Program
        One training step, as statements over spaces.
    executed : Program
        The step as finite networks and sampled sites run it: it trains the same, perhaps with fewer fields.
    parameters : tuple of Parameter
        Run-time arguments, one for every symbol of the program.
    observations : Observations
        What the user observes of the fields of a step; it is no part of the program.

    Raises
    ------
    ProgramError
        If the forward pass is ill-formed, uses an undeclared symbol, or does not fit the data.
    """

    program: Program
    executed: Program
    variant: str = ""
    """Tells problems of one program apart whose closed equations differ: a limit of them."""

    def __init__(self, network: Network, data: Regime, training: TrainingRule, probes: Collection[str] = ()) -> None:
        self.network = network
        self.data = data
        self.training = training
        self.words, self.continuous = training.text, training.continuous
        data.check(network, probes)
        trace = network.trace(data.setting)
        super().__init__(data.program(trace, training, network.name), probes)
        self.executed = data.executed(self.program, trace, training)
        self.observations = data.observations(trace)
        _check_observations(self.observations, self.program)
        self.observed = self.observations.fields
        known = {**data.values, **training.values}
        self.parameters = _parameters(self.program, known, (*data.own_parameters, *trace.parameters))
        _check_probes(probes, [readout.vector.name for readout in trace.readouts])
        self.joint_derivations: dict[Any, Any] = {}
        """Derivations of level two that were made, by matrix (`dmft_sym.spectra.equations`)."""

    def replace(self, **changes: Any) -> Self:
        """The same problem with other fields of its network, data or training.

        Raises
        ------
        ProgramError
            If there is no such field, or no problem with its value.
        """
        return type(self)(**replaced(self.parts, changes))

    @property
    def parts(self) -> dict[str, Any]:
        """What it was made from, by name."""
        return {"network": self.network, "data": self.data, "training": self.training, "probes": self.probes}

    @property
    def recipe(self) -> Recipe:
        """What it was made from, without anything derived: what goes to another process."""
        return Recipe(type(self), self.parts)

    def noise_scale(self, use: Use) -> sp.Expr:
        """By what the Gaussian field of a product is divided in this regime."""
        return self.data.noise_scale(use.matrix, use.transpose)


def _parameters(
    program: Program, values: Mapping[sp.Symbol, float], own: tuple[Parameter, ...]
) -> tuple[Parameter, ...]:
    """Run-time parameters of the program, without those that have values; symbols that nobody declared are refused."""
    known = {parameter.symbol: parameter for parameter in (*STANDARD, *own)}
    used = [symbol.name for symbol in program.parameters]
    for parameter in own:
        keywords = [other.keyword for other in known.values()]
        if keywords.count(parameter.keyword) > 1 or used.count(parameter.symbol.name) > 1:
            raise ProgramError(f"parameter {parameter.keyword}: the name belongs to a standard parameter")
    parameters = [symbol for symbol in program.parameters if symbol not in values]
    for symbol in parameters:
        if symbol not in known:
            raise ProgramError(
                f"symbol {symbol} is not declared: the forward pass needs net.parameter({symbol.name!r})"
            )
    return tuple(known[symbol] for symbol in parameters)


def _check_observations(observations: Observations, program: Program) -> None:
    """Names that nothing else has in results; parameters that runs have."""
    declared = (*program.fields, *program.scalars, *program.matrices, *program.vectors, *program.spaces)
    names = [thing.name for thing in declared]
    check_names(observations, [*names, *(label.name for label in program.labels)])
    for field in observations.fields:
        if field not in program.fields:  # each output has fields of its own
            raise ProgramError(
                f"observe {' and '.join(observations.names)}: allowed in proportion are networks whose readouts serve "
                f"all outputs; here {field} is another field for every output"
            )
    for symbol in observations.parameters - set(program.parameters):
        raise ProgramError(
            f"observe {' and '.join(observations.names)}: the parameter {symbol} is of no other use; write its number"
        )


def _check_probes(probes: Collection[str], readouts: Collection[str]) -> None:
    """Refuse names of what has no time-resolved response."""
    if len(probes) and (isinstance(probes, str) or not set(probes) <= set(readouts)):
        raise ProgramError(f"probes = {show(probes)}: allowed is a list of the readouts {', '.join(readouts)}")
