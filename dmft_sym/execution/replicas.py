"""Independent replicas of a sampled network, each computed by one thread.

Replica ``k`` draws from the ``k``-th stream that the seed spawns, and replicas share nothing, so that results do not
depend on the number of threads, bit by bit.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType
from typing import TypeAlias

import numpy as np
import sympy as sp

from dmft_sym.program import Program
from dmft_sym.support.errors import ExecutionError
from dmft_sym.support.threads import available_cores, single_threaded

from .half_streams import Half, Seed
from .plan import Given
from .replica import ReplicaResult, ReplicaTask, plain_replica
from .runner import check_counts
from .sampled_view import Inspect, SampledView

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of finished steps of all replicas together, and their total."""
InspectReplica: TypeAlias = Callable[[int, SampledView], None]
"""Called with the number of the replica and what can be seen of it."""


def sites_per_replica(sites_total: int, replicas: int) -> int:
    """Sites of one replica: an even number, so that the replicas have ``sites_total`` together or a few more."""
    return 2 * -(-sites_total // (2 * replicas))


def default_tol(sites: int) -> float:
    """Directions shorter than the sampling error of a replica are dropped: ``1/sqrt(sites)``."""
    return 1 / math.sqrt(sites)


def run_replicas(
    module: ModuleType | None,
    program: Program,
    values: Mapping[sp.Symbol, float],
    outputs: int,
    steps: int,
    sites_total: int,
    replicas: int = 8,
    seed: int = 0,
    tol: float | None = None,
    antithetic: bool = True,
    data: Given | None = None,
    pauses: Collection[int] = (),
    inspect: InspectReplica | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
    halves: bool = False,
    only: int | None = None,
) -> list[ReplicaResult]:
    """Train independent sampled networks.

    Parameters
    ----------
    module
        The generated solver of ``program``; ``None`` for the plain NumPy arithmetic, which takes longer.
    program, values, outputs, steps, antithetic, data
        As `run_sampled`.
    sites_total
        Sites of all replicas together; every one has `sites_per_replica` of them.
    replicas
        Number of replicas.
    seed
        Replica ``k`` draws from ``numpy.random.SeedSequence(seed).spawn(replicas)[k]``.
    tol
        Directions shorter than this (relative) are dropped; `default_tol` if it is not given.
    pauses, inspect
        Steps at which ``inspect(replica, view)`` is called from the thread of the replica, when its fields are computed
        and before its updates. Arrays of the view change afterwards: copy what is kept.
    progress
        Called from the threads, one at a time.
    threads
        Number of threads; by default one for each core.
    halves
        Run both halves of every replica instead of it, networks of their own that draw the random numbers of their
        sites in the replica. ``tol`` is larger by ``sqrt(2)``, so that what it drops doubles as does the rest of the
        bias (`default_tol` does the same). A replica needs a multiple of four sites.
    only
        The number of the replica that is run, alone (or with both of its halves); all by default.

    Returns
    -------
    list of ReplicaResult
        In the order of the replicas; both halves of one after another.

    Raises
    ------
    ExecutionError
        As `run_sampled`, and if there is no replica, site or thread.
    """
    workers = available_cores() if threads is None else threads
    check_counts(replicas=replicas, sites=sites_total, threads=workers)
    sites = sites_per_replica(sites_total, replicas)
    tol = default_tol(sites) if tol is None else tol
    seeds: list[Seed] = [*np.random.SeedSequence(seed).spawn(replicas)]
    if halves:
        if sites % 4:
            raise ExecutionError(
                f"sites = {sites_total}: allowed are multiples of four for every replica and its halves"
            )
        sites, tol = sites // 2, math.sqrt(2) * tol
        seeds = [Half(own, half) for own in np.random.SeedSequence(seed).spawn(replicas) for half in (0, 1)]
    if only is not None:
        each = len(seeds) // replicas
        seeds = seeds[each * only : each * (only + 1)]
    task = ReplicaTask(
        program,
        values,
        outputs,
        steps,
        sites,
        tol,
        antithetic,
        dict(data or {}),
        frozenset(pauses),
    )
    crew = _Crew(module, task, inspect, progress, len(seeds))
    with single_threaded(), ThreadPoolExecutor(min(workers, len(seeds))) as pool:
        futures = [pool.submit(crew.run, number, own) for number, own in enumerate(seeds)]
        return crew.results(futures)


class Stopped(Exception):  # noqa: N818 - not an error: another replica has failed
    """Ends a replica whose results nobody waits for."""


class _Crew:
    """The replicas of a run and what they have in common: how far they are, and whether to go on."""

    def __init__(
        self,
        module: ModuleType | None,
        task: ReplicaTask,
        inspect: InspectReplica | None,
        progress: Progress | None,
        replicas: int,
    ) -> None:
        self.module = module
        self.task = task
        self.inspect = inspect
        self.progress = progress
        self.total = replicas * task.steps
        self.done = 0
        self.failure: BaseException | None = None
        self.lock = threading.Lock()

    def run(self, number: int, seed: Seed) -> ReplicaResult:
        """One replica, in a thread of its own; the first one that fails stops the others."""
        look = self.inspect
        shown = None if look is None else lambda view: look(number, view)
        try:
            return self._run(seed, shown)
        except BaseException as error:
            self.failure = self.failure or error
            raise

    def _run(self, seed: Seed, shown: Inspect | None) -> ReplicaResult:
        if self.module is None:
            return plain_replica(self.task, seed, shown, self.step)
        from .generated_replica import generated_replica

        return generated_replica(self.module, self.task, seed, shown, self.step)

    def step(self, done: int) -> None:
        """A replica has finished a step."""
        if self.failure is not None:
            raise Stopped
        with self.lock:
            self.done += 1
            if self.progress is not None:
                self.progress(self.done, self.total)

    def results(self, futures: list[Future[ReplicaResult]]) -> list[ReplicaResult]:
        """Wait for all; if one fails, or the wait is interrupted, the others end at their next step."""
        try:
            return [future.result() for future in futures]
        except BaseException as error:
            self.failure = self.failure or error
            for future in futures:
                future.cancel()
            raise self.failure from None
