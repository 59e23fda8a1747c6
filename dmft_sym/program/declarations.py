"""What a program declares before it computes: spaces, Gaussian matrices, random vectors, fields."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import sympy as sp

from .classes import SiteClasses
from .errors import ProgramError
from .labels import LAYER, OUTPUT, Axes, Label, LayerRange

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")


def check_name(name: str) -> str:
    """Return ``name`` if it is a plain identifier: names reach printers and generated source."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ProgramError(f"name {name!r}: allowed are a letter followed by up to 39 letters, digits or underscores")
    return name


@dataclass(frozen=True)
class Declared:
    """Something with a name."""

    name: str

    def __post_init__(self) -> None:
        check_name(self.name)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Space(Declared):
    """A space of ``ratio * n`` sites, ``n -> inf``.

    Parameters
    ----------
    name
        Identifier, e.g. ``"N"``.
    ratio
        Size of the space in units of the reference size ``n``: of the input dimension ``D`` in the proportional
        regime, of the width ``N`` where samples are given.
    finite
        The space of given inputs, whose size does not grow.
    classes
        Kinds of its sites, if they are not all alike.
    """

    ratio: sp.Expr
    finite: bool = False
    classes: SiteClasses | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.finite and self.classes is not None:
            raise ProgramError(f"space {self.name} has {self.classes}: allowed is a space that grows")
        object.__setattr__(self, "ratio", sp.sympify(self.ratio, strict=True))


@dataclass(frozen=True)
class GaussianMatrix(Declared):
    """A matrix ``source -> target`` with i.i.d. entries ``N(0, variance / n_source)``.

    Parameters
    ----------
    variance
        May depend on the layer, `LAYER`, of a member of a family.
    layers
        Range of the layer label if this is a family of independent matrices.
    fresh
        Drawn anew at every step (the data matrix of one-pass SGD).
    isometric
        Not random: overlaps of given inputs are kept, ``<A x A x'> = x . x' / n_source``. In the limit of many sites a
        Gaussian matrix that is not trained, and that nothing else is made of, has the same law.
    members
        What users call the members of a family, if not by its name and the layer (``W3``).
    """

    source: Space
    target: Space
    variance: sp.Expr = sp.Integer(1)
    layers: LayerRange | None = None
    fresh: bool = False
    isometric: bool = False
    members: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "variance", sp.sympify(self.variance, strict=True))

    def variance_at(self, layer: sp.Expr | int | None) -> sp.Expr:
        """That of a member of a family."""
        return self.variance if layer is None else self.variance.subs(LAYER.symbol, layer)

    @property
    def aspect(self) -> sp.Expr:
        """``tau = n_target / n_source``."""
        return sp.cancel(self.target.ratio / self.source.ratio)


@dataclass(frozen=True)
class RandomVector(Declared):
    """Vectors (one per output) with i.i.d. sites ``N(0, variance)``; ``fresh`` as for matrices."""

    space: Space
    variance: sp.Expr = sp.Integer(1)
    fresh: bool = False
    layers: ClassVar[None] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "variance", sp.sympify(self.variance, strict=True))

    @property
    def axes(self) -> Axes:
        """There is one vector per output."""
        return (OUTPUT,)


@dataclass(frozen=True)
class Field(Declared):
    """A vector of ``space`` for every step, every label of ``axes``, and every layer of ``layers`` if given.

    Parameters
    ----------
    axes
        Labels such as ``(SAMPLE, OUTPUT)``, in an order that all fields and scalars of a program have.
    data
        Given from outside (the inputs) and the same at every step.
    place
        Which of the given inputs it is where there is a field for each of several, counted from 0.
    """

    space: Space
    layers: LayerRange | None = None
    axes: Axes = (OUTPUT,)
    data: bool = False
    place: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_axes(self.name, self.axes)


@dataclass(frozen=True)
class Scalar(Declared):
    """A number for every step, every label of ``axes``, and every layer of ``layers`` if given.

    ``data`` marks those that are given, such as targets: from outside, or here by their ``values``, the last label
    fastest. With ``fresh`` they are given anew at every step, and a ``formula`` in the step ``t`` and the number of
    steps ``T`` says what they are.
    """

    axes: Axes
    layers: LayerRange | None = None
    data: bool = False
    fresh: bool = False
    formula: sp.Expr | None = None
    values: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_axes(self.name, self.axes)


def _check_axes(name: str, axes: Axes) -> None:
    if not all(isinstance(label, Label) for label in axes) or len(set(axes)) < len(axes):
        raise ProgramError(f"{name}: axes {tuple(map(str, axes))}: allowed are labels, each of them once")


UNIT = Space("unit_space", sp.Integer(1), finite=True)
ONE = Field("unit_input", UNIT, axes=(), data=True)
"""The number one, as a given vector with a single site.

A trained vector ``b`` that has no labels is a matrix from the space `UNIT`, applied to it: one vector for all samples
and outputs, whose gradient is their sum.
"""
