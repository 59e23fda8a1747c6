"""Intermediate form of a sampled two-time solver: what a step does to fields, Gaussian fields and scalars.

`two_time_lower` makes it from the single-site equations, which are SymPy; text of it is `two_time_step`. Layers,
coefficients and functions are expressions still; functions have symbols for what they are of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import sympy as sp

from dmft_sym.program import LayerRange


@dataclass(frozen=True)
class Item:
    """A field, a Gaussian field or a scalar, by its name in the module; at a layer if it is one of a family."""

    name: str
    layer: sp.Expr | None = None


@dataclass(frozen=True)
class Number(Item):
    """A scalar; those that are given have no steps, others may be of the ``first`` one."""

    given: bool = False
    first: bool = False


@dataclass(frozen=True)
class SiteMean:
    """The average of a function over sampled sites."""

    functions: Functions


@dataclass(frozen=True)
class Moment:
    """``<a(t) b(t)>`` of a Gaussian process."""

    a: Item
    b: Item


@dataclass(frozen=True)
class Functions:
    """Expressions, and what their symbols stand for at the present step; others are parameters."""

    expressions: tuple[sp.Expr, ...]
    arguments: tuple[tuple[sp.Symbol, Item | SiteMean | Moment], ...]


@dataclass(frozen=True)
class ResponseKernel:
    """``coefficient * <d row(t) / d noise(s)>``, ``s = t`` included if ``now``."""

    coefficient: sp.Expr
    row: Item
    noise: Item
    now: bool


@dataclass(frozen=True)
class UpdateKernel:
    """``coefficient * kappa(t - s) weight(s)``, times an overlap ``<row(t) past(s)>`` if there is one.

    ``each`` is for every output that of its own, and no sum over them.
    """

    coefficient: sp.Expr
    weight: Number | None
    overlap: tuple[Item, Item] | None
    each: bool = False


@dataclass(frozen=True)
class Draw:
    """The row of a Gaussian field."""

    noise: Item


@dataclass(frozen=True)
class Add:
    """``target += coefficient * source`` of the same step: a Gaussian field or another one."""

    target: Item
    coefficient: sp.Expr
    source: Item
    noise: bool


@dataclass(frozen=True)
class Remember:
    """``target += sum over past steps, samples and outputs of (sum of kernels) * past``."""

    target: Item
    past: Item
    kernels: tuple[ResponseKernel | UpdateKernel, ...]


@dataclass(frozen=True)
class Map:
    """``target = function`` of fields of the same step.

    Attributes
    ----------
    functions
        The function, in a sampled process, and its slopes in ``fields``, unless responses come by parts.
    """

    target: Item
    functions: Functions
    fields: tuple[Item, ...]
    sampled: bool = True
    sloped: bool = True


@dataclass(frozen=True)
class Compute:
    """``target = function`` of scalars and averages, or its sum over outputs if ``summed``."""

    target: Item
    functions: Functions
    summed: bool = False


@dataclass(frozen=True)
class AddNorm:
    """``target += coefficient * sum weight weight' <left left'> <right right'>``; of a vector without ``right``."""

    target: Item
    coefficient: sp.Expr
    weight: Number
    left: tuple[Item, Item]
    right: tuple[Item, Item] | None


@dataclass(frozen=True)
class Loop:
    """For every layer of a range."""

    index: sp.Symbol
    layers: LayerRange
    body: tuple[Node, ...]
    descending: bool = False


@dataclass(frozen=True)
class Guard:
    """If a condition on layers holds."""

    condition: sp.Basic
    body: tuple[Node, ...]


@dataclass(frozen=True)
class Numbered:
    """What computes one printed equation."""

    number: str
    equation: str
    body: tuple[Node, ...]


Node: TypeAlias = Draw | Add | Remember | Map | Compute | AddNorm | Loop | Guard | Numbered
