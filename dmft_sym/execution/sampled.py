"""The infinite network of a nonlinear program on sampled sites: a network of width ``S`` whose matrices are not stored.

Plain NumPy, one replica: the judge of the generated solver, which does the same in the same order.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dmft_sym.program import Recursion
from dmft_sym.support.errors import ExecutionError

from .conditioning import ConditionedMatrix, ImagedDirections
from .half_streams import Seed, SiteDraws, Stream, stream_beside
from .inputs import input_coordinates, isometric_columns
from .interface import Array, taken
from .plan import Combine, Evaluation, LearnMatrix, Multiply, Plan
from .sampled_view import MatrixView, SampledView
from .site_arithmetic import ArithmeticOnSites

CANCELLED = 2.0**-43
"""Sums and averages below this fraction of their terms are rounding noise, and zero.

Symmetric pairs of sites cancel averages at the first step, and branches that start equal cancel sums. What is left is
some 1e-16 of the terms, another number on another machine, and the fields made of it have no scale but their own:
they would open directions, whose images are drawn at random.
"""


class InputWeights:
    """A Gaussian matrix from the given inputs: its columns in coordinates of the inputs, stored.

    Attributes
    ----------
    columns, trained : ndarray, shape (rank of the inputs, sites)
    memory : ndarray, shape (rank of the inputs, sites), or None
        That of the optimizer, if it has one.
    """

    def __init__(self, columns: Array, recursion: Recursion) -> None:
        self.columns, self.recursion = columns, recursion
        self.trained = np.zeros_like(columns)
        self.memory = np.zeros_like(columns) if recursion.has_memory else None
        self.retention = 1.0

    @property
    def current(self) -> Array:
        """The present columns, shape (rank of the inputs, sites)."""
        return np.asarray(self.retention * self.columns + self.trained)

    def times(self, inputs: Array) -> Array:
        """``W`` times every row of ``inputs``, shape (rows, sites)."""
        return np.asarray(inputs @ self.current)

    def learn(self, left: Array, right: Array) -> None:
        """One step of the optimizer with the increment ``sum_i left_i right_i^T``."""
        self.retention *= self.recursion.keep
        increment = right.T @ left
        self.recursion.update(self.trained, self.memory, lambda total: np.add(total, increment, out=total))


class SampledSites(ArithmeticOnSites):
    """One replica of the infinite network.

    Parameters
    ----------
    sites
        Number ``S`` of sites of every space, even.
    stream
        Source of random numbers.
    tol
        ImagedDirections shorter than this, in units of the largest norm that a field has had, are dropped.
    antithetic
        Sites ``i`` and ``i + S/2`` share the Gaussian fields of forward products, and have opposite ones of transposed
        products and of random vectors. The law of both sets together is that of the first, the second negated.
    """

    def __init__(
        self, plan: Plan, dtype: type, sites: int, stream: Stream, tol: float, antithetic: bool = True
    ) -> None:
        super().__init__(plan, dtype)
        self.sites = sites
        self._draws = SiteDraws(stream, sites, antithetic)
        self.values = [
            np.zeros((rows, 0 if plan.sectors[sector].finite else sites), self.dtype)
            for rows, sector in zip(self.slot_rows, self.slot_sectors, strict=True)
        ]
        for slot, given in plan.data.items():
            self.values[slot] = input_coordinates(given)
        self._scales2 = [np.zeros(rows) for rows in plan.rows]
        # Of operands of this step, coefficients and overlaps of rests.
        self._known: dict[tuple[int, bool, int], tuple[Array, Array]] = {}
        ranks = {plan.slots[slot]: self.values[slot].shape[1] for slot in plan.data}
        self.input_weights: dict[int, InputWeights] = {}
        self.matrices: dict[int, ConditionedMatrix] = {}
        for number, spec in enumerate(plan.matrices):
            std, recursion = math.sqrt(spec.variance), plan.recursion if spec.learned else Recursion()
            if spec.isometric:
                columns = isometric_columns(ranks[spec.source], sites)
                self.input_weights[number] = InputWeights(columns, recursion)
                continue
            if plan.sectors[spec.source].finite:
                drawn = [std * self._draws(True) for _ in range(ranks[spec.source])]
                self.input_weights[number] = InputWeights(np.array(drawn).reshape(-1, sites), recursion)
                continue
            forward = ImagedDirections(sites, sites, std, lambda: self._draws(True), self.dtype)
            back = math.sqrt(spec.variance * spec.inverse_aspect)
            backward = ImagedDirections(sites, sites, back, lambda: self._draws(False), self.dtype)
            self.matrices[number] = ConditionedMatrix(spec, forward, backward, tol, recursion)
        if any(sector.shares is not None for sector in plan.sectors):
            raise ExecutionError("classes of sites: allowed are coordinates, exact = true, where a program is linear")
        for vector in plan.vectors:
            for row in self.values[vector.slot]:
                row[:] = math.sqrt(vector.variance) * self._draws(False)

    def begin_step(self) -> None:
        """Forget the coefficients of the last step's operands."""
        self._known.clear()

    def multiply(self, product: Multiply, target: int) -> None:
        """A product with a matrix, which is conditioned on it if it is new."""
        if product.matrix in self.input_weights:
            result = self.input_weights[product.matrix].times(self.values[product.operand])
        else:
            matrix = self.matrices[product.matrix]
            known = self._coefficients(product.matrix, product.operand, product.transpose)
            result = matrix.times(*known, product.transpose)
        self.values[target] += product.coefficient * taken(result, product.rows)

    def _coefficients(self, number: int, slot: int, transpose: bool) -> tuple[Array, Array]:
        """Coefficients of a field and overlaps of its rest (`ConditionedMatrix`); zeros for what was opened since."""
        key = (number, transpose, slot)
        matrix = self.matrices[number]
        if key not in self._known:
            fields, scales2 = self.values[slot], self._scales2[slot]
            np.maximum(scales2, np.einsum("ki,ki->k", fields, fields) / self.sites, out=scales2)
            self._known[key] = matrix.coefficients(fields, scales2, transpose)
        found = zip(self._known[key], matrix.sides(transpose), strict=True)
        along, overlaps = (np.pad(rows, ((0, 0), (0, side.count - rows.shape[1]))) for rows, side in found)
        return along, overlaps

    def combine(self, statement: Combine) -> None:
        """A sum of fields and products; zero where it cancels to rounding (`CANCELLED`)."""
        out = self.values[statement.target]
        out.fill(0)
        largest = norms = np.zeros(len(out))
        for part in statement.parts:
            if isinstance(part, Multiply):
                self.multiply(part, statement.target)
            else:
                coefficient, slot, rows = part
                out += coefficient * taken(self.values[slot], rows)
            norms = np.einsum("ki,ki->k", out, out)
            largest = np.maximum(largest, norms)
        out[norms < CANCELLED**2 * largest] = 0

    def mean(self, value: Evaluation, labels: int) -> Array:
        """Means over the sites, shape (labels,); zero where they cancel to rounding (`CANCELLED`)."""
        values = self.evaluated(value)
        means, sizes = values.mean(axis=1), np.abs(values).mean(axis=1)
        return np.where(np.abs(means) < CANCELLED * sizes, 0, means)

    def learn_matrix(self, rule: LearnMatrix) -> None:
        """Add outer products to the trained part; all increments of a step enter the optimizer together."""
        number = rule.matrix
        if number in self.input_weights:
            left = np.concatenate([term.coefficient * self.weighted(term) for term in rule.terms])
            right = np.concatenate([taken(self.values[term.right], term.right_rows) for term in rule.terms])
            self.input_weights[number].learn(left, right)
            return
        for term in rule.terms:  # open what is missing before coefficients are put together
            self._coefficients(number, term.left, True)
            self._coefficients(number, term.right, False)
        lefts, rights = [], []
        for term in rule.terms:
            along, _ = self._coefficients(number, term.left, True)
            lefts.append(term.coefficient * self.weighted_rows(term, along))
            rights.append(taken(self._coefficients(number, term.right, False)[0], term.right_rows))
        self.matrices[number].learn(np.concatenate(lefts), np.concatenate(rights))

    def view(self, step: int, seed: Seed) -> SampledView:
        """The replica as it is now; what is measured draws numbers that its seed has beside those of training."""
        plan = self.plan
        fields = {ref.key: self.values[slot] for ref, slot in plan.fields.items()}
        fields |= {(vector.name, None): self.values[vector.slot] for vector in plan.vectors}
        scalars = {ref.key: self.scalars[number] for ref, number in plan.scalars.items()}
        matrices = {}
        for matrix in self.matrices.values():
            matrix.resize()
            forward, back = matrix.forward, matrix.backward
            parts = (forward.basis, forward.images, back.basis, back.images)
            matrices[matrix.spec.key] = MatrixView(*parts, matrix.trained, matrix.retention)
        inputs = {plan.matrices[number].key: weights.current for number, weights in self.input_weights.items()}
        draws = replace(self._draws, stream=stream_beside(seed, step))
        return SampledView(step, fields, scalars, matrices, inputs, draws)

    def ranks(self) -> list[int]:
        """Number of directions that are known in every sector, summed over its matrices."""
        found = [0] * len(self.plan.sectors)
        for matrix in self.matrices.values():
            found[matrix.spec.source] += matrix.forward.count
            found[matrix.spec.target] += matrix.backward.count
        return found

    def overlap(self, sector: int) -> float:
        """``1 / sites``; coordinates of inputs are orthonormal."""
        return 1.0 if self.plan.sectors[sector].finite else 1 / self.sites
