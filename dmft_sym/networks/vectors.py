"""Traced vectors and weights: what a forward pass combines with ``+``, ``-``, ``*``, ``@`` and site-wise functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NoReturn, Protocol

import sympy as sp

from dmft_sym.program import (
    Field,
    FieldRef,
    GaussianMatrix,
    Linear,
    MatrixRef,
    ProgramError,
    SiteFunction,
    Space,
)

from .coefficients import Number, number
from .matrix_sums import Combined
from .scalars import UFUNCS, Mean

_INSTEAD = {
    "where": "net.apply(lambda h: sympy.Piecewise((h, h > 0), (0, True)), h)",
    "clip": "net.apply(lambda h: sympy.Max(-1, sympy.Min(1, h)), h)",
    "dot": "W @ h, or an average over sites, net.mean(name, lambda a, b: a * b, u, v)",
    **dict.fromkeys(("sum", "mean"), "net.mean(name, lambda h: h, h), an average over sites"),
    **dict.fromkeys(("std", "var"), "net.mean(name, lambda h, m: (h - m)**2, h, m), m another average"),
}
"""What is written instead of functions of NumPy."""


class _NoExpressionError(ProgramError, sp.SympifyError):
    """A vector is no expression: a number of SymPy leaves its product with one to the vector."""

    def __str__(self) -> str:
        return str(self.args[0])


class Recorder(Protocol):
    """Records what is done to vectors: the forward pass of a network, or a function of its matrices."""

    def as_field(self, vector: Vector) -> FieldRef:
        """The vector as a field that a matrix can act on."""

    def assign(self, name: str | Member, vector: Vector) -> Vector:
        """Name a vector."""

    def apply(self, function: Callable[..., object], *arguments: Vector | Mean) -> Vector:
        """A site-wise function of vectors."""

    def multiply(self, ref: MatrixRef, transposed: bool, vector: Vector) -> Vector:
        """A matrix, or its transpose, times a vector."""


class Copy(Protocol):
    """A copy of a label."""

    def taken(self, vector: Vector) -> Vector:
        """A vector at its values."""


@dataclass(frozen=True)
class Vector:
    """A traced vector: a linear combination of named fields and products, or a site-wise function of fields.

    Attributes
    ----------
    combination
        The linear combination; empty for a site-wise function.
    function
        The site-wise function; it becomes a named field where anything else than naming is done to it.
    """

    tracer: Recorder
    combination: Linear
    space: Space
    function: SiteFunction | None = None

    @property
    def value(self) -> Linear:
        """The vector as a linear combination (of one named field, for a site-wise function)."""
        if self.function is None:
            return self.combination
        return Linear.of(self.tracer.as_field(self))

    def __add__(self, other: Vector | Mean) -> Vector:
        if isinstance(other, VectorFamily):
            return NotImplemented
        if isinstance(other, Mean):
            return self.tracer.apply(lambda a, b: a + b, self, other)
        if not isinstance(other, Vector):
            return self._refused("a vector plus a number")
        if other.space != self.space:
            raise ProgramError(f"({self.value}) + ({other.value}): spaces {self.space} and {other.space} differ")
        return Vector(self.tracer, self.value + other.value, self.space)

    def __radd__(self, other: object) -> Vector:
        if isinstance(other, Mean):
            return self + other
        return self if other == 0 else self._refused("a number plus a vector")  # sum([a, b]) starts from 0

    def __rsub__(self, other: object) -> Vector:
        if isinstance(other, Mean):
            return -self + other
        return self._refused("a number minus a vector")

    def __pow__(self, power: object) -> Vector:
        return self._refused("a power of a vector", f"lambda h: h**{power}")

    def __rpow__(self, base: object) -> Vector:
        return self._refused("a power with a vector in its exponent", f"lambda h: {base}**h")

    def __abs__(self) -> Vector:
        return self._refused("abs of a vector", '"abs"')

    def __rtruediv__(self, other: object) -> Vector:
        return self._refused("a number divided by a vector")

    def _refused(self, what: str, function: str = "lambda h: ...") -> NoReturn:
        raise ProgramError(f"{what}: functions of sites are written net.apply({function}, vector)")

    def __matmul__(self, other: object) -> object:
        if isinstance(other, Combined | VectorFamily):
            return NotImplemented
        raise ProgramError(
            'h @ h: the product of two vectors is an average over sites, net.mean("m", lambda a, b: a * b, u, v), or '
            "site by site u * v; matrices are applied by W @ h"
        )

    def _compared(self, other: object) -> NoReturn:
        raise ProgramError(
            "a condition on a traced vector, which has no values: functions with cases are written "
            'net.apply("relu", h), or net.apply(lambda h: sympy.Piecewise((h, h > 0), (0, True)), h)'
        )

    __lt__ = __le__ = __gt__ = __ge__ = _compared

    def __bool__(self) -> bool:
        self._compared(None)

    def __float__(self) -> float:
        raise ProgramError(
            'a function of one number of a traced vector: allowed are np.tanh(h) and the like, and net.apply("tanh", h)'
        )

    def __call__(self, *arguments: object) -> NoReturn:
        raise ProgramError("a traced vector is no function; a further input of the samples is net.given(name)")

    def __iter__(self) -> NoReturn:
        raise ProgramError("the sites of a traced vector: their number goes to infinity; averages are net.mean(...)")

    def _sympy_(self) -> NoReturn:
        raise _NoExpressionError("a SymPy function of a traced vector: allowed is net.apply(sympy.tanh, h)")

    def __array__(self, *_: object, **__: object) -> NoReturn:
        raise ProgramError(
            "an array of a traced vector, which has no values: allowed are np.tanh(h), net.apply, net.mean"
        )

    def __array_function__(self, function: object, *_: object) -> NoReturn:
        name = getattr(function, "__name__", "function")
        written = _INSTEAD.get(name, "net.apply(lambda h: ..., h), or an average, net.mean(name, lambda h: ..., h)")
        raise ProgramError(f"numpy.{name} of a traced vector: allowed is {written}")

    def __getattr__(self, name: str) -> NoReturn:
        hint = "" if name.startswith("_") else "; functions of sites are net.apply(function, h), averages net.mean(...)"
        raise AttributeError(f"a traced vector has no {name}{hint}")

    def __str__(self) -> str:
        return str(self.combination if self.function is None else self.function)

    def __array_ufunc__(self, function: object, _: str, *inputs: object, **__: object) -> Vector:
        # Without this, NumPy would take a traced vector for an object and fail somewhere else.
        name = getattr(function, "__name__", "function")
        if name == "multiply" and len(inputs) == 2 and not isinstance(inputs[0], Vector):
            return self * inputs[0]  # a number of NumPy times a vector
        if name in UFUNCS and len(inputs) == 1:
            return self.tracer.apply(UFUNCS[name], self)
        if name == "matmul":
            raise ProgramError("an array @ h: matrices are declared, net.matrix(name, source, target) @ h")
        if name in ("greater", "less", "greater_equal", "less_equal"):
            self._compared(None)
        known = ", ".join(sorted(UFUNCS))
        raise ProgramError(
            f"numpy.{name} of a traced vector: allowed are {known}; others are written net.apply(function, vector)"
        )

    def __mul__(self, factor: Number | Vector | Mean) -> Vector:
        if isinstance(factor, VectorFamily):
            return NotImplemented
        if isinstance(factor, Combined):
            raise ProgramError(f"h * {factor}: a matrix is applied to a vector by {factor} @ h")
        if isinstance(factor, Vector | Mean):
            return self.tracer.apply(lambda a, b: a * b, self, factor)
        return Vector(self.tracer, self.value.scaled(number(factor)), self.space)

    def __rmul__(self, factor: Number | Mean) -> Vector:
        return self * factor

    def __truediv__(self, factor: Number | Mean) -> Vector:
        if isinstance(factor, Mean):
            return self.tracer.apply(lambda a, b: a / b, self, factor)
        if isinstance(factor, Vector):
            raise ProgramError(
                "a vector divided by a vector: allowed is a function that is finite for all real numbers, such as "
                "net.apply(lambda a, b: a / (1 + b**2), u, v)"
            )
        return self * (1 / number(factor))

    def __neg__(self) -> Vector:
        return self * -1

    def __sub__(self, other: Vector | Mean) -> Vector:
        return self + (-other)

    def __getitem__(self, layer: object) -> Vector:
        raise ProgramError(
            f"{self.value}[{layer}]: a vector has no layer index; a family of trained vectors is "
            "net.vector(name, space, layers=(first, last))"
        )

    def at(self, label: Copy) -> Vector:
        """The vectors at the values of another copy of a label: ``k.at(other)`` is ``k_j`` where ``k`` is ``k_i``.

        ``other = token.copy()`` is such a copy of ``token = net.label("token", 3)``.
        """
        if not hasattr(label, "taken"):
            raise ProgramError(f".at({label!r}): allowed is a copy of a label, other = token.copy()")
        return label.taken(self)

    def named(self, name: str | Member) -> Vector:
        """Give the vector a name in the printed equations: a text, or the member of a family of fields."""
        return self.tracer.assign(name, self)


@dataclass(frozen=True)
class Member:
    """One member of a family of fields."""

    ref: FieldRef


@dataclass(frozen=True)
class Family:
    """Fields with a layer label; ``family[l]`` is passed to `Vector.named`."""

    field: Field

    def __getitem__(self, layer: Number) -> Member:
        return Member(FieldRef(self.field, number(layer)))


def _sides(matrix: GaussianMatrix, transposed: bool) -> tuple[Space, Space]:
    """The space that a matrix, or its transpose, takes, and the one of the result."""
    return (matrix.target, matrix.source) if transposed else (matrix.source, matrix.target)


@dataclass(frozen=True)
class Weights(Combined):
    """A trainable Gaussian matrix: ``W @ h``, its transpose ``W.T @ g``, and members ``W[l]`` of a family.

    Attributes
    ----------
    transposed
        Whether this is the transpose ``W.T``, which shares the entries (and their training) of ``W``.
    """

    tracer: Recorder
    matrix: GaussianMatrix
    transposed: bool = False

    @property
    def sides(self) -> tuple[Space, Space]:
        """The space that it takes, and the one of the result."""
        return _sides(self.matrix, self.transposed)

    def __str__(self) -> str:
        return f"{self.matrix}{'.T' if self.transposed else ''}"

    @property
    def T(self) -> Weights:
        """The transpose; that of a family has the transposes of its members."""
        return replace(self, transposed=not self.transposed)

    def __getitem__(self, layer: Number) -> WeightsMember:
        if self.matrix.layers is None:
            raise ProgramError(
                f"{self.matrix}[{layer}]: matrix {self.matrix} has no layer index; write {self.matrix} @ h, or declare "
                f"a family, net.matrix({self.matrix.name!r}, ..., layers=(first, last))"
            )
        return WeightsMember(self.tracer, MatrixRef(self.matrix, sp.sympify(layer, strict=True)), self.transposed)

    def __matmul__(self, vector: Vector) -> Vector:
        if self.matrix.layers is not None:
            raise ProgramError(
                f"{self.matrix} @ h: matrix {self.matrix} needs a layer index, as it is a family with the layers "
                f"{self.matrix.layers}; write {self.matrix}[l] @ h in a scan over these"
            )
        return WeightsMember(self.tracer, MatrixRef(self.matrix), self.transposed) @ vector


@dataclass(frozen=True)
class WeightsMember(Combined):
    """One matrix of a family, or a matrix that is no family, or the transpose of either."""

    tracer: Recorder
    ref: MatrixRef
    transposed: bool = False

    @property
    def sides(self) -> tuple[Space, Space]:
        """The space that it takes, and the one of the result."""
        return _sides(self.ref.matrix, self.transposed)

    def __str__(self) -> str:
        return f"{self.ref}{'.T' if self.transposed else ''}"

    @property
    def T(self) -> WeightsMember:
        """The transpose."""
        return replace(self, transposed=not self.transposed)

    def __matmul__(self, vector: Vector) -> Vector:
        if isinstance(vector, Combined):
            raise ProgramError(
                f"{self} @ {vector}: products of matrices are applied one by one, {self} @ ({vector} @ h)"
            )
        return self.tracer.multiply(self.ref, self.transposed, vector)


@dataclass(frozen=True)
class VectorFamily:
    """Trained vectors with a layer label: ``b[l]`` is a vector of the scan over the layers."""

    weights: Weights
    one: Vector

    __array_ufunc__ = None

    def __getitem__(self, layer: Number) -> Vector:
        return self.weights[layer] @ self.one

    def _refused(self, *_: object) -> NoReturn:
        name, layers = self.weights.matrix, self.weights.matrix.layers
        raise ProgramError(
            f"{name}: vector {name} needs a layer index, as it is a family with the layers {layers}; write {name}[l] "
            f"in a scan over these"
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __matmul__ = __rmatmul__ = __neg__ = _refused
