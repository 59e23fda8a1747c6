"""Two-time matrices of a training run, by field and Gaussian field at integer layers.

Every program is invariant under rotations of its outputs, so that all order parameters are diagonal in the output label
and equal for all outputs; one output stands for all of them. The run is checked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import sympy as sp

from dmft_sym.derivation.arrays import OrderParameter
from dmft_sym.derivation.processes import Member, Process, process_of
from dmft_sym.derivation.single_site import Noise
from dmft_sym.derivation.uses import Use
from dmft_sym.execution.evaluate import Evaluator
from dmft_sym.program import Field, FieldRef, LayerRange, RandomVector
from dmft_sym.spectra.matrices.class_numbers import ClassNumbers, Kind
from dmft_sym.spectra.matrices.equal_time import EqualTime
from dmft_sym.support.array_types import Floats

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

Layer: TypeAlias = int | None
_Key: TypeAlias = tuple[str, Field, Layer, Member, Layer]
"""Kind, row and column of an order parameter, with their layers."""
# Blocks between different outputs are exact zeros in the equations; a run in float64 keeps them.
_OUTPUT_TOLERANCE = 1e-9


class TwoTime:
    """Order parameters of a run, one output.

    Parameters
    ----------
    theory
        Whose closed equations were marched.
    raw
        What the generated march returned (`Solver.raw`).
    values
        Of the symbols of the program.
    outputs
        Number ``C`` of outputs of the run.
    data
        Numbers of the classes of sites; empty without classes.

    Attributes
    ----------
    steps : int
        Number of steps ``T`` of the run.
    """

    def __init__(
        self,
        theory: Problem,
        raw: Mapping[str, Any],
        values: Mapping[sp.Symbol, float],
        outputs: int,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        self.theory = theory
        self.outputs = outputs
        self.values = dict(values)
        self.steps = int(raw["steps"])
        self.evaluate = Evaluator(values)
        self.classes = ClassNumbers({name: (data or {})[name] for name in theory.program.class_values})
        self.integers = {s: int(v) for s, v in values.items() if s.is_integer}
        self._raw = raw
        self._where = {key: place for array in theory.closed.arrays for key, place in self._places(array)}
        self._cache: dict[tuple[_Key, Kind], Floats] = {}

    def response(self, row: FieldRef, noise: Noise, layer: Layer, kind: Kind = None) -> Floats | None:
        """``R[t, s] = <d row(t) / d noise(s)>``, shape (T, T), or (T, 1) for one draw; ``None`` if always zero.

        At the sites of a class, or the average over all sites.
        """
        return self._block(("R", row.field, _layer(row), noise, layer), kind)

    def correlation(self, a: FieldRef, b: FieldRef, kind: Kind = None) -> Floats | None:
        """``C[t, s] = <a(t) b(s)>``, shape (T, T); ``None`` if the fields are independent.

        At the sites of a class, or the average over all sites.
        """
        key: _Key = ("C", a.field, _layer(a), b.field, _layer(b))
        if key in self._where or (key, kind) in self._cache:
            return self._block(key, kind)
        process = process_of(self.theory.processes, a)
        if b.field not in process.shift:
            return None
        found = self._from_responses(a, b, kind)
        if found is not None:
            self._cache[key, kind] = found
        return found

    def with_vector(self, field: FieldRef, vector: RandomVector, kind: Kind = None) -> Floats | None:
        """``<field(t) vector>`` of a vector that is drawn once, shape (T, 1); ``None`` if it is always zero."""
        if kind is None and vector.space.classes is not None:
            return self._averaged(vector, lambda one: self.with_vector(field, vector, one))
        response = self.response(field, Noise(vector), None, kind)
        return None if response is None else self.variance(vector, kind) * response

    def variance(self, vector: RandomVector, kind: Kind = None) -> float:
        """Of a site of a random vector, of a class or on average."""
        if kind is None and vector.space.classes is not None:
            return sum(share * self.variance(vector, one) for one, share in self.classes.kinds(vector.space))
        return self.evaluate(self.classes.at(vector.variance, kind), vector.name)

    def _averaged(self, member: FieldRef | RandomVector, value: Callable[[int], Floats | None]) -> Floats | None:
        """The average of what differs from class to class of the space of something."""
        parts = [(share, value(kind)) for kind, share in self.classes.kinds(member.space)]
        known = [share * part for share, part in parts if part is not None]
        return np.sum(known, axis=0) if known else None

    def equal_time(self, correlation: EqualTime, step: int) -> float:
        """``<a(t) b(t)>`` of one output."""
        a, b = correlation.fields(self.theory.program)
        found = self.correlation(a, b)
        return 0.0 if found is None else float(found[step, step])

    def scalar(self, name: str) -> Floats:
        """A scalar without labels at every step, shape (T,)."""
        return np.asarray(self._raw[name], dtype=float)[: self.steps]

    def noises_of(self, ref: FieldRef) -> Iterator[tuple[Noise, Layer]]:
        """Gaussian fields that a field responds to."""
        for kind, row, layer, column, column_layer in self._where:
            if kind == "R" and (row, layer) == (ref.field, _layer(ref)) and isinstance(column, Noise):
                yield column, column_layer

    def _from_responses(self, a: FieldRef, b: FieldRef, kind: Kind) -> Floats | None:
        """``sum R[a, n] <n n'> R[b, n']^T``: the march keeps only the correlations that it needs itself."""
        if kind is None and a.space.classes is not None:
            return self._averaged(a, lambda one: self.correlation(a, b, one))
        total: Floats | None = None
        for first, first_layer in self.noises_of(a):
            for second, second_layer in self.noises_of(b):
                covariance = self._covariance(first, first_layer, second, second_layer, kind)
                one, other = self.response(a, first, first_layer, kind), self.response(b, second, second_layer, kind)
                if covariance is not None and one is not None and other is not None:
                    part = one @ covariance @ other.T
                    total = part if total is None else total + part
        return total

    def _covariance(self, a: Noise, layer_a: Layer, b: Noise, layer_b: Layer, kind: Kind) -> Floats | None:
        coefficient = self.theory.site_builder.noise_covariance(a, b, None if layer_a is None else sp.Integer(layer_a))
        if coefficient is None:
            return None
        scale = self.evaluate(self.classes.at(coefficient, kind), f"<{a.name} {b.name}>")
        if not (isinstance(a.source, Use) and isinstance(b.source, Use)):
            return scale * np.eye(1 if a.static else self.steps)
        if a.source.family and layer_a != layer_b:
            return None
        first, second = (
            n.source.operand_at(None if layer is None else sp.Integer(layer))  # type: ignore[union-attr]
            for n, layer in ((a, layer_a), (b, layer_b))
        )
        found = self.correlation(first, second)
        if found is None:
            return None
        return scale * (found * np.eye(self.steps) if a.fresh else found)

    def _block(self, key: _Key, kind: Kind) -> Floats | None:
        if (key, kind) not in self._cache:
            if key not in self._where:
                return None
            array, index = self._where[key]
            values = np.asarray(self._raw[array.name], dtype=float)
            if array.classes is not None:
                values = self.classes.average(array.classes, values) if kind is None else values[kind]
            self._cache[key, kind] = self._one_output(values[index])
        return self._cache[key, kind]

    def _one_output(self, array: Floats) -> Floats:
        count = self.outputs
        rows, columns = (size // count for size in array.shape)
        blocks = array.reshape(rows, count, columns, count)[: self.steps]
        first = blocks[:, 0, :, 0]
        if count > 1:
            mixed = np.abs(blocks - first[:, None, :, None] * np.eye(count)[None, :, None, :]).max(initial=0)
            if mixed > _OUTPUT_TOLERANCE * np.abs(first).max(initial=1e-300):
                raise ValueError("order parameters: the outputs of the run are not equivalent; rotate them first")
        return np.ascontiguousarray(first if columns == 1 else first[:, : self.steps])

    def _places(self, array: OrderParameter) -> Iterator[tuple[_Key, tuple[OrderParameter, tuple[int, ...]]]]:
        process = process_of(self.theory.processes, array.row)
        for index, row, column in self._layers(array, process):
            yield (array.kind, array.row, row, array.column, column), (array, index)

    def _layers(self, array: OrderParameter, process: Process) -> Iterator[tuple[tuple[int, ...], Layer, Layer]]:
        """Index, layer of the row and layer of the column of every matrix of an array."""

        def numbers(layers: LayerRange) -> range:
            return layers.at(self.integers)

        def number(layer: sp.Expr | None) -> Layer:
            return None if layer is None else int(layer.subs(self.integers))

        rows, columns = array.row_layers, array.column_layers
        if rows is not None and columns is not None:
            yield from (((i, j), a, b) for i, a in enumerate(numbers(rows)) for j, b in enumerate(numbers(columns)))
        elif rows is not None:
            for i, row in enumerate(numbers(rows)):
                yield (i,), row, None if array.offset is None else number(row + array.offset)
        elif columns is not None:
            for j, column in enumerate(numbers(columns)):
                yield (j,), None, column
        else:
            first = None if array.row.layers is None else process.partner_layer(array.column, None, array.row)
            second = None if array.column.layers is None else process.partner_layer(array.row, None, array.column)
            yield (), number(first), number(second)


def _layer(ref: FieldRef) -> Layer:
    return None if ref.layer is None else int(ref.layer)
