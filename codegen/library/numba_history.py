"""Past steps of a march in compressed form.

History in blocks of steps. A row of step t passes through one matrix after another (kernel, response, covariance,
correlation, next layer), and the next step starts from the result, so that the rows of a block of steps do not exist
before the block is done, and there is no product of matrices to be had for them. What can be had is fewer rows: order
parameters are smooth in time. Once a chunk of steps is closed, all of its rows, in every matrix, are combinations of
the rows of a few of its steps (the same steps and the same factors for all matrices), up to rounding. This is
verified, and chunks for which it does not hold stay as they are. Chosen rows of the chunks of a span are compressed
once more. A product with history then reads a few rows for each chunk, and the dense tiles at the diagonal.
"""

from typing import Any, NamedTuple

import numpy as np
from dmft_sym.codegen.library.common import _Floats, _Ints

_CHUNK = 64  # steps whose rows are compressed together
_SPAN = 4  # chunks that are compressed once more, together


class _History(NamedTuple):
    """Compressed rows of all matrices.

    combinations: for chunks and for spans, factors of the chosen rows, (2, n * most).
    chosen, ranks: the chosen rows (chunks, 2, most) and how many (0: not compressed), (chunks, 2).
    packed: what products read, in that order, (matrices, ...).
    places: there, of the diagonal tile, of the chunk's chosen rows, their first column, of the span's chosen rows, of
    the blocks of equal steps, (chunks, 5).
    costs: matrix elements that a product reads before each chunk.
    counts: rows in a chunk, closed chunks, end of what is packed.
    sizes, signs: largest norm of a row of every matrix; signs of columns, for sketches, (matrices, n).
    """

    combinations: np.ndarray
    chosen: np.ndarray
    ranks: np.ndarray
    places: np.ndarray
    costs: np.ndarray
    counts: np.ndarray
    packed: np.ndarray
    sizes: np.ndarray
    signs: np.ndarray


def _remainder(dtype: Any) -> float:
    """Norm that the remainder of a row may have, relative to the largest row: 1.5e-13 in double precision."""
    return np.finfo(dtype).eps ** 0.82


def _make_history(matrices: int, C: int, n: int, dtype: Any) -> _History:
    chunk = _CHUNK * C
    chunks = n // chunk
    return _History(
        np.zeros((2, chunk * n), dtype),
        np.zeros((chunks, 2, chunk), np.int64),
        np.zeros((chunks, 2), np.int64),
        np.zeros((chunks, 5), np.int64),
        np.zeros(chunks + 1, np.int64),
        np.array([chunk, 0, 0]),
        np.zeros((matrices, chunks * chunk * (chunk + C + chunks * chunk // 4)), dtype),
        np.zeros(matrices, dtype),
        np.random.default_rng(0).choice(np.array([-1, 1], dtype), (matrices, n)),
    )


def _find_skeleton(panel: _Floats, bound: float, most: int) -> tuple[list[int], _Floats] | None:
    """Rows of a panel of which all its rows are combinations up to a remainder of norm `bound`, and the factors.

    Gram-Schmidt, longest remainder first; None if there are more than `most`. There is at least one.
    """
    rest, directions = panel.copy(), []
    chosen: list[int] = []
    norms = np.sqrt(np.sum(rest * rest, axis=1))
    while not chosen or norms.max() > bound:
        if len(chosen) == most:
            return None
        chosen.append(int(np.argmax(norms)))
        directions.append(rest[chosen[-1]] / (norms[chosen[-1]] or 1))
        rest -= np.outer(rest @ directions[-1], directions[-1])
        rest[chosen] = 0
        norms = np.sqrt(np.sum(rest * rest, axis=1))
    overlaps = panel @ np.array(directions).T
    if not overlaps.any():
        return chosen, np.zeros((1, len(panel)), panel.dtype)
    return chosen, np.linalg.solve(overlaps[chosen].T, overlaps.T)


def _compress(store: _Floats, rows: _Ints, columns: int, most: int, history: _History) -> tuple[_Ints, _Floats] | None:
    """A few of the given rows of which, left of `columns`, all are combinations in every matrix, and the factors.

    The rows are found in a sketch, sums of columns with random signs, and verified in the matrices.
    """
    bound = _remainder(store.dtype)
    sketch = np.zeros((len(rows), history.counts[0]), store.dtype)
    for matrix, signs, size in zip(store, history.signs, history.sizes, strict=True):
        if size > 0:
            signed = matrix[rows, :columns] * (signs[:columns] / size)
            sketch += signed.reshape(len(rows), -1, history.counts[0]).sum(axis=1)
    if not np.all(np.isfinite(sketch)) or not np.all(np.isfinite(history.sizes)):
        return None
    found = _find_skeleton(sketch, bound, most)
    if found is None:
        return None
    chosen, factors = rows[found[0]], found[1]
    for matrix, size in zip(store, history.sizes, strict=True):
        remainder = matrix[rows, :columns] - factors.T @ matrix[chosen, :columns]
        if not np.sqrt(np.max(np.sum(remainder * remainder, axis=1), initial=0)) <= 8 * bound * size:
            return None
    return chosen, factors


def _blocks(panels: _Floats) -> _Floats:
    """Panels (..., rows, columns) in blocks of eight columns, one after another, all rows of each."""
    *axes, rows, columns = panels.shape
    return np.swapaxes(panels.reshape(*axes, rows, columns // 8, 8), -3, -2).reshape(*axes, rows * columns)


def _pack(store: _Floats, rows: _Ints, begin: int, end: int, place: int, history: _History) -> int:
    """Copy columns of rows of every matrix to `place`; returns where that ends."""
    stop = place + len(rows) * (end - begin)
    history.packed[:, place:stop] = _blocks(store[:, rows, begin:end])
    return stop


def _pack_tile(store: _Floats, lower: int, upper: int, C: int, place: int, history: _History) -> int:
    """Copy the diagonal tile of every matrix to `place`, without rows that end left of a block of eight columns."""
    for b in range(lower, upper, 8):
        first = (b - lower) // C * C + lower
        place = _pack(store, np.arange(first, upper), b, b + 8, place, history)
    return place


def _pack_chunk(store: _Floats, q: int, begin: int, place: int, history: _History) -> int:
    """Copy what products use of a compressed chunk from column begin on to `place`; returns where that ends."""
    chunk = history.counts[0]
    lower, upper = q * chunk, (q + 1) * chunk
    C = chunk // _CHUNK
    blocks = _pack_tile(store, lower, upper, C, place, history)
    panel = blocks + chunk * C
    equal = store[:, lower:upper, lower:upper].reshape(-1, _CHUNK, C, _CHUNK, C)
    history.packed[:, blocks:panel] = np.einsum("mtctd->mtcd", equal).reshape(len(store), -1)
    history.places[q, :3], history.places[q, 4] = (place, panel, begin), blocks
    return _pack(store, history.chosen[q, 0, : history.ranks[q, 0]], begin, lower, panel, history)


def _close_chunk(store: _Floats, q: int, history: _History) -> None:
    """Compress the rows of chunk q left of it."""
    chunk = history.counts[0]
    lower, upper = q * chunk, (q + 1) * chunk
    rows = store[:, lower:upper, :upper]
    np.maximum(history.sizes, np.sqrt(np.einsum("mkb,mkb->mk", rows, rows)).max(axis=1), out=history.sizes)
    found = _compress(store, np.arange(lower, upper), lower, chunk // 2, history)
    if found is None:
        return
    chosen, factors = found
    history.chosen[q, 0, : len(chosen)], history.ranks[q, 0] = chosen, len(chosen)
    history.combinations[0, lower * chunk : lower * chunk + factors.size] = _blocks(factors)
    history.counts[2] = _pack_chunk(store, q, 0, history.counts[2], history)


def _close_span(store: _Floats, q: int, history: _History) -> None:
    """Compress the chosen rows of the chunks of the span that ends with chunk q once more, left of the span."""
    chunk = history.counts[0]
    chunks = range(q + 1 - _SPAN, q + 1)
    ranks = history.ranks[chunks.start : q + 1, 0]
    if not np.all(ranks):
        return
    lower = chunks.start * chunk
    rows = np.concatenate([history.chosen[o, 0, : history.ranks[o, 0]] for o in chunks])
    found = _compress(store, rows, lower, chunk, history)
    if found is None:
        return
    chosen, factors = found
    history.chosen[q, 1, : len(chosen)], history.ranks[q, 1] = chosen, len(chosen)
    place = history.places[chunks.start, 0]
    parts = []
    for o, part in zip(chunks, np.split(factors, np.cumsum(ranks)[:-1], axis=1), strict=True):
        near = history.combinations[0, o * chunk * chunk : o * chunk * chunk + part.shape[1] * chunk]
        parts.append(part @ np.swapaxes(near.reshape(-1, part.shape[1], 8), 0, 1).reshape(part.shape[1], chunk))
        place = _pack_chunk(store, o, lower, place, history)
    far = np.hstack(parts)
    history.combinations[1, lower * chunk : lower * chunk + far.size] = _blocks(far)
    history.places[q, 3] = place
    history.counts[2] = _pack(store, chosen, 0, lower, place, history)


def _close(store: _Floats, hi: int, history: _History) -> None:
    """Compress the chunk of rows that ends before hi, if one does, and the span if one ends there."""
    chunk = history.counts[0]
    if hi % chunk:
        return
    q = hi // chunk - 1
    with np.errstate(all="ignore"):
        _close_chunk(store, q, history)
        if (q + 1) % _SPAN == 0 and q >= _SPAN:
            _close_span(store, q, history)
    history.counts[1] = q + 1
    lower, begin = np.arange(q + 1) * chunk, history.places[: q + 1, 2]
    near, far = history.ranks[: q + 1].T
    compressed = chunk * chunk // 2 + near * (lower - begin) + far * begin
    history.costs[1 : q + 2] = np.cumsum(np.where(near > 0, compressed, lower * chunk))
