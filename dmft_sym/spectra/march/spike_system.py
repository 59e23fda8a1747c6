"""``J(z)`` of a matrix at a step: the (2,1) block of the averaging rule, linear in its unknowns.

With ``o`` the operand of a level-two product ``beta``, ``g`` the places of training of its matrix in its direction and
``g'`` those in the other direction, the unknowns are

    c_beta(i) = <o operand_g(i)>,     r_beta(j) = <d o / d noise_g'(j)>,

and the product drives its equation ``alpha`` with ``E u + sum_j x(j) operand_g'(j)``, ``x = k r_beta + K c_beta``:
memory and trained part. Every operand ``F = sum_alpha G[F, alpha] drive_alpha`` then has

    c_gamma = sum G (E k' R[operand_gamma; noise_g] c_beta + C[operand_gamma, operand_g'] x)
    r_gamma = sum G R[operand_g'; noise_gamma']^T x

which is ``x = J(z) x`` (docs/mathematics.md, Spectra). ``J`` is applied without being stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dmft_sym.support.array_types import Array, Floats

from .dyson import DysonOfEquations
from .flat_sites import NoiseAt


@dataclass
class Drive:
    """What a product contributes to an equation.

    Attributes
    ----------
    noise
        ``E`` times the coefficient of ``<u u_i> = k' <o operand_i>``.
    memory
        ``k``.
    updates
        Entries of ``K``: place in ``g``, place in ``g'``, weights over steps, shape (t,).
    """

    noise: float = 0.0
    memory: float = 0.0
    updates: list[tuple[int, int, Floats]] = field(default_factory=list)


@dataclass(frozen=True)
class LevelTwoProduct:
    """A level-two product ``beta`` with its place among the unknowns.

    Attributes
    ----------
    operand
        Position of its operand among the level-two fields.
    overlap, response
        Places of ``c_beta`` and ``r_beta`` among the unknowns.
    places, partners
        Numbers of places of training in its direction and in the other one.
    """

    noise: NoiseAt
    operand: int
    overlap: slice
    response: slice
    places: int
    partners: int


@dataclass(frozen=True)
class Link:
    """How the drive of one product reaches the unknowns of another.

    Attributes
    ----------
    known
        ``R[operand_gamma; noise_g]``, or ``None`` if zero.
    mixed
        ``C[operand_gamma, operand_g']``.
    back
        ``R[operand_g'; noise_gamma']^T``.
    """

    target: int
    source: int
    known: Floats | None
    mixed: Floats | None
    back: Floats | None


@dataclass(frozen=True)
class SpikeSystem:
    """``J(z)`` of one matrix at one step.

    Attributes
    ----------
    dyson
        The bulk.
    products
        Level-two products.
    drives
        By equation and product.
    links
        Pairs of products whose fields share sites.
    size
        Number of unknowns.
    copies
        How often every outlier is repeated by the outputs.
    horizon
        Number of steps of training in the index set.
    scale
        Typical size of every unknown, shape (size,): eigenvalues are computed in units of it.
    """

    dyson: DysonOfEquations
    products: tuple[LevelTwoProduct, ...]
    drives: dict[tuple[int, int], Drive]
    links: tuple[Link, ...]
    size: int
    copies: int
    horizon: int
    scale: Floats

    @cached_property
    def driven(self) -> dict[int, list[tuple[int, Drive]]]:
        """Equations that every product drives."""
        found: dict[int, list[tuple[int, Drive]]] = {n: [] for n in range(len(self.products))}
        for (equation, product), drive in self.drives.items():
            found[product].append((equation, drive))
        return found

    def apply(self, green: Array, x: Array) -> Array:
        """``J x`` for one bulk response matrix ``G``; ``x`` has shape (size,) or (size, columns)."""
        result = np.zeros(x.shape, dtype=np.result_type(green, x))
        fields = self.drive_vectors(x)
        for link in self.links:
            target = self.products[link.target]
            noise, level_one = 0.0, 0.0
            for equation, driven, coefficients in fields[link.source]:
                weight = green[target.operand, equation]
                noise = noise + weight * driven
                level_one = level_one + weight * coefficients
            if link.known is not None:
                result[target.overlap] += link.known @ noise
            if link.mixed is not None:
                result[target.overlap] += link.mixed @ level_one
            if link.back is not None:
                result[target.response] += link.back @ level_one
        return result

    def scaled(self, green: Array, x: Array) -> Array:
        """``J`` in units of ``scale``: the same eigenvalues, and far better conditioned; ``x`` (size, columns)."""
        return self.apply(green, x * self.scale[:, None]) / self.scale[:, None]

    def drive_vectors(self, x: Array) -> list[list[tuple[int, Array, Array]]]:
        """By product: equation, ``E k' c`` and the coefficients of the fields of training in it."""
        return [
            [
                (equation, drive.noise * x[product.overlap], _pushed(product, drive, x))
                for equation, drive in self.driven[n]
            ]
            for n, product in enumerate(self.products)
        ]

    def apply_transposed(self, green: Array, y: Array) -> Array:
        """``J^T y``; ``y`` has shape (size,) or (size, columns)."""
        result = np.zeros(y.shape, dtype=np.result_type(green, y))
        for link in self.links:
            target, source = self.products[link.target], self.products[link.source]
            noise: Array = np.zeros(1) if link.known is None else link.known.T @ y[target.overlap]
            level_one: Array = np.zeros(())
            if link.mixed is not None:
                level_one = level_one + link.mixed.T @ y[target.overlap]
            if link.back is not None:
                level_one = level_one + link.back.T @ y[target.response]
            for equation, drive in self.driven[link.source]:
                weight = green[target.operand, equation]
                if link.known is not None:
                    result[source.overlap] += weight * drive.noise * noise
                if level_one.ndim:
                    _pull_back(source, drive, weight * level_one, result)
        return result

    @cached_property
    def cycle(self) -> Cycle | None:
        """``J`` as one cycle of products, if every product is driven by exactly one other through one equation."""
        sources = {link.target: link.source for link in self.links}
        whole = len(sources) == len(self.links) == len(self.products)
        if not whole or any(len(found) != 1 for found in self.driven.values()):
            return None
        path = [0]
        while len(path) < len(self.products):
            path.append(sources[path[-1]])
        if len(set(path)) < len(path) or sources[path[-1]] != 0:
            return None
        return Cycle(self, tuple(path))


def _pushed(product: LevelTwoProduct, drive: Drive, x: Array) -> Array:
    """Coefficients of the fields of training that a product drives its equation with: ``k r + K c``."""
    overlap, response = x[product.overlap], x[product.response]
    steps = len(overlap) // product.places if product.places else 0
    coefficients = np.zeros((steps * product.partners, *x.shape[1:]), dtype=x.dtype)
    if len(response):
        coefficients += drive.memory * response
    for here, there, weights in drive.updates:
        column = weights if x.ndim == 1 else weights[:, None]
        coefficients[there :: product.partners] += column * overlap[here :: product.places]
    return coefficients


def _pull_back(product: LevelTwoProduct, drive: Drive, level_one: Array, result: Array) -> None:
    """The transpose of `_pushed`, added to a result."""
    if product.response.stop > product.response.start:
        result[product.response] += drive.memory * level_one
    for here, there, weights in drive.updates:
        column = weights if level_one.ndim == 1 else weights[:, None]
        result[product.overlap][here :: product.places] += column * level_one[there :: product.partners]


@dataclass(frozen=True)
class Cycle:
    """``J`` with blocks around one cycle: an eigenvalue of ``J`` is a root of ``gain(z)`` times one of the product.

    Attributes
    ----------
    path
        Products; each is driven by the next one.
    """

    system: SpikeSystem
    path: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of unknowns of the first product."""
        first = self.system.products[self.path[0]]
        return first.response.stop - first.overlap.start

    def gain(self, green: Array) -> float:
        """Product of the bulk responses around the cycle."""
        sources = (*self.path[1:], self.path[0])
        total = 1.0
        for target, source in zip(self.path, sources, strict=True):
            ((equation, _),) = self.system.driven[source]
            total *= float(np.real(green[self.system.products[target].operand, equation]))
        return total

    def apply(self, x: Floats) -> Floats:
        """The product of the blocks without the bulk responses, in units of ``scale``; ``x`` is (size, columns)."""
        full = np.zeros((self.system.size, *x.shape[1:]))
        first = self.system.products[self.path[0]]
        place = slice(first.overlap.start, first.response.stop)
        full[place] = x
        ones = np.ones((len(self.system.dyson.eigen),) * 2)
        for _ in self.path:
            full = self.system.scaled(ones, full)
        return full[place]
