"""Who does the work: this process, local ones, or a Dask cluster. The numbers are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dmft_sym.support.errors import ArgumentError
from dmft_sym.support.messages import show

MOST_WORKERS = 1024


@dataclass(frozen=True)
class Crew:
    """Workers.

    Parameters
    ----------
    workers
        Number of processes; 1 is this one.
    scheduler
        Address of a Dask scheduler, whose workers are taken instead.
    """

    workers: int = 1
    scheduler: str | None = None

    @property
    def here(self) -> bool:
        """Whether the work is done in this process."""
        return self.workers == 1 and self.scheduler is None

    def check(self) -> None:
        """Raise `ArgumentError` if the scheduler does not answer; the wait is bounded."""
        if self.scheduler is not None:
            from .cluster import check

            check(self.scheduler)

    def work(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Results of ``function(item)`` as they come, each with the number of its item.

        Raises
        ------
        InputError
            If the function refuses an item, or if workers cannot be had.
        WorkerError
            If it fails otherwise.
        """
        from .task import here, packed

        if self.here:
            for number, item in enumerate(items):
                yield number, here(function, item)
            return
        if self.scheduler is not None:
            from .cluster import answers as of_cluster

            found = of_cluster(packed(function), items, self.scheduler)
        else:
            from .local import answers as of_processes

            found = of_processes(packed(function), items, min(self.workers, len(items)))
        try:
            for number, one in found:
                yield number, one.result()
        finally:
            found.close()  # type: ignore[attr-defined]  # a generator: workers end when it does

    def in_order(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        progress: Callable[[int, int], None] | None = None,
        each: int = 1,
    ) -> list[Any]:
        """All results, in the order of the items.

        Parameters
        ----------
        progress
            Called as ``progress(done, total)`` when an item is done, which counts as ``each``.
        """
        found = {}
        for number, result in self.work(function, items):
            found[number] = result
            if progress is not None:
                progress(each * len(found), each * len(items))
        return [found[number] for number in range(len(items))]


def asked_crew(workers: object, scheduler: object) -> Crew | None:
    """The crew that arguments ask for; ``None`` if they ask for none, and work is done as it would be without.

    Raises
    ------
    ArgumentError
        As `check_crew`.
    """
    return None if workers is None and scheduler is None else check_crew(workers, scheduler)


def check_crew(workers: object, scheduler: object, default: int | None = 1) -> Crew:
    """The crew that arguments ask for.

    Parameters
    ----------
    default
        Number of workers if none is given; ``None`` for as many as there are cores.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed.
    """
    from dmft_sym.support.threads import available_cores

    if scheduler is not None:
        from .cluster import check_address

        if workers is not None:
            raise ArgumentError(f"workers = {show(workers)}: allowed is nothing with a scheduler, which has its own")
        return Crew(1, check_address(scheduler))
    if workers is None:
        return Crew(available_cores() if default is None else default)
    if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= MOST_WORKERS:
        raise ArgumentError(f"workers = {show(workers)}: allowed is an integer from 1 to {MOST_WORKERS}")
    return Crew(workers)
