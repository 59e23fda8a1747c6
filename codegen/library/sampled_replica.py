"""A replica: fields, weights, and what a statement does to them. What takes time is done by compiled functions."""

import math
from typing import Any, NamedTuple

import numpy as np
from dmft_sym.codegen.library.common import _Floats
from dmft_sym.codegen.library.sampled_directions import _open, _project
from dmft_sym.codegen.library.sampled_products import _add_all, _add_by_label, _dots_all, _settle

_ONE = np.ones(1)


class _Labels(NamedTuple):
    """Labels of a program: the rows of a field follow each other label by label, the last one fastest.

    sizes: numbers of values of all labels.
    outputs: number of values of the one that random vectors have.
    vectors: of these, how many rows it is from one value of every label to the next.
    """

    sizes: tuple[int, ...]
    outputs: int
    vectors: tuple[int, ...]


class _Inputs:
    """Given inputs by their coordinates, and the matrices from them: one row of weights for each coordinate.

    name: what they are called.
    labels: how many rows it is from one value of every label to the next.
    """

    def __init__(self, name: str, coordinates: _Floats, labels: tuple[int, ...], matrices: int) -> None:
        self.name, self.labels, self.matrices = name, labels, matrices
        self.rows, self.columns = coordinates, np.ascontiguousarray(coordinates.T)
        self.rank = coordinates.shape[1]
        self.weights, self.velocity = _rows(0, 0), _rows(0, 0)

    def begin(self, sites: int, momentum: bool) -> None:
        """Room for weights, and for the memory of the optimizer."""
        count = self.matrices * self.rank
        self.weights, self.velocity = _rows(count, sites), _rows(count if momentum else 0, sites)

    def of(self, number: int) -> slice:
        """The rows of one matrix."""
        return slice(number * self.rank, (number + 1) * self.rank)


def _rows(count: int, sites: int) -> _Floats:
    """Rows of zeros that begin at multiples of 64 bytes, not of 4 kB: those would compete for places of the cache."""
    width = -(-sites // 8) * 8
    width += 8 if width % 512 == 0 else 0
    block = np.zeros(count * width + 8)
    start = (-block.ctypes.data // 8) % 8
    return block[start : start + count * width].reshape(count, width)


class _Replica:
    """Fields and weights of a network of width S whose matrices are not stored.

    Matrix number m has the side 2 m, directions p and images x, and the side 2 m + 1, q and y. Its trained part is
    sum_jk B_jk q_j p_k^T.

    fields              one row for each label of every field and random vector; rows are longer than S, see `_rows`
    inputs              what is given, each with the matrices from it
    pool, used          all directions and images, and how many rows are taken
    basis, images       where in the pool directions and images of a side are
    counts, deviation   number of directions of a side, standard deviation of the noise in its images
    trained, kept       B, shape (matrix, j, k), and what weight decay has left of the initial matrix
    velocity            memory of the optimizer for B
    scales              squares of the largest norms that the fields have had
    coefficients        of the operands of this step along directions
    overlaps            of what is left of them with images of the other side, <y_j rest>
    """

    def __init__(
        self,
        stream: np.random.Generator,
        sites: int,
        tol: float,
        paired: bool,
        labels: _Labels,
        inputs: list[_Inputs],
        at: Any,
        deviation: _Floats,
        learns: np.ndarray,
        momentum: bool,
        shares: int,
    ) -> None:
        rank, rows = max(given.rank for given in inputs), math.prod(labels.sizes)
        self.stream, self.S, self.tol2, self.paired = stream, sites, tol**2, paired
        self.labels, self.rows, self.rank, self.momentum = labels, rows, rank, momentum
        self.inputs = inputs
        for given in inputs:
            given.begin(sites, momentum)
        self.order = np.arange(max(rows, *(len(given.weights) for given in inputs), 64))
        self.fields, self.line, self.work = _rows(at.rows, sites), np.zeros(sites), np.zeros((shares, labels.sizes[-1]))
        self.pool, self.used = _rows(0, sites), 0
        sides = len(deviation)
        self.basis, self.images = np.zeros((sides, 0), np.int64), np.zeros((sides, 0), np.int64)
        self.counts, self.deviation = np.zeros(sides, np.int64), deviation
        self.trained, self.velocity = np.zeros((sides // 2, 0, 0)), np.zeros((sides // 2 if momentum else 0, 0, 0))
        self.kept, self.learns = np.ones(sides // 2), learns
        self.scales = np.zeros(at.rows)
        self.coefficients, self.overlaps, self.top = np.zeros((0, 0)), np.zeros((0, 0)), 0
        self.known: dict[tuple[int, int], int] = {}
        self.along, self.again = np.zeros((rows, rank)), np.zeros((rows, rank))
        self.rest, self.noise = _rows(rows, sites), _rows(rows, sites)
        self.norms, self.lengths, self.largest = np.zeros(rows), np.zeros(rows), np.zeros(rows)

    def draw(self, row: _Floats, sign: float, deviation: float = 1.0) -> None:
        """Normal at every site; the same (sign 1) or opposite (-1) at both sites of a pair."""
        drawn = self.S // 2 if self.paired else self.S
        self.stream.standard_normal(out=row[:drawn])
        if deviation != 1.0:
            row[:drawn] *= deviation
        row[drawn : self.S] = sign * row[: self.S - drawn]

    def embed(self, rows: _Floats) -> None:
        """Orthogonal rows with mean squares of one, the same at both sites of a pair."""
        half = self.S // 2
        if len(rows) > half:
            raise ValueError(f"sites = {self.S}: allowed are at least {2 * len(rows)}, twice the independent inputs")
        for place, row in enumerate(rows):
            row[place] = row[half + place] = math.sqrt(self.S / 2)

    def begin(self) -> None:
        """Forget the coefficients of the last step's operands."""
        self.known.clear()
        self.top = 0

    def clear(self, row: int, rows: int) -> None:
        """Set fields to zero."""
        self.fields[row : row + rows, : self.S] = 0.0
        self.largest[:rows] = 0.0

    def settle(self, row: int, rows: int, last: bool) -> None:
        """After a part of a sum: once all are added, fields whose parts cancel to rounding are zero."""
        _settle(self.fields[row : row + rows], self.largest, last, self.S)

    def add(self, target: tuple[int, ...], factor: float, source: tuple[int, ...], labels: tuple[int, ...]) -> None:
        """Add factor * a field to a field, label by label."""
        by = (0,) * len(source)
        _add_by_label(self.fields, target, factor, _ONE, by, self.fields, source, labels, self.S)

    def find(self, side: int, row: int, rows: int) -> int:
        """Where in `coefficients` those of the fields row, row + 1, ... are; directions that they need are opened.

        What is left of a field, shorter than `tol`, acts by its conditional mean: A rest = sum_j <y_j rest> q_j.
        """
        if (side, row) in self.known:
            return self.known[side, row]
        at, first, S = self.top, int(self.counts[side]), self.S
        self._make_room(side, rows)
        self.top += rows
        self.known[side, row] = at
        fields, rest, found = self.fields[row : row + rows], self.rest[:rows], self.coefficients[at : at + rows]
        places = self.basis[side, :first]
        _project(fields, self.pool, places, found, self.again, rest, self.norms, self.lengths, S)
        scales = self.scales[row : row + rows]
        np.maximum(scales, self.norms[:rows], out=scales)
        smallest = self.tol2 * scales
        if np.any(self.lengths[:rows] > smallest):
            table = self.basis[side]
            fresh = _open(rest, self.lengths, smallest, self.pool, table, first, self.used, found, self.again, S)
            self._add_images(side, first, fresh)
            self._project_on_new(side, first, fresh, found, rest, smallest)
        overlaps, far = self.overlaps[at : at + rows], self.counts[side ^ 1]
        overlaps[:] = 0.0
        if not np.all(self.lengths[:rows] > smallest):
            _dots_all(overlaps, rest, self.pool, self.images[side ^ 1, :far], S)
            overlaps /= S
        return at

    def _project_on_new(
        self, side: int, first: int, fresh: int, found: _Floats, rest: _Floats, smallest: _Floats
    ) -> None:
        """Leave to new directions their part of every rest: equal fields get equal coefficients."""
        rows, places, S = len(rest), self.basis[side, first : first + fresh], self.S
        rest[self.lengths[:rows] > smallest, :S] = 0.0
        along = self.along[:rows]
        _dots_all(along, rest, self.pool, places, S)
        along /= S
        found[:, first : first + fresh] += along[:, :fresh]
        _add_all(rest, -1.0, along, self.pool, places, S)

    def _add_images(self, side: int, first: int, opened: int) -> None:
        """Images of the directions that stand last in the pool."""
        start, other, S = self.used, side ^ 1, self.S
        known, noise = self.counts[other], self.noise[:opened]
        for row in noise:
            self.draw(row, -1.0 if side & 1 else 1.0)
        self.counts[side] += opened
        self.used += 2 * opened
        directions, images = self.pool[start : start + opened], self.pool[start + opened : self.used]
        self.images[side, first : first + opened] = np.arange(start + opened, self.used)
        along, again, places = self.along[:opened], self.again[:opened], self.basis[other, :known]
        std = self.deviation[side]
        _dots_all(again, directions, self.pool, self.images[other, :known], S)
        _dots_all(along, noise, self.pool, places, S)
        again[:, :known] -= std * along[:, :known]
        np.multiply(noise[:, :S], std, out=images[:, :S])
        _add_all(images, 1 / S, again, self.pool, places, S)

    def _make_room(self, side: int, rows: int) -> None:
        """Room for as many new directions as there are operands. Rows of zeros take no memory before they are used."""
        have = len(self.pool)
        if self.used + 2 * rows > have:
            pool = _rows(max(self.used + 2 * rows, 3 * have, 512), self.S)
            pool[: self.used] = self.pool[: self.used]
            self.pool = pool
        if self.top + rows > len(self.coefficients):
            tables = (_padded(table, self.top + rows, table.shape[1]) for table in (self.coefficients, self.overlaps))
            self.coefficients, self.overlaps = tables
        have = self.basis.shape[1]
        needed = int(self.counts[side]) + rows
        if needed > have:
            count = max(needed, have + have // 2, 16)
            self.basis, self.images = (_padded(table, len(table), count) for table in (self.basis, self.images))
            tables = (_padded(table, len(table), count) for table in (self.coefficients, self.overlaps))
            self.coefficients, self.overlaps = tables
            wide = max(count, self.rank)
            self.along, self.again = np.zeros((self.rows, wide)), np.zeros((self.rows, wide))
            self.trained = _padded(self.trained, len(self.trained), count, count)
            self.velocity = _padded(self.velocity, len(self.velocity), count, count)
            self.order = np.arange(max(count, len(self.order)))

    def multiply(self, side: int, row: int, rows: int, target: int, targets: int, run: int, factor: float) -> None:
        """Add factor * (matrix, or its transpose) times the fields from row on to those from target on.

        Field b of the targets takes field (b // run) % rows.
        """
        at, number, S = self.find(side, row, rows), side >> 1, self.S
        count, far = self.counts[side], self.counts[side ^ 1]
        out, found = self.fields[target : target + targets], self.coefficients[at : at + rows]
        left = self.overlaps[at : at + rows]
        if targets != rows:
            labels = (np.arange(targets) // run) % rows
            found, left = found[labels], left[labels]
        _add_all(out, factor * self.kept[number], found, self.pool, self.images[side, :count], S)
        along, B = self.along[:targets], self.trained[number]
        along[:, :far] = 0.0
        if self.learns[number] and side & 1:
            _add_all(along, 1.0, found, B, self.order[:count], far)
        elif self.learns[number]:
            _dots_all(along, found, B, self.order[:far], count)
        along[:, :far] += self.kept[number] * left[:, :far]
        _add_all(out, factor, along, self.pool, self.basis[side ^ 1, :far], S)

    def multiply_inputs(self, which: int, number: int, target: int, targets: int, run: int, factor: float) -> None:
        """Add factor * (matrix from these inputs) times the samples to the fields target, target + 1, ..."""
        given = self.inputs[which]
        inputs = given.rows
        if targets != len(inputs):
            inputs = inputs[(np.arange(targets) // run) % len(inputs)]
        places = self.order[given.of(number)]
        _add_all(self.fields[target : target + targets], factor, inputs, given.weights, places, self.S)

    def learn_vector(
        self,
        row: int,
        memory: int | None,
        terms: list[Any],
        momentum: float,
        decay: float,
        direct: float = 0.0,
        first: float = 1.0,
    ) -> None:
        """Update a random vector as `learn` does a matrix; its velocity is in the fields from memory on."""
        S, C = self.S, self.labels.outputs
        vector = self.fields[row : row + C, :S]
        velocity = vector if memory is None else self.fields[memory : memory + C, :S]
        self._decay(vector, velocity, momentum, decay, direct)
        to = (row if memory is None else memory, *self.labels.vectors)
        for factor, weight, by, source, labels in terms:
            _add_by_label(self.fields, to, factor, weight, by, self.fields, source, labels, S)
        self._move(vector, velocity, first)

    def learn_inputs(
        self,
        which: int,
        number: int,
        terms: list[Any],
        momentum: float,
        decay: float,
        direct: float = 0.0,
        first: float = 1.0,
    ) -> None:
        """Update a matrix from the inputs as `learn` does others, G = sum_mu left_mu x_mu^T."""
        S, given = self.S, self.inputs[which]
        rows, count = given.of(number), len(given.rows)
        weights = given.weights[rows]
        total = given.velocity[rows] if self.momentum else weights
        self._decay(weights[:, :S], total[:, :S], momentum, decay, direct)
        for factor, weight, by, source, labels in terms:
            left = self.rest[:count]
            left[:, :S] = 0.0
            _add_by_label(left, (0, *given.labels), factor, weight, by, self.fields, source, labels, S)
            _add_all(total, 1.0, given.columns, left, self.order[:count], S)
        self._move(weights[:, :S], total[:, :S], first)

    def learn(
        self,
        number: int,
        terms: list[Any],
        momentum: float,
        decay: float,
        direct: float = 0.0,
        first: float = 1.0,
    ) -> None:
        """B = (1 - l) B + (first - direct) m V + first G, V = m V + G, with G = sum_a left_a right_a^T in coefficients.

        A term is (factor, weight, its places, left, right, labels): left and right are (row, rows, steps from one value
        of every label to the next); the left factor is summed over labels that the right one lacks.
        """
        for *_, left, right, _ in terms:  # open what is missing before coefficients are put together
            self.find(2 * number + 1, *left[:2])
            self.find(2 * number, *right[:2])
        rows, columns = self.counts[2 * number + 1], self.counts[2 * number]
        B = self.trained[number]
        total = self.velocity[number] if self.momentum else B
        self._decay(B, total, momentum, decay, direct)
        for factor, weight, by, left, right, labels in terms:
            at, to = self.find(2 * number + 1, *left[:2]), self.find(2 * number, *right[:2])
            lefts, source = np.zeros((right[1], rows)), (at, *left[2:])
            _add_by_label(lefts, (0, *right[2:]), factor, weight, by, self.coefficients, source, labels, rows)
            places = self.order[: right[1]]
            rights = self.coefficients[to : to + right[1]]
            _add_all(total[:rows], 1.0, np.ascontiguousarray(lefts.T), rights, places, columns)
        self._move(B, total, first)
        self.kept[number] *= 1 - decay

    def _decay(self, weights: _Floats, velocity: _Floats, momentum: float, decay: float, direct: float) -> None:
        """What is done to weights and their velocity before an increment is added to the latter."""
        if decay:
            weights *= 1 - decay
        if self.momentum:
            velocity *= momentum
            if direct:
                weights -= direct * velocity

    def _move(self, weights: _Floats, velocity: _Floats, first: float) -> None:
        """Add the velocity; without memory, increments were added to the weights themselves."""
        if self.momentum:
            weights += velocity if first == 1 else first * velocity


def _padded(array: np.ndarray, *shape: int) -> Any:
    """The array with zeros behind it."""
    return np.pad(array, [(0, size - have) for size, have in zip(shape, array.shape, strict=True)])
