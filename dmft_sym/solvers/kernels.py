"""Kernels of a network on its samples: features, gradients, and the neural tangent kernel.

All are averages over sites of products of fields, so that they are measured in the same way on the infinite network,
on finite ones, and in growing coordinates. Which there are, and what the tangent kernel is made of, is read off the
program.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import sympy as sp

from dmft_sym.execution.evaluate import Evaluator
from dmft_sym.networks.parameters import ETA, GAMMA
from dmft_sym.program import (
    SAMPLES,
    Assign,
    Average,
    Axes,
    Field,
    FieldRef,
    Label,
    Learn,
    MatrixRef,
    Outer,
    Program,
    flat_statements,
    joined_axes,
)
from dmft_sym.program import Product as MatrixProduct
from dmft_sym.program.labels import size_of
from dmft_sym.support.array_types import Array

Overlap: TypeAlias = Callable[[FieldRef, FieldRef], Array]
"""``<a b>`` of two fields of one step, shape (labels of a, labels of b)."""


@dataclass(frozen=True)
class FieldKernel:
    """The kernel ``<F F>`` of a field, or of the members of a family.

    Attributes
    ----------
    name
        That of the field with a capital letter: ``Phi`` of ``phi``, ``G`` of ``g``.
    members
        The field by its layer (``None`` if it is no family).
    """

    name: str
    field: Field
    members: Mapping[int | None, FieldRef]

    @property
    def layers(self) -> list[int]:
        """Layers in ascending order, empty for a field that is no family."""
        return sorted(layer for layer in self.members if layer is not None)

    def measure(self, overlap: Overlap, sizes: Mapping[Label, int]) -> Array:
        """The kernel, shape ([layer,] labels..., labels...)."""
        shape = tuple(sizes[axis] for axis in self.field.axes)
        order: list[int | None] = [*self.layers] or [None]
        found = [overlap(self.members[k], self.members[k]).reshape(shape + shape) for k in order]
        return np.stack(found) if self.layers else found[0]


@dataclass(frozen=True)
class _Gradient:
    """The derivative of the outputs with respect to one trained array: ``sum_i coefficient_i left_i right_i^T``."""

    weight: float
    vector: Axes  # labels of a trained vector
    terms: tuple[tuple[float, FieldRef, FieldRef | None], ...]


class Kernels:
    """The kernels of a program at given parameters.

    Parameters
    ----------
    program
        A program on given samples.
    values
        Value of every symbol.
    sizes
        Number of values of every label (samples for testing included).
    """

    def __init__(self, program: Program, values: Mapping[sp.Symbol, float], sizes: Mapping[Label, int]) -> None:
        self.program = program
        self.sizes = {label: size_of(label, sizes) for label in program.labels}
        self._number = Evaluator(values)
        self._statements = flat_statements(program, program.integers(values))

    @cached_property
    def labels(self) -> Axes:
        """Labels of the errors, and so of the tangent kernel: gradients add up all values of others."""
        weights = [term.weight for rule in self.program.learned.values() for term in rule.terms]
        axes = [weight.axes for weight in weights if weight is not None]
        return joined_axes(axes, self.program.labels) or self.program.labels

    @cached_property
    def operands(self) -> list[FieldRef]:
        """Fields that matrices act on, that are read out, or that weights learn from; with their layers."""
        used: dict[FieldRef, None] = {}
        for statement in self._statements:
            if isinstance(statement, Assign):
                used |= {a.operand: None for _, a in statement.value.terms if isinstance(a, MatrixProduct)}
            elif isinstance(statement, Learn):
                used |= {ref: None for term in statement.terms for ref in (term.left, term.right) if ref is not None}
            elif isinstance(statement, Average) and not statement.target.scalar.layers:
                used |= {a: None for _, f in statement.terms for _, a in f.fields if isinstance(a, FieldRef)}
        return [ref for ref in used if not ref.field.data]

    @cached_property
    def fields(self) -> list[FieldKernel]:
        """Their kernels."""
        families: dict[Field, dict[int | None, FieldRef]] = {}
        for ref in self.operands:
            families.setdefault(ref.field, {})[ref.key[1]] = ref
        return [FieldKernel(_capital(field.name), field, members) for field, members in families.items()]

    @cached_property
    def _gradients(self) -> list[_Gradient]:
        base = ETA * GAMMA / SAMPLES
        found = []
        for statement in self._statements:
            if isinstance(statement, Learn):
                target = statement.target
                space, axes = (
                    (target.matrix.target, ()) if isinstance(target, MatrixRef) else (target.space, target.axes)
                )
                weight = self._number(space.ratio * statement.rate, statement)
                terms = tuple(
                    (self._strength(term, base * statement.rate, statement), term.left, term.right)
                    for term in statement.terms
                )
                found.append(_Gradient(weight, axes, terms))
        return found

    def _strength(self, term: Outer, base: sp.Expr, statement: Learn) -> float:
        return self._number(sp.cancel(term.coefficient / base), statement)

    def tangent(self, overlap: Overlap) -> Array:
        """The neural tangent kernel, shape (labels..., labels...), such as (samples, outputs, samples, outputs).

        ``df_mu = (eta0/P) sum_nu K_mu,nu Delta_nu`` to first order in the learning rate; every trained array adds
        ``<left left> <right right>`` times its learning rate in units of that of the run. In the standard network
        ``K = sum_l G^{l+1} Phi^l`` (arXiv:2205.09653).
        """
        total = np.zeros(2 * tuple(self.sizes[label] for label in self.labels))
        for gradient in self._gradients:
            for first, left, right in gradient.terms:
                for second, other, other_right in gradient.terms:
                    part = self._spread(overlap(left, other), left.axes, other.axes)
                    if right is None or other_right is None:
                        part = part * self._identity(gradient.vector)
                    else:
                        part = part * self._spread(overlap(right, other_right), right.axes, other_right.axes)
                    total += gradient.weight * first * second * self._added(part)
        return total

    def _added(self, kernel: Array) -> Array:
        """A kernel summed over labels that the errors do not have."""
        every = 2 * self.program.labels
        others = tuple(axis for axis, label in enumerate(every) if label not in self.labels)
        return np.asarray(kernel.sum(axis=others))

    def _spread(self, kernel: Array, axes: Axes, others: Axes) -> Array:
        """A kernel over the labels of two fields with one axis for every label, those that are missing of length 1."""
        order = self.program.labels
        shape = [self.sizes[label] if label in part else 1 for part in (axes, others) for label in order]
        return kernel.reshape(shape)

    def _identity(self, axes: Axes) -> Array:
        """The identity over these labels, with axes as those of a kernel."""
        return self._spread(np.eye(math.prod(self.sizes[label] for label in axes)), axes, axes)


def alignment(kernel: Array, targets: Array) -> Array:
    """``<K, y y^T> / (|K| |y y^T|)`` in Frobenius norms, over the last two axes of ``kernel``; shape of the others."""
    outer = targets @ targets.T
    norm = np.linalg.norm(kernel, axis=(-2, -1)) * np.linalg.norm(outer)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sum(kernel * outer, axis=(-2, -1)) / norm)


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]
