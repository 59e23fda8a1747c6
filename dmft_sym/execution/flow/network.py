"""Networks that are carried along a flow: their weights are those of a point, plus small changes in slots.

What a stage of a Runge-Kutta method needs are products with weights that differ from those of the step by the
increments of earlier stages. Increments of matrices are outer products of few fields, so that these products are cheap
and matrices are touched once a step. This holds for finite networks, whose matrices are stored, and for the infinite
one in growing coordinates: a direction that a stage opens stays open, whether or not the step is taken, and is the same
in all of them, as the initial matrix is.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from dmft_sym.execution.coordinates import GrowingCoordinates, GrowingMatrix, Side
from dmft_sym.execution.finite import FiniteNetwork
from dmft_sym.execution.interface import Arithmetic, Array, taken
from dmft_sym.execution.plan import Combine, Increment, LearnMatrix, Multiply, Plan

from .changes import MatrixChanges, VectorChanges, Weights

_NONE = np.zeros(0)


class FlowNetwork(Arithmetic):
    """An arithmetic with changes of all trained arrays.

    Attributes
    ----------
    matrix_changes, vector_changes : dict
        By number of the matrix, and by slot of the vector in the plan.
    travelled : dict
        Of both, the lengths of all steps, added up.
    steps : int
        How many were taken.
    """

    def start_flow(self) -> None:
        """Begin at the initial weights."""
        self.weights: Weights = _NONE
        self.steps = 0
        self.matrix_changes = {rule.matrix: self._no_changes(rule) for rule in self.plan.learn_matrices}
        self.vector_changes = {rule.slot: VectorChanges(self.values[rule.slot]) for rule in self.plan.learn_vectors}
        self.travelled = {key: 0.0 for key, _ in self._changes()}

    def _no_changes(self, rule: LearnMatrix) -> MatrixChanges:
        rank = sum(self._rank(term) for term in rule.terms)
        rows, columns = self.matrix(rule.matrix).shape
        return MatrixChanges(rank, rows, columns, self.dtype)

    def _rank(self, term: Increment) -> int:
        return self.plan.rows[term.right] if term.right_rows is None else len(term.right_rows)

    @abstractmethod
    def matrix(self, number: int) -> Array:
        """A trained matrix as it is stored."""

    def reserve(self, slots: int) -> None:
        """Make room for so many slots."""
        for _, change in self._changes():
            change.reserve(slots)

    def copy(self, slot: int, source: int) -> None:
        """Copy a slot of all arrays."""
        for _, change in self._changes():
            change.copy(slot, source)

    def place(self, weights: Weights) -> None:
        """Add the weighted sum of slots to the weights of the step."""
        self.weights = weights
        for slot, change in self.vector_changes.items():
            self.values[slot][...] = change.start
            if len(weights):
                self.values[slot] += change.total(weights)

    def combine(self, statement: Combine) -> None:
        """``target = sum coefficient * slot + products``, with the changes of matrices."""
        super().combine(statement)
        if not len(self.weights):
            return
        for product in statement.products:
            change = self.matrix_changes.get(product.matrix)
            if change is not None:
                found = change.times(self.values[product.operand], self.weights, product.transpose)
                factor = self.spread(product.coefficient, statement.target)
                self.values[statement.target] += factor * taken(found, product.rows)

    def put_increments(self, slot: int) -> None:
        """Put the right-hand side at the present fields into a slot."""
        for rule in self.plan.learn_matrices:
            change, first = self.matrix_changes[rule.matrix], 0
            scale = self.overlap(self.plan.matrices[rule.matrix].source)
            for term in rule.terms:
                rows = slice(first, first + self._rank(term))
                change.left[slot, rows] = scale * term.coefficient * self.weighted(term)
                change.right[slot, rows] = taken(self.values[term.right], term.right_rows)
                first = rows.stop
        for vector in self.plan.learn_vectors:
            self.vector_changes[vector.slot].values[slot] = sum(
                term.coefficient * self.weighted(term) for term in vector.terms
            )

    def take_step(self, weights: Weights) -> None:
        """Move to the weighted sum of slots."""
        norms = self.norms(weights)
        for number, change in self.matrix_changes.items():
            self.matrix(number)[...] += change.total(weights)
        for vector in self.vector_changes.values():
            vector.start += vector.total(weights)
        for key, norm in norms.items():
            self.travelled[key] += norm
        self.steps += 1
        self.place(_NONE)

    @contextmanager
    def moved(self) -> Iterator[None]:
        """The present changes as a part of the stored weights, for a while: whoever looks at these sees them."""
        weights, stored = self.weights, {number: self.matrix(number).copy() for number in self.matrix_changes}
        for number, change in self.matrix_changes.items():
            if len(weights):
                self.matrix(number)[...] += change.total(weights)
        self.weights = _NONE
        yield
        self.weights = weights
        for number, matrix in stored.items():
            self.matrix(number)[...] = matrix

    @contextmanager
    def as_it_is(self) -> Iterator[None]:
        """For a while, no direction is opened: what is evaluated beside the stages of a step leaves no trace."""
        yield

    def norms(self, weights: Weights) -> dict[tuple[str, int], float]:
        """Norm of the weighted sum of slots for every array.

        Of matrices it is that of Frobenius, where fields have the norm ``sqrt(<a a>)``.
        """
        plan = self.plan
        found: dict[tuple[str, int], float] = {}
        for number, change in self.matrix_changes.items():
            spec = plan.matrices[number]
            unit = math.sqrt(self.overlap(spec.target) / self.overlap(spec.source))
            found["matrix", number] = unit * float(np.linalg.norm(change.total(weights)))
        for slot, vector in self.vector_changes.items():
            unit = math.sqrt(self.overlap(plan.slots[slot]))
            found["vector", slot] = unit * float(np.linalg.norm(vector.total(weights)))
        return found

    def length(self, weights: Weights) -> float:
        """The norm of the weighted sum of slots, all arrays together."""
        return math.hypot(*self.norms(weights).values())

    @property
    def scales(self) -> dict[tuple[str, int], float]:
        """The size of every array: that of its initial values, and how far it has gone."""
        plan = self.plan
        variances = {("matrix", number): plan.matrices[number].variance for number in self.matrix_changes}
        variances |= {
            ("vector", v.slot): float(np.mean(v.variance)) for v in plan.vectors if v.slot in self.vector_changes
        }
        return {key: math.sqrt(variances[key]) + self.travelled[key] for key in self.travelled}

    def _changes(self) -> Iterator[tuple[tuple[str, int], MatrixChanges | VectorChanges]]:
        for number, matrix in self.matrix_changes.items():
            yield ("matrix", number), matrix
        for slot, vector in self.vector_changes.items():
            yield ("vector", slot), vector


class FlowCoordinates(FlowNetwork, GrowingCoordinates):
    """The infinite network of a linear program."""

    def __init__(self, plan: Plan, dtype: type, tol: float) -> None:
        self.matrix_changes, self.vector_changes = {}, {}
        self._opens = True
        super().__init__(plan, dtype, tol)
        self.start_flow()

    def matrix(self, number: int) -> Array:
        """A matrix between the coordinates of its sectors."""
        return self.matrices[number].dense

    @contextmanager
    def as_it_is(self) -> Iterator[None]:
        """Fields are projected on the directions that are open."""
        self._opens = False
        yield
        self._opens = True

    def _open(self, matrix: GrowingMatrix, side: Side, product: Multiply) -> None:
        if self._opens:
            super()._open(matrix, side, product)

    def grow(self, sector: int) -> None:
        """Enlarge everything that lives in ``sector``."""
        super().grow(sector)
        for number, change in self.matrix_changes.items():
            change.resize(*self.matrix(number).shape)
        for slot, vector in self.vector_changes.items():
            vector.resize(self.values[slot].shape[1])


class FlowFinite(FlowNetwork, FiniteNetwork):
    """A finite network."""

    def __init__(self, plan: Plan, dtype: type, dim: int, seed: int, normalise: bool = False) -> None:
        super().__init__(plan, dtype, dim, seed, normalise)
        self.start_flow()

    def matrix(self, number: int) -> Array:
        """A matrix as it is."""
        return self.matrices[number]
