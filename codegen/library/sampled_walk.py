"""The walk over the steps of a replica, what it starts from and what can be seen on the way."""

import math
from typing import Any, NamedTuple

import numpy as np
from dmft_sym.codegen.library.common import _Floats
from dmft_sym.codegen.library.sampled_products import _largest_norm2
from dmft_sym.codegen.library.sampled_replica import _Replica

_DIVERGENCE = 1e12  # a scalar beyond this multiple of the largest first one counts as divergence
_LARGEST_NORM2 = 1e75  # of a field: products of two kernels, and their squares, have to be finite numbers


def _check(**counts: tuple[int, int]) -> None:
    """Refuse numbers for which there is no run."""
    for name, (value, low) in counts.items():
        if not value >= low:
            raise ValueError(f"{name} = {value!r}: allowed is an integer >= {low}")


def _given(given: dict[str, Any], name: str, shape: tuple[int, ...]) -> _Floats:
    """A given scalar, by label."""
    values = np.ascontiguousarray(given[name], dtype=np.float64)
    if values.shape != shape:
        raise ValueError(f"{name} of shape {values.shape}: allowed is {shape}")
    return values.reshape(-1)


def _begin(replica: _Replica, inputs: dict[tuple[int, int], float | None], vectors: dict[int, float]) -> None:
    """Draw the weights from the inputs, and random vectors, in the order of their first use.

    A matrix without a deviation keeps overlaps of inputs.
    """
    C = replica.labels.outputs
    for (which, number), deviation in inputs.items():
        given = replica.inputs[which]
        if deviation is None:
            replica.embed(given.weights[given.of(number)])
            continue
        for row in given.weights[given.of(number)]:
            replica.draw(row, 1.0, deviation)
    for first, deviation in vectors.items():
        for row in replica.fields[first : first + C]:
            replica.draw(row, -1.0, deviation)


class _Contents(NamedTuple):
    """What can be seen of a replica, by (name, layer).

    fields: first row and number of rows, of random vectors too.
    scalars: their values at all steps.
    matrices: their numbers.
    inputs: of matrices from given inputs, number of the inputs and of the matrix.
    """

    fields: dict[tuple[str, int | None], tuple[int, int]]
    scalars: dict[tuple[str, int | None], _Floats]
    matrices: dict[tuple[str, int | None], int]
    inputs: dict[tuple[str, int | None], tuple[int, int]]

    def shown(self, step: int, replica: _Replica) -> dict[str, Any]:
        """Fields by (name, layer), for every matrix p, x, q, y, B, and what is kept, and weights from given inputs."""
        S, found = replica.S, {}
        for key, number in self.matrices.items():
            counts = replica.counts[2 * number : 2 * number + 2]
            parts = []
            for side, count in zip((2 * number, 2 * number + 1), counts, strict=True):
                parts += [replica.pool[table[side, :count], :S] for table in (replica.basis, replica.images)]
            found[key] = (*parts, replica.trained[number, : counts[1], : counts[0]], float(replica.kept[number]))
        shown = {key: replica.fields[row : row + rows, :S] for key, (row, rows) in self.fields.items()}
        given = {(inputs.name, None): inputs.rows for inputs in replica.inputs}
        sources = {key: (replica.inputs[which], number) for key, (which, number) in self.inputs.items()}
        weights = {key: source.weights[source.of(number), :S] for key, (source, number) in sources.items()}
        scalars = {key: values[step] for key, values in self.scalars.items()}
        return {"step": step, "fields": {**shown, **given}, "scalars": scalars, "matrices": found, "inputs": weights}


def _largest(scalars: list[_Floats], step: int) -> float:
    """Largest absolute value of a step, inf if one is not finite."""
    values = [float(np.max(np.abs(rows[step]), initial=0.0)) for rows in scalars]
    return max(values, default=0.0) if all(map(math.isfinite, values)) else math.inf


def _walk(
    replica: _Replica,
    steps: int,
    compute: Any,
    update: Any,
    arguments: tuple[Any, ...],
    scalars: list[_Floats],
    contents: _Contents,
    *,
    pauses: Any = (),
    inspect: Any = None,
    progress: Any = None,
) -> tuple[int, np.ndarray]:
    """Take the steps; the number of those that are done, and of directions by step and side.

    compute, update: functions of the step and the arguments, which compute all scalars, and change the weights.
    pauses, inspect: steps at which inspect is called with what the contents show.
    """
    directions = np.zeros((steps, len(replica.counts)), np.int64)
    limit = math.inf
    for t in range(steps):
        replica.begin()
        compute(t, *arguments)
        largest = _largest(scalars, t)
        if t == 0 and largest > 0:
            limit = _DIVERGENCE * largest
        bounded = _largest_norm2(replica.fields, replica.S) <= _LARGEST_NORM2  # outputs may be small if fields are not
        if not (math.isfinite(largest) and largest <= limit and bounded):
            return t, directions
        directions[t] = replica.counts
        if inspect is not None and t in pauses:
            inspect(contents.shown(t, replica))
        if t + 1 < steps:
            update(t, *arguments)
        if progress is not None:
            progress(t + 1)
    return steps, directions
