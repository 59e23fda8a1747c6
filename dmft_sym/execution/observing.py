"""Observables of the fields of a step, as an arithmetic shows them: means over sites, or Gaussian averages by Wick.

An observer has a plan of its own and changes nothing: it is handed the fields of the network that it reads, as values
at sites or, where all fields are Gaussian, by their covariances.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import sympy as sp

from dmft_sym.program import FieldRef, Program
from dmft_sym.program.observations import Observations
from dmft_sym.program.wick import pairings
from dmft_sym.support.errors import ExecutionError

from .coordinates import GrowingCoordinates
from .interface import Arithmetic, Array, taken
from .plan import AverageSites, Combine, Evaluation, Given, LearnMatrix, MapSites, Multiply, Plan
from .planning import make_observing_plan
from .site_arithmetic import ArithmeticOnSites

Values: TypeAlias = Callable[[FieldRef], Array]
"""Of a field of the network, shape (labels, sites)."""
Covariance: TypeAlias = Callable[[FieldRef, FieldRef], Array]
"""``<a b>`` of two fields, shape (labels of a, labels of b), or (classes, labels of a, labels of b)."""


class Observing:
    """What is observed of a run, written out at its parameters.

    Parameters
    ----------
    program, observations
        The fields of the program are read.
    values, outputs, data
        As for `run_coordinates`.

    Attributes
    ----------
    fields : mapping
        Slot of every field of the network that is read, with an integer layer.
    """

    def __init__(
        self,
        program: Program,
        observations: Observations,
        values: Mapping[sp.Symbol, float],
        outputs: int,
        data: Given | None = None,
    ) -> None:
        self.observations = observations
        self.plan = make_observing_plan(program, observations, values, outputs, data)
        computed = {step.target for step in self.plan.steps if isinstance(step, Combine | MapSites)}
        self.fields = {ref: slot for ref, slot in self.plan.fields.items() if slot not in computed}

    def check_polynomials(self) -> None:
        """Raise `ExecutionError` if an average is of a function that is no polynomial of its fields."""
        for step in self.plan.steps:
            if isinstance(step, AverageSites):
                for _, value in step.terms:
                    _ = value.function.monomials
            elif isinstance(step, MapSites):
                for value in step.values:
                    if any(sum(powers) != 1 for powers, _ in value.function.monomials):
                        raise ExecutionError(f"a sum of {value.function.expression} over a label is not linear")

    def at_sites(self, values: Values) -> dict[str, Array]:
        """What is observed of fields with values at sites, by name: shape ([layers,] labels...)."""
        return self._found(_AtSites(self.plan, {slot: values(ref) for ref, slot in self.fields.items()}))

    def of_gaussian(self, covariance: Covariance, shares: Array | None = None) -> dict[str, Array]:
        """What is observed of Gaussian fields.

        Parameters
        ----------
        shares
            Of the classes of sites, if covariances differ from class to class.
        """
        return self._found(_OfGaussian(self.plan, self.fields, covariance, shares))

    def of_network(self, network: Arithmetic) -> dict[str, Array]:
        """What is observed of a finite network, or of one in growing coordinates."""
        slots, sectors = network.plan.fields, network.plan.slots
        if not isinstance(network, GrowingCoordinates):
            return self.at_sites(lambda ref: network.values[slots[ref]])
        shares = next((sector.shares for sector in network.plan.sectors if sector.shares is not None), None)

        def covariance(a: FieldRef, b: FieldRef) -> Array:
            left, right = network.values[slots[a]], network.values[slots[b]]
            sector = sectors[slots[a]]
            if sector != sectors[slots[b]]:  # independent fields
                return np.zeros((len(left), len(right)))
            of_class = network.class_of.get(sector)
            if shares is None or of_class is None:
                return np.asarray(left @ right.T)
            of_class = of_class[: left.shape[1]]
            parts = (left[:, of_class == k] @ right[:, of_class == k].T / share for k, share in enumerate(shares))
            return np.array(list(parts))

        return self.of_gaussian(covariance, shares)

    def _found(self, observer: _Observer) -> dict[str, Array]:
        for step in self.plan.steps:
            observer.execute(step)
        found = {}
        for name, scalar in self.observations.targets:
            members = {r.key[1]: n for r, n in self.plan.scalars.items() if r.scalar == scalar}
            order: list[int | None] = [*self.layers(name)] or [None]
            chosen = [members[layer] for layer in order]
            values = [observer.scalars[number].reshape(self.plan.scalar_shapes[number]) for number in chosen]
            found[name] = np.stack(values) if scalar.layers is not None else values[0].copy()
        return found

    def layers(self, name: str) -> list[int]:
        """Layers at which it is observed, ascending; empty for what is no family."""
        scalar = dict(self.observations.targets)[name]
        layers = (ref.key[1] for ref in self.plan.scalars if ref.scalar == scalar)
        return sorted(layer for layer in layers if layer is not None)


class _Observer(ArithmeticOnSites):
    """Runs the statements of observables; nothing else is in their plan."""

    def combine(self, statement: Combine) -> None:
        """A sum of fields of which there are values."""
        self._place(statement.target, statement.terms[0][1])
        super().combine(statement)

    def map_sites(self, statement: MapSites) -> None:
        """A function of fields of which there are values."""
        self._place(statement.target, statement.values[0].slots[0][0])
        self.map_values(statement)

    @abstractmethod
    def map_values(self, statement: MapSites) -> None:
        """Set a field that has its place."""

    def _place(self, target: int, like: int) -> None:
        self.values[target] = np.zeros((self.plan.rows[target], self.values[like].shape[1]))

    def begin_step(self) -> None:
        """There is nothing to draw."""

    def multiply(self, product: Multiply, target: int) -> None:
        """There are no matrices."""
        raise NotImplementedError

    def learn_matrix(self, rule: LearnMatrix) -> None:
        """There are no matrices."""
        raise NotImplementedError

    def ranks(self) -> list[int]:
        """Of no use."""
        return []

    def overlap(self, sector: int) -> float:
        """Of no use."""
        return 1.0


class _AtSites(_Observer):
    """Fields are values at sites, averages are means over these."""

    def __init__(self, plan: Plan, read: Mapping[int, Array]) -> None:
        super().__init__(plan, float)
        self.values = [np.asarray(read.get(slot, np.zeros((0, 0)))) for slot in range(len(plan.slots))]

    def map_values(self, statement: MapSites) -> None:
        """The function at every site."""
        ArithmeticOnSites.map_sites(self, statement)


class _OfGaussian(_Observer):
    """Fields are linear forms in the fields of the network, whose covariances are known."""

    def __init__(self, plan: Plan, read: Mapping[FieldRef, int], covariance: Covariance, shares: Array | None) -> None:
        super().__init__(plan, float)
        self.shares = np.ones(1) if shares is None else np.asarray(shares, float)
        ends = np.cumsum([0, *(plan.rows[slot] for slot in read.values())])
        places = {ref: slice(a, b) for ref, a, b in zip(read, ends[:-1], ends[1:], strict=True)}
        self.covariance = np.zeros((len(self.shares), ends[-1], ends[-1]))
        self.values = [np.zeros((0, 0)) for _ in plan.slots]
        for ref, slot in read.items():
            self.values[slot] = np.eye(ends[-1])[places[ref]]
            for other in read:
                if ref.space == other.space:
                    self.covariance[:, places[ref], places[other]] = covariance(ref, other)

    def map_values(self, statement: MapSites) -> None:
        """A linear function of fields; its coefficients may depend on scalars."""
        out = self.values[statement.target]
        for value in statement.values:
            scalars = self.scalar_arguments(value.scalars)
            for slope, (slot, rows) in zip(value.function.slopes, value.slots, strict=True):
                out += np.reshape(slope(*scalars), (-1, 1)) * taken(self.values[slot], rows)

    def mean(self, value: Evaluation, labels: int) -> Array:
        """A polynomial of fields: sums over pairings of products of covariances, shape (labels,)."""
        forms = [taken(self.values[slot], rows) for slot, rows in value.slots]
        scalars = self.scalar_arguments(value.scalars)
        overlaps: dict[tuple[int, int], Array] = {}
        total = np.zeros(labels)
        for powers, coefficient in value.function.monomials:
            moment = np.zeros((len(self.shares), labels))
            for count, pairs in pairings(powers):
                product = np.full(moment.shape, float(count))
                for i, j in pairs:
                    if (i, j) not in overlaps:
                        moved = np.matmul(forms[i], self.covariance)
                        overlaps[i, j] = np.einsum("xkn,kn->xk", moved, forms[j])
                    product = product * overlaps[i, j]
                moment += product
            total = total + coefficient(*scalars) * (self.shares @ moment)
        return np.asarray(total)
