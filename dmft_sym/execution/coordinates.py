"""The infinite network in growing coordinates: short vectors instead of wide ones.

A Gaussian matrix that has been applied to a few directions is, given the results, a known operator on them and an
independent Gaussian matrix on everything orthogonal to them (Bolthausen conditioning, Commun. Math. Phys. 325
(2014); the same bookkeeping for simulations is the "Householder dice", Lu, arXiv:2101.07464). As spaces grow, what a
fresh direction is mapped to becomes a new basis vector ``e_new``, orthogonal to everything there is. With
``s2/n_in`` the variance of an entry, ``tau = n_out/n_in``, orthonormal ``p_k`` (applied to, results ``x_k``) and
``q_j`` (transpose applied to, results ``y_j``)::

    A h   = sum_k <p_k h> x_k,   a new p gets   x = (1/tau) sum_j <y_j p> q_j + sqrt(s2) e_new
    A^T g = sum_j <q_j g> y_j,   a new q gets   y = tau sum_k <x_k q> p_k + sqrt(s2 tau) e_new

Both follow from one matrix in coordinates, ``M = sum_k x_k p_k^T + sum_j q_j (ybar_j - Pi_P ybar_j)^T`` with
``ybar = y/tau``: ``M p_k = x_k``, ``M^T q_j = ybar_j``, and ``M p`` of a new direction is just the sum in its ``x``.
Opening a direction is therefore writing one new row ``sqrt(s2) p`` (or column ``sqrt(s2/tau) q``) of ``M``; the trained
part ``sum coefficient left right^T`` is added to the same matrix, and a product is one product with ``M``. As ``tau``
multiplies transposed products only, it is taken into their coefficients, and ratios may be infinite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from dmft_sym.program import Recursion

from .directions import SpannedDirections
from .inputs import input_coordinates
from .interface import Arithmetic, Array, Place, taken
from .plan import Evaluation, LearnMatrix, MapSites, MatrixPlan, Multiply, Plan, Rows

_PENDING = 32  # increments that are kept as factors before they are added to the matrix in one product
_UNTHREADED = 2**18  # multiplications in one product; beyond, OpenBLAS wakes its threads, at a price above the gain
_FIRST_CAPACITY = 32
_GROWTH = 1.2


class Side:
    """One side of a matrix: the directions it was applied to and the coordinates that the noise of each opened.

    Attributes
    ----------
    std : float
        Standard deviation of the noise: ``sqrt(s2)`` or, for the transpose divided by ``tau``, ``sqrt(s2/tau)``.
        With 0 nothing has to be opened.
    noise : list of int
        Coordinate of ``e_new`` in the other sector, for every direction.
    """

    def __init__(self, std: float, directions: SpannedDirections) -> None:
        self.std = std
        self.directions = directions
        self.noise: list[int] = []

    def clear(self) -> None:
        """Forget all directions (a matrix that is drawn anew)."""
        self.directions.clear()
        self.noise.clear()


class GrowingMatrix:
    """A Gaussian matrix, trained or not, in the coordinates of its two sectors.

    The matrix is kept as ``W = c M + d V + sum_i k_i left_i right_i^T``: ``M`` and the optimizer's ``V`` as of a few
    steps ago, and the increments since. The weights follow the recursion of the optimizer, so that a step costs a few
    scalars, and the dense matrices are touched only when the factors are added to them.

    Parameters
    ----------
    rows, columns
        Capacities of the target and of the source sector.
    pending
        Number of rank-one increments that are kept as factors.
    recursion
        The optimizer.

    Attributes
    ----------
    dense : ndarray, shape (rows, columns)
        ``M``, the Gaussian part (see the module's description) and the trained part.
    memory : ndarray, shape (rows, columns), or None
        ``V``; an optimizer without memory has none.
    weights : tuple of float
        ``c``, ``d``, and what is left of ``V`` in the present memory.
    left_of_initial : float
        What decay had left of the initial matrix when ``M`` was last touched.
    count : int
        Number of increments that are kept as factors.
    left, right : ndarray, shapes (pending, rows) and (pending, columns)
    factors, memory_factors : ndarray, shape (pending,)
        ``k_i``, and the same in the present memory.
    """

    def __init__(
        self,
        spec: MatrixPlan,
        sides: tuple[Side, Side],
        capacities: tuple[int, int],
        pending: int,
        recursion: Recursion,
    ) -> None:
        self.spec, self.recursion = spec, recursion
        self.forward, self.backward = sides
        rows, columns = capacities
        dtype = self.forward.directions.basis.dtype
        self.dense: Array = np.zeros((rows, columns), dtype)
        self.memory: Array | None = np.zeros((rows, columns), dtype) if recursion.has_memory else None
        self.plain = recursion.plain
        self.left_of_initial = 1.0
        self.weights = (1.0, 0.0, 1.0)
        self.count = 0
        self.left: Array = np.zeros((pending, rows), dtype)
        self.right: Array = np.zeros((pending, columns), dtype)
        self.factors: Array = np.ones(pending, dtype)
        self.memory_factors: Array = np.ones(pending, dtype)

    def clear(self) -> None:
        """Draw the matrix anew."""
        self.dense.fill(0)
        self.forward.clear()
        self.backward.clear()

    def resize(self, rows: int, columns: int) -> None:
        """Follow the growth of a sector."""
        more_rows, more_columns = rows - self.dense.shape[0], columns - self.dense.shape[1]
        self.dense = np.pad(self.dense, ((0, more_rows), (0, more_columns)))
        if self.memory is not None:
            self.memory = np.pad(self.memory, ((0, more_rows), (0, more_columns)))
        self.left = np.pad(self.left, ((0, 0), (0, more_rows)))
        self.right = np.pad(self.right, ((0, 0), (0, more_columns)))

    def move(self, place: Place) -> None:
        """Put all arrays elsewhere."""
        self.dense, self.memory = place(self.dense), None if self.memory is None else place(self.memory)
        self.left, self.right = place(self.left), place(self.right)
        self.factors, self.memory_factors = place(self.factors), place(self.memory_factors)
        for side in (self.forward, self.backward):
            side.directions.move(place)

    def times(self, fields: Array, transpose: bool) -> Array:
        """``W`` (or ``W^T``) times every row of ``fields``, in coordinates."""
        dense, remembered = self.weights[:2]
        result = fields @ (self.dense if transpose else self.dense.T)
        if dense != 1:
            result *= dense
        if remembered and self.memory is not None:
            result += remembered * (fields @ (self.memory if transpose else self.memory.T))
        if self.count:
            near, far = (self.left, self.right) if transpose else (self.right, self.left)
            overlaps = fields @ near[: self.count].T
            if not self.plain:
                overlaps *= self.factors[: self.count]
            result += overlaps @ far[: self.count]
        return result

    @property
    def retention(self) -> float:
        """What weight decay has left of the initial matrix."""
        return self.left_of_initial * self.weights[0]

    def current(self, rows: int, columns: int) -> Array:
        """The present matrix between the first ``rows`` and ``columns`` coordinates, memory and factors included."""
        dense, remembered = self.weights[:2]
        result = dense * self.dense[:rows, :columns]
        if remembered and self.memory is not None:
            result += remembered * self.memory[:rows, :columns]
        if self.count:
            factors = self.factors[: self.count, None]
            result += (self.left[: self.count, :rows] * factors).T @ self.right[: self.count, :columns]
        return result

    def add_noise(self, direction: Array, opened: Mapping[int, float], transpose: bool) -> None:
        """Open ``e_new`` for a new direction of the source (of the target if ``transpose``).

        Parameters
        ----------
        opened
            Components of ``e_new`` by coordinate.
        """
        side = self.backward if transpose else self.forward
        side.noise.append(next(iter(opened)))
        for coordinate, component in opened.items():
            row = (component * side.std * self.left_of_initial) * direction
            if transpose:
                self.dense[:, coordinate] = row
            else:
                self.dense[coordinate] = row

    def begin_update(self) -> None:
        """One step of the optimizer for everything before this step's increments."""
        if self.plain:
            return
        recursion, (dense, remembered, present), old = self.recursion, self.weights, slice(0, self.count)
        present *= recursion.memory
        remembered = recursion.keep * remembered + recursion.from_memory * present
        self.weights = (recursion.keep * dense, remembered, present)
        self.memory_factors[old] *= recursion.memory
        self.factors[old] *= recursion.keep
        self.factors[old] += recursion.from_memory * self.memory_factors[old]

    def add_increment(self, coefficient: float, left: Array, right: Array) -> None:
        """Add ``coefficient * left^T right`` (summed over outputs) to this step's increment."""
        block = slice(self.count, self.count + len(left))
        np.multiply(left, coefficient, out=self.left[block])
        self.right[block] = right
        self.factors[block], self.memory_factors[block] = self.recursion.first, 1
        self.count = block.stop

    def end_update(self, increments: int) -> None:
        """Add the collected increments to ``M`` and ``V`` if there is no room for another step's."""
        if self.count + increments <= len(self.left):
            return
        dense, remembered, present = self.weights
        if dense != 1:
            self.dense *= dense
            self.left_of_initial *= dense
        if self.memory is not None:
            self.dense += remembered * self.memory
            self.memory *= present
            self._add_factors(self.memory, self.memory_factors)
        self._add_factors(self.dense, self.factors)
        self.weights = (1.0, 0.0, 1.0)
        self.count = 0

    def _add_factors(self, matrix: Array, factors: Array) -> None:
        left, right = self.left[: self.count], self.right[: self.count]
        weighted = left if self.plain else left * factors[: self.count, None]
        rows = max(1, _UNTHREADED // (max(1, self.count) * matrix.shape[1]))
        for start in range(0, len(matrix), rows):
            block = slice(start, start + rows)
            matrix[block] += weighted[:, block].T @ right


class GrowingCoordinates(Arithmetic):
    """The infinite network of a linear program, exact up to ``tol``.

    Parameters
    ----------
    tol
        The part of a field outside the span of earlier ones is dropped where its norm is below ``tol`` times the
        largest norm that the field has had (as measured by random probes, to about 20 per cent).

    Attributes
    ----------
    matrices : list of GrowingMatrix
    used, capacities : list of int
        Number of coordinates of every sector, and how many there is room for.
    scales2 : list of list of float
        Of every field the square of the largest norm that its rows have had, as operands of products.
    stream : numpy.random.Generator
        Random probes come from here.
    """

    def __init__(self, plan: Plan, dtype: type, tol: float) -> None:
        super().__init__(plan, dtype)
        self.tol = tol
        self.stream = np.random.default_rng(0)
        self.used = [0] * len(plan.sectors)
        self.capacities = [_FIRST_CAPACITY] * len(plan.sectors)
        self.scales2 = [[0.0] * rows for rows in plan.rows]
        self.values = [np.zeros((rows, _FIRST_CAPACITY), self.dtype) for rows in self.slot_rows]
        terms = {
            rule.matrix: sum(self._increment_rows(term.right, term.right_rows) for term in rule.terms)
            for rule in plan.learn_matrices
        }
        self.matrices = [
            self._growing(spec, max(_PENDING, terms.get(number, 0))) for number, spec in enumerate(plan.matrices)
        ]
        self._count_classes()
        for slot, given in plan.data.items():
            self._place_inputs(slot, input_coordinates(given))
        self._open_vectors(fresh=False)

    def _count_classes(self) -> None:
        """The class of every coordinate: a direction has one in every class, one after another."""
        for number, sector in enumerate(self.plan.sectors):
            if sector.shares is not None:
                self.class_of[number] = np.arange(self.capacities[number]) % len(sector.shares)

    def _increment_rows(self, right: int, rows: Rows) -> int:
        """Number of outer products of one increment."""
        return self.plan.rows[right] if rows is None else len(rows)

    def _place_inputs(self, slot: int, coordinates: Array) -> None:
        sector = self.slot_sectors[slot]
        while self.used[sector] < coordinates.shape[1]:
            self._new_coordinate(sector)
        self.values[slot][:, : coordinates.shape[1]] = coordinates

    def _growing(self, spec: MatrixPlan, pending: int) -> GrowingMatrix:
        forward = Side(math.sqrt(spec.variance), self._directions())
        backward = Side(math.sqrt(spec.variance * spec.inverse_aspect), self._directions())
        recursion = self.plan.recursion if spec.learned else Recursion()
        return GrowingMatrix(spec, (forward, backward), (_FIRST_CAPACITY, _FIRST_CAPACITY), pending, recursion)

    def _directions(self) -> SpannedDirections:
        return SpannedDirections(_FIRST_CAPACITY, self.tol, self.dtype, self.stream)

    def move(self, place: Place) -> None:
        """Put all arrays elsewhere."""
        self.values = [place(value) for value in self.values]
        for matrix in self.matrices:
            matrix.move(place)

    def begin_step(self) -> None:
        """Forget the fresh matrices, empty the sectors that do not survive a step, open fresh vectors."""
        for number, sector in enumerate(self.plan.sectors):
            if sector.ephemeral:
                self.used[number] = 0
        for matrix in self.matrices:
            if matrix.spec.fresh:
                matrix.clear()
        self._open_vectors(fresh=True)

    def multiply(self, product: Multiply, target: int) -> None:
        """One product with the dense matrix, after opening the directions that it has not seen."""
        matrix = self.matrices[product.matrix]
        side = matrix.backward if product.transpose else matrix.forward
        if side.std:
            self._open(matrix, side, product)
        result = matrix.times(self.values[product.operand], product.transpose)
        result *= self.spread(product.coefficient, target)
        self.values[target] += taken(result, product.rows)

    def map_sites(self, statement: MapSites) -> None:
        """A linear function of fields; its coefficients may depend on scalars."""
        out = self.values[statement.target]
        out.fill(0)
        for value in statement.values:
            scalars = self.scalar_arguments(value.scalars)
            for slope, (slot, rows) in zip(value.function.slopes, value.slots, strict=True):
                out += np.reshape(slope(*scalars), (-1, 1)) * taken(self.values[slot], rows)

    def mean(self, value: Evaluation, labels: int) -> Array:
        """A bilinear function of fields: dot products of coordinates, shape (labels,)."""
        scalars = self.scalar_arguments(value.scalars)
        total = np.zeros(labels)
        for i, j, coefficient in value.function.products:
            factor = coefficient(*scalars)
            if i < 0:
                total += factor
                continue
            a, b = (taken(self.values[slot], rows) for slot, rows in (value.slots[i], value.slots[j]))
            total += factor * np.einsum("ki,ki->k", a, b)
        return total

    def _open(self, matrix: GrowingMatrix, side: Side, product: Multiply) -> None:
        """Open directions for the operand, one label after another."""
        scales2 = self.scales2[product.operand]
        for label in range(len(scales2)):
            row = self.values[product.operand][label]
            scale2 = scales2[label] = max(scales2[label], float(row.dot(row)))
            if not side.directions.outside(row, scale2):
                continue
            direction = side.directions.open(row, scale2)
            if direction is not None:
                self._add_direction(matrix, direction, product.transpose)

    def _add_direction(self, matrix: GrowingMatrix, direction: Array, transpose: bool) -> None:
        near, far = matrix.spec.source, matrix.spec.target
        if transpose:
            near, far = far, near
        opened = self._new_direction(far)
        padding = self.capacities[near] - len(direction)
        matrix.add_noise(np.pad(direction, (0, padding)), opened, transpose)

    def inner(self, a: int, b: int) -> Array:
        """Dot products of coordinates, shape (labels,)."""
        return np.einsum("ci,ci->c", self.values[a], self.values[b])

    def learn_matrix(self, rule: LearnMatrix) -> None:
        """Add outer products to the trained part."""
        matrix = self.matrices[rule.matrix]
        matrix.begin_update()
        for term in rule.terms:
            right = taken(self.values[term.right], term.right_rows)
            matrix.add_increment(term.coefficient, self.weighted(term), right)
        matrix.end_update(sum(self._increment_rows(term.right, term.right_rows) for term in rule.terms))

    def snapshot(self, slot: int) -> Array:
        """Coordinates of a field, shape (labels, present rank)."""
        return self.values[slot][:, : self.used[self.slot_sectors[slot]]].copy()

    def ranks(self) -> list[int]:
        """Number of coordinates of every sector."""
        return list(self.used)

    def overlap(self, sector: int) -> float:
        """Coordinates are orthonormal: 1."""
        return 1.0

    def _open_vectors(self, *, fresh: bool) -> None:
        for vector in self.plan.vectors:
            if vector.fresh != fresh:
                continue
            self.values[vector.slot].fill(0)
            for row in range(self.plan.rows[vector.slot] if np.any(vector.variance) else 0):
                opened = self._new_direction(self.slot_sectors[vector.slot])
                self.values[vector.slot][row, list(opened)] = list(opened.values())
            self.values[vector.slot] *= np.sqrt(self.spread(vector.variance, vector.slot))

    def _new_direction(self, sector: int) -> dict[int, float]:
        """Components of a direction that nothing else has touched; it has one in every class of sites."""
        shares = self.plan.sectors[sector].shares
        amplitudes = [1.0] if shares is None else np.sqrt(shares).tolist()
        return {self._new_coordinate(sector): amplitude for amplitude in amplitudes}

    def _new_coordinate(self, sector: int) -> int:
        coordinate = self.used[sector]
        if coordinate == self.capacities[sector]:
            self.grow(sector)
        self.used[sector] += 1
        return coordinate

    def grow(self, sector: int) -> None:
        """Enlarge everything that lives in ``sector``; the growth is geometric, so that its cost is amortised."""
        capacity = int(_GROWTH * self.capacities[sector]) // 8 * 8 + 8
        padding = capacity - self.capacities[sector]
        self.capacities[sector] = capacity
        self._count_classes()
        for slot, owner in enumerate(self.slot_sectors):
            if owner == sector:
                self.values[slot] = np.pad(self.values[slot], ((0, 0), (0, padding)))
        for matrix in self.matrices:
            source, target = matrix.spec.source, matrix.spec.target
            if sector in (source, target):
                matrix.resize(self.capacities[target], self.capacities[source])
            if sector == source:
                matrix.forward.directions.resize(capacity)
            if sector == target:
                matrix.backward.directions.resize(capacity)
