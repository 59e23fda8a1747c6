"""The finite network: matrices are stored, spaces have ``round(ratio * dim)`` sites."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray

from dmft_sym.support.errors import ExecutionError

from .inputs import isometry
from .interface import Array, taken
from .plan import LearnMatrix, Multiply, Plan, VectorPlan
from .site_arithmetic import ArithmeticOnSites


class FiniteNetwork(ArithmeticOnSites):
    """A network of finite size, trained by its own program.

    The memory of the optimizer is an explicit buffer and decay an explicit factor, so that a run checks their closed
    form from the outside.

    Parameters
    ----------
    dim
        The reference size ``n`` (the input dimension ``D``).
    seed
        Every matrix and vector draws from a stream of its own, spawned from ``numpy.random.SeedSequence(seed)``.
    normalise
        Scale every random vector so that ``<v v>`` equals its variance exactly, in every class of sites if there are
        some. It removes the leading fluctuation between seeds and leaves the limit as it is.

    Raises
    ------
    ExecutionError
        If a space is infinite or would have no sites.
    """

    def __init__(self, plan: Plan, dtype: type, dim: int, seed: int, normalise: bool = False) -> None:
        super().__init__(plan, dtype)
        self._normalise = normalise
        self.sizes = _sizes(plan, dim)
        self.values = [
            np.zeros((rows, self.sizes[s]), self.dtype)
            for rows, s in zip(self.slot_rows, self.slot_sectors, strict=True)
        ]
        for slot, given in plan.data.items():
            self.values[slot][:] = given
        for number, sector in enumerate(plan.sectors):
            if sector.shares is not None:
                self.class_of[number] = class_of_sites(sector.shares, self.sizes[number])
        streams = [np.random.default_rng(s) for s in SeedSequence(seed).spawn(len(plan.matrices) + len(plan.vectors))]
        self._matrix_streams, self._vector_streams = streams[: len(plan.matrices)], streams[len(plan.matrices) :]
        from scipy.linalg import get_blas_funcs  # here: infinite networks do without SciPy

        self._gemm = get_blas_funcs("gemm", dtype=self.dtype)
        self.matrices = [np.empty((self.sizes[m.target], self.sizes[m.source]), self.dtype) for m in plan.matrices]
        remembered = plan.learn_matrices if plan.recursion.has_memory else []
        self._memory = {rule.matrix: np.zeros_like(self.matrices[rule.matrix]) for rule in remembered}
        self._draw(fresh=False)

    def begin_step(self) -> None:
        """Draw the fresh matrices and vectors of this step."""
        self._draw(fresh=True)

    def multiply(self, product: Multiply, target: int) -> None:
        """A matrix product over all outputs at once."""
        matrix = self.matrices[product.matrix]
        result = self.values[product.operand] @ (matrix if product.transpose else matrix.T)
        result *= self.spread(product.coefficient, target)
        self.values[target] += taken(result, product.rows)

    def learn_matrix(self, rule: LearnMatrix) -> None:
        """One step of the optimizer, in place."""

        def add(total: Array) -> None:
            for term in rule.terms:
                right = taken(self.values[term.right], term.right_rows)
                self._add_outer(total, term.coefficient, self.weighted(term), right)

        self.plan.recursion.update(self.matrices[rule.matrix], self._memory.get(rule.matrix), add)

    def _add_outer(self, matrix: Array, coefficient: float, left: Array, right: Array) -> None:
        # matrix.T is Fortran-contiguous: BLAS adds right^T left into it without a temporary.
        scale = coefficient / matrix.shape[1]
        self._gemm(scale, right.T, left.T, beta=1.0, c=matrix.T, trans_b=1, overwrite_c=1)

    def ranks(self) -> list[int]:
        """Number of sites of every sector."""
        return list(self.sizes)

    def overlap(self, sector: int) -> float:
        """``1 / sites``."""
        return 1 / self.sizes[sector]

    def _draw(self, *, fresh: bool) -> None:
        for matrix, spec, stream in zip(self.matrices, self.plan.matrices, self._matrix_streams, strict=True):
            if spec.isometric and not fresh:
                given = next(x for slot, x in self.plan.data.items() if self.plan.slots[slot] == spec.source)
                matrix[:] = isometry(given, len(matrix))
            elif spec.fresh == fresh:
                self._fill(matrix, stream)
                matrix *= math.sqrt(spec.variance / self.sizes[spec.source])
        for vector, stream in zip(self.plan.vectors, self._vector_streams, strict=True):
            if vector.fresh == fresh:
                self._draw_vector(vector, stream)

    def _draw_vector(self, vector: VectorPlan, stream: Generator) -> None:
        out = self.values[vector.slot]
        self._fill(out, stream)
        if self._normalise:
            classes = self.class_of.get(self.slot_sectors[vector.slot], np.zeros(out.shape[1], np.intp))
            for kind in np.unique(classes):  # of which the first ones of a power law have few sites
                part = slice(*np.searchsorted(classes, (kind, kind + 1)))
                out[:, part] /= np.sqrt(np.mean(out[:, part] ** 2, axis=1, keepdims=True))
        out *= np.sqrt(self.spread(vector.variance, vector.slot))

    @staticmethod
    def _fill(out: Array, stream: Generator) -> None:
        if out.dtype == np.float32:
            stream.standard_normal(out=cast(NDArray[np.float32], out), dtype=np.float32)
        else:
            stream.standard_normal(out=cast(NDArray[np.float64], out), dtype=np.float64)


def _sizes(plan: Plan, dim: int) -> list[int]:
    """Number of sites of every sector; that of the inputs has the dimension of the data."""
    dimensions = {plan.slots[slot]: given.shape[1] for slot, given in plan.data.items()}
    return [
        dimensions[number] if sector.finite else _size(sector.space, sector.ratio, dim)
        for number, sector in enumerate(plan.sectors)
    ]


def _size(name: str, ratio: float, dim: int) -> int:
    if math.isinf(ratio):
        raise ExecutionError(f"space {name} is infinite: a finite network needs finite ratios; use coordinates instead")
    size = round(ratio * dim)
    if size < 1:
        raise ExecutionError(f"space {name} has {ratio:g} * {dim} = {ratio * dim:g} sites: allowed is at least one")
    return size


def class_of_sites(shares: NDArray[np.float64], sites: int) -> NDArray[np.intp]:
    """The class of every site; the number of sites of a class is its share of them, rounded (largest remainders)."""
    wanted = shares * (sites / shares.sum())
    counts = np.floor(wanted).astype(int)
    most = np.argsort(counts - wanted, kind="stable")[: sites - counts.sum()]
    counts[most] += 1
    return np.repeat(np.arange(len(shares)), counts)


def finite_bytes(plan: Plan, dtype: type, dim: int) -> int:
    """Memory in bytes that the matrices of a finite network take, those of the optimizer included."""
    sizes = _sizes(plan, dim)
    entries = 0
    for matrix in plan.matrices:
        copies = 2 if matrix.learned and plan.recursion.has_memory else 1
        entries += copies * sizes[matrix.source] * sizes[matrix.target]
    return entries * np.dtype(dtype).itemsize
