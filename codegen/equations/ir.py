"""Structured intermediate representation of a march: what is done at one step, still in matrices.

A module marches two-time matrices over the index ``(step, output)`` row by row. Rows are blocks of ``C``
lines (all outputs of step ``t``). Nodes name arrays and layer indices; coefficients are SymPy expressions in
parameters and layer indices. Back ends print the nodes, and know nothing of networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import sympy as sp

from dmft_sym.program import Recursion


@dataclass(frozen=True)
class ArraySpec:
    """A family of two-time matrices with leading layer axes.

    Attributes
    ----------
    axes
        Inclusive ``(start, stop)`` of every leading axis: of classes of sites, of layers.
    static
        Columns are outputs only (one draw for all steps) instead of ``(step, output)``.
    causal
        Lower triangular in the steps (a response); otherwise the transpose of ``mirror`` (a correlation).
    scale
        By what the Gaussian field that it responds to is divided.
    """

    name: str
    axes: tuple[tuple[sp.Expr, sp.Expr], ...]
    static: bool
    causal: bool
    meaning: str
    mirror: str = ""
    scale: sp.Expr = sp.Integer(1)


@dataclass(frozen=True)
class Ref:
    """One matrix of an array, at given layers."""

    array: ArraySpec
    layers: tuple[sp.Expr, ...] = ()


@dataclass(frozen=True)
class Statement:
    """What follows computes the equations of this statement of the program."""

    text: str


@dataclass(frozen=True)
class Comment:
    """Number and left-hand side of the equation that what follows computes."""

    text: str


@dataclass(frozen=True)
class Loop:
    """Repeat ``body`` over an inclusive range of a layer index."""

    index: sp.Symbol
    start: sp.Expr
    stop: sp.Expr
    descending: bool
    body: tuple[Node, ...]


@dataclass(frozen=True)
class Guard:
    """Do ``body`` if a relation between layer indices holds."""

    condition: sp.Basic
    body: tuple[Node, ...]


@dataclass(frozen=True)
class AddRow:
    """``target[t] += coefficient * source[t]``."""

    target: Ref
    coefficient: sp.Expr
    source: Ref


@dataclass(frozen=True)
class AddFirstRow:
    """``target[t] += coefficient * source[0]``, of which the columns of the first step are not zero."""

    target: Ref
    coefficient: sp.Expr
    source: Ref


@dataclass(frozen=True)
class AddIdentity:
    """``target[t, t] += coefficient * 1`` over outputs (the only column if static)."""

    target: Ref
    coefficient: sp.Expr
    retained: bool


@dataclass(frozen=True)
class StartKernel:
    """Zero the kernel row ``A`` (outputs times all columns)."""


@dataclass(frozen=True)
class AddKernel:
    """``A += coefficient * source[t]`` over ``steps``; identity over outputs if there is no source.

    ``steps``: ``"past"`` weights ``s < t`` with ``kappa(t-s)``; ``"causal"`` takes ``s <= t``; ``"now"`` takes
    ``s = t``.
    """

    coefficient: sp.Expr
    source: Ref | None
    steps: str
    retained: bool


@dataclass(frozen=True)
class AddProduct:
    """``target[t] += A @ source``."""

    target: Ref
    source: Ref


@dataclass(frozen=True)
class StartWeight:
    """Zero the row ``W``; ``static`` as for arrays."""

    static: bool


@dataclass(frozen=True)
class AddWeight:
    """``W += coefficient * response[t] @ covariance``; ``covariance=None`` is the identity.

    ``transposed`` holds the covariance with row and column exchanged, for back ends that read lower triangles
    only; ``fresh`` restricts the covariance to equal steps.
    """

    coefficient: sp.Expr
    response: Ref
    covariance: Ref | None
    transposed: Ref | None
    fresh: bool


@dataclass(frozen=True)
class AddCorrelation:
    """``target[t] += W @ source^T``."""

    target: Ref
    source: Ref


@dataclass(frozen=True)
class CopyTransposed:
    """``target[s, t] = source[t, s]^T`` for ``s <= t``."""

    target: Ref
    source: Ref


@dataclass(frozen=True)
class AddNorm:
    """``target += coefficient * sum left[t, t] * right[t, t]``; of a vector the trace of ``left`` alone."""

    target: str
    coefficient: sp.Expr
    left: Ref
    right: Ref | None


@dataclass(frozen=True)
class SetScalar:
    """``target = function`` of scalars without labels; ``per_step`` names those that have a number for every step."""

    target: str
    function: sp.Expr
    per_step: tuple[str, ...]


Node: TypeAlias = (
    Statement
    | Comment
    | Loop
    | Guard
    | AddRow
    | AddFirstRow
    | AddIdentity
    | StartKernel
    | AddKernel
    | AddProduct
    | StartWeight
    | AddWeight
    | AddCorrelation
    | CopyTransposed
    | AddNorm
    | SetScalar
)


@dataclass(frozen=True)
class Observable:
    """``name(t, c) = sum coefficient * array[(t,c), (t,c)] + constant``, terms summed over indices of their own."""

    name: str
    terms: tuple[tuple[sp.Expr, Ref, tuple[tuple[sp.Symbol, sp.Expr, sp.Expr], ...]], ...]
    constant: sp.Expr
    comment: Comment


@dataclass(frozen=True)
class Export:
    """An order parameter under the name users know, ``scale`` times one of the arrays."""

    name: str
    array: ArraySpec
    scale: sp.Expr
    layer: sp.Expr | None = None


@dataclass(frozen=True)
class Classes:
    """Classes of the sites of a space.

    Attributes
    ----------
    size
        Number of classes.
    share
        Which of the ``values`` are the shares.
    values
        Names of run-time arguments with a number for every class.
    """

    size: sp.Symbol
    share: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class March:
    """Everything a back end needs to write a module.

    Attributes
    ----------
    title, statements
        For the module's docstring: the network and its program.
    parameters
        Real run-time arguments; ``integers`` are depth-like ones.
    definitions
        The equations of the optimizer, that tables of ``kappa`` and ``rho`` are made by.
    smallest_depth
        Smallest value of the integer arguments for which every layer that is named exists.
    recursion
        The optimizer, from which ``kappa`` and ``rho`` are tabulated.
    weight
        Name of the scalar that all increments of a step are multiplied by, with a number for every step.
    given
        Names of scalars that are arguments, with a number for every step.
    weighing
        What computes the weight at the end of a step, if it is not given.
    classes
        Of the sites of a space, if there are some.
    """

    title: str
    statements: str
    parameters: tuple[sp.Symbol, ...]
    integers: tuple[sp.Symbol, ...]
    arrays: tuple[ArraySpec, ...]
    definitions: tuple[Comment, ...]
    body: tuple[Node, ...]
    observables: tuple[Observable, ...]
    exports: tuple[Export, ...]
    smallest_depth: int
    recursion: Recursion
    weight: str | None = None
    given: tuple[str, ...] = ()
    weighing: tuple[Node, ...] = ()
    classes: tuple[Classes, ...] = ()

    @property
    def class_values(self) -> tuple[str, ...]:
        """Names of run-time arguments with a number for every class."""
        return tuple(name for classes in self.classes for name in classes.values)
