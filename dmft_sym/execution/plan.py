"""A flat program with numbers in it: what the arithmetics execute (`planning` makes it).

Fields and vectors are numbered slots, and the spaces are split into *sectors*. Two things of one space share a sector
if some statement combines them, or if the same matrix acts on both; fields of different sectors are orthogonal
in the infinite network (they are built on disjoint sets of Gaussian directions), so that every sector can keep
coordinates of its own. The layers of a deep linear network are sectors of the space of hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dmft_sym.program import OUTPUT, Axes, FieldRef, Label, Recursion, ScalarRef

from .site_values import SiteValues

Rows: TypeAlias = NDArray[np.intp] | None
"""For every label of a result, the row of an operand that it takes; ``None`` if the labels are the same."""
MatrixKey = tuple[str, int | None]
Factor: TypeAlias = float | NDArray[np.float64]
"""A coefficient, or one for every class of the sites that it multiplies."""


@dataclass(frozen=True)
class SectorPlan:
    """A set of fields of one space that may overlap.

    Attributes
    ----------
    ratio : float
        Number of sites in units of ``n`` (may be ``inf``).
    ephemeral : bool
        Nothing in it survives the step (the sample space of one-pass SGD).
    finite : bool
        The space of given inputs.
    shares : ndarray, shape (classes,), or None
        Of its sites, what fraction is of each class; ``None`` if all are alike.
    """

    name: str
    space: str
    ratio: float
    ephemeral: bool
    finite: bool = False
    shares: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class MatrixPlan:
    """A Gaussian matrix instance between sectors ``source`` and ``target``.

    Attributes
    ----------
    variance : float
        ``s2``: entries are ``N(0, s2 / n_source)``.
    inverse_aspect : float
        ``1/tau = n_source / n_target``.
    isometric : bool
        Whether it keeps overlaps of given inputs and is not random.
    """

    key: MatrixKey
    source: int
    target: int
    variance: float
    inverse_aspect: float
    fresh: bool
    learned: bool
    isometric: bool = False


@dataclass(frozen=True)
class VectorPlan:
    """A random vector, kept in slot ``slot``, one for each of its labels, sites ``N(0, variance)``."""

    name: str
    slot: int
    variance: Factor
    fresh: bool


@dataclass(frozen=True)
class Multiply:
    """``target += coefficient * A operand`` (or ``A^T operand``).

    With `Arithmetic.reduced_transpose` the coefficient of a transposed product contains the factor ``tau``.
    """

    matrix: int
    operand: int
    transpose: bool
    coefficient: Factor
    rows: Rows = None


@dataclass(frozen=True)
class Combine:
    """``target = sum coefficient * slot + products``."""

    target: int
    terms: tuple[tuple[Factor, int, Rows], ...]
    products: tuple[Multiply, ...]

    @property
    def parts(self) -> tuple[tuple[Factor, int, Rows] | Multiply, ...]:
        """Fields first, then products."""
        return (*self.terms, *self.products)


@dataclass(frozen=True)
class Evaluation:
    """A site-wise function with the slots and the scalars that are its arguments."""

    function: SiteValues
    slots: tuple[tuple[int, Rows], ...]
    scalars: tuple[tuple[int, Rows], ...]


@dataclass(frozen=True)
class MapSites:
    """``slot target = sum of values``: a function, or one for every value of labels that are summed over."""

    target: int
    values: tuple[Evaluation, ...]


@dataclass(frozen=True)
class AverageSites:
    """``scalar target = sum coefficient <function>``."""

    target: int
    terms: tuple[tuple[float, Evaluation], ...]


@dataclass(frozen=True)
class ComputeScalar:
    """``scalar target = function`` of scalars; ``shape`` is that of the target, and of ``sums`` labels summed over."""

    target: int
    function: SiteValues
    scalars: tuple[tuple[int, Rows], ...]
    shape: tuple[int, ...]
    sums: int = 0


@dataclass(frozen=True)
class Remember:
    """``target = source`` at the first step alone: slots of fields, or numbers of scalars if ``scalar``."""

    target: int
    source: int
    scalar: bool = False


@dataclass(frozen=True)
class Increment:
    """``coefficient * sum weight left right^T / n_source`` (``left`` alone for a vector).

    ``left`` and ``weight`` are taken at all labels of the term; the sum over labels that ``right`` (or the vector)
    lacks is ``shape`` summed over ``sum_axes``.
    """

    coefficient: float
    left: int
    right: int = -1
    left_rows: Rows = None
    right_rows: Rows = None
    weight: int = -1
    weight_rows: Rows = None
    shape: tuple[int, ...] = ()
    sum_axes: tuple[int, ...] = ()


@dataclass(frozen=True)
class NormScalar:
    """``scalar target = sum factor |sum increments|^2`` over arrays; see `dmft_sym.program.SquaredNorm`."""

    target: int
    parts: tuple[tuple[float, tuple[Increment, ...]], ...]


Step: TypeAlias = Combine | MapSites | AverageSites | ComputeScalar | NormScalar | Remember


@dataclass(frozen=True)
class LearnMatrix:
    """Update of a matrix."""

    matrix: int
    terms: tuple[Increment, ...]


@dataclass(frozen=True)
class LearnVector:
    """Update of a vector; ``slot`` is the vector's."""

    slot: int
    terms: tuple[Increment, ...]


@dataclass(frozen=True)
class PlannedAverage:
    """``sum coefficient <a b> + constant`` for each of ``rows`` labels."""

    name: str
    terms: tuple[tuple[float, int, int], ...]
    constant: float
    rows: int


@dataclass
class Plan:
    """The executable form of one training step.

    Attributes
    ----------
    fields : dict
        Slot of every field, by its reference with integer layer.
    slots : list of int
        Sector of every slot.
    sizes : mapping
        Number of values of every label.
    rows : list of int
        Number of rows of every slot, one for each value of its labels.
    scalars : dict
        Number of every scalar, by its reference with integer layer.
    scalar_shapes : list of tuple
        Shape of every scalar, the sizes of its labels.
    recursion : Recursion
        The optimizer, in numbers.
    data, given : dict
        What is given from outside: inputs by slot, shape (rows, D), and scalars by number.
    given_anew : dict
        Scalars that are given at every step, by number, shape (steps, labels).
    """

    sizes: Mapping[Label, int]
    recursion: Recursion = field(default_factory=Recursion)
    sectors: list[SectorPlan] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    fields: dict[FieldRef, int] = field(default_factory=dict)
    scalars: dict[ScalarRef, int] = field(default_factory=dict)
    scalar_shapes: list[tuple[int, ...]] = field(default_factory=list)
    data: dict[int, NDArray[Any]] = field(default_factory=dict)
    given: dict[int, NDArray[Any]] = field(default_factory=dict)
    given_anew: dict[int, NDArray[Any]] = field(default_factory=dict)
    matrices: list[MatrixPlan] = field(default_factory=list)
    vectors: list[VectorPlan] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    averages: list[PlannedAverage] = field(default_factory=list)
    learn_matrices: list[LearnMatrix] = field(default_factory=list)
    learn_vectors: list[LearnVector] = field(default_factory=list)

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.sizes[OUTPUT]

    @property
    def named_slots(self) -> dict[str, int]:
        """Slots of fields and random vectors, by the names that users see."""
        return {str(ref): slot for ref, slot in self.fields.items()} | {v.name: v.slot for v in self.vectors}

    def labels(self, axes: Axes) -> tuple[int, ...]:
        """Sizes of the labels ``axes``."""
        return tuple(self.sizes[label] for label in axes)


Given: TypeAlias = Mapping[str, NDArray[Any]]
"""Inputs, targets and the like, by the names that the program gives them."""
