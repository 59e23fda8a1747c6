"""What is measured of one finite network: sizes of its fields, how far they moved, and values of scalars."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dmft_sym.execution.finite import FiniteNetwork
from dmft_sym.execution.plan import Combine, Plan
from dmft_sym.program import DEPTH, FieldRef

from .program import ScaledNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Coordinates:
    """What is measured of one network: how far it has moved from where it was.

    Parameters
    ----------
    network
        Of which it is an instance.
    run
        The network of finite width.
    """

    def __init__(self, network: ScaledNetwork, run: FiniteNetwork) -> None:
        self.network, self.run = network, run
        self.keep()

    @classmethod
    def after(cls, network: ScaledNetwork, run: FiniteNetwork, steps: int) -> Self:
        """Those of a network that is trained first.

        Parameters
        ----------
        steps
            Updates that are made; distances are from initialization.
        """
        coordinates = cls(network, run)
        for step in range(steps + 1):
            for statement in run.plan.steps:
                run.execute(statement)
            if step == 0:
                coordinates.keep()
            if step < steps:
                for rule in run.plan.learn_matrices:
                    run.learn_matrix(rule)
                for vector in run.plan.learn_vectors:
                    run.learn_vector(vector)
        return coordinates

    def keep(self) -> None:
        """From now on distances are from here."""
        self._fields = [values.copy() for values in self.run.values]
        self._matrices = [matrix.copy() for matrix in self.run.matrices]
        self._scalars = [scalar.copy() for scalar in self.run.scalars]

    def scalars(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Outputs and averages over sites."""
        for ref, number in self.run.plan.scalars.items():
            if ref.scalar.name in self.network.reported:
                yield f"{ref} at init", self._scalars[number]
                yield f"change of {ref}", self.run.scalars[number] - self._scalars[number]

    def sizes(self) -> Iterator[tuple[str, float]]:
        """Root mean squares of fields and updates."""
        run, names = self.run, self.network.forward_names
        for ref, slot in run.plan.fields.items():
            if ref.field.name in names:
                yield f"size of {ref} at init", _rms(self._fields[slot])
                yield f"change of {ref}", _rms(run.values[slot] - self._fields[slot])
        yield from self._updates(run, names)

    def _updates(self, network: FiniteNetwork, names: frozenset[str]) -> Iterator[tuple[str, float]]:
        """``(W(t) - W(0)) h`` of every matrix, ``<(w(t) - w(0)) h>`` of every readout; the largest of its uses."""
        found: dict[str, float] = {}
        forward = {slot for ref, slot in network.plan.fields.items() if ref.field.name in names}
        for name, made in (*self._products(network, forward), *self._readouts(network)):
            found[name] = max(found.get(name, 0.0), _rms(made))
        for name, size in found.items():
            yield f"update of {name}", size

    def _products(self, network: FiniteNetwork, forward: set[int]) -> Iterator[tuple[str, NDArray[Any]]]:
        plan: Plan = network.plan
        for step in plan.steps:
            if isinstance(step, Combine) and step.target in forward:
                for product in step.products:
                    moved = network.matrices[product.matrix] - self._matrices[product.matrix]
                    made = network.values[product.operand] @ (moved if product.transpose else moved.T)
                    yield plan.matrices[product.matrix].key[0], made * product.coefficient

    def _readouts(self, network: FiniteNetwork) -> Iterator[tuple[str, NDArray[Any]]]:
        slots, layers = network.plan.named_slots, {ref.key: slot for ref, slot in network.plan.fields.items()}
        for readout in self.network.trace.readouts:
            moved = network.values[slots[readout.vector.name]] - self._fields[slots[readout.vector.name]]
            read = network.values[layers[_key(readout.field, network.plan, self.network)]]
            yield readout.vector.name, moved @ read.T / read.shape[1]


def _key(ref: FieldRef, plan: Plan, network: ScaledNetwork) -> tuple[str, int | None]:
    return ref.at({DEPTH: network.depth}).key


def _rms(values: NDArray[Any]) -> float:
    return math.sqrt(float(np.mean(np.square(values, dtype=float))))
