"""Whose a file or folder is, and who could have written what is in it: asked before anything in it is executed.

The rules are those of ssh for its own files. What is executed belongs to the user who executes it, or to root; nobody
else may write it, nor the folder that it is in, nor rename a folder on the way to it.
"""

from __future__ import annotations

import functools
import os
import stat
from pathlib import Path

from dmft_sym.support.messages import show_path

_ALL_USERS = ["0", "0", "4294967295"]


def folder_problem(folder: Path) -> str | None:
    """Why others could have put files into a folder; ``None`` if only this user and root could.

    Parameters
    ----------
    folder
        An existing folder, without symbolic links.

    Raises
    ------
    OSError
        If the folder or one above it cannot be looked at.
    """
    found = problem(folder.stat())
    if found is not None:
        return found
    for parent in folder.parents:
        found = _parent_problem(parent.stat())
        if found is not None:
            return f"the folder {show_path(parent)} above it {found}"
    return None


def problem(status: os.stat_result) -> str | None:
    """Why others could have written a file or folder, in words that follow its name; ``None`` if they could not."""
    if os.name != "posix":
        return None
    if status.st_uid not in (os.geteuid(), 0):
        return f"belongs to {_user(status.st_uid)}"
    if status.st_mode & stat.S_IWOTH:
        return "may be written by everybody"
    if status.st_mode & stat.S_IWGRP and not _of_one_user(status.st_gid, status.st_uid):
        return f"may be written by the group {_group(status.st_gid)}"
    return None


def _parent_problem(status: os.stat_result) -> str | None:
    """The same of a folder on the way: where only owners rename (as in /tmp), others may write."""
    if os.name != "posix":
        return None
    mine = status.st_uid in (os.geteuid(), 0, _stand_in())
    if mine and (status.st_mode & stat.S_ISVTX or not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        return None
    return problem(status)


def _of_one_user(group: int, user: int) -> bool:
    """Whether a group is its user's own, as many systems make for everybody: there, it usually may write."""
    import grp
    import pwd

    try:
        person, entry = pwd.getpwuid(user), grp.getgrgid(group)
    except KeyError:
        return False
    return person.pw_gid == group and entry.gr_name == person.pw_name and set(entry.gr_mem) <= {person.pw_name}


@functools.cache
def _stand_in() -> int | None:
    """The owner that a container shows for users it does not know, such as root outside; ``None`` if it knows all."""
    try:
        known = Path("/proc/self/uid_map").read_text(encoding="ascii").split()
        return None if known == _ALL_USERS else int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _user(number: int) -> str:
    import pwd

    try:
        return f"the user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"the user {number}"


def _group(number: int) -> str:
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
