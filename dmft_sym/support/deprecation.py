"""Words that changed: they work until 0.3, and say the new one."""

from __future__ import annotations

import warnings

LAST = "0.3"


def warn_old_word(old: str, new: str, stacklevel: int = 4) -> None:
    """Warn that ``old`` is now ``new``."""
    warnings.warn(old_word(old, new), DeprecationWarning, stacklevel=stacklevel)


def old_word(old: str, new: str) -> str:
    """A line that says what to write."""
    return f"{old} is now {new}; the old word works until {LAST}"
