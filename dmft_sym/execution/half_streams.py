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


def stream_beside(seed: Seed, step: int) -> Stream:
    """A source of random numbers for what is measured at a step, other ones than those that belong to the seed."""
    if isinstance(seed, Half):
        return HalfStream(Half(_beside(seed.seed, step), seed.number))
    return np.random.default_rng(_beside(seed, step))


def _beside(seed: int | np.random.SeedSequence, step: int) -> np.random.SeedSequence:
    own = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return np.random.SeedSequence(own.entropy, spawn_key=(*own.spawn_key, 1, step))


@dataclass(frozen=True)
class SiteDraws:
    """Standard normal numbers at every site of a replica.

    Attributes
    ----------
    paired
        Whether sites ``i`` and ``i + S/2`` get the same number, or opposite ones.
    """

    stream: Stream
    sites: int
    paired: bool

    def __call__(self, even: bool) -> NDArray[np.float64]:
        """One number for every site; at both sites of a pair the same, or the opposite."""
        if not self.paired:
            return self.stream.standard_normal(self.sites)
        half = self.stream.standard_normal(self.sites // 2)
        return np.concatenate([half, half if even else -half])
