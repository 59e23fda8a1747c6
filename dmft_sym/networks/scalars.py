"""Traced scalars: averages over sites, known numbers with labels, and functions of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import sympy as sp

from dmft_sym.program import Axes, ProgramError, ScalarRef

from .coefficients import Number, number

UFUNCS: Mapping[str, type[sp.Function]] = {
    "tanh": sp.tanh,
    "sin": sp.sin,
    "cos": sp.cos,
    "exp": sp.exp,
    "sinh": sp.sinh,
    "cosh": sp.cosh,
    "arctan": sp.atan,
    "absolute": sp.Abs,
}
"""Functions of NumPy that may be taken of traced vectors and scalars."""


class ScalarRecorder(Protocol):
    """Records what is done to scalars."""

    def as_scalar(self, mean: Mean) -> ScalarRef:
        """The scalar as one that has a name."""

    def apply(self, function: Callable[..., object], *arguments: Any) -> Any:
        """A function of vectors or scalars."""


@dataclass(frozen=True)
class Mean:
    """An average over the sites of a space, or a function of such; see `Tracer.mean`.

    Numbers and other scalars are added to it and multiplied with it, as are vectors; other functions are written
    ``net.apply(lambda s: ..., scalar)``.

    Attributes
    ----------
    arguments
        What the symbols of the expression stand for.
    """

    tracer: ScalarRecorder
    expression: sp.Expr
    arguments: tuple[tuple[sp.Symbol, ScalarRef], ...]

    @staticmethod
    def of(tracer: ScalarRecorder, ref: ScalarRef) -> Mean:
        """A scalar that has a name."""
        symbol = sp.Symbol(ref.scalar.name, real=True)
        return Mean(tracer, symbol, ((symbol, ref),))

    @property
    def ref(self) -> ScalarRef:
        """The scalar of the program; a function of scalars becomes one."""
        return self.tracer.as_scalar(self)

    @property
    def only(self) -> ScalarRef | None:
        """The scalar, if it is no function of scalars."""
        return self.arguments[0][1] if self.expression.is_Symbol and self.arguments else None

    @property
    def axes(self) -> Axes:
        """Labels of the arguments, each once."""
        return tuple(dict.fromkeys(label for _, ref in self.arguments for label in ref.axes))

    def __add__(self, other: Mean | Number) -> Mean:
        return self._with(other, lambda a, b: a + b)

    def __sub__(self, other: Mean | Number) -> Mean:
        return self._with(other, lambda a, b: a - b)

    def __rsub__(self, other: Mean | Number) -> Mean:
        return self._with(other, lambda a, b: b - a)

    def __mul__(self, other: Mean | Number) -> Mean:
        return self._with(other, lambda a, b: a * b)

    def __truediv__(self, other: Mean | Number) -> Mean:
        return self._with(other, lambda a, b: a / b)

    def __rtruediv__(self, other: Mean | Number) -> Mean:
        return self._with(other, lambda a, b: b / a)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Mean:
        return self * -1

    def __pow__(self, power: Number) -> Mean:
        return self._with(power, lambda a, b: a**b)

    def __array_ufunc__(self, function: object, _: str, *inputs: object, **__: object) -> Mean:
        # Without this, NumPy would take a traced scalar for an object and fail somewhere else.
        name = getattr(function, "__name__", "function")
        if name == "multiply" and len(inputs) == 2 and not isinstance(inputs[0], Mean):
            return self * inputs[0]  # a number of NumPy
        if name in UFUNCS and len(inputs) == 1:
            return cast(Mean, self.tracer.apply(UFUNCS[name], self))
        raise ProgramError(f"numpy.{name} of a traced scalar: functions are written net.apply(lambda s: ..., scalar)")

    def _with(self, other: Any, combined: Callable[[sp.Expr, sp.Expr], sp.Expr]) -> Mean:
        """A function of this and another scalar, or a number; vectors do what they do with scalars."""
        other = getattr(other, "scalar", other)  # outputs
        if isinstance(other, Mean):
            arguments = tuple(dict.fromkeys((*self.arguments, *other.arguments)))
            return Mean(self.tracer, combined(self.expression, other.expression), arguments)
        if hasattr(other, "space"):
            return NotImplemented
        return Mean(self.tracer, combined(self.expression, number(other)), self.arguments)
