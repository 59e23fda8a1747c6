"""Spectra along training from two-time matrices: bulk, outliers with overlaps, densities, sharpness.

The order parameters of a march are put into the Dyson equation and the spike condition that the derivation gives for a
matrix. The same numbers follow from growing coordinates (`dmft_sym.spectra.coordinates`), without the derivation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.program import FieldRef, RandomVector
from dmft_sym.spectra.equations.symbolic import joint_derivation
from dmft_sym.spectra.matrices.matrix_program import MatrixProgram
from dmft_sym.spectra.methods import DEPENDENCE
from dmft_sym.support.array_types import Floats
from dmft_sym.support.outcomes import Failure, SpectrumError

from .bulk import BulkOfEquations
from .dyson import DysonOfEquations
from .level_one import TwoTime
from .march_averages import MarchAverages
from .matrix_of_run import MatrixOfRun
from .outliers import OutlierValues, outliers
from .overlaps import Direction, OutlierVectors
from .spike_matrix import SpikeMatrix

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem


@dataclass(frozen=True, eq=False)
class TwoTimeSpectrum:
    """The spectrum of a matrix before the update of a step.

    Attributes
    ----------
    bulk
        The bulk, with densities and intervals.
    """

    matrix: MatrixOfRun
    averages: MarchAverages
    step: int
    bulk: BulkOfEquations

    @property
    def edge(self) -> float:
        """Upper edge of the bulk."""
        return self.bulk.upper_edge

    @cached_property
    def system(self) -> SpikeMatrix:
        """``J(z)``."""
        return self.matrix.at(self.step).matrix

    @cached_property
    def found(self) -> OutlierValues:
        """Outliers, with the edge."""
        return outliers(self.system, self.bulk)

    @property
    def outliers(self) -> Floats:
        """Outliers above the edge, descending, with multiplicity."""
        return self.found.values

    @property
    def leading(self) -> float:
        """The largest outlier, or the edge if there is none: the sharpness, if the matrix is the NTK."""
        return float(self.outliers[0]) if len(self.outliers) else self.edge

    def density(self, x: NDArray[np.floating[Any]]) -> Floats:
        """Density of the bulk; see `BulkOfEquations.density`."""
        return self.bulk.density(x)

    def overlap(self, side: str, field: str) -> Floats:
        """``|cos|`` between the vectors of every outlier and a field of training, shape (outliers, steps).

        Fields at the step of the spectrum and at all steps before it, in order; one column for a random vector.

        Parameters
        ----------
        side
            Input of the matrix program: ``"a"`` right, ``"b"`` left singular vectors, ``"p"`` eigenvectors of the NTK.
        field
            A field (``"h[1]"``, ``"v"``), or a random vector that is not trained (``"betastar"``).

        Raises
        ------
        ValueError
            If there is no such input or field, naming what is allowed.
        """
        start = self._input(side)
        direction = self._direction(field, start)
        copies = self.matrix.copies
        place = self.matrix.level_two.fields.index(start)
        rows = []
        for vectors in self._vectors:
            rows += [vectors.overlap(place, direction)] * copies
        return np.array(rows).reshape(len(self.outliers), len(direction.norm))

    @cached_property
    def _vectors(self) -> list[OutlierVectors]:
        """Of every outlier, those of copies once."""
        spikes = self.matrix.at(self.step, self.step + 1)
        return [OutlierVectors(spikes, self.bulk, float(value)) for value in self.outliers[:: self.matrix.copies]]

    def directions(self) -> list[tuple[str, str]]:
        """Pairs of a side and a field or vector in its space, of which `overlap` knows."""
        known = {side: self._known(start) for side, start in self._inputs().items()}
        return (
            []
            if self.matrix.fresh
            else [(side, name) for side, names in known.items() for part in names for name in part]
        )

    def _known(self, start: FieldRef) -> tuple[dict[str, FieldRef], dict[str, RandomVector]]:
        """Fields and static random vectors of the space of an input, by name."""
        program, run = self.averages.run.theory.program, self.averages.run
        fields: dict[str, FieldRef] = {}
        for field in program.fields:
            layers = [None] if field.layers is None else list(field.layers.at(run.integers))
            for layer in layers:
                ref = FieldRef(field) if layer is None else FieldRef(field, layer)
                if field.space == start.space:
                    fields[str(ref)] = ref
        static = [v for v in program.vectors if not v.fresh and v not in program.learned]
        return fields, {v.name: v for v in static if v.space == start.space}

    def _inputs(self) -> dict[str, FieldRef]:
        return {left.field.name: left for left, _ in self.matrix.level_two.matrix.pairs}

    def _input(self, side: str) -> FieldRef:
        inputs = self._inputs()
        if side not in inputs:
            raise ValueError(f"side = {side!r}: allowed are {', '.join(sorted(inputs))}")
        return inputs[side]

    def _direction(self, name: str, start: FieldRef) -> Direction:
        if self.matrix.fresh:
            raise ValueError(
                f"field = {name!r}: {self.matrix.fresh[0]} is drawn anew at every step, and the two-time matrices do "
                f"not know its overlaps with the {self.matrix.joint.matrix.name}"
            )
        fields, vectors = self._known(start)
        known: dict[str, FieldRef | RandomVector] = {**vectors, **fields}
        if name in known:
            return Direction(self.matrix, self.averages, known[name], self.step + 1)
        raise ValueError(f"field = {name!r}: allowed next to {start} are {', '.join([*fields, *vectors])}")


class TwoTimeSpectra:
    """Spectra of the matrices of one training run.

    Parameters
    ----------
    theory
        Whose equations were marched.
    raw
        What the generated march returned.
    values, outputs, steps
        Value of every symbol, number of outputs, number of steps that were asked for.
    data
        Numbers of the classes of sites; empty without classes.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> from dmft_sym.solvers.spectrum_routes import two_time_spectra
    >>> run = two_time_spectra(
    ...     ds.derive(ds.deep_linear(2)), steps=60, backend="numpy", samples_per_dim=4, width_per_dim=1, richness=8,
    ...     learning_rate=0.004, label_noise=0.3,
    ... )
    >>> run.at("W1", 59).outliers.round(6)
    array([2.222795])
    """

    def __init__(
        self,
        theory: Problem,
        raw: Mapping[str, Any],
        values: Mapping[sp.Symbol, float],
        outputs: int,
        steps: int,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        self.theory = theory
        self.steps = steps
        self.run = TwoTime(theory, raw, values, outputs, data)
        self.averages = MarchAverages(self.run)
        self._matrices: dict[object, MatrixOfRun] = {}
        self._bulks: dict[object, BulkOfEquations] = {}

    def at(self, matrix: str | MatrixProgram, step: int, dependence: str = "joint") -> TwoTimeSpectrum:
        """The spectrum of a matrix before the update of a step.

        Parameters
        ----------
        matrix
            ``"W0"``, ``"W1"``, ``"NTK"``, or a matrix made by `dmft_sym.operator`.
        dependence
            ``"joint"``, or ``"independent"`` for the classical condition.

        Raises
        ------
        ProgramError
            If there is no such matrix at this depth.
        ValueError
            If the run has no such step.
        SpectrumError
            If the run diverged before it.
        """
        found = self._matrix(matrix, dependence)
        if isinstance(step, bool) or not isinstance(step, int | np.integer) or not 0 <= step < self.steps:
            raise ValueError(f"spectrum step = {step!r}: allowed are steps of the run, 0 to {self.steps - 1}")
        if step >= self.run.steps:
            raise SpectrumError(Failure.DIVERGED_BEFORE, f"{found.joint.matrix.name} at step {step}")
        return TwoTimeSpectrum(found, self.averages, int(step), self._bulk(found, int(step)))

    def _matrix(self, matrix: str | MatrixProgram, dependence: str) -> MatrixOfRun:
        if dependence not in DEPENDENCE:
            raise ValueError(f"dependence = {dependence!r}: allowed are {', '.join(DEPENDENCE)}")
        key = matrix, dependence
        if key not in self._matrices:
            joint = joint_derivation(self.theory, matrix)
            self._matrices[key] = MatrixOfRun(self.theory, joint, self.averages, dependence, self.run.outputs)
        return self._matrices[key]

    def _bulk(self, matrix: MatrixOfRun, step: int) -> BulkOfEquations:
        """The bulk, computed once for Dyson equations with the same numbers (a weight matrix without decay)."""
        dyson = matrix.dyson(step)
        key = _numbers(dyson)
        if key not in self._bulks:
            self._bulks[key] = BulkOfEquations(dyson, f"{matrix.joint.matrix.name} at step {step}")
        return self._bulks[key]


def _numbers(dyson: DysonOfEquations) -> tuple[object, ...]:
    arrays = (dyson.eigen, dyson.local, dyson.equation, dyson.field, dyson.row, dyson.source, dyson.coefficient)
    more = () if dyson.sums is None else (dyson.sums.of_entry, dyson.sums.of_loop, dyson.sums.share)
    return (*(array.tobytes() for array in (*arrays, *more)), dyson.probe, dyson.folded)
