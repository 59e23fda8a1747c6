"""How much memory is free, and how to say it."""

from __future__ import annotations


def free_bytes() -> int:
    """Memory that a run may take, in bytes."""
    import psutil

    return int(psutil.virtual_memory().available)


def shown_bytes(count: int) -> str:
    """A number of bytes for messages, such as ``"1.5 GB"``."""
    for unit, factor in (("PB", 10**15), ("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count} bytes"
