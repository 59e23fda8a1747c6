"""Random numbers of a replica, or of one half of its sites.

Two halves draw what the whole replica draws, each its own part: fluctuations of averages over sites then cancel between
the replica and the mean of its halves, and what is left is the difference of their biases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Half:
    """The seed of one half (0 or 1) of a replica."""

    seed: np.random.SeedSequence
    number: int


class HalfStream:
    """Draws for all sites of a replica and hands out those of one half."""

    def __init__(self, half: Half) -> None:
        self._stream = np.random.default_rng(half.seed)
        self._number = half.number

    def standard_normal(self, size: int | None = None, out: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Standard normal numbers, ``size`` of them or as many as ``out`` takes."""
        given = np.empty(size or 0) if out is None else out
        count = len(given)
        given[:] = self._stream.standard_normal(2 * count)[self._number * count :][:count]
        return given


Seed: TypeAlias = int | np.random.SeedSequence | Half
Stream: TypeAlias = np.random.Generator | HalfStream


def stream_of(seed: Seed) -> Stream:
    """The source of random numbers that belongs to a seed."""
    return HalfStream(seed) if isinstance(seed, Half) else np.random.default_rng(seed)
