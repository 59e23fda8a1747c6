"""The training program of a network with powers of the width in it, from which both sides of a scaling are made.

Every matrix ``W`` has two exponents that mean something, ``sigma_W`` and ``lambda_W``: initial entries are ``N^sigma``
and updates ``N^lambda`` times those of the program as it is. They stand as symbols in the program, hence in the derived
single-site equations, where exponents are counted, and in the finite networks that check the count. Averages over sites
have a multiplier ``N^rho``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import sympy as sp

from dmft_sym.derivation.pipeline import Pipeline
from dmft_sym.derivation.uses import Use
from dmft_sym.networks.parametrization import MUP
from dmft_sym.networks.renaming import renamed
from dmft_sym.networks.standard import Network
from dmft_sym.networks.traced import Trace
from dmft_sym.networks.training import GradientDescent
from dmft_sym.program import (
    UNIT,
    Assign,
    Average,
    ForLayers,
    GaussianMatrix,
    Learn,
    Program,
    ProgramError,
    RandomVector,
    SiteMap,
    Statement,
    VectorRef,
    walk,
)
from dmft_sym.regimes.base import Regime
from dmft_sym.regimes.sample_program import OUTPUT_FUNCTION
from dmft_sym.regimes.samples import Samples
from dmft_sym.support.messages import show

WIDTH = sp.Symbol("N_width", positive=True)
"""The width whose powers are counted."""
Weights: TypeAlias = GaussianMatrix | RandomVector


def sigma(name: str) -> sp.Symbol:
    """Exponent of the initial entries of a matrix."""
    return sp.Symbol(f"sigma_{name}", real=True)


def rate(name: str) -> sp.Symbol:
    """Exponent of the updates of a matrix."""
    return sp.Symbol(f"lambda_{name}", real=True)


def multiplier(name: str) -> sp.Symbol:
    """Exponent of an average."""
    return sp.Symbol(f"rho_{name}", real=True)


@dataclass(frozen=True)
class WeightsInfo:
    """What a scaling has to know of a matrix, a family of matrices or a readout.

    Attributes
    ----------
    readout
        Whether it is a readout vector.
    grows
        Whether the number of its inputs grows with the width; not so from given inputs.
    random, trained
        Whether its initial entries are not zero, and whether it learns.
    vector
        Whether it is a vector of the forward pass, whose one input is 1.
    """

    name: str
    readout: bool
    grows: bool
    random: bool
    trained: bool
    vector: bool = False


class ScaledPipeline(Pipeline):
    """The derivation of a program with powers of the width."""

    def __init__(self, program: Program, data: Samples) -> None:
        super().__init__(program)
        self._data = data

    def noise_scale(self, use: Use) -> sp.Expr:
        """By what the Gaussian field of a product is divided in this regime."""
        return self._data.noise_scale(use.matrix, use.transpose)


class ScaledNetwork:
    """A network on given samples with a symbol for every exponent.

    Parameters
    ----------
    network, data
        As for `dmft_sym.derive`; the parametrization of the network plays no part.

    Attributes
    ----------
    trace : Trace
        Its forward pass.
    program : Program
        One training step.

    Raises
    ------
    ProgramError
        If the forward pass is ill-formed or does not fit the data.
    """

    def __init__(self, network: Network, data: Samples) -> None:
        if not isinstance(network, Network):
            wrap = "; wrap the forward pass: ds.network(forward)" if callable(network) else ""
            raise ProgramError(f"network = {show(network)}: allowed is a network, such as ds.mlp(){wrap}")
        if not isinstance(data, Regime) or not data.given:
            raise ProgramError(f"data = {show(data)}: allowed are given samples, ds.{Samples.example}")
        self.network, self.data = replace(network, parametrization=MUP), data
        data.check(self.network, ())
        self.trace = _with_powers(self.network.trace(data.setting))
        plain = data.program(self.trace, GradientDescent(), network.name)
        self.program = replace(plain, statements=tuple(_learning(s) for s in plain.statements))
        known = {parameter.symbol for parameter in self.trace.parameters}
        self._check_names()
        self.parameters = tuple(s for s in self.program.parameters if s in known)

    @cached_property
    def derivation(self) -> ScaledPipeline:
        """The stages of its derivation."""
        return ScaledPipeline(self.program, self.data)

    @cached_property
    def weights(self) -> tuple[WeightsInfo, ...]:
        """Its matrices in the order of the forward pass, then its readouts."""
        used = dict.fromkeys(p.matrix.matrix for p in _products(self.trace))
        return tuple(self._info(w) for w in (*used, *dict.fromkeys(r.vector for r in self.trace.readouts)))

    def _info(self, weights: Weights) -> WeightsInfo:
        readout = isinstance(weights, RandomVector)
        grows = not isinstance(weights, GaussianMatrix) or not weights.source.finite
        vector = isinstance(weights, GaussianMatrix) and weights.source == UNIT
        return WeightsInfo(weights.name, readout, grows, weights.variance != 0, weights in self.program.learned, vector)

    @cached_property
    def averages(self) -> tuple[str, ...]:
        """Names of the averages over sites in the forward pass."""
        found = (s.target.scalar.name for _, s in walk(self.trace.statements) if isinstance(s, Average))
        return tuple(dict.fromkeys(found))

    @cached_property
    def forward_names(self) -> frozenset[str]:
        """Names of the fields of the forward pass."""
        assigned = (s for _, s in walk(self.trace.statements) if isinstance(s, Assign | SiteMap))
        return frozenset(s.target.field.name for s in assigned if not s.target.space.finite)

    def _check_names(self) -> None:
        names = [str(s) for s in self.program.parameters]
        repeated = [name for name in names if names.count(name) > 1]
        if repeated or WIDTH in {parameter.symbol for parameter in self.trace.parameters}:
            raise ProgramError(f"parameter {(repeated or [WIDTH])[0]}: the name is taken by exponents of the width")

    @property
    def reported(self) -> frozenset[str]:
        """Names of the scalars of the forward pass: the output and the averages."""
        return frozenset((OUTPUT_FUNCTION.scalar.name, *self.averages))

    @property
    def depth(self) -> int:
        """Number of layers of the networks that are run; one where it is not open."""
        return self.network.depth or 1

    @cached_property
    def exponents(self) -> frozenset[sp.Symbol]:
        """The symbols of its exponents."""
        names = [info.name for info in self.weights]
        return frozenset((*map(sigma, names), *map(rate, names), *map(multiplier, self.averages)))


def _with_powers(trace: Trace) -> Trace:
    """The forward pass with powers of the width in variances and averages."""
    plain = trace.output is None and all(readout.outputs is None for readout in trace.readouts)
    if not plain or any(product.matrix.matrix.isometric for product in _products(trace)):
        raise ProgramError(
            "powers of the width of functions of outputs, heads of some outputs or readouts of given inputs: allowed "
            "are sums of readouts of hidden layers"
        )
    products = dict.fromkeys(p.matrix.matrix for p in _products(trace))
    for weights in (*products, *dict.fromkeys(readout.vector for readout in trace.readouts)):
        scaled = replace(weights, variance=weights.variance * WIDTH ** (2 * sigma(weights.name)))
        trace = renamed_weights(trace, weights, scaled)
    return replace(trace, statements=tuple(_averaging(s) for s in trace.statements))


def renamed_weights(trace: Trace, old: Weights, new: Weights) -> Trace:
    """The trace with other weights in place of some."""
    thing: Any = renamed
    statements, readouts = thing(trace.statements, old, new), thing(trace.readouts, old, new)
    return replace(trace, statements=statements, readouts=readouts)


def _products(trace: Trace) -> list[Any]:
    from dmft_sym.program import Step

    return [product for *_, product in Step(trace.statements).products()]


def _averaging(statement: Statement) -> Statement:
    if isinstance(statement, ForLayers):
        return replace(statement, body=tuple(_averaging(inner) for inner in statement.body))
    if not isinstance(statement, Average):
        return statement
    factor = WIDTH ** multiplier(statement.target.scalar.name)
    return replace(statement, terms=tuple((factor * c, function) for c, function in statement.terms))


def _learning(statement: Statement) -> Statement:
    """An update times a power of the width; other statements as they are."""
    if not isinstance(statement, Learn):
        return statement
    target = statement.target
    name = (target.vector if isinstance(target, VectorRef) else target.matrix).name
    factor = WIDTH ** rate(name)
    return replace(statement, terms=tuple(replace(t, coefficient=factor * t.coefficient) for t in statement.terms))
