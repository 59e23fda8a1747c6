"""The derived single-site equations, written out layer by layer for counting: each coefficient as a power of the width.

A coefficient of the equations is a product of numbers and of ``N^(sigma_W)``, ``N^(lambda_W)``, ``N^(rho_s)``
(`program`); what is kept of it is the linear form in these exponents.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import sympy as sp

from dmft_sym.derivation.causal_sites import vector_field
from dmft_sym.derivation.single_site import (
    CausalEquation,
    LocalTerm,
    Memory,
    Noise,
    ResponseMemory,
    ScalarEquation,
    SiteEquation,
    UpdateMemory,
)
from dmft_sym.derivation.uses import Use
from dmft_sym.program import Average, FieldRef, LayerRange, ProgramError, ScalarRef, SiteFunction, SquaredNorm

from .powers import units
from .program import WIDTH, ScaledNetwork, rate

Values: TypeAlias = Mapping[sp.Symbol, int]
"""Exponents in units."""
Bound: TypeAlias = dict[sp.Symbol, int]


@dataclass(frozen=True)
class Form:
    """An exponent: a linear form in those of the program, plus a number."""

    slopes: tuple[tuple[sp.Symbol, Fraction], ...]
    constant: int = 0

    @staticmethod
    def of(coefficient: sp.Expr) -> Form:
        """The power of the width in a product."""
        powers = sp.powsimp(sp.factor(coefficient)).as_powers_dict()
        parts = sp.expand(powers.get(WIDTH, sp.Integer(0))).as_coefficients_dict()
        constant = units(parts.pop(sp.Integer(1), sp.Integer(0)))
        if not all(isinstance(symbol, sp.Symbol) for symbol in parts):
            raise ProgramError(f"coefficient {coefficient}: its power of the width is not linear in the exponents")
        return Form(tuple((s, Fraction(str(c))) for s, c in parts.items()), constant)

    def at(self, values: Values) -> int:
        """Its value in units."""
        return self.constant + sum(int(c * values[s]) for s, c in self.slopes)


@dataclass(frozen=True)
class NoiseInstance:
    """One Gaussian field of the single-site processes, with the earlier ones that it is correlated with.

    Attributes
    ----------
    name
        Of the matrix; empty for a readout.
    number
        Which one it is; it has two bits in the signs of parts.
    variance
        Power of the width in its variance, without that of the operand.
    operand
        What the matrix is applied to; ``None`` for random vectors and given inputs.
    siblings
        Earlier ones of the same matrix, and the power of the width in the covariance.
    """

    name: str
    number: int
    variance: Form
    operand: FieldRef | None
    siblings: tuple[tuple[NoiseInstance, Form], ...]

    @property
    def sign(self) -> int:
        """Its bit: what it is at initialization, and what later goes along with that."""
        return 1 << 2 * self.number

    @property
    def later(self) -> int:
        """The bit of what is new when the operand has turned."""
        return 2 << 2 * self.number


@dataclass(frozen=True)
class NoiseEntry:
    """``N^form * noise``."""

    form: Form
    noise: NoiseInstance


@dataclass(frozen=True)
class ResponseEntry:
    """``N^form * sum_s <d row / d noise(s)> field(s)``."""

    form: Form
    row: FieldRef
    noise: NoiseInstance
    field: FieldRef
    equal_time: bool


@dataclass(frozen=True)
class UpdateEntry:
    """``N^form * sum_{s<t} <row past(s)> weight(s) field(s)``, or without the average; from the updates of ``name``."""

    form: Form
    field: FieldRef
    weight: ScalarRef | None
    name: str
    row: FieldRef | None = None
    past: FieldRef | None = None


@dataclass(frozen=True)
class LocalEntry:
    """``N^form * field``."""

    form: Form
    field: FieldRef


Entry: TypeAlias = NoiseEntry | ResponseEntry | UpdateEntry | LocalEntry


@dataclass(frozen=True)
class FieldStep:
    """A field: the sum of its entries, or a function; of the forward pass, or of the backward one."""

    target: FieldRef
    entries: tuple[Entry, ...]
    function: SiteFunction | None
    forward: bool


@dataclass(frozen=True)
class ScalarStep:
    """A scalar: a sum of averages, or a function of scalars."""

    target: ScalarRef
    averages: tuple[tuple[Form, SiteFunction], ...]
    expression: sp.Expr | None = None
    arguments: tuple[tuple[sp.Symbol, ScalarRef], ...] = ()


class CountedEquations:
    """The single-site equations of a scaled network at a number of layers.

    Parameters
    ----------
    network
        With its symbols of exponents.
    depth
        Number of layers to write out, where it is open.

    Attributes
    ----------
    steps : list of FieldStep or ScalarStep
        What is computed at one step of training, in causal order.
    readouts : list of (str, FieldRef, FieldRef)
        Name and field of every readout, and the field that it reads.
    """

    def __init__(self, network: ScaledNetwork, depth: int) -> None:
        self.network = network
        self._builder = network.derivation.site_builder
        self._values: Bound = {symbol: depth for symbol in network.program.parameters if symbol.is_integer}
        self._noises: dict[tuple[Noise, int | None], NoiseInstance] = {}
        self._rates = {rate(info.name): info.name for info in network.weights}
        self._forward = network.forward_names
        self.steps = list(self._written(network.derivation.causal))
        self.readouts = [
            (readout.vector.name, FieldRef(vector_field(readout.vector)), readout.field.at(self._values))
            for readout in network.trace.readouts
        ]

    def _written(self, equations: list[CausalEquation]) -> Iterator[FieldStep | ScalarStep]:
        for scans, group in itertools.groupby(equations, lambda equation: equation.scans):
            members = list(group)
            if not scans:
                yield from (self._step(equation, self._values) for equation in members)
                continue
            (scan,) = scans
            layers = scan.layers.at(self._values)
            for layer in reversed(layers) if scan.descending else layers:
                yield from (self._step(equation, {**self._values, scan.index: layer}) for equation in members)

    def _step(self, equation: CausalEquation, bound: Bound) -> FieldStep | ScalarStep:
        if isinstance(equation, ScalarEquation):
            return self._scalar(equation, bound)
        target, forward = equation.target.at(bound), equation.target.field.name in self._forward
        function = None if equation.function is None else _function(equation.function, bound)
        return FieldStep(target, tuple(self._entries(equation, bound)), function, forward)

    def _scalar(self, equation: ScalarEquation, bound: Bound) -> ScalarStep:
        statement, target = equation.statement, _scalar_at(equation.target, bound)
        if isinstance(statement, Average):
            return ScalarStep(target, tuple((Form.of(c), _function(f, bound)) for c, f in statement.terms))
        if isinstance(statement, SquaredNorm):
            raise ProgramError(
                f"{statement}: powers are counted without norms of gradients, without clip and normalised"
            )
        arguments = tuple((s, _scalar_at(ref, bound)) for s, ref in statement.arguments)
        return ScalarStep(target, (), statement.expression, arguments)

    def _entries(self, equation: SiteEquation, bound: Bound) -> Iterator[Entry]:
        for term in equation.noises:
            yield NoiseEntry(Form.of(term.coefficient), self._noise(term.noise, _layer(term.layer, bound)))
        for memory in equation.memories:
            for inner in _summed(memory, bound):
                yield self._memory(memory, inner)
        for local in equation.locals:
            for inner in _summed(local, bound):
                yield LocalEntry(Form.of(local.coefficient), local.field.at(inner))

    def _memory(self, term: Memory, bound: Bound) -> Entry:
        form, field = Form.of(term.coefficient), term.field.at(bound)
        if isinstance(term, ResponseMemory):
            noise = self._noise(term.noise, _layer(term.noise_layer, bound))
            return ResponseEntry(form, term.row.at(bound), noise, field, term.equal_time)
        weight = None if term.weight is None else _scalar_at(term.weight, bound)
        name = next(self._rates[s] for s, _ in form.slopes if s in self._rates)
        if isinstance(term, UpdateMemory):
            return UpdateEntry(form, field, weight, name, term.row.at(bound), term.past.at(bound))
        return UpdateEntry(form, field, weight, name)

    def _noise(self, noise: Noise, layer: int | None) -> NoiseInstance:
        key = noise, layer
        if key not in self._noises:
            siblings = tuple(self._siblings(noise, layer))
            variance = Form.of(self._builder.noise_covariance(noise, noise, _integer(layer)))
            name = noise.source.matrix.name if isinstance(noise.source, Use) else ""
            self._noises[key] = NoiseInstance(name, len(self._noises), variance, _operand(noise, layer), siblings)
        return self._noises[key]

    def _siblings(self, noise: Noise, layer: int | None) -> Iterator[tuple[NoiseInstance, Form]]:
        """Earlier Gaussian fields of the same matrix, of the same member if it is a family."""
        if not isinstance(noise.source, Use):
            return
        for (other, other_layer), instance in self._noises.items():
            covariance = self._builder.noise_covariance(noise, other, _integer(layer))
            if covariance is None or not isinstance(other.source, Use) or instance.operand is None:
                continue
            if _member(noise.source, layer) == _member(other.source, other_layer):
                yield instance, Form.of(covariance)


def _operand(noise: Noise, layer: int | None) -> FieldRef | None:
    if not isinstance(noise.source, Use) or noise.static:
        return None
    return noise.source.operand_at(_integer(layer))


def _integer(layer: int | None) -> sp.Integer | None:
    return None if layer is None else sp.Integer(layer)


def _member(use: Use, layer: int | None) -> sp.Expr | None:
    if not use.family:
        return None
    return use.member if use.index is None else sp.Integer(layer or 0)


def _layer(layer: sp.Expr | None, bound: Bound) -> int | None:
    return None if layer is None else int(sp.sympify(layer, strict=True).subs(bound))


def _summed(term: Memory | LocalTerm, bound: Bound) -> Iterator[Bound]:
    """The layers that a term is summed over."""
    if term.index is None or not isinstance(term.layers, LayerRange):
        yield bound
        return
    for layer in term.layers.at(bound):
        yield {**bound, term.index: layer}


def _scalar_at(ref: ScalarRef, bound: Bound) -> ScalarRef:
    return ref if ref.layer is None else ScalarRef(ref.scalar, ref.layer.subs(bound))


def _function(function: SiteFunction, bound: Bound) -> SiteFunction:
    arguments = tuple(
        (symbol, ref.at(bound) if isinstance(ref, FieldRef) else _scalar_at(ref, bound))  # type: ignore[arg-type]
        for symbol, ref in function.arguments
    )
    return SiteFunction(function.expression.subs(bound), arguments)
