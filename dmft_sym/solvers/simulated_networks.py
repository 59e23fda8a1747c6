"""Finite networks that are simulated: how many, how large, with which random numbers; and their training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .arguments import RunArguments, check_dtype, check_flag, check_integer, check_progress
from .checkpoints import snapshots_in
from .method import Progress, counted

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem
    from dmft_sym.execution import Arithmetic, ExecutionResult
    from dmft_sym.results.parts import Parts


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
    only
        The number of the network that is trained here; ``None`` for all.
    checkpoint
        Where the state of a network is kept now and then; not of those that something looks at.
    """

    size_name: str
    size: int
    count: int
    seed: int
    normalise: bool
    dtype: str
    progress: Progress | None
    only: int | None = None
    checkpoint: Parts | None = None

    @property
    def numbers(self) -> range:
        """Numbers of the networks that are trained here."""
        return range(self.count) if self.only is None else range(self.only, self.only + 1)

    def alone(self, number: int) -> Self:
        """One of the networks."""
        return replace(self, progress=None, only=number)

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
        check_flag("normalise", normalise)
        check_progress(progress)
        return cls(size_name, size, seeds, seed, normalise, dtype, progress)

    @property
    def sized(self) -> tuple[str, int]:
        """The argument of the size, and its value."""
        return self.size_name, self.size

    def child(self, number: int) -> int:
        """Seed of one network: that of the pair ``(seed, number)``."""
        return int(np.random.SeedSequence([self.seed, number]).generate_state(1, np.uint64)[0])

    def train(
        self,
        number: int,
        theory: Problem,
        arguments: RunArguments,
        *,
        record: bool = False,
        inspect: Callable[[int, Arithmetic], None] | None = None,
    ) -> ExecutionResult:
        """Train network ``number``; ``record`` keeps the fields of all steps, ``inspect`` sees every step.

        Raises
        ------
        ArgumentError
            If it cannot be started as asked.
        """
        from dmft_sym.execution import flow_finite, run_finite

        run: dict[str, Any] = {
            "dim": self.size,
            "seed": self.child(number),
            "normalise": self.normalise,
            "dtype": np.dtype(self.dtype).type,
            "record_steps": range(arguments.steps) if record else None,
            "progress": counted(self.progress, arguments.steps, number, self.count),
            "inspect": inspect,
            "data": arguments.data or None,
        }
        program, values, outputs = theory.executed, arguments.values, arguments.outputs
        if arguments.times is None:
            snapshots = None if self.checkpoint is None else snapshots_in(self.checkpoint, number)
            return run_finite(program, values, outputs, arguments.steps, snapshots=snapshots, **run)
        run |= theory.training.options
        return flow_finite(program, values, outputs, arguments.times, **run)

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
