"""Linear pencils: the eigenproblem of a matrix, written with one Gaussian matrix in every block.

The singular values of a product ``A_2 A_1``, say, are the ``z`` for which ``z b = A_2 y``, ``y = A_1 a``,
``z a = A_1^T x``, ``x = A_2^T b`` has a solution. Arranged symmetrically this is ``H(z) w = 0`` for the vector ``w`` of
the *level-two fields* ``a, y, x, b``, each a vector of some space, with::

    H(z) = (L_0 + z L_1) (x) 1 - sum_k coefficient_k (A_k / sqrt(tau_k) + transpose),

``L_0`` and ``L_1`` numbers between fields of one space; entries of ``A / sqrt(tau)`` are ``N(0, s2 / n_target)``, which
is the matrix that acts on the coordinates of fields (see `coordinates`) and stays finite where ``tau`` is not. ``L_1``
is positive semidefinite: the eigenvalues of ``H(z)`` do not decrease with ``z``, and the number of eigenvalues in an
interval is a difference of negative inertias.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components

from dmft_sym.execution.interface import Array

_SAME = 1e-5  # relative difference of the numbers of outputs that are equivalent


@dataclass(frozen=True)
class GaussianBlock:
    """What the bulk of a spectrum knows of a matrix: its entries are ``N(0, variance / n_source)``.

    Parameters
    ----------
    inverse_aspect
        ``1/tau = n_source / n_target``; may be 0.
    """

    variance: float
    inverse_aspect: float


@dataclass(frozen=True)
class Coupling:
    """``- coefficient A / sqrt(tau)`` in row ``target`` and column ``source`` of ``H``, and its transpose.

    Parameters
    ----------
    matrix
        Number of the matrix in the plan.
    """

    matrix: int
    target: int
    source: int
    coefficient: float


@dataclass(frozen=True)
class Input:
    """A vector of the eigenproblem: ``a`` and ``b`` of singular values, ``p`` of a symmetric matrix."""

    name: str
    output: int
    field: int


@dataclass(frozen=True, eq=False)
class Pencil:
    """``H(z)`` of a matrix at one step.

    Parameters
    ----------
    names
        Names of the ``m`` level-two fields.
    components
        For every field the set of fields, numbered, with which it may overlap.
    constant, slope : ndarray, shape (m, m)
        ``L_0`` and ``L_1``, symmetric; zero between components.
    couplings
        Where matrices stand.
    blocks
        The matrices, by their number in the plan.
    probe
        The field whose resolvent gives the density. Its slope times its norm is the same for all inputs.
    inputs
        Fields that stand in an eigen-equation, with the name of the input and its output (0 if there is only one).
    folded
        The spectrum is symmetric and its positive half is meant (singular values).
    """

    names: tuple[str, ...]
    components: tuple[int, ...]
    constant: Array
    slope: Array
    couplings: tuple[Coupling, ...]
    blocks: dict[int, GaussianBlock]
    probe: int
    inputs: tuple[Input, ...]
    folded: bool

    @property
    def size(self) -> int:
        """Number ``m`` of level-two fields."""
        return len(self.names)

    @property
    def signature(self) -> tuple[object, ...]:
        """Everything that the bulk depends on, hashable."""
        numbers = (self.constant.tobytes(), self.slope.tobytes())
        return (*numbers, self.components, self.couplings, tuple(self.blocks.items()), self.probe, self.folded)

    def members(self, component: int) -> list[int]:
        """The fields of a component."""
        return [field for field, number in enumerate(self.components) if number == component]

    def restricted(self, fields: list[int]) -> Pencil:
        """The pencil of some of the fields, which must not be coupled to the others."""
        number = {field: n for n, field in enumerate(fields)}
        pick = np.ix_(fields, fields)
        couplings = tuple(
            Coupling(c.matrix, number[c.target], number[c.source], c.coefficient)
            for c in self.couplings
            if c.target in number
        )
        inputs = tuple(Input(i.name, i.output, number[i.field]) for i in self.inputs if i.field in number)
        return Pencil(
            tuple(self.names[f] for f in fields),
            tuple(self.components[f] for f in fields),
            self.constant[pick],
            self.slope[pick],
            couplings,
            {c.matrix: self.blocks[c.matrix] for c in couplings},
            number.get(self.probe, inputs[0].field),
            inputs,
            self.folded,
        )

    def decoupled(self) -> list[tuple[Pencil, int]]:
        """Pencils of sets of fields that are not coupled to each other, equal ones once, with their multiplicities.

        The outputs of a network are such sets, equal up to rounding.
        """
        found: list[tuple[Pencil, int]] = []
        for fields in self._connected():
            part = self.restricted(fields)
            for n, (known, count) in enumerate(found):
                if known.resembles(part):
                    found[n] = known, count + 1
                    break
            else:
                found.append((part, 1))
        return found

    def resembles(self, other: Pencil) -> bool:
        """Whether another pencil is the same up to the tolerance of a run."""
        return (
            (self.components, self.couplings, self.probe) == (other.components, other.couplings, other.probe)
            and np.allclose(self.constant, other.constant, rtol=_SAME, atol=_SAME * np.abs(self.constant).max())
            and np.allclose(self.slope, other.slope)
        )

    def _connected(self) -> list[list[int]]:
        linked = (self.constant != 0) | (self.slope != 0) | np.eye(self.size, dtype=bool)
        for coupling in self.couplings:
            linked[coupling.target, coupling.source] = linked[coupling.source, coupling.target] = True
        count, labels = connected_components(linked, directed=False)
        return [np.flatnonzero(labels == n).tolist() for n in range(count)]
