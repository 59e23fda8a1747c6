"""How many cores there are, and one BLAS thread for short vectors."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any


def available_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def single_threaded() -> AbstractContextManager[Any]:
    """Limit BLAS to one thread inside a ``with`` block; the old setting returns at its end.

    A product of coordinates takes some 10 us. OpenBLAS would share it between threads, and the wait for a thread whose
    core is busy costs many times the product (a factor of 3 to 5 on two loaded cores). Without `threadpoolctl` nothing
    is changed; ``OPENBLAS_NUM_THREADS=1`` has the same effect.
    """
    try:
        threadpoolctl = import_module("threadpoolctl")
    except ImportError:
        return nullcontext()
    limits: AbstractContextManager[Any] = threadpoolctl.threadpool_limits(1, "blas")
    return limits
