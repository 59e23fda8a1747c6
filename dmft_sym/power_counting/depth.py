"""Exponents of the depth: what a network of many layers needs so that sums over layers are of order one.

Only a field that is handed on as it is and added to, ``h[l+1] = h[l] + branch``, sums up over layers. What the branches
are at initialization is independent from layer to layer, and the sum grows as the root of their number, or it is not
(one matrix at all layers; a mean that does not vanish), and the sum grows as their number. Updates and responses add up
coherently, with the multiplier of a branch twice: once forward, once backward.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp

from dmft_sym.program import DEPTH, Assign, FieldRef, ForLayers, Linear, Product, Step

from .counting import CountedStep
from .powers import overlap
from .program import ScaledNetwork

HALF = sp.Rational(1, 2)


@dataclass(frozen=True)
class DepthScaling:
    """Exponents of the depth ``L`` of the branches that are added to one field.

    Attributes
    ----------
    field
        What is handed on.
    weights
        Matrices of the branches, in the order of the forward pass.
    coherent
        Whether branches of different layers are correlated at initialization.
    multiplier, learning_rate
        Exponents of the depth, of a branch and of the learning rates of its matrices.
    parameters
        Symbols that stand before branches already: ``b``, which becomes ``b L^multiplier``.
    written
        The exponent of the depth that the forward pass has before its branches already.
    """

    field: str
    weights: tuple[str, ...]
    coherent: bool
    multiplier: sp.Rational
    learning_rate: sp.Rational
    parameters: tuple[str, ...] = ()
    written: sp.Rational = sp.Integer(0)

    def __str__(self) -> str:
        how = "correlated" if self.coherent else "independent"
        power = f"L^({self.multiplier})"
        there = f" (written: L^({self.written}))" if self.written else ""
        before = "" if self.written else "".join(f"; {b} = {b}0 {power}" for b in self.parameters)
        rates = f"learning rates L^{self.learning_rate}"
        branches = f"branches of {self.field} ({', '.join(self.weights)}), {how} layers"
        return f"{branches}: multiplier {power}{there}, {rates}{before}"


def depth_scalings(network: ScaledNetwork, history: list[CountedStep]) -> tuple[DepthScaling, ...]:
    """The exponents of the depth, for every field that is handed on as it is."""
    scans = (s for s in network.trace.statements if isinstance(s, ForLayers))
    return tuple(one for scan in scans for one in _of_scan(scan, history))


def _of_scan(scan: ForLayers, history: list[CountedStep]) -> Iterator[DepthScaling]:
    weights = tuple(dict.fromkeys(p.matrix.matrix.name for *_, p in Step(scan.body).products()))
    for statement in scan.body:
        if not isinstance(statement, Assign) or statement.target.layer != scan.index + 1:
            continue
        previous = FieldRef(statement.target.field, scan.index)
        rest = Linear(tuple(term for term in statement.value.terms if term[1] != previous))
        kept = sum((c for c, atom in statement.value.terms if atom == previous), sp.Integer(0))
        if kept == 1 and rest.terms and weights:
            coherent = _coherent(statement.target, history[0])
            multiplier = sp.Integer(-1) if coherent else -HALF
            yield DepthScaling(
                statement.target.field.name,
                weights,
                coherent,
                multiplier,
                _rate(multiplier, scan, weights),
                _parameters(rest),
                _written(rest),
            )


def _coherent(carry: FieldRef, first: CountedStep) -> bool:
    """Whether what two layers add at initialization has an overlap with a mean."""
    layers = [powers for ref, powers in first.increments.items() if ref.field == carry.field and powers]
    return any(
        a.size is not None and b.size is not None and overlap(a, b).mean.size == a.size + b.size
        for a, b in itertools.combinations(layers, 2)
    )


def _rate(multiplier: sp.Rational, scan: ForLayers, weights: tuple[str, ...]) -> sp.Rational:
    """Updates of order one: the multiplier enters twice, one sum over the layers that feel them, one that make them."""
    shared = {
        p.matrix.matrix.name
        for *_, p in Step(scan.body).products()
        if isinstance(p, Product) and p.matrix.layer is None
    }
    sums = 2 if shared & set(weights) else 1
    return -2 * multiplier - sums


def _parameters(branch: Linear) -> tuple[str, ...]:
    symbols = {s for coefficient, _ in branch.terms for s in coefficient.free_symbols if not s.is_integer}
    return tuple(sorted(s.name for s in symbols))


def _written(branch: Linear) -> sp.Rational:
    """The power of the depth before the branches, where all have one and it is the same; else zero."""
    powers = {sp.powsimp(c).as_powers_dict().get(DEPTH, sp.Integer(0)) for c, _ in branch.terms}
    (power,) = powers if len(powers) == 1 else (sp.Integer(0),)
    return power
