"""The small interface behind which a program runs: what an arithmetic has to know.

The finite network and the infinite network in growing coordinates execute the same plan; they differ in how a
Gaussian matrix acts, how it learns, what a fresh random vector is and what ``<a b>`` means. Linear combinations
and the optimizer's memory are common to both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .plan import Combine, LearnMatrix, LearnVector, Multiply, Plan

Array = NDArray[np.floating[Any]]


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
    values : list of ndarray, shape (C, size of the sector)
        Current value of every slot; row ``c`` belongs to output ``c``. Slots beyond those of the plan are momentum
        buffers of vectors.
    """

    def __init__(self, plan: Plan, dtype: type) -> None:
        self.plan = plan
        self.dtype = np.dtype(dtype)
        self.slot_sectors = list(plan.slots)
        self._velocities: dict[int, int] = {}
        if plan.momentum:
            for rule in plan.learn_vectors:
                self._velocities[rule.slot] = len(self.slot_sectors)
                self.slot_sectors.append(plan.slots[rule.slot])
        self.values: list[Array] = []

    @abstractmethod
    def begin_step(self) -> None:
        """Draw fresh matrices and fresh random vectors."""

    @abstractmethod
    def multiply(self, product: Multiply, target: int) -> None:
        """Add a Gaussian (perhaps trained) matrix, or its transpose, times a field to slot ``target``."""

    @abstractmethod
    def inner(self, a: int, b: int) -> Array:
        """``<a_c b_c>`` for every output, shape (C,)."""

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

    def combine(self, statement: Combine) -> None:
        """``target = sum coefficient * slot + products``."""
        values = self.values
        out = values[statement.target]
        if statement.terms:
            coefficient, slot = statement.terms[0]
            np.multiply(values[slot], coefficient, out=out)
            for coefficient, slot in statement.terms[1:]:
                out += coefficient * values[slot]
        else:
            out.fill(0)
        for product in statement.products:
            self.multiply(product, statement.target)

    def learn_vector(self, rule: LearnVector) -> None:
        """``V = m V + G``, ``w = (1 - l) w + V`` with ``G = sum coefficient left``."""
        values, plan = self.values, self.plan
        vector = values[rule.slot]
        if plan.decay:
            vector *= 1 - plan.decay
        if not plan.momentum:
            for coefficient, left in rule.terms:
                vector += coefficient * values[left]
            return
        velocity = values[self._velocities[rule.slot]]
        velocity *= plan.momentum
        for coefficient, left in rule.terms:
            velocity += coefficient * values[left]
        vector += velocity
