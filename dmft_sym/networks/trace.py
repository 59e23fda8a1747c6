"""Tracing: a forward pass written in Python becomes statements of the program language.

The user's function receives a `Tracer` and the traced input, builds matrices and combines vectors with ``+``,
``-``, ``*`` and ``@``, and returns the sum of its readouts. Nothing is computed.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, cast, overload

import sympy as sp

from dmft_sym.program import (
    DEPTH,
    Assign,
    Field,
    FieldRef,
    ForLayers,
    GaussianMatrix,
    LayerRange,
    Linear,
    MatrixRef,
    Product,
    ProgramError,
    RandomVector,
    Space,
    Statement,
)
from dmft_sym.program.declarations import check_name

from .parameters import INIT_VARIANCE, NU, Parameter

Scalar: TypeAlias = sp.Expr | int | float
# Fields, matrices and vectors that the training program adds around the forward pass.
_DATA_NAMES = frozenset({"v", "Delta", "r", "X", "betastar", "eps"})


@dataclass(frozen=True)
class Vector:
    """A traced vector: a linear combination of named fields and matrix-vector products."""

    tracer: Tracer
    value: Linear
    space: Space

    def __add__(self, other: Vector) -> Vector:
        if not isinstance(other, Vector):
            return NotImplemented
        if other.space != self.space:
            raise ProgramError(f"({self.value}) + ({other.value}): spaces {self.space} and {other.space} differ")
        return Vector(self.tracer, self.value + other.value, self.space)

    def __radd__(self, other: object) -> Vector:
        return self if other == 0 else NotImplemented  # sum([a, b]) starts from 0

    def __array_ufunc__(self, function: object, _: str, *inputs: object, **__: object) -> Vector:
        # Without this, NumPy would take a traced vector for an object and fail somewhere else.
        name = getattr(function, "__name__", "function")
        if name == "multiply" and len(inputs) == 2 and not isinstance(inputs[0], Vector):
            return self * inputs[0]  # a number of NumPy times a vector
        raise ProgramError(f"numpy.{name} of a traced vector: nonlinear functions are not part of the language yet")

    def __mul__(self, factor: Scalar) -> Vector:
        return Vector(self.tracer, self.value.scaled(_scalar(factor)), self.space)

    __rmul__ = __mul__

    def __truediv__(self, factor: Scalar) -> Vector:
        return self * (1 / _scalar(factor))

    def __neg__(self) -> Vector:
        return self * -1

    def __sub__(self, other: Vector) -> Vector:
        return self + (-other)

    def named(self, name: str) -> Vector:
        """Give the vector a name in the printed equations."""
        return self.tracer.assign(name, self)


@dataclass(frozen=True)
class Weights:
    """A trainable Gaussian matrix; ``W @ h`` applies it, ``W[l]`` picks the member of a family."""

    tracer: Tracer
    matrix: GaussianMatrix

    def __getitem__(self, layer: Scalar) -> _Member:
        return _Member(self.tracer, MatrixRef(self.matrix, sp.sympify(layer, strict=True)))

    def __matmul__(self, vector: Vector) -> Vector:
        return _Member(self.tracer, MatrixRef(self.matrix)) @ vector


@dataclass(frozen=True)
class _Member:
    tracer: Tracer
    ref: MatrixRef

    def __matmul__(self, vector: Vector) -> Vector:
        self.tracer.check_layers(self.ref)
        operand = self.tracer.as_field(vector)
        product = Product(self.ref, operand)
        return Vector(self.tracer, Linear.of(product), product.space)


@dataclass(frozen=True)
class Readout:
    """``w . h`` for a trained vector ``w`` (one per output)."""

    coefficient: sp.Expr
    vector: RandomVector
    field: FieldRef


@dataclass(frozen=True)
class Outputs:
    """The network function: a sum of readouts."""

    readouts: tuple[Readout, ...]

    def __add__(self, other: Outputs) -> Outputs:
        if not isinstance(other, Outputs):
            return NotImplemented
        return Outputs(self.readouts + other.readouts)

    def __mul__(self, factor: Scalar) -> Outputs:
        return Outputs(tuple(Readout(_scalar(factor) * r.coefficient, r.vector, r.field) for r in self.readouts))

    __rmul__ = __mul__

    def __truediv__(self, factor: Scalar) -> Outputs:
        return self * (1 / _scalar(factor))

    def __sub__(self, other: Outputs) -> Outputs:
        return self + (-1) * other


@dataclass(frozen=True)
class Trace:
    """A traced forward pass.

    Parameters
    ----------
    statements
        ``Assign`` and ``ForLayers`` in the order of the forward pass.
    input
        The field that stands for a sample (or, by linearity, for a combination of samples).
    parameters
        Run-time parameters that the forward pass introduced.
    frozen
        Names of matrices and readouts that are not trained.
    """

    statements: tuple[Statement, ...]
    input: FieldRef
    readouts: tuple[Readout, ...]
    parameters: tuple[Parameter, ...]
    frozen: frozenset[str] = frozenset()


class Tracer:
    """Records a forward pass; handed to it as its first argument.

    Attributes
    ----------
    inputs : Space
        The space ``D`` of the input.
    depth : sympy.Symbol
        The number ``L`` of hidden layers, an integer symbol whose value is a run-time argument.
    """

    def __init__(self) -> None:
        self.inputs = Space("D", sp.Integer(1))
        self.depth = DEPTH
        self._input = FieldRef(Field("v", self.inputs))
        self._blocks: list[list[Statement]] = [[]]
        self._parameters: list[Parameter] = []
        self._frozen: set[str] = set()
        self._names: dict[str, object] = {"v": self._input.field}
        self._scan_index: list[tuple[sp.Symbol, LayerRange]] = []

    @property
    def input(self) -> Vector:
        """The traced sample."""
        return Vector(self, Linear.of(self._input), self.inputs)

    def hidden(self, name: str, width: Scalar = 1) -> Space:
        """A hidden space of ``width * nu * D`` sites."""
        factor = _scalar(width)
        if not factor.is_positive and not factor.free_symbols:
            raise ProgramError(f"space {name}: width {width}: allowed is a number > 0")
        return self._declare(Space(name, factor * NU))

    def matrix(
        self,
        name: str,
        source: Space,
        target: Space,
        *,
        layers: tuple[Scalar, Scalar] | None = None,
        init: Scalar = 1,
        train: bool = True,
    ) -> Weights:
        """A matrix ``source -> target`` with entries ``N(0, init^2 init_std^2 / n_source)``.

        ``layers=(first, last)`` makes it a family of independent matrices, to be indexed in a scan;
        ``train=False`` keeps it at its initial value.
        """
        for side in (source, target):
            if not isinstance(side, Space):
                raise ProgramError(f"matrix {name}: a matrix goes from a space to a space, got {type(side).__name__}")
        family = None if layers is None else _layer_range(f"matrix {name}", layers)
        variance = _scalar(init) ** 2 * INIT_VARIANCE
        if not train:
            self._frozen.add(name)
        return Weights(self, self._declare(GaussianMatrix(name, source, target, variance, family)))

    def parameter(self, name: str, default: float | None = None) -> sp.Symbol:
        """A real run-time parameter of the forward pass, passed by keyword to the solver."""
        symbol = sp.Symbol(check_name(name), real=True)
        low = -float("inf")
        self._declare_parameter(Parameter(symbol, name, "of the forward pass", low=low, default=default))
        return symbol

    @overload
    def scan(
        self, body: Callable[..., Vector], carry: Vector, *, layers: tuple[Scalar, Scalar], name: str = "h"
    ) -> Vector: ...

    @overload
    def scan(
        self,
        body: Callable[..., tuple[Vector, ...]],
        carry: tuple[Vector, ...],
        *,
        layers: tuple[Scalar, Scalar],
        name: tuple[str, ...],
    ) -> tuple[Vector, ...]: ...

    def scan(
        self,
        body: Callable[..., Vector | tuple[Vector, ...]],
        carry: Vector | tuple[Vector, ...],
        *,
        layers: tuple[Scalar, Scalar],
        name: str | tuple[str, ...] = "h",
    ) -> Vector | tuple[Vector, ...]:
        """``h[first] = carry``, ``h[l+1] = body(l, h[l])`` for ``l = first..last``; returns ``h[last+1]``.

        The number of layers may be symbolic (``net.depth``); the body is traced once. With a tuple of carries (and of
        names) the body is called as ``body(l, a[l], b[l], ...)`` and returns as many vectors.
        """
        if isinstance(carry, Vector):
            (last,) = self._scan(lambda *args: (cast(Vector, body(*args)),), (carry,), layers, (str(name),))
            return last
        names = (name,) if isinstance(name, str) else tuple(name)
        return self._scan(lambda *args: tuple(cast(tuple[Vector, ...], body(*args))), tuple(carry), layers, names)

    def _scan(
        self,
        body: Callable[..., tuple[Vector, ...]],
        carries: tuple[Vector, ...],
        layers: tuple[Scalar, Scalar],
        names: tuple[str, ...],
    ) -> tuple[Vector, ...]:
        label = ", ".join(names)
        span = _layer_range(f"scan {label}", layers)
        index = sp.Symbol("l", integer=True, positive=True)
        if self._scan_index:
            raise ProgramError(f"scan {label}: a scan inside a scan is not supported; write the inner one out")
        if len(names) != len(carries):
            raise ProgramError(f"scan {label}: {len(carries)} carries need as many names")
        families = [
            self._declare(Field(name, carry.space, LayerRange(span.start, span.stop + 1)))
            for name, carry in zip(names, carries, strict=True)
        ]
        for family, carry in zip(families, carries, strict=True):
            self._emit(Assign(FieldRef(family, span.start), carry.value))
        self._blocks.append([])
        self._scan_index.append((index, span))
        results = body(index, *(self._member(family, index) for family in families))
        if len(results) != len(carries):
            raise ProgramError(f"scan {label}: the body returned {len(results)} vectors for {len(carries)} carries")
        for family, result in zip(families, results, strict=True):
            self._emit(Assign(FieldRef(family, index + 1), self._checked(label, family, result).value))
        self._scan_index.pop()
        self._emit(ForLayers(index, span, tuple(self._blocks.pop())))
        return tuple(self._member(family, span.stop + 1) for family in families)

    def _member(self, family: Field, layer: sp.Expr) -> Vector:
        return Vector(self, Linear.of(FieldRef(family, layer)), family.space)

    @staticmethod
    def _checked(label: str, family: Field, result: Vector) -> Vector:
        """The next value of a carry, if it is a vector of the carry's space."""
        if not isinstance(result, Vector):
            raise ProgramError(f"scan {label}: the body must return traced vectors, got {type(result).__name__}")
        if result.space != family.space:
            raise ProgramError(f"scan {label}: the carry lives in {family.space}, its next value in {result.space}")
        return result

    def readout(self, name: str, vector: Vector, *, init: Scalar = 1, train: bool = True) -> Outputs:
        """The outputs ``gamma_N^{-1} n^{-1/2} w . vector``, sites of ``w`` ``N(0, init^2 init_std^2)``.

        ``train=False`` keeps ``w`` at its initial value.
        """
        if self._scan_index:
            raise ProgramError(f"readout {name}: readouts stand outside of scans")
        weights = self._declare(RandomVector(name, vector.space, _scalar(init) ** 2 * INIT_VARIANCE))
        if not train:
            self._frozen.add(name)
        return Outputs((Readout(sp.Integer(1), weights, self.as_field(vector)),))

    def as_field(self, vector: Vector) -> FieldRef:
        """The vector as a named field (matrices and updates act on fields)."""
        if not isinstance(vector, Vector):
            raise ProgramError(f"expected a traced vector, got {type(vector).__name__}")
        if len(vector.value.terms) == 1:
            coefficient, atom = vector.value.terms[0]
            if coefficient == 1 and isinstance(atom, FieldRef):
                return atom
        number = 1
        while f"h{number}" in self._names:
            number += 1
        return self._assign(f"h{number}", vector)

    def check_layers(self, ref: MatrixRef) -> None:
        """A member of a family is used inside a scan over the layers of the family, and with the scan's index."""
        family = ref.matrix.layers
        if family is None:
            return
        if not self._scan_index:
            raise ProgramError(f"{ref}: a matrix family is used inside a scan over its layers")
        index, span = self._scan_index[-1]
        if ref.layer != index:
            raise ProgramError(f"{ref}: inside the scan over {index} a family is indexed by {index} itself")
        if any(sp.expand(a - b) != 0 for a, b in ((family.start, span.start), (family.stop, span.stop))):
            raise ProgramError(f"{ref}: the scan runs over the layers {span}, but the family {ref.matrix} has {family}")

    def assign(self, name: str, vector: Vector) -> Vector:
        """Name a vector; see `Vector.named`."""
        return Vector(self, Linear.of(self._assign(name, vector)), vector.space)

    def _assign(self, name: str, vector: Vector) -> FieldRef:
        layers = self._scan_index[-1][1] if self._scan_index else None
        field = self._declare(Field(name, vector.space, layers))
        ref = FieldRef(field, self._scan_index[-1][0] if self._scan_index else None)
        self._emit(Assign(ref, vector.value))
        return ref

    def _emit(self, statement: Statement) -> None:
        self._blocks[-1].append(statement)

    def _declare(self, thing):  # type: ignore[no-untyped-def]
        if thing.name in _DATA_NAMES:
            taken = ", ".join(sorted(_DATA_NAMES))
            raise ProgramError(f"the name {thing.name} is taken by the data; the names {taken} are not free")
        if thing.name in self._names:
            raise ProgramError(f"the name {thing.name} is used for two different things")
        self._names[thing.name] = thing
        return thing

    def _declare_parameter(self, parameter: Parameter) -> None:
        if any(known.keyword == parameter.keyword for known in self._parameters):
            raise ProgramError(f"parameter {parameter.keyword} is declared twice")
        self._parameters.append(parameter)

    def finish(self, outputs: Outputs) -> Trace:
        """Close the trace with what the forward pass returned."""
        if not isinstance(outputs, Outputs) or not outputs.readouts:
            raise ProgramError("the forward pass must return net.readout(...), or a sum of readouts")
        return Trace(
            tuple(self._blocks[0]), self._input, outputs.readouts, tuple(self._parameters), frozenset(self._frozen)
        )


def trace(forward: Callable[[Tracer, Vector], Outputs]) -> Trace:
    """Run ``forward`` on traced vectors and return its statements."""
    tracer = Tracer()
    return tracer.finish(forward(tracer, tracer.input))


def _scalar(value: Scalar) -> sp.Expr:
    if isinstance(value, float):
        value = sp.nsimplify(value, rational=True)
    elif isinstance(value, numbers.Integral):
        value = sp.Integer(int(value))
    elif not isinstance(value, sp.Expr):
        raise ProgramError(f"a coefficient must be a number or a SymPy expression, got {type(value).__name__}")
    if value.has(sp.nan, sp.oo, -sp.oo, sp.zoo) or value.is_real is False:
        raise ProgramError(f"a coefficient must be real and finite, got {value}")
    return value


def _layer_range(what: str, layers: tuple[Scalar, Scalar]) -> LayerRange:
    first, last = (_scalar(end) for end in layers)
    for end in (first, last):
        if not end.is_integer:
            raise ProgramError(f"{what}: layers {end}: allowed are integers, net.depth, and sums of them")
    return LayerRange(first, last)
