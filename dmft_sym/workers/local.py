"""Processes of this machine.

They are started by `loky`: new interpreters, so that threads of this one (BLAS, Numba) are not copied half-way, which
need no ``if __name__ == "__main__"`` in scripts. They stay for a while after their work, as to start one takes seconds.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from typing import Any

from dmft_sym.support.errors import ArgumentError

from .task import Answer, answer, packed

PINS = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
"""One thread in each process, whatever libraries it loads."""
IDLE = 30
"""Seconds after which a worker without work ends."""
AHEAD = 2
"""Items that are handed out at a time, for each worker."""
MOST_DEATHS = 3
"""How often workers may die with an item in their hands before it is given up."""
_OF_CACHES = ("DMFT_SYM_CACHE", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR")


def answers(function: bytes, items: Sequence[Any], count: int) -> Iterator[tuple[int, Answer]]:
    """Answers of ``count`` processes, as they come, with the numbers of their items.

    If a worker dies, new ones begin with what it had in its hands.

    Raises
    ------
    ArgumentError
        If workers die again and again with the same item.
    """
    waiting, deaths = list(range(len(items)))[::-1], dict.fromkeys(range(len(items)), 0)
    handed: dict[Future[Answer], int] = {}
    finished = False
    try:
        while waiting or handed:
            try:
                while waiting and len(handed) < AHEAD * count:
                    number = waiting[-1]
                    handed[_executor(count).submit(answer, function, packed(items[number]))] = number
                    waiting.pop()
                done, _ = wait(handed, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda one: handed[one]):
                    found = future.result()  # raises if a worker died
                    yield handed.pop(future), found
            except BrokenExecutor as error:
                for future, number in list(handed.items()):
                    if future.done() and not future.cancelled() and future.exception() is None:
                        yield handed.pop(future), future.result()
                        continue
                    deaths[number] += 1
                    if deaths[number] >= MOST_DEATHS:
                        raise ArgumentError(
                            f"workers = {count}: workers died {MOST_DEATHS} times at the same point; allowed are fewer "
                            "workers, or smaller runs, if memory is short"
                        ) from error
                waiting += sorted(handed.values(), reverse=True)
                handed.clear()
        finished = True
    finally:
        if not finished:
            _executor(count).shutdown(wait=False, kill_workers=True)


def _executor(count: int) -> Any:
    """The processes; those of the last call if they fit and are alive."""
    from loky import get_reusable_executor

    caches = {name: os.environ[name] for name in _OF_CACHES if name in os.environ}
    with warnings.catch_warnings():  # a worker that ended while it was idle is replaced
        warnings.simplefilter("ignore", UserWarning)
        return get_reusable_executor(
            count, timeout=IDLE, env={**PINS, **caches}, initializer=_begin, initargs=(os.getpid(),)
        )


def _begin(parent: int) -> None:
    """Leave Ctrl-C to the parent, which ends its workers; and end when the parent is gone, as it may be killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
