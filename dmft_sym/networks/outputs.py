"""What a forward pass returns: readouts, sums of readouts, and functions of them.

A sum of readouts that all outputs have stays a sum. Anything else, a product, ``net.apply("tanh", f)``, a softmax over
outputs, a readout that only some outputs have, is a function of scalars: every readout is then an average
``f_w = <w h>/gamma``, and reverse mode starts from the derivatives of the function.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import sympy as sp

from dmft_sym.program import (
    OUTPUT,
    Average,
    Compute,
    FieldRef,
    ProgramError,
    RandomVector,
    Scalar,
    ScalarRef,
    SiteFunction,
    Statement,
    VectorRef,
    reads,
    walk,
)
from dmft_sym.program.site_derivatives import differentiate
from dmft_sym.support.messages import show

from .coefficients import Number, number
from .parametrization import Scalings
from .scalars import Mean

SOFTMAX = sp.Function("softmax")
Arguments = tuple[tuple[sp.Symbol, ScalarRef], ...]


@dataclass(frozen=True)
class Readout:
    """``w . h`` for a trained vector ``w`` (one per output).

    Attributes
    ----------
    outputs
        Which outputs have it, ascending; ``None`` for all.
    """

    coefficient: sp.Expr
    vector: RandomVector
    field: FieldRef
    outputs: tuple[int, ...] | None = None

    def average(self, target: ScalarRef, scalings: Scalings) -> Average:
        """``target = (coefficient/gamma0) sqrt(n/N) <w h>``, read from ``n`` sites."""
        vector, field = sp.Symbol(self.vector.name, real=True), sp.Symbol(self.field.field.name, real=True)
        coefficient = self.coefficient / (scalings.gamma * scalings.readout(self.field.space.ratio))
        function = SiteFunction(vector * field, ((vector, VectorRef(self.vector)), (field, self.field)))
        return Average(target, ((coefficient, function),))


class OutputRecorder(Protocol):
    """Records readouts whose functions are taken."""

    def scalar_of(self, outputs: Outputs) -> Mean:
        """Readouts as scalars, added up."""

    def apply(self, function: Any, *arguments: Any) -> Any:
        """A function of scalars."""


@dataclass(frozen=True)
class Outputs:
    """A sum of readouts; functions of it are scalars, one for every sample and output.

    They are added, multiplied and divided, by each other, by averages and by numbers; powers are ``f**2``, and other
    functions ``net.apply("tanh", f)``, or ``np.tanh(f)``.
    """

    readouts: tuple[Readout, ...]
    tracer: OutputRecorder

    @property
    def scalar(self) -> Mean:
        """The sum as a scalar."""
        return self.tracer.scalar_of(self)

    @property
    def plain(self) -> bool:
        """Whether all outputs have all of the readouts."""
        return all(readout.outputs is None for readout in self.readouts)

    def __add__(self, other: Outputs | Mean | Number) -> Any:
        if isinstance(other, Outputs):
            return replace(self, readouts=self.readouts + other.readouts)
        return self if _is_zero(other) else self.scalar + other

    __radd__ = __add__

    def __mul__(self, factor: Outputs | Mean | Number) -> Any:
        if isinstance(factor, Outputs | Mean):
            return self.scalar * (factor.scalar if isinstance(factor, Outputs) else factor)
        scaled = (replace(r, coefficient=number(factor) * r.coefficient) for r in self.readouts)
        return replace(self, readouts=tuple(scaled))

    __rmul__ = __mul__

    def __truediv__(self, factor: Outputs | Mean | Number) -> Any:
        if isinstance(factor, Outputs | Mean):
            return self.scalar / (factor.scalar if isinstance(factor, Outputs) else factor)
        return self * (1 / number(factor))

    def __rtruediv__(self, other: Number) -> Mean:
        return other / self.scalar

    def __neg__(self) -> Outputs:
        return replace(self, readouts=tuple(replace(r, coefficient=-r.coefficient) for r in self.readouts))

    def __sub__(self, other: Outputs | Mean | Number) -> Any:
        return self + (-other)

    def __rsub__(self, other: Mean | Number) -> Any:
        return -self + other

    def __pow__(self, power: Number) -> Mean:
        return self.scalar**power

    def __array_ufunc__(self, function: Any, method: str, *inputs: object, **options: object) -> Any:
        # Without this, NumPy would take outputs for an object and fail somewhere else.
        if getattr(function, "__name__", "") == "multiply" and not isinstance(inputs[0], Outputs):
            return self * inputs[0]  # a number of NumPy
        scalars = (one.scalar if isinstance(one, Outputs) else one for one in inputs)
        return self.scalar.__array_ufunc__(function, method, *scalars, **options)


def _is_zero(value: object) -> bool:
    """Whether ``sum([f1, f2])`` starts from it."""
    return isinstance(value, int) and value == 0


def heads(name: str, outputs: object, count: int | None) -> tuple[int, ...] | None:
    """Which outputs have a readout, ascending; ``None`` for all.

    Raises
    ------
    ProgramError
        If they are no outputs, or if one is there twice.
    """
    if outputs is None:
        return None
    highest = "" if count is None else f" to {count - 1}"
    said = f"readout {name}: outputs = {show(outputs)}: allowed are an integer from 0{highest}, a list of such, or None"
    found: list[Any] = list(outputs) if isinstance(outputs, Sequence) and not isinstance(outputs, str) else [outputs]
    if not found or len(set(found)) < len(found) or any(isinstance(one, bool) for one in found):
        raise ProgramError(said)
    if not all(isinstance(one, int) and one >= 0 and (count is None or one < count) for one in found):
        raise ProgramError(said)
    return None if len(found) == count else tuple(sorted(found))


def check_returned(value: object) -> None:
    """Refuse what a forward pass may not return.

    Raises
    ------
    ProgramError
        In one line that says what it must return.
    """
    if isinstance(value, Mean) or (isinstance(value, Outputs) and value.readouts):
        return
    what = "nothing" if value is None else f"a {type(value).__name__}"
    allowed = "net.readout(...), or a sum or another function of readouts"
    raise ProgramError(f"the forward pass must return {allowed}; this one returns {what}")


def check_all_served(readouts: Iterable[Readout], count: int | None) -> None:
    """Refuse a sum of readouts that some output has no part of.

    Raises
    ------
    ProgramError
        Naming the output.
    """
    known = [readout.outputs for readout in readouts]
    if None in known:
        return
    served = {place for places in known for place in places or ()}
    for place in range(max(served) + 1 if count is None else count):
        if place not in served:
            raise ProgramError(f"output {place} has no readout: allowed are readouts that serve every output")


@dataclass(frozen=True)
class OutputFunction:
    """``f = expression`` of scalars: of readouts, of averages over sites, of known numbers.

    Attributes
    ----------
    share
        The softmax over outputs that it is a function of, if there is one.
    inner
        What that acts on, as a function of readouts.
    """

    expression: sp.Expr
    arguments: Arguments
    share: Compute | None = None
    inner: OutputFunction | None = None

    @property
    def traced(self) -> OutputFunction:
        """What reverse mode starts from: the function, or what the softmax acts on."""
        return self if self.inner is None else self.inner

    @property
    def scalars(self) -> list[Scalar]:
        """Of what it is a function, the softmax and what that acts on included."""
        found = [ref.scalar for part in (self, self.traced) for _, ref in part.arguments]
        return found if self.share is None else [*found, self.share.target.scalar]

    def slopes(self) -> dict[ScalarRef, tuple[sp.Expr, Arguments]]:
        """Derivatives by the arguments, and what their symbols stand for; zeros are left out."""
        found = {}
        for symbol, ref in self.arguments:
            slope = differentiate(self.expression, symbol)
            if slope != 0 and not ref.scalar.data:
                found[ref] = slope, tuple((s, r) for s, r in self.arguments if s in slope.free_symbols)
        return found

    def pulled_back(self, error: ScalarRef) -> tuple[ScalarRef, list[Statement]]:
        """Minus the derivative of the loss by `traced`, from that by the outputs, and statements that compute it.

        Of ``p = softmax(s)`` it is ``Delta_s = p (Delta_p - sum_c p_c Delta_p,c)``.
        """
        if self.share is None:
            return error, []
        made: list[Statement] = []
        outer, share, mean = (sp.Symbol(name, real=True) for name in ("outer", "share", "mean"))
        ((_, (slope, arguments)),) = self.slopes().items()
        before = error
        if slope != 1:
            before = _like(error, "Delta_share")
            made.append(Compute(before, slope * outer, (*arguments, (outer, error))))
        total, found = _like(error, "Delta_mean", without=True), _like(error, "Delta_scores")
        pairs: Arguments = ((outer, before), (share, self.share.target))
        made.append(Compute(total, share * outer, pairs, over=(OUTPUT,)))
        made.append(Compute(found, share * (outer - mean), (*pairs, (mean, total))))
        return found, made


def _like(ref: ScalarRef, name: str, *, without: bool = False) -> ScalarRef:
    """A scalar with the labels of another one, perhaps but for that of the outputs."""
    axes = tuple(label for label in ref.axes if label != OUTPUT or not without)
    return ScalarRef(Scalar(name, axes))


def output_function(value: Mean, statements: Sequence[Statement], raw: Mapping[ScalarRef, Readout]) -> OutputFunction:
    """The function of readouts and averages that a forward pass returned, from what it recorded.

    Raises
    ------
    ProgramError
        If an output would have no readout in it, has another label, or if outputs meet other than by one softmax.
    """
    computes = {s.target: s for _, s in walk(statements) if isinstance(s, Compute)}
    whole = _inlined(value, computes)
    for label in dict.fromkeys(label for _, ref in whole.arguments for label in ref.axes):
        if label.name not in ("sample", OUTPUT.name):
            raise ProgramError(f"the outputs carry {label}: sum over it, net.sum(f, over={label})")
    shares = [computes[ref] for _, ref in whole.arguments if ref in computes]
    if shares:
        others = [ref for _, ref in whole.arguments if ref != shares[0].target and not ref.scalar.data]
        if others or shares[0].along != OUTPUT or shares[0].over:
            raise ProgramError(
                "a softmax over outputs: allowed is that of one sum of readouts, and functions of it alone, as outputs"
            )
        ((symbol, scores),) = shares[0].arguments
        inner = _inlined(Mean(value.tracer, symbol, ((symbol, scores),)), computes)
        if any(ref in computes for _, ref in inner.arguments):
            raise ProgramError("a softmax of a softmax over outputs: allowed is one of readouts")
        whole = replace(whole, share=shares[0], inner=inner)
    if not any(ref in raw for _, ref in whole.traced.arguments):
        raise ProgramError("the forward pass returned no function of readouts: allowed is one of net.readout(...)")
    return whole


def _inlined(value: Mean, computes: Mapping[ScalarRef, Compute]) -> OutputFunction:
    """A scalar as a function of what is not computed from scalars; a softmax, and a sum, are such."""
    expression, arguments = value.expression, dict(value.arguments)
    while True:
        found = ((symbol, computes[ref]) for symbol, ref in arguments.items() if ref in computes)
        symbol, inner = next(((s, c) for s, c in found if not c.over and not c.expression.has(SOFTMAX)), (None, None))
        if symbol is None or inner is None:
            return OutputFunction(expression, tuple(arguments.items()))
        del arguments[symbol]
        expression = expression.xreplace({symbol: inner.expression})
        arguments |= dict(inner.arguments)


def without_unused(statements: Sequence[Statement], output: OutputFunction) -> tuple[Statement, ...]:
    """The statements without functions of scalars, and readouts, that nothing reads."""
    kept = list(statements)
    wanted = set(output.scalars)
    while True:
        read = wanted | {ref.scalar for _, s in walk(kept) for ref in reads(s) if isinstance(ref, ScalarRef)}
        left = [s for s in kept if not isinstance(s, Compute | Average) or s.target.scalar in read]
        if len(left) == len(kept):
            return tuple(kept)
        kept = left
