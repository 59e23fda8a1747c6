"""Errors that users read: one line that names the key, the value and what is allowed."""

from __future__ import annotations

import difflib
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_LONGEST = 60


class InputError(ValueError):
    """Bad input; the message is one line that names the key, the value and what is allowed.

    See Also
    --------
    ArgumentError, ProgramError : two kinds of it.

    References
    ----------
    docs/specs.md, exit statuses.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> issubclass(ds.ArgumentError, ds.InputError), issubclass(ds.InputError, ValueError)
    (True, True)
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class CacheWarning(UserWarning):
    """A cache folder is not used; everything works, but what it would have kept is made anew. One line."""


class DataWarning(UserWarning):
    """Samples are unusual; results are right, but parameters mean something else than usual. One line."""


class BiasWarning(UserWarning):
    """Replicas have too few sites for their directions, so that results are biased. One line."""


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Show warnings of the toolkit in the body as one line each on standard error, as any note of the command line.

    A `BiasWarning` is not shown: the command line says the same with the result.
    """

    def note(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if issubclass(category, (CacheWarning, DataWarning)):
            print(f"dmft-sym: note: {message}", file=sys.stderr)
        elif not issubclass(category, BiasWarning):
            usual(message, category, *place, **options)

    with warnings.catch_warnings():
        usual, warnings.showwarning = warnings.showwarning, note
        yield


def show(value: object) -> str:
    """A short printable form of ``value``, on one line, for messages."""
    try:
        text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        text = f"<a {type(value).__name__} too long to print>"
    except RecursionError:
        text = f"<a deeply nested {type(value).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def first_line(error: BaseException) -> str:
    """What an error of a library says, short and on one line."""
    lines = str(error).splitlines()
    return lines[0][:100] if lines and lines[0] else type(error).__name__


def show_path(path: str | os.PathLike[str]) -> str:
    """A file name for messages: whole, on one line."""
    return repr(os.fspath(path))


def show_key(key: str) -> str:
    """A key as written if it is an ordinary one, else quoted and shortened."""
    return key if key.isidentifier() and len(key) <= _LONGEST else show(key)


def suggestion(name: str, known: Iterable[str]) -> str:
    """``" (did you mean X?)"`` if a known name is close to ``name``, else an empty string."""
    close = difflib.get_close_matches(name[:_LONGEST], list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def how_to_install(extra: str) -> str:
    """How to get optional packages, of an installed toolkit and of a checkout of its source."""
    return f"pip install 'dmft-sym[{extra}]', or in a checkout of the source pip install -e '.[{extra}]'"


def whole_number(name: str, text: str) -> int:
    """The integer that a text is.

    Raises
    ------
    InputError
        If it is none.
    """
    if not text.strip().isdecimal() or len(text) > 18:
        raise InputError(f"{name} {show(text)}: allowed is an integer >= 1")
    return int(text)
