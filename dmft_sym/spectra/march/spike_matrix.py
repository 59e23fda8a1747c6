"""``J(z)`` at a step, applied without being stored: bulk responses, strengths, known two-time matrices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from dmft_sym.support.array_types import Array, Floats

Link: TypeAlias = tuple[int, int]
"""A level-two field and an equation that drives it, by their places in ``G``."""


@dataclass(frozen=True)
class Block:
    """Unknowns of one level-two field with the same drives.

    Attributes
    ----------
    field
        The place of the level-two field in ``G``.
    unknowns, strengths
        Where they are, and where what drives them is.
    known
        The two-time matrix between these.
    """

    field: int
    unknowns: slice
    strengths: slice
    known: Floats


@dataclass(frozen=True)
class SpikeMatrix:
    """``J(z)`` of one matrix at one step.

    Attributes
    ----------
    blocks
        Of its unknowns.
    push
        What drives every block, by the unknowns: a sparse matrix, without the bulk responses.
    fields, equations
        Which bulk response every row of it is multiplied with.
    scale
        Typical size of every unknown, shape (size,): eigenvalues are computed in units of it.
    sources
        By link: the level-two fields whose unknowns drive the equation.
    copies
        How often every outlier is repeated by the outputs.
    horizon
        Number of steps of training in the index set.
    """

    blocks: tuple[Block, ...]
    push: csr_matrix
    fields: NDArray[np.intp]
    equations: NDArray[np.intp]
    scale: Floats
    sources: dict[Link, set[int]]
    copies: int
    horizon: int

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return len(self.scale)

    def at(self, green: Array) -> AppliedSpikes:
        """For one bulk response matrix ``G``."""
        weights = np.repeat(green[self.fields, self.equations], np.diff(self.push.indptr))
        push = csr_matrix((weights * self.push.data, self.push.indices, self.push.indptr), shape=self.push.shape)
        return AppliedSpikes(self, push)

    @cached_property
    def cycle(self) -> Cycle | None:
        """``J`` as one cycle of level-two fields, if each is driven by exactly one other, through one equation."""
        fields = {seen for seen, _ in self.sources}
        once = len(self.sources) == len(fields) == len({equation for _, equation in self.sources})
        if not once or any(len(found) != 1 for found in self.sources.values()):
            return None
        links = {link[0]: link for link in self.sources}
        source = {link[0]: next(iter(found)) for link, found in self.sources.items()}
        path = [min(fields)]
        while source[path[-1]] not in path:
            path.append(source[path[-1]])
        if len(path) < len(fields) or source[path[-1]] != path[0]:
            return None
        return Cycle(self, tuple(links[seen] for seen in path))


@dataclass(frozen=True)
class AppliedSpikes:
    """``J`` for one ``G``.

    Attributes
    ----------
    push
        With the bulk responses.
    """

    matrix: SpikeMatrix
    push: csr_matrix

    @cached_property
    def _scaled(self) -> csr_matrix:
        units = self.matrix.scale[self.push.indices]
        return csr_matrix((self.push.data * units, self.push.indices, self.push.indptr), shape=self.push.shape)

    @cached_property
    def _pull(self) -> csr_matrix:
        return self.push.T.tocsr()

    def __call__(self, x: Array) -> Array:
        """``J x``; ``x`` has shape (size,) or (size, columns)."""
        return self._known(self.push @ x, self.matrix.blocks)

    def scaled(self, x: Array, blocks: Iterable[Block] | None = None) -> Array:
        """``J`` in units of ``scale``: the same eigenvalues, and far better conditioned; ``x`` (size, columns).

        Parameters
        ----------
        blocks
            Those that are wanted, if not all.
        """
        result = self._known(self._scaled @ x, self.matrix.blocks if blocks is None else blocks)
        result /= self.matrix.scale[:, None]
        return result

    def _known(self, strengths: Array, blocks: Iterable[Block]) -> Array:
        result = np.zeros((self.matrix.size, *strengths.shape[1:]), dtype=strengths.dtype)
        for block in blocks:
            result[block.unknowns] += block.known @ strengths[block.strengths]  # of several classes of sites
        return result

    def transposed(self, y: Array) -> Array:
        """``J^T y``; ``y`` has shape (size,) or (size, columns)."""
        strengths = np.zeros((self.push.shape[0], *y.shape[1:]), dtype=y.dtype)
        for block in self.matrix.blocks:
            np.matmul(block.known.T, y[block.unknowns], out=strengths[block.strengths])
        return np.asarray(self._pull @ strengths)


@dataclass(frozen=True)
class Cycle:
    """``J`` with blocks around one cycle: an eigenvalue of ``J`` is a root of ``gain(z)`` times one of the product.

    Attributes
    ----------
    path
        Level-two fields and the equations through which each is driven by the next one.
    """

    matrix: SpikeMatrix
    path: tuple[Link, ...]

    @cached_property
    def _first(self) -> NDArray[np.bool_]:
        """Which unknowns are those of the first field."""
        found = np.zeros(self.matrix.size, dtype=bool)
        for block in self._blocks(self.path[0]):
            found[block.unknowns] = True
        return found

    def _blocks(self, link: Link) -> list[Block]:
        return [block for block in self.matrix.blocks if block.field == link[0]]

    @cached_property
    def _applied(self) -> AppliedSpikes:
        """``J`` without bulk responses."""
        return self.matrix.at(np.ones((1 + max(max(link) for link in self.path),) * 2))

    @property
    def size(self) -> int:
        """Number of unknowns of the first field."""
        return int(self._first.sum())

    def gain(self, green: Array) -> float:
        """Product of the bulk responses around the cycle."""
        return float(np.prod([np.real(green[link]) for link in self.path]))

    def apply(self, x: Floats) -> Floats:
        """The product of the blocks without the bulk responses, in units of ``scale``; ``x`` is (size, columns)."""
        full = np.zeros((self.matrix.size, *x.shape[1:]))
        full[self._first] = x
        for link in reversed(self.path):
            full = self._applied.scaled(full, self._blocks(link))
        return full[self._first]
