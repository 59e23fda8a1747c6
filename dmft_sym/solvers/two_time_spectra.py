"""Outliers of hidden matrices on given samples from derived equations: spike conditions on averages of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.derivation.symbols import Correlation
from dmft_sym.program import OUTPUT, SAMPLE, TIME
from dmft_sym.spectra.equations.symbolic import joint_derivation
from dmft_sym.spectra.march.averages import Averages
from dmft_sym.spectra.march.bulk import BulkOfEquations
from dmft_sym.spectra.march.lowering import Place
from dmft_sym.spectra.march.matrix_of_run import MatrixOfRun
from dmft_sym.spectra.march.outliers import outliers
from dmft_sym.spectra.matrices.class_numbers import Kind
from dmft_sym.spectra.measured.sampled_outliers import MarchenkoPastur

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class TwoTimeAverages:
    """Where averages of a run before a step are.

    Parameters
    ----------
    module
        The generated solver.
    fields, run
        Its fields by name, and what it returned.
    step
        Number of past steps that are looked at.
    """

    module: Any
    fields: Mapping[str, Any]
    run: Mapping[str, Any]
    step: int


class SampleAverages(Averages):
    """Averages of a run before a step, by the SymPy functions that they are.

    Parameters
    ----------
    problem
        What was trained.
    values
        Of the parameters of the program.
    found
        Where the averages are.
    """

    def __init__(self, problem: Problem, values: Mapping[sp.Symbol, float], found: TwoTimeAverages) -> None:
        super().__init__(problem.program.optimizer, values, found.step)
        self.module, self.fields, self.run = found.module, found.fields, found.run
        samples, outputs = found.run["scalars"]["f"].shape[1:]
        self.sizes = {SAMPLE.name: samples, OUTPUT.name: outputs}

    def two_time(self, place: Place, kind: Kind = None) -> Array:
        """See `Averages.two_time`."""
        (a, first), (b, second) = place.ends
        if issubclass(place.function, Correlation):
            one, other = (self._member(self.fields[end.__name__], layer) for end, layer in ((a, first), (b, second)))
            found = self._correlation(one, other)
        else:
            found = self.run["responses"][f"{a.__name__}, {b.__name__}"]
            layers = tuple(layer for layer in (first, second) if layer is not None)
            found = found if not layers else found[layers if len(layers) > 1 else layers[0]]
            found = found[: self.steps, :, :, : self.steps]
        return self._with_labels(found, [a.slots, b.slots])

    def scalar(self, place: Place) -> Array:
        """See `Averages.scalar`."""
        layer = place.layers[0] if place.layers else None
        found = self._member(self.run["scalars"][place.function.__name__], layer)
        return self._with_labels(found[: self.steps], [place.function.slots])

    def equal_time(self, point: sp.Expr, step: int) -> float:
        """See `Averages.equal_time`."""
        raise ValueError(f"{point}: weight matrices have no coefficients that depend on the step")

    def size(self, thing: Any, layer: int | None) -> Array:
        """One, for all: there are few unknowns."""
        slots = [slot for slot in (SAMPLE.name, OUTPUT.name) if slot in thing.slots]
        return np.ones((self.steps, *(self.sizes[slot] for slot in slots)))

    @staticmethod
    def _member(family: Any, layer: int | None) -> Any:
        return family if layer is None else family[layer]

    def _correlation(self, one: Any, other: Any) -> Array:
        """Row by row: a row of either field has its correlations with all steps before."""
        shapes = [field.values.shape[1:3] for field in (one, other)]
        found = np.zeros((self.steps, *shapes[0], self.steps, *shapes[1]))
        for t in range(self.steps):
            found[t, :, :, : t + 1] = self.module.overlap(one, other, t)[:, :, : t + 1]
            back = self.module.overlap(other, one, t)[:, :, : t + 1]
            found[: t + 1, :, :, t] = np.transpose(back, (2, 3, 4, 0, 1))
        return found

    @staticmethod
    def _with_labels(values: Array, slots: list[tuple[str, ...]]) -> Array:
        """Without the axes of length one that stand for labels which a thing does not have."""
        kept = [
            slice(None) if name in found else 0 for found in slots for name in (TIME.name, SAMPLE.name, OUTPUT.name)
        ]
        return np.asarray(values[tuple(kept)])


def outliers_of_equations(
    problem: Problem, name: str, averages: TwoTimeAverages, values: Mapping[sp.Symbol, float], bulk: MarchenkoPastur
) -> tuple[Array, MarchenkoPastur]:
    """Outliers of a weight matrix, descending, with multiplicity; and its bulk.

    Parameters
    ----------
    name
        ``"W1"``.
    averages
        Of training before the step that is looked at.
    values
        Of the parameters of the program.
    bulk
        The initial bulk.
    """
    step = averages.step
    if step == 0:  # nothing is learned yet
        return np.zeros(0), bulk
    matrix = MatrixOfRun(problem, joint_derivation(problem, name), SampleAverages(problem, values, averages))
    found = outliers(matrix.at(step).matrix, BulkOfEquations(matrix.dyson(step), name))
    return found.values, bulk.scaled(float(matrix.averages.recursion.retention(step)))
