"""Fields of every output, at the steps at which they are looked at: a second backward pass that trains nothing.

A program that is executed may have one backward field for a sample, of all its outputs together. Kernels need those of
every output. Their statements are in the program that equations are derived of, and are run here on the fields, scalars
and weights of a step. On sampled sites the products of such fields with a matrix are drawn from their law, given what
is known of the matrix (docs/mathematics.md, given samples), and forgotten: training goes on as if nobody had looked.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
import sympy as sp

from dmft_sym.program import FieldRef, Learn, Observe, Program, ScalarRef, SquaredNorm, Statement, flat_statements
from dmft_sym.program.reachability import reached
from dmft_sym.program.step import reads

from .finite import FiniteNetwork
from .interface import Array, taken
from .plan import Combine, Given, MapSites, MatrixKey, Multiply, Plan
from .planning import make_partial_plan
from .sampled_view import FieldKey, MatrixView, SampledView
from .site_arithmetic import ArithmeticOnSites

JITTER = 1e-12
"""Variance of what is added to dependent fields of norm one, so that their overlaps have a Cholesky factor."""


class OutputFields:
    """Fields that a program has and the one that is executed has not.

    Parameters
    ----------
    program, executed
        Two programs of one step.
    wanted
        Fields of ``program`` with integer layers; what none of them depends on is left out.
    values, outputs, data
        As for `run_sampled`.

    Attributes
    ----------
    fields : frozenset of FieldRef
        Those that are computed.
    """

    def __init__(
        self,
        program: Program,
        executed: Program,
        wanted: Iterable[FieldRef],
        values: Mapping[sp.Symbol, float],
        outputs: int,
        data: Given | None = None,
    ) -> None:
        integers = program.integers(values)
        known = set(flat_statements(executed, integers))
        self._statements = _needed(_others(flat_statements(program, integers), known), wanted)
        self._given = program, values, outputs, data
        targets = (_target(statement) for statement in self._statements)
        self.fields = frozenset(ref for ref in targets if isinstance(ref, FieldRef))

    def missing_in(self, plan: Plan) -> bool:
        """Whether a plan lacks any of the fields."""
        return not self.fields <= plan.fields.keys()

    def of_replica(self, view: SampledView) -> dict[FieldKey, Array]:
        """The fields of a replica, shape (labels, sites)."""
        return self._found(_OfReplica(self._reduced, view))

    def of_network(self, network: FiniteNetwork) -> dict[FieldKey, Array]:
        """The fields of a finite network, shape (labels, sites)."""
        return self._found(_OfNetwork(self._plain, network))

    def _found(self, arithmetic: _SecondPass) -> dict[FieldKey, Array]:
        with np.errstate(over="ignore", invalid="ignore"):
            for step in arithmetic.plan.steps:
                arithmetic.execute(step)
        slots = arithmetic.plan.fields
        return {ref.key: arithmetic.values[slots[ref]] for ref in self.fields}

    @cached_property
    def _reduced(self) -> Plan:
        return make_partial_plan(self._statements, *self._given, reduced_transpose=True)

    @cached_property
    def _plain(self) -> Plan:
        return make_partial_plan(self._statements, *self._given, reduced_transpose=False)


def _target(statement: Statement) -> FieldRef | ScalarRef | None:
    """What a flat statement of the passes assigns."""
    if isinstance(statement, Learn | Observe):
        return None
    return statement.target  # type: ignore[union-attr]


def _others(statements: Iterable[Statement], known: set[Statement]) -> list[Statement]:
    """Statements that are not known, or that read what these assign."""
    changed: set[object] = set()
    found = []
    for statement in statements:
        target = _target(statement)
        if target is not None and (statement not in known or not changed.isdisjoint(reads(statement))):
            changed.add(target)
            found.append(statement)
    return found


def _needed(statements: list[Statement], wanted: Iterable[FieldRef]) -> list[Statement]:
    """Statements that wanted fields depend on."""
    rules = [((_target(statement),), ref) for statement in statements for ref in reads(statement)]
    needed = reached(wanted, rules)
    found = [statement for statement in statements if _target(statement) in needed]
    assert not any(isinstance(statement, SquaredNorm) for statement in found)  # those are of gradients
    return found


class _SecondPass(ArithmeticOnSites, ABC):
    """Runs statements on the fields, scalars and weights of a step."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, float)
        computed = {step.target for step in plan.steps if isinstance(step, Combine | MapSites)}
        self.values = [np.zeros((0, 0)) for _ in plan.slots]
        for ref, slot in plan.fields.items():
            if slot not in computed:
                self.values[slot] = self.field(ref.key)
        for vector in plan.vectors:
            self.values[vector.slot] = self.field((vector.name, None))
        assigned = {step.target for step in plan.steps if not isinstance(step, Combine | MapSites)}
        for scalar, number in plan.scalars.items():
            if number not in assigned and number not in plan.given:
                self.scalars[number][:] = self.scalar(scalar.key)

    @abstractmethod
    def field(self, key: FieldKey) -> Array:
        """A field, or a random vector, of the step."""

    @abstractmethod
    def scalar(self, key: FieldKey) -> Array:
        """A scalar of the step, shape (labels,)."""

    @abstractmethod
    def times(self, number: int, fields: Array, transpose: bool) -> Array:
        """A matrix of the plan, or its transpose, times fields."""

    def multiply(self, product: Multiply, target: int) -> None:
        """Add a product to a field."""
        result = product.coefficient * self.times(product.matrix, self.values[product.operand], product.transpose)
        self.values[target] = self.values[target] + taken(result, product.rows)

    def combine(self, statement: Combine) -> None:
        """A sum of fields and products; how many sites it has is known from these."""
        parts = (coefficient * taken(self.values[slot], rows) for coefficient, slot, rows in statement.terms)
        self.values[statement.target] = sum(parts, np.zeros((1, 1)))
        for product in statement.products:
            self.multiply(product, statement.target)

    def map_sites(self, statement: MapSites) -> None:
        """A function at every site and label, or the sum of several."""
        self.values[statement.target] = sum((self.evaluated(value) for value in statement.values), np.zeros((1, 1)))

    def begin_step(self) -> None:
        """There is nothing to begin."""

    def learn_matrix(self, rule: object) -> None:
        """Nothing is trained."""
        raise NotImplementedError

    def ranks(self) -> list[int]:
        """Of no use."""
        return []

    def overlap(self, sector: int) -> float:
        """Of no use."""
        return 1.0


class _OfNetwork(_SecondPass):
    """On the weights of a finite network."""

    def __init__(self, plan: Plan, network: FiniteNetwork) -> None:
        self._network = network
        self._slots = {ref.key: slot for ref, slot in network.plan.fields.items()}
        self._slots |= {(vector.name, None): vector.slot for vector in network.plan.vectors}
        self._scalars = {ref.key: number for ref, number in network.plan.scalars.items()}
        self._matrices = {spec.key: number for number, spec in enumerate(network.plan.matrices)}
        super().__init__(plan)

    def field(self, key: FieldKey) -> Array:
        """That of the network."""
        return self._network.values[self._slots[key]]

    def scalar(self, key: FieldKey) -> Array:
        """That of the network."""
        return self._network.scalars[self._scalars[key]]

    def times(self, number: int, fields: Array, transpose: bool) -> Array:
        """A product with the stored matrix."""
        matrix = self._network.matrices[self._matrices[self.plan.matrices[number].key]]
        return np.asarray(fields @ (matrix if transpose else matrix.T))


class _OfReplica(_SecondPass):
    """On what is known of the weights of a replica; what is not is drawn."""

    def __init__(self, plan: Plan, view: SampledView) -> None:
        self._view = view
        super().__init__(plan)

    def field(self, key: FieldKey) -> Array:
        """That of the replica."""
        return self._view.fields[key]

    def scalar(self, key: FieldKey) -> Array:
        """That of the replica."""
        return np.ravel(self._view.scalars[key])

    def times(self, number: int, fields: Array, transpose: bool) -> Array:
        """A product with weights from given inputs, or with a matrix that is known on directions."""
        spec = self.plan.matrices[number]
        key: MatrixKey = spec.key
        if key in self._view.inputs:
            return np.asarray(fields @ self._view.inputs[key])
        std = math.sqrt(spec.variance * (spec.inverse_aspect if transpose else 1.0))
        return _product(self._view, self._view.matrices[key], fields, transpose, std)


def _product(view: SampledView, matrix: MatrixView, fields: Array, transpose: bool, std: float) -> Array:
    """``W`` (or ``W^T / tau``) times fields, drawn given what is known of ``W`` (see `conditioning`).

    Of a field along directions the product is known; of the rest it has the conditional mean ``sum_j <ybar_j rest>
    q_j``, and noise with the overlaps of the rests, off the ``q_j``.
    """
    sites = fields.shape[1]
    near, images, far, others = matrix.sides(transpose)
    along = fields @ near.T / sites
    rest = fields - along @ near
    again = rest @ near.T / sites
    along, rest = along + again, rest - again @ near
    trained = matrix.trained if transpose else matrix.trained.T
    noise = _with_overlaps(rest, std, view, even=not transpose)
    back = along @ trained + matrix.retention * (rest @ others.T - noise @ far.T) / sites
    return np.asarray(matrix.retention * (along @ images + noise) + back @ far)


def _with_overlaps(rest: Array, std: float, view: SampledView, *, even: bool) -> Array:
    """Gaussian fields with ``std^2`` times the overlaps of others, shape as these."""
    sites = rest.shape[1]
    norms = np.sqrt(np.einsum("ki,ki->k", rest, rest) / sites)
    (chosen,) = np.nonzero(norms)
    found = np.zeros_like(rest)
    if len(chosen) and np.isfinite(norms).all():
        units = rest[chosen] / norms[chosen, np.newaxis]
        factor = np.linalg.cholesky(units @ units.T / sites + JITTER * np.eye(len(chosen)))
        drawn = np.array([view.draws(even) for _ in chosen])
        found[chosen] = std * norms[chosen, np.newaxis] * (factor @ drawn)
    return found
