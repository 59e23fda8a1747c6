"""Folders that keep what is executed later: generated modules, and the machine code that Numba makes of them.

Reading them is running code, so a folder is used only if nobody but this user (or root) could have written into it. A
cache is never needed: if a folder cannot be used, a warning says why, once, and what it would have kept is made anew.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import platformdirs

from dmft_sym.support.messages import CacheWarning, show_path

from . import ownership

CACHE_VARIABLE = "DMFT_SYM_CACHE"
DAY = 24 * 3600.0
_TEMPORARY = re.compile(r"\.tmp(\.[0-9a-f]+)?\Z")
_refused: set[str] = set()


class CacheError(OSError):
    """A folder whose contents others could have written; the message says why."""


def cache_folder() -> Path:
    """Folder of modules made at run time; the environment variable ``DMFT_SYM_CACHE`` moves it.

    It begins with ``~`` where there is no home folder, and `opened` refuses it.
    """
    try:
        return Path(os.path.expanduser(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("dmft-sym")))
    except RuntimeError:
        return Path("~", ".cache", "dmft-sym")


def opened(folder: Path) -> Path:
    """The real path of a folder, which is made if it is missing, after a look at who may write into it.

    What writers that were killed left behind is removed.

    Raises
    ------
    OSError
        If the folder cannot be made or looked at; a `CacheError` if others may write into it.
    """
    _check_home(folder)
    real = Path(os.path.realpath(folder))
    make_folder(real)
    found = ownership.folder_problem(real)
    if found is not None:
        raise CacheError(found)
    _remove_left_behind(real)
    return real


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, such that nobody else may write into them whatever the umask is."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent)
    with suppress(FileExistsError):  # another process was faster
        folder.mkdir(mode=0o755)


def read(path: Path) -> str | None:
    """Text of a file in an opened folder; ``None`` if it is missing, no text, or others could have written it."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or ownership.problem(status) is not None:
                return None
            return file.read().decode()
    except (OSError, UnicodeDecodeError):
        return None


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """An open file that takes the place of ``path`` at the end of the block: readers see all of it or none.

    It is not flushed to disk: what a crash of the system damages is found damaged, and made anew. Others may read it,
    as far as the umask lets them, but not write it.
    """
    temporary = path.with_name(f"{path.name}.tmp.{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        with open(handle, "wb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def warn_refused(folder: Path, error: OSError, variable: str = CACHE_VARIABLE) -> None:
    """Say once that a folder is not used, why, and which variable names another."""
    name = os.fspath(folder)
    if name in _refused:
        return
    _refused.add(name)
    reason = str(error) if isinstance(error, CacheError) else error.strerror or str(error)
    warnings.warn(
        f"cache folder {show_path(folder)}: {reason}; solvers that it does not have are made and compiled anew by "
        f"every process (name a folder that you alone may write by {variable})",
        CacheWarning,
        stacklevel=2,
    )


def _check_home(folder: Path) -> None:
    """Refuse to make a home folder: users who shall have none have the name of one that does not exist."""
    if folder.parts[:1] == ("~",):
        raise CacheError("there is no home folder")
    home = os.path.expanduser("~")
    if folder.is_relative_to(home) and not os.path.isdir(home):
        raise CacheError(f"the home folder {show_path(home)} does not exist")


def _remove_left_behind(folder: Path) -> None:
    """Remove temporary files whose writers were killed: nobody writes for a day."""
    before = time.time() - DAY
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.search(entry.name):
                with suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime < before:
                        os.unlink(entry.path)
