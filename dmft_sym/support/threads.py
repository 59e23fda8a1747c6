"""How many cores there are, and one BLAS thread for short vectors."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


def available_cores() -> int:
    """Number of cores that this process may use; one while its work is shared out by processes (`one_core`)."""
    if _PINS.count:
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Pins:
    """How many blocks there are in which a process has one core."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def add(self, number: int) -> None:
        with self._lock:
            self.count += number


_PINS = _Pins()


@contextmanager
def one_core() -> Iterator[None]:
    """One thread for BLAS, and one core for what asks how many there are, inside a ``with`` block.

    Work that is shared out among processes runs in it, so that they do not fight for cores, and so that numbers are the
    same in any process: products of BLAS depend on its number of threads in the last digit.
    """
    _PINS.add(1)
    try:
        with single_threaded():
            yield
    finally:
        _PINS.add(-1)


class _Limit:
    """One BLAS thread while there is a block; the setting is that of the process, and blocks may overlap."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks = 0
        self._limits: Any = None

    def enter(self, threadpoolctl: Any) -> None:
        """Begin a block; the first one sets the limit."""
        with self._lock:
            if self._blocks == 0:
                self._limits = threadpoolctl.threadpool_limits(1, "blas")
            self._blocks += 1

    def leave(self) -> None:
        """End a block; the last one restores what was before."""
        with self._lock:
            self._blocks -= 1
            if self._blocks == 0:
                self._limits.restore_original_limits()


_LIMIT = _Limit()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Limit BLAS to one thread inside a ``with`` block; the old setting returns when the last such block ends.

    A product of coordinates takes some 10 us. OpenBLAS would share it between threads, and the wait for a thread whose
    core is busy costs many times the product (a factor of 3 to 5 on two loaded cores). Without `threadpoolctl` nothing
    is changed; ``OPENBLAS_NUM_THREADS=1`` has the same effect.
    """
    try:
        threadpoolctl = import_module("threadpoolctl")
    except ImportError:
        yield
        return
    _LIMIT.enter(threadpoolctl)
    try:
        yield
    finally:
        _LIMIT.leave()
