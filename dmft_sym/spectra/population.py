"""Bulk of a matrix that learns with extensive rank between frozen ones, at any step: Silverstein's equation.

With a frozen readout ``V`` weights are ``W(t) = B1 W(0) + B2 Theta*``, and ``B1``, ``B2`` are functions of ``V^T V``
and ``V``. Along each singular direction of ``V`` training is that of a network with one hidden unit and one output,
with the singular value as its readout; two numbers, the coefficients of ``W(0)`` and of ``Theta*``, are its weights.
Given ``V``, ``W W^T`` is a sample covariance whose population spectrum is the sum of their squares, and ``V^T V`` has
the law of Marchenko and Pastur (docs/extensive.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy as sp

from dmft_sym.execution.evaluate import Evaluator
from dmft_sym.execution.polynomial import MapEvaluator, fields_of_inputs
from dmft_sym.support.array_types import Array, Floats
from dmft_sym.support.outcomes import DIVERGENCE

from .frozen import Frozen
from .numerics.sample_covariance import SampleCovariance, marchenko_pastur

_NODES = 256
_FINE = 4001  # points on which the largest and smallest eigenvalue of the population are looked for


@dataclass(frozen=True)
class PopulationRun:
    """Training between frozen matrices, at given values of the symbols.

    Attributes
    ----------
    steps
        Number of steps.
    """

    frozen: Frozen
    values: Mapping[sp.Symbol, float]
    steps: int

    @cached_property
    def _numbers(self) -> tuple[float, float, float, float, float]:
        """Variances of the three matrices, ``C/N`` and ``N/D``."""
        number = Evaluator(self.values)
        f = self.frozen
        expressions = (f.trained.variance, f.teacher.variance, f.readout.variance, f.readout.aspect, f.trained.aspect)
        first, second, third, fourth, fifth = (number(e, f.trained) for e in expressions)
        return first, second, third, fourth, fifth

    @cached_property
    def _law(self) -> tuple[Floats, Floats]:
        """Eigenvalues of ``V^T V`` with their weights, the atom at zero last."""
        _, _, variance, ratio, _ = self._numbers
        at, weights = marchenko_pastur(ratio, _NODES)
        return variance * at, weights

    @cached_property
    def _track(self) -> list[dict[str, Array]]:
        return self.frozen.directions(self.values, self._law[0], self.steps)

    @cached_property
    def losses(self) -> dict[str, Floats]:
        """What the program observes at every step: means over inputs and outputs."""
        first, second, _, ratio, _ = self._numbers
        weights = self._law[1] / ratio
        weights[-1] = max(0.0, 1 - 1 / ratio)  # outputs that the readout does not reach; V^T V counts hidden units
        names = [observed.name for observed in self.frozen.program.observables]
        found = np.zeros((len(names), self.steps))
        evaluator = MapEvaluator(Evaluator(self.values))
        for step, matrices in enumerate(self._track[: self.steps]):
            fields = fields_of_inputs(self.frozen.program, evaluator, matrices)
            for row, observed in zip(found, self.frozen.program.observables, strict=True):
                for coefficient, a, b in observed.terms:
                    products = (fields[a] * fields[b])[..., 0] @ np.array([first, second])
                    row[step] += float(coefficient) * float(weights @ products)
        return dict(zip(names, found, strict=True))

    @property
    def completed(self) -> int:
        """Number of steps before training diverged."""
        losses = np.array(list(self.losses.values()))
        good = (np.isfinite(losses) & (losses <= DIVERGENCE * (losses[:, :1].max() or 1.0))).all(axis=0)
        return self.steps if good.all() else int(np.argmin(good))

    def bulk(self, step: int) -> SampleCovariance:
        """The singular values before the update of a step."""
        first, second, variance, ratio, aspect = self._numbers
        weights = self._law[1]

        def population(matrices: Mapping[str, Array]) -> Floats:
            weights = matrices[self.frozen.trained.name][:, 0, :]
            return np.asarray(weights**2 @ np.array([first, second]))

        low, high = variance * (1 - np.sqrt(ratio)) ** 2, variance * (1 + np.sqrt(ratio)) ** 2
        fine = np.linspace(low, high, _FINE)
        continuum = population(self.frozen.directions(self.values, fine, step)[step])
        intervals = [(float(continuum.min()), float(continuum.max()))]
        found = population(self._track[step])
        if weights[-1] > 0:
            intervals.append((float(found[-1]), float(found[-1])))
        return SampleCovariance(found, weights, intervals, aspect)
