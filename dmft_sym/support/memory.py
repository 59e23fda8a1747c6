"""How much memory is free, and how to say it."""

from __future__ import annotations

import math

NUMBER_OF_MPMATH = 200
"""Bytes of a number of mpmath, a Python object."""


def free_bytes() -> int:
    """Memory that a run may take, in bytes."""
    import psutil

    return int(psutil.virtual_memory().available)


def march_bytes(depth: int, rows: int, number: int) -> int:
    """Bytes that a march needs with its result, roughly: 12 two-time matrices for every layer and 12 more.

    Parameters
    ----------
    rows
        Steps times outputs.
    number
        Bytes of one entry.
    """
    return 12 * (depth + 1) * rows**2 * number


def most_steps(steps: int, needed: int, available: int) -> int:
    """Steps of a march that fit, if ``steps`` of them need more bytes than are available."""
    return max(1, math.isqrt(available * steps**2 // needed))


def shown_bytes(count: int) -> str:
    """A number of bytes for messages, such as ``"1.5 GB"``."""
    for unit, factor in (("PB", 10**15), ("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} bytes"
