"""Numbers from ``.npz`` and CSV files: bounded in size, never executed, refused in one line if they are no numbers."""

from __future__ import annotations

import csv
import io
import lzma
import os
import struct
import tokenize
import warnings
import zipfile
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np

from dmft_sym.support.files import read_bytes
from dmft_sym.support.messages import first_line, show, show_path
from dmft_sym.support.real_arrays import LARGEST, Array, DataError

MAX_BYTES = 10**9

_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    SyntaxError,
    MemoryError,
    OverflowError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    tokenize.TokenError,
    zipfile.BadZipFile,
)


@dataclass(frozen=True)
class Archive:
    """The arrays of an ``.npz`` file, read one by one.

    Parameters
    ----------
    label
        What messages call the file.
    """

    label: str
    _file: zipfile.ZipFile
    _members: dict[str, zipfile.ZipInfo]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(self._members)

    def read(self, name: str) -> np.ndarray[Any, Any]:
        """The array ``name``; never an object that a pickle would build.

        Raises
        ------
        DataError
            If it is damaged, too large or has objects.
        """
        member = self._members[name]
        if member.file_size > MAX_BYTES:
            raise DataError(f"{self.label}: array {show(name)} has {member.file_size} bytes; allowed are {MAX_BYTES}")
        try:
            content = io.BytesIO(self._file.read(member))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return np.lib.format.read_array(content, allow_pickle=False)
        except _DAMAGED as error:
            reason = first_line(error)
            raise DataError(
                f"{self.label}: array {show(name)} cannot be read ({reason}); allowed are numbers"
            ) from error

    def find(self, name: str, only: bool = False) -> np.ndarray[Any, Any]:
        """The array ``name``; with ``only``, a single array whatever its name.

        Raises
        ------
        DataError
            If there is no such array, or it cannot be read.
        """
        if name in self._members:
            return self.read(name)
        if only and len(self._members) == 1:
            return self.read(self.names[0])
        found = show(", ".join(self.names))
        also = ", or a single array" if only else ""
        raise DataError(f"{self.label}: has the arrays {found}; allowed is an array {name!r}{also}")


def open_npz(path: str | os.PathLike[str], what: str) -> Archive:
    """The arrays of the ``.npz`` file ``what`` at ``path``.

    Raises
    ------
    InputError
        If the file cannot be read or is something else.
    """
    content = read_bytes(path, what, MAX_BYTES)
    label = f"{what} {show_path(path)}"
    try:
        file = zipfile.ZipFile(io.BytesIO(content))
        members = {entry.filename[:-4]: entry for entry in file.infolist() if entry.filename.endswith(".npy")}
    except _DAMAGED as error:
        raise DataError(
            f"{label}: not an .npz file, or half-written ({first_line(error)}); allowed is what numpy.savez writes"
        ) from error
    if not members:
        raise DataError(f"{label}: no arrays; allowed is what numpy.savez writes")
    return Archive(label, file, members)


def read_csv(path: str | os.PathLike[str], what: str) -> Array:
    """The table of the CSV file ``what`` at ``path``: a row for every line, commas between numbers.

    A first line without any number is a header and skipped, as are empty lines.

    Returns
    -------
    numpy.ndarray
        Shape (rows, columns).

    Raises
    ------
    InputError
        If the file cannot be read or has anything but finite numbers, naming line and field, both counted from 1.
    """
    text = io.TextIOWrapper(io.BytesIO(read_bytes(path, what, MAX_BYTES)), encoding="utf-8-sig", newline="")
    label = f"{what} {show_path(path)}"
    values, columns = array("d"), 0
    try:
        for count, (number, line) in enumerate(_filled_lines(text)):
            if count == 0 and not any(_is_number(entry) for entry in line):
                continue
            columns = columns or len(line)
            values.extend(_row(f"{label}, line {number}", line, columns))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{label}: not a CSV file ({first_line(error)}); allowed are numbers and commas") from error
    if not columns:
        raise DataError(f"{label}: no numbers; allowed are lines of numbers with commas between them")
    return np.array(values, dtype=np.float64).reshape(-1, columns)


def _filled_lines(text: TextIO) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not empty, with their numbers, one at a time: a file takes less memory than its numbers."""
    for number, line in enumerate(csv.reader(text), 1):
        if "".join(line).strip():
            yield number, line


def _row(label: str, line: list[str], columns: int) -> list[float]:
    if len(line) != columns:
        raise DataError(f"{label}: {len(line)} fields; allowed are {columns}, as in the first line of numbers")
    for position, entry in enumerate(line, 1):
        if not _is_number(entry) or not abs(float(entry)) <= LARGEST:
            raise DataError(
                f"{label}, field {position} = {show(entry)}: allowed are finite numbers of size up to {LARGEST:g} and "
                "commas between them"
            )
    return [float(entry) for entry in line]


def _is_number(text: str) -> bool:
    """Whether a field reads as a number, inf and nan included; 1_000, which Python reads too, is none."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
