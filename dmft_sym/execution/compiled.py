"""Growing coordinates driven by compiled code: the state of a network in one block of memory, and tables of where.

The network stays what it is between calls (`coordinates.py`): its arrays are views of the block, its counts are read
from the tables and written to them. Compiled code carries on until there is something to see, until a sector has no
room for one more coordinate, or for a tenth of a second, so that progress is shown and Ctrl-C heard. A sector that is
full grows in Python, by the same rule and with the same random probes as without compiled code; everything is then
placed anew, which happens some ten times in a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from dmft_sym.program import ScalarRef

from .coordinates import GrowingCoordinates, GrowingMatrix, Side
from .directions import SKETCHES
from .instructions import instructions
from .interface import Array

_PERIOD = 0.1  # seconds of compiled code between two looks at the world
_ALIGNED = 8  # numbers; 64 bytes of float64
_ROOM = 2  # how many times its size an array may have before all are placed anew


class CompiledCoordinates:
    """Steps of a network by a module that `codegen.programs.coordinates` has written.

    Parameters
    ----------
    network
        Its plan is carried out; it has not run before.
    module
        Has ``advance``, the ``Operation`` that it knows, and the reasons to come back: ``DONE``, ``PAUSED``, ``FULL``,
        ``CLEARED`` and ``DIVERGED``.
    steps
        Number of steps that there is room for.

    Attributes
    ----------
    ranks : ndarray, shape (steps, sectors)
        Number of coordinates at every step.
    diverged : bool
    """

    def __init__(self, network: GrowingCoordinates, module: ModuleType, steps: int) -> None:
        self.network, self.module = network, module
        self.diverged = False
        made = self._instructions = instructions(network, {one.name: int(one) for one in module.Operation})
        self._track = np.zeros((steps, made.tracked))
        self.ranks = np.zeros((steps, len(network.plan.sectors)), np.int64)
        self._state = np.array([0, 0, -1], np.int64)
        self._limit = np.array([np.finfo(float).max])
        self._code = made.code(), np.array([*made.numbers, 0.0]), np.array([*made.lists, 0], np.int64)
        self._registers = np.array([*made.registers, 0.0])
        self._scales2 = np.zeros(sum(len(rows) for rows in network.scales2))
        self._chunk = 1
        self._rooms: list[int] = []
        self._place()

    @property
    def done(self) -> int:
        """Number of steps that are done."""
        return int(self._state[0])

    @property
    def observables(self) -> dict[str, NDArray[np.float64]]:
        """Observables at all steps, shape (steps, labels)."""
        return {name: self._track[:, part] for name, part in self._instructions.observables.items()}

    @property
    def scalars(self) -> dict[ScalarRef, NDArray[np.float64]]:
        """Scalars at all steps, with the shapes of their labels."""
        plan = self.network.plan
        return {
            ref: self._track[:, part].reshape(len(self._track), *plan.scalar_shapes[plan.scalars[ref]])
            for ref, part in self._instructions.scalars.items()
        }

    def run(self, until: int, pause: int, progress: Callable[[int], None] | None) -> None:
        """Carry on until as many steps are done, or to the fields of step ``pause``; then bring the network up to date.

        Parameters
        ----------
        progress
            Called with the number of finished steps every tenth of a second, and in the end.
        """
        module, reason = self.module, None
        try:
            while reason not in (module.PAUSED, module.DIVERGED) and self.done < until:
                before = self.done
                reason = self._carry_on(until, pause)
                if progress is not None and self.done > before:
                    progress(self.done)
        finally:
            self._read()
        self.diverged = reason == module.DIVERGED

    def _carry_on(self, until: int, pause: int) -> int:
        """One call of compiled code and what has to be done after it; why it came back."""
        module, before, start = self.module, self.done, time.perf_counter()
        reason = self._advance(min(until, before + self._chunk), pause)
        if reason == module.FULL:
            self._read()
            self.network.grow(int(self._state[2]))
            self._place()
        elif reason == module.CLEARED:
            for _, _, side in _sides(self.network.matrices[int(self._state[2])]):
                side.directions.draw_probes()
        elif reason == module.DONE:
            a_period = (self.done - before) * _PERIOD / max(time.perf_counter() - start, 1e-9)
            self._chunk = max(1, min(2 * self._chunk, int(a_period)))
        return reason

    def _advance(self, until: int, pause: int) -> int:
        network = self.network
        return int(
            self.module.advance(
                until,
                pause,
                self._state,
                self._limit,
                network.tol**2,
                *self._code,
                self._registers,
                self._track,
                self.ranks,
                bool(network.plan.scalars),
                self._slots,
                self._scales2,
                self._sectors,
                self._sides,
                self._matrices,
                self._weights,
                self._noise,
                self._pool,
                self._scratch,
            )
        )

    def _place(self) -> None:
        """Put all arrays into one block, and write the tables."""
        network = self.network
        for matrix in network.matrices:
            for near, _, side in _sides(matrix):
                side.directions.reserve(network.capacities[near])
        sizes: list[int] = []
        network.move(lambda array: _counted(array, sizes))
        sizes += self._spare()
        if not self._rooms or any(size > room for size, room in zip(sizes, self._rooms, strict=True)):
            self._rooms = [_ROOM * size for size in sizes]
            self._pool = _block(sum(self._rooms), network.dtype)
        places = np.cumsum([0, *self._rooms])
        self._scratch = places[-6:-1].copy()
        found = iter(places.tolist())
        network.move(lambda array: _moved(array, self._pool, next(found)))
        self._write()

    def _spare(self) -> list[int]:
        """Sizes of what is needed on the way: overlaps, a remainder, its coefficients, rows for products and sums."""
        labels, widest = max(self.network.slot_rows), max(self.network.capacities)
        room = max((len(matrix.left) for matrix in self.network.matrices), default=0)
        most = max(labels, widest)
        return [labels * max(SKETCHES, widest, room), widest, widest, widest * max(most, room), widest * most]

    def _where(self, array: Array) -> int:
        """Place of an array in the block."""
        return (array.ctypes.data - self._pool.ctypes.data) // self._pool.itemsize

    def _write(self) -> None:
        """The tables, as the network is."""
        network = self.network
        firsts = np.cumsum([0, *(len(rows) for rows in network.scales2)]).tolist()
        firsts += [0] * (len(network.values) - len(network.scales2))  # memories are no operands
        slots = zip(network.values, network.slot_rows, network.slot_sectors, firsts[: len(network.values)], strict=True)
        self._slots = np.array([(self._where(values), *rest) for values, *rest in slots], np.int64).reshape(-1, 4)
        self._sectors = np.array([network.used, network.capacities], np.int64).T.copy()
        sides = [(near, far, side) for matrix in network.matrices for near, far, side in _sides(matrix)]
        places = np.cumsum([0, *(network.capacities[near] for near, _, _ in sides)]).tolist()
        self._noise = np.zeros(places[-1] + 1, np.int64)
        table = []
        for (near, far, side), place in zip(sides, places[:-1], strict=True):
            found = side.directions
            table.append((found.count, self._where(found.basis), self._where(found.probes), place, near, far))
            self._noise[place : place + found.count] = side.noise
        self._sides = np.array(table, np.int64).reshape(-1, 6)
        self._matrices = np.array([self._matrix(matrix) for matrix in network.matrices], np.int64).reshape(-1, 10)
        self._weights = np.array([_weights(matrix) for matrix in network.matrices]).reshape(-1, 10)

    def _matrix(self, matrix: GrowingMatrix) -> tuple[int, ...]:
        arrays = (matrix.left, matrix.right, matrix.factors, matrix.memory_factors)
        memory = -1 if matrix.memory is None else self._where(matrix.memory)
        places = (self._where(matrix.dense), memory, *(self._where(array) for array in arrays))
        return (matrix.spec.target, matrix.spec.source, *places, len(matrix.left), matrix.count)

    def _read(self) -> None:
        """Bring the network up to date: counts, weights, scalars."""
        network = self.network
        network.used = self._sectors[:, 0].tolist()
        for number, matrix in enumerate(network.matrices):
            matrix.count = int(self._matrices[number, 9])
            matrix.weights = tuple(self._weights[number, :3].tolist())
            matrix.left_of_initial = float(self._weights[number, 3])
            for row, (_, _, side) in zip(self._sides[2 * number : 2 * number + 2], _sides(matrix), strict=True):
                count, place = int(row[0]), int(row[3])
                side.directions.count = count
                side.noise[:] = self._noise[place : place + count].tolist()
        for slot, rows in enumerate(network.scales2):
            first = int(self._slots[slot, 3])
            rows[:] = self._scales2[first : first + len(rows)].tolist()
        for ref, part in self._instructions.scalars.items():
            network.scalars[network.plan.scalars[ref]][:] = self._registers[part]


def _sides(matrix: GrowingMatrix) -> Iterator[tuple[int, int, Side]]:
    """Near and far sector of products with a matrix and with its transpose."""
    yield matrix.spec.source, matrix.spec.target, matrix.forward
    yield matrix.spec.target, matrix.spec.source, matrix.backward


def _weights(matrix: GrowingMatrix) -> tuple[float, ...]:
    recursion = matrix.recursion
    optimizer = (recursion.keep, recursion.memory, recursion.from_memory, recursion.first)
    return (*matrix.weights, matrix.left_of_initial, *optimizer, matrix.forward.std, matrix.backward.std)


def _block(size: int, dtype: np.dtype[np.floating]) -> Array:
    """Zeros that begin where a line of the cache does."""
    zeros = np.zeros(size + 64 // dtype.itemsize, dtype)
    first = -zeros.ctypes.data % 64 // dtype.itemsize
    return zeros[first : first + size]


def _counted(array: Array, sizes: list[int]) -> Array:
    sizes.append(-(-array.size // _ALIGNED) * _ALIGNED)
    return array


def _moved(array: Array, pool: Array, place: int) -> Array:
    view = pool[place : place + array.size].reshape(array.shape)
    if array.ctypes.data != view.ctypes.data:  # it may be there already
        view[...] = array
    return view
