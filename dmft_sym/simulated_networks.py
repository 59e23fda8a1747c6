"""Which finite networks are simulated: how many, how large, with which random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from .arguments import check_dtype, check_integer

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SimulatedNetworks:
    """Finite networks that differ in their seed.

    Attributes
    ----------
    size_name, size
        ``"dim"`` (input dimension ``D``) or ``"width"`` (hidden units ``N``), and its value.
    count, seed
        Number of networks, and the seed of all of them; see `child`.
    normalise
        Whether random vectors are scaled to their expected norms.
    dtype
        ``"float64"`` or ``"float32"``.
    progress
        Called as ``progress(done, total)``, in steps of all networks.
    """

    size_name: str
    size: int
    count: int
    seed: int
    normalise: bool
    dtype: str
    progress: Progress | None

    @classmethod
    def checked(
        cls, size_name: str, size: int, seeds: int, seed: int, normalise: bool, dtype: str, progress: Progress | None
    ) -> Self:
        """The networks of arguments that users gave.

        Raises
        ------
        ArgumentError
            Naming the argument, its value and what is allowed.
        """
        size, seeds = check_integer(size_name, size, 1), check_integer("seeds", seeds, 1)
        seed = check_integer("seed", seed, 0)
        check_dtype(dtype)
        return cls(size_name, size, seeds, seed, bool(normalise), dtype, progress)

    def child(self, number: int) -> int:
        """Seed of one network: that of the pair ``(seed, number)``."""
        return int(np.random.SeedSequence([self.seed, number]).generate_state(1, np.uint64)[0])

    def report(self, number: int, steps: int) -> Callable[[int], None] | None:
        """What a network calls when steps are done."""
        if self.progress is None:
            return None
        progress, before, total = self.progress, number * steps, self.count * steps
        return lambda done: progress(before + done, total)

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of results."""
        return {
            self.size_name: self.size,
            "seeds": self.count,
            "seed": self.seed,
            "normalise": int(self.normalise),
            "dtype": self.dtype,
        }
