"""The small interface behind which a program runs: what an arithmetic has to know.

The finite network and the infinite network in growing coordinates execute the same plan; they differ in how a
Gaussian matrix acts, how it learns, what a fresh random vector is and what ``<a b>`` means. Linear combinations
and the optimizer's memory are common to both.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .plan import (
    AverageSites,
    Combine,
    ComputeScalar,
    Evaluation,
    Factor,
    Increment,
    LearnMatrix,
    LearnVector,
    MapSites,
    Multiply,
    NormScalar,
    Plan,
    Remember,
    Rows,
    Step,
)

Array = NDArray[np.floating[Any]]
Place: TypeAlias = Callable[[Array], Array]
"""Where an array is kept: takes one, and returns another with the same numbers."""
LARGEST_NORM2 = 1e75
"""Of a field; beyond it a run has diverged: products of two kernels, and their squares, have to be finite numbers."""


class Arithmetic(ABC):
    """State of a network in training, and the operations of the program language on it.

    Parameters
    ----------
    plan
        What is executed.
    dtype
        ``float64`` or ``float32``.

    Attributes
    ----------
    values : list of ndarray, shape (labels, size of the sector)
        Current value of every slot; a row belongs to one output, or to one pair of sample and output. Slots beyond
        those of the plan are memories of the optimizer for vectors.
    scalars : list of ndarray, shape (labels,)
        Current value of every scalar.
    class_of : dict
        Class of every site, or coordinate, of the sectors that have classes.
    memories : dict
        Slot of the optimizer's memory for the slot of a vector.
    """

    def __init__(self, plan: Plan, dtype: type) -> None:
        self.plan = plan
        self.dtype = np.dtype(dtype)
        self.slot_sectors = list(plan.slots)
        self.memories: dict[int, int] = {}
        if plan.recursion.has_memory:
            for rule in plan.learn_vectors:
                self.memories[rule.slot] = len(self.slot_sectors)
                self.slot_sectors.append(plan.slots[rule.slot])
        self.slot_rows = [*plan.rows, *(plan.rows[slot] for slot in self.memories)]
        self.values: list[Array] = []
        self.class_of: dict[int, NDArray[np.intp]] = {}
        self.scalars: list[Array] = [np.zeros(int(np.prod(shape))) for shape in plan.scalar_shapes]
        for number, given in plan.given.items():
            self.scalars[number][:] = given
        self._remembered: set[Remember] = set()
        self._begun = 0  # steps

    @abstractmethod
    def begin_step(self) -> None:
        """Draw fresh matrices and fresh random vectors."""

    @abstractmethod
    def multiply(self, product: Multiply, target: int) -> None:
        """Add a Gaussian (perhaps trained) matrix, or its transpose, times a field to slot ``target``."""

    @abstractmethod
    def inner(self, a: int, b: int) -> Array:
        """``<a_c b_c>`` for every label of two fields with the same ones, shape (labels,)."""

    @abstractmethod
    def learn_matrix(self, rule: LearnMatrix) -> None:
        """Increment a matrix by outer products, through the optimizer."""

    @abstractmethod
    def snapshot(self, slot: int) -> Array:
        """A copy of the value of ``slot``, shape (C, present size of its sector)."""

    @abstractmethod
    def ranks(self) -> list[int]:
        """Present number of coordinates (or sites) of every sector."""

    @abstractmethod
    def overlap(self, sector: int) -> float:
        """Factor that turns the dot product of two snapshots of ``sector`` into ``<a b>``."""

    @abstractmethod
    def map_sites(self, statement: MapSites) -> None:
        """Set a field to a site-wise function of others."""

    @abstractmethod
    def mean(self, value: Evaluation, labels: int) -> Array:
        """The average over sites of a site-wise function, shape (labels,)."""

    def bounded(self) -> bool:
        """Whether ``<a a>`` is at most `LARGEST_NORM2` for all fields; outputs may be small when these are not.

        A program without scalars is followed by mean squares of its fields, which are large when these are.
        """
        if not self.scalars:
            return True
        pairs = zip(self.values, self.slot_sectors, strict=True)
        norms2 = (np.einsum("ki,ki->k", a, a).max(initial=0.0) * self.overlap(sector) for a, sector in pairs)
        return all(norm2 <= LARGEST_NORM2 for norm2 in norms2)  # not so for NaN

    def take_given(self) -> None:
        """Scalars that are given at every step, of the step that begins."""
        for number, rows in self.plan.given_anew.items():
            self.scalars[number][:] = rows[self._begun]
        self._begun += 1

    def execute(self, step: Step) -> None:
        """One statement that assigns a field or a scalar."""
        if isinstance(step, Combine):
            self.combine(step)
        elif isinstance(step, MapSites):
            self.map_sites(step)
        elif isinstance(step, AverageSites):
            total = self.scalars[step.target]
            total[:] = sum(coefficient * self.mean(value, len(total)) for coefficient, value in step.terms)
        elif isinstance(step, NormScalar):
            self.scalars[step.target][:] = sum(factor * self.squared_norm(terms) for factor, terms in step.parts)
        elif isinstance(step, Remember):
            self.remember(step)
        else:
            self.compute(step)

    def remember(self, statement: Remember) -> None:
        """``target = source``, when it is executed for the first time."""
        if statement not in self._remembered:
            values = self.scalars if statement.scalar else self.values
            values[statement.target][:] = values[statement.source]
            self._remembered.add(statement)

    def compute(self, statement: ComputeScalar) -> None:
        """``target = function`` of scalars, one axis for every label."""
        values = [row.reshape(statement.shape) for row in self.scalar_arguments(statement.scalars)]
        found = statement.function(*values) if values else np.full(statement.shape, statement.function())
        summed = tuple(range(len(statement.shape) - statement.sums, len(statement.shape)))
        self.scalars[statement.target][:] = found.sum(axis=summed).reshape(-1)

    def scalar_arguments(self, scalars: tuple[tuple[int, Rows], ...]) -> list[Array]:
        """Values of scalars at the labels of a result."""
        return [taken(self.scalars[number], rows) for number, rows in scalars]

    def combine(self, statement: Combine) -> None:
        """``target = sum coefficient * slot + products``."""
        values = self.values
        out = values[statement.target]
        if statement.terms:
            coefficient, slot, rows = statement.terms[0]
            np.multiply(taken(values[slot], rows), self.spread(coefficient, statement.target), out=out)
            for coefficient, slot, rows in statement.terms[1:]:
                out += self.spread(coefficient, statement.target) * taken(values[slot], rows)
        else:
            out.fill(0)
        for product in statement.products:
            self.multiply(product, statement.target)

    def squared_norm(self, terms: tuple[Increment, ...]) -> float:
        """``sum c c' <left left'> <right right'>`` over labels and pairs of terms; of a vector, label by label."""
        total = 0.0
        for one, other in itertools.product(terms, repeat=2):
            product = self._overlaps(one.left, self.weighted(one), self.weighted(other))
            if one.right < 0:
                product = np.diag(product)
            else:
                rights = (taken(self.values[term.right], term.right_rows) for term in (one, other))
                product = product * self._overlaps(one.right, *rights)
            total += one.coefficient * other.coefficient * float(product.sum())
        return total

    def _overlaps(self, slot: int, a: Array, b: Array) -> Array:
        """``<a b>`` of rows that belong to the sector of a slot."""
        return np.asarray(a @ b.T * self.overlap(self.slot_sectors[slot]))

    def spread(self, factor: Factor, slot: int) -> Factor:
        """A factor of the values of a slot: one that differs from class to class is repeated for their sites."""
        return factor if isinstance(factor, float) else factor[self.class_of[self.slot_sectors[slot]]]

    def weighted(self, term: Increment) -> Array:
        """The left factor of an increment, weighted and summed over the labels that the other factor lacks."""
        return self.weighted_rows(term, self.values[term.left])

    def weighted_rows(self, term: Increment, rows: Array) -> Array:
        """The same for any rows that belong to the labels of the left factor."""
        left = taken(rows, term.left_rows)
        if term.weight >= 0:
            left = taken(self.scalars[term.weight], term.weight_rows)[:, np.newaxis] * left
        if term.sum_axes:
            left = left.reshape(*term.shape, left.shape[-1]).sum(axis=term.sum_axes)
            left = left.reshape(math.prod(left.shape[:-1]), left.shape[-1])  # there may be no directions yet
        return left

    def learn_vector(self, rule: LearnVector) -> None:
        """Increment a vector by ``G = sum coefficient left``, through the optimizer."""

        def add(total: Array) -> None:
            for term in rule.terms:
                total += term.coefficient * self.weighted(term)

        slot = self.memories.get(rule.slot)
        self.plan.recursion.update(self.values[rule.slot], None if slot is None else self.values[slot], add)


def taken(rows: Array, wanted: Rows) -> Array:
    """The rows of an operand at the labels of a result."""
    return rows if wanted is None else rows[wanted]
