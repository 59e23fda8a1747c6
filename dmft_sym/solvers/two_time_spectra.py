"""Outliers of hidden matrices on given samples from derived equations: spike conditions on averages of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from dmft_sym.derivation.symbols import Correlation, ScalarAt
from dmft_sym.program import OUTPUT, SAMPLE, TIME
from dmft_sym.spectra.equations.bulk_equations import BulkResponse
from dmft_sym.spectra.equations.site_group import RETENTION
from dmft_sym.spectra.equations.symbolic import symbolic_spikes
from dmft_sym.spectra.march.lowered_spikes import LoweredSpikes, outliers_above
from dmft_sym.spectra.measured.sampled_outliers import MarchenkoPastur

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem

Array = NDArray[Any]


class TwoTimeAverages:
    """Averages of a run before a step, by the SymPy functions that they are.

    Parameters
    ----------
    module
        The generated solver.
    fields, run
        Its fields by name, and what it returned.
    step
        Number of past steps that are looked at.
    """

    def __init__(self, module: Any, fields: Mapping[str, Any], run: Mapping[str, Any], step: int) -> None:
        self.module, self.fields, self.run, self.step = module, fields, run, step

    def __call__(self, point: sp.Expr) -> Array:
        """A correlation, a response or a scalar at given layers; an axis for every other label."""
        if isinstance(point, ScalarAt):
            return self._with_labels(self._member(self.run["scalars"][point.name], point)[: self.step], [point.slots])
        a, b = point.ends
        if isinstance(point, Correlation):
            one, other = (self._member(self.fields[end.func.__name__], end) for end in (a, b))
            found = self._correlation(one, other)
        else:
            found = self.run["responses"][f"{a.func.__name__}, {b.func.__name__}"]
            layers = tuple(int(end.layer) for end in (a, b) if end.layer is not None)
            found = found if not layers else found[layers if len(layers) > 1 else layers[0]]
            found = found[: self.step, :, :, : self.step]
        return self._with_labels(found, [a.slots, b.slots])

    @staticmethod
    def _member(family: Any, end: Any) -> Any:
        return family if end.layer is None else family[int(end.layer)]

    def _correlation(self, one: Any, other: Any) -> Array:
        """Row by row: a row of either field has its correlations with all steps before."""
        shapes = [field.values.shape[1:3] for field in (one, other)]
        found = np.zeros((self.step, *shapes[0], self.step, *shapes[1]))
        for t in range(self.step):
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
    if averages.step == 0:  # nothing is learned yet
        return np.zeros(0), bulk
    recursion = problem.program.optimizer.numbers(lambda expression, _: float(sp.sympify(expression).subs(values)))
    step, retention = averages.step, float(recursion.retention(averages.step))
    spikes = symbolic_spikes(problem, name)
    scaled = bulk.scaled(retention)
    samples, outputs = averages.run["scalars"]["f"].shape[1:]
    sizes = {TIME: step, SAMPLE: samples, OUTPUT: outputs}
    lowered = LoweredSpikes(
        spikes.items,
        lambda symbol: next((n for label, n in sizes.items() if _runs_over(symbol, label)), step),
        {symbol: int(value) for symbol, value in values.items() if symbol.is_integer},
        {**values, RETENTION: retention},
        averages,
        recursion.kernel(step)[:0:-1],
    )

    def resolvent(response: BulkResponse, z: float) -> float:
        of_source, of_target = scaled.resolvents(z)
        return of_source if response.ends[0][0] == spikes.source else of_target

    return outliers_above(scaled.edge, lambda z: lowered.matrix(z, resolvent)), scaled


def _runs_over(symbol: sp.Symbol, label: Any) -> bool:
    """Whether a symbol is a value of a label, at any place."""
    return symbol in (label.symbol, label.other) or symbol.name.startswith(f"{label.symbol.name}_")
