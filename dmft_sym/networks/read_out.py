"""Readouts while a forward pass is recorded: of given inputs, and those of which functions are taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import sympy as sp

from dmft_sym.program import (
    OUTPUT,
    Assign,
    Field,
    FieldRef,
    GaussianMatrix,
    Linear,
    MatrixRef,
    Product,
    ProgramError,
    Scalar,
    ScalarRef,
    Space,
)

from .outputs import Outputs, Readout
from .parameters import GAMMA
from .parametrization import Scalings
from .recorded_scalars import RecordedScalars
from .scalars import Mean
from .vectors import Vector


class ReadOut:
    """What readouts need beside a vector and a field.

    Parameters
    ----------
    tracer
        Where it is recorded.
    frozen
        Names of what is not trained, to which matrices of inputs are added.

    Attributes
    ----------
    raw
        Readouts of which functions are taken, by the scalars that stand for them.
    """

    def __init__(self, tracer: RecordedScalars, frozen: set[str]) -> None:
        self._tracer, self._frozen = tracer, frozen
        self._read: dict[FieldRef, FieldRef] = {}  # given inputs that are read out
        self.raw: dict[ScalarRef, Readout] = {}

    def of_inputs(self, vector: Vector) -> Vector:
        """Given inputs as vectors of a space of their own, in which overlaps are the same: a readout can act there."""
        total, space = Linear(), vector.space
        for coefficient, atom in vector.value.terms:
            if not isinstance(atom, FieldRef) or not atom.field.data:
                raise ProgramError(f"a readout of {vector.value}: allowed are given inputs and multiples of them")
            if atom not in self._read:
                name, tail = atom.field.name, "" if atom == self._tracer._input else f"_{atom.field.name}"
                space = self._tracer._declare(Space(self._tracer._unused(f"D{tail}_read"), self._tracer.setting.width))
                kept = GaussianMatrix(self._tracer._unused(f"I_{name}"), vector.space, space, isometric=True)
                product = Product(MatrixRef(self._tracer._declare(kept)), atom)
                field = Field(self._tracer._unused(f"{name}_read"), space, axes=self._tracer._axes(atom.axes))
                self._read[atom] = FieldRef(self._tracer._declare(field))
                self._frozen.add(kept.name)
                self._tracer._blocks[0].append(Assign(self._read[atom], Linear.of(product)))
            total, space = total + Linear.of(self._read[atom], coefficient), self._read[atom].space
        return Vector(self._tracer, total, space)

    def scalar_of(self, outputs: Outputs) -> Mean:
        """Readouts as scalars, added up; each is an average from now on."""
        if not self._tracer.setting.nonlinear:
            raise ProgramError(
                "a function of outputs needs given samples, ds.derive(network, data=ds.Samples(inputs, targets)); "
                "allowed in the proportional regime are sums of readouts, and multiples of them"
            )
        total: Any = 0
        for readout in outputs.readouts:
            total = self._scalar_of(readout) + total
        return cast(Mean, total)

    def _scalar_of(self, readout: Readout) -> Mean:
        """``f_w``, times 0 or 1 where other outputs do not have it."""
        name, unit = readout.vector.name, replace(readout, coefficient=sp.Integer(1))
        ref = next((ref for ref, known in self.raw.items() if known == unit), None)
        if ref is None:
            ref = ScalarRef(
                self._tracer._declare(Scalar(self._tracer._unused(f"f_{name}"), self._tracer._axes((OUTPUT,))))
            )
            self.raw[ref] = unit
            self._tracer._emit(unit.average(ref, Scalings(GAMMA, self._tracer.setting.width)))
        found = Mean.of(self._tracer, ref) * readout.coefficient
        return found if readout.outputs is None else found * self._head(readout)

    def _head(self, readout: Readout) -> Mean:
        """1 for the outputs that have a readout, 0 for others."""
        name, served, count = f"head_{readout.vector.name}", readout.outputs or (), self._tracer.setting.outputs
        if name in self._tracer._names:
            return Mean.of(self._tracer, ScalarRef(cast(Scalar, self._tracer._names[name])))
        if count is None:
            raise ProgramError(f"readout {readout.vector.name}: the number of outputs is not known")
        values = np.array([float(number in served) for number in range(count)])
        return self._tracer.given_scalar(name, (OUTPUT,), values)
