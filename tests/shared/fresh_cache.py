"""A cache folder of its own, owners and modes of files, and modules small enough to be compiled in a test."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dmft_sym.cache import folders as cache_folders
from dmft_sym.cache import machine_code
from dmft_sym.cache.modules import load_module, stamped

OTHER = 12345
"""Number of a user who is not this one."""
PLAIN = "def march():\n    return 41 + 1\n"
COMPILED = (
    "from numba import njit\n\n\n"
    "@njit(cache=True)\ndef double(x):\n    return 2 * x\n\n\n"
    "@njit(cache=True)\ndef triple(x):\n    return 3 * x\n"
)


def fresh_process(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Use ``folder`` and know nothing, as a process that starts."""
    monkeypatch.setenv("DMFT_SYM_CACHE", str(folder))
    monkeypatch.setattr(cache_folders, "_refused", set())
    forget()


def forget() -> None:
    """As a new process would start."""
    machine_code.checked.cache_clear()
    for name in [
        name
        for name in sys.modules
        if name.startswith(("dmft_sym_cache_numpy_key", "dmft_sym_cache_numba_key"))
        or name.endswith((".library.tiny", ".library.upper"))
    ]:
        del sys.modules[name]


def no_source() -> str:
    raise AssertionError("the module was there: nothing has to be derived")


def compiled() -> ModuleType:
    return load_module("key", "numba", lambda: COMPILED)


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file or a folder belong to another user, or this process to another one."""
    if os.geteuid() == 0:
        os.chown(path, OTHER, OTHER)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: OTHER)


def planted(path: Path) -> str:
    """What another user would leave: code that shows itself, with a stamp that fits."""
    return stamped(f"from pathlib import Path\nPath({str(path)!r}).touch()\n{PLAIN}")
