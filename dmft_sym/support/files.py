"""Files that are written whole or not at all, and readers whose errors are one line."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .memory import shown_bytes
from .messages import InputError, show, show_path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends without an exception.

    Whatever happens inside the block (an exception, Ctrl-C, a full disk), a file that was at ``path`` before is
    left as it was and the temporary file is removed. The temporary name ends like ``path``, because writers
    choose their format by it.
    """
    target = _target(path)
    temporary = _fresh(target)
    try:
        yield temporary
        if target.exists():
            os.chmod(temporary, target.stat().st_mode & 0o777)
        _flush(temporary)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    with suppress(OSError):  # not every file system flushes folders
        _flush(target.parent)


def write_bytes(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write ``content`` to ``path``, whole or not at all.

    Whatever is written comes here as bytes: libraries that write files themselves leave half of them on a full disk,
    or take the process with them (HDF5).

    Raises
    ------
    InputError
        If the file cannot be written; where space is missing, with how much was needed and how much is free.
    """
    check_writable(path)
    try:
        with atomic_path(path) as temporary:
            handle = os.open(temporary, os.O_WRONLY)
            try:
                write_all(handle, content)
            finally:
                os.close(handle)
    except OSError as error:
        raise output_error(path, error, len(content)) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` (UTF-8) to ``path``, whole or not at all; raise `InputError` if it cannot be written."""
    write_bytes(path, text.encode())


def write_all(handle: int, content: bytes | memoryview) -> None:
    """Write all of ``content`` to an open file; the system may take it in pieces."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]


def check_path(path: object, what: str) -> None:
    """Raise `InputError` if ``path`` is not a path: numbers would be taken for open files."""
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"{what} {show(path)}: allowed is the name of a file")


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise `InputError` if a file could not be written at ``path``; nothing is changed.

    Called before a run starts, so that its result has a place to go.
    """
    check_path(path, "output path")
    if not os.fspath(path):
        raise InputError("output path '': allowed is the name of a file")
    try:
        target = _target(path)
        if target.is_dir():
            raise _refused(path, "is a folder")
        if target.exists() and not target.is_file():
            raise _refused(path, "is not a regular file")
        if not target.parent.is_dir():
            raise _refused(path, f"the folder {show_path(target.parent)} does not exist")
        if target.exists() and not os.access(target, os.W_OK):
            raise _refused(path, "is write-protected")
        _fresh(target).unlink()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        if isinstance(error, InputError):
            raise
        raise output_error(path, error) from error


def output_error(path: str | os.PathLike[str], error: Exception, needed: int | None = None) -> InputError:
    """The one-line form of an error of the operating system; ``needed`` is the size of what was to be written."""
    reason = getattr(error, "strerror", None) or str(error)
    if getattr(error, "errno", None) in _FULL:
        size = "" if needed is None else f"{shown_bytes(needed)} needed, "
        return InputError(
            f"output path {show_path(path)}: {reason} ({size}{_shown_free(path)} free); nothing was written: make "
            "room, or name a file on another disk"
        )
    return _refused(path, reason)


def _shown_free(path: str | os.PathLike[str]) -> str:
    try:
        return shown_bytes(shutil.disk_usage(_target(path).parent).free)
    except OSError:
        return "an unknown number of bytes"


def read_bytes(path: str | os.PathLike[str], what: str, limit: int) -> bytes:
    """Content of the file ``what`` at ``path``; `InputError` if unreadable, empty or over ``limit`` bytes."""
    check_path(path, what)
    label = f"{what} {show_path(path)}"
    try:
        check_regular(path)
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{label}: cannot be read ({reason}); allowed is the name of a readable file") from error
    if not content.strip():
        raise InputError(f"{label}: the file is empty")
    if len(content) > limit:
        raise InputError(f"{label}: more than {limit} bytes; allowed are at most {limit}")
    return content


def check_regular(path: str | os.PathLike[str]) -> None:
    """Raise `OSError` if there is no ordinary file at ``path``: a pipe or a device may never end, or never begin."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "a pipe or a device")


def _refused(path: str | os.PathLike[str], reason: str) -> InputError:
    return InputError(
        f"output path {show_path(path)}: {reason}; allowed is a file name in an existing, writable folder"
    )


def _target(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.realpath(path))  # a link stays a link, its target is replaced


def _fresh(target: Path) -> Path:
    """A new empty file beside ``target``, hidden, with the permissions that new files get."""
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp{target.suffix}")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return temporary


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
