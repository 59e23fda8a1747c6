"""Finished parts of a sweep, a run or a simulation in a folder until the result is whole: ``grid.nc.parts``.

Every point is a file of its own, written under another name, flushed and renamed: what is there is whole. Files are
arrays and JSON, and are read without unpickling anything; one that is damaged, or of another sweep, is computed again.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.results.store import check_writable
from dmft_sym.support.files import output_error, write_bytes, write_text
from dmft_sym.support.messages import InputError, show_path

if TYPE_CHECKING:
    import xarray as xr

ENDING = ".parts"
_MANIFEST, _LOCK = "sweep.json", "lock"
_HEADER = "header"
_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


class Parts:
    """The folder.

    Parameters
    ----------
    folder
        Where it is.
    identity
        What the work is, with its ``hash``.
    kind
        What it is in a word: ``"sweep"``, ``"run"``, ``"simulation"``.
    """

    def __init__(self, folder: str | os.PathLike[str], identity: Mapping[str, Any], kind: str) -> None:
        self.folder = Path(folder)
        self.identity, self.kind = identity, kind

    @classmethod
    @contextmanager
    def opened(
        cls, folder: str | os.PathLike[str], identity: Mapping[str, Any], kind: str = "sweep"
    ) -> Iterator[Parts]:
        """The folder, made if it is not there, for this process alone.

        Raises
        ------
        InputError
            If it is that of another sweep (or run), or of one that is running, or cannot be written.
        """
        from filelock import FileLock, Timeout

        parts = cls(folder, identity, kind)
        if not parts.folder.exists():
            check_writable(folder)
        try:
            parts.folder.mkdir(exist_ok=True)
            lock = FileLock(parts.folder / _LOCK, timeout=0)
            with lock:
                parts._claim()
                try:
                    yield parts
                except BaseException:
                    if not any(parts.folder.glob("*-*.npz")):
                        parts.remove()
                    raise
        except Timeout as error:
            raise parts._refused(f"a {kind} that is running writes there") from error
        except OSError as error:
            raise output_error(parts.folder, error) from error

    def _claim(self) -> None:
        """Write down whose folder this is.

        That of work that was killed before its first point has nothing to lose, and is taken over.

        Raises
        ------
        InputError
            If it is another's.
        """
        path = self.folder / _MANIFEST
        others = {one.name for one in self.folder.iterdir() if not one.name.startswith(".")} - {_LOCK}
        if _MANIFEST not in others:
            if others:
                raise self._refused("it has other files")
            self._sign()
            return
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            same = found["hash"] == self.identity["hash"]
        except _DAMAGED as error:
            raise self._refused(f"its {_MANIFEST} is damaged") from error
        if not same and others != {_MANIFEST}:
            raise self._refused(f"it belongs to another {self.kind} ({self._difference(found)})")
        if not same:
            self._sign()

    def _sign(self) -> None:
        write_text(self.folder / _MANIFEST, json.dumps(self.identity, indent=1) + "\n")

    def _difference(self, found: Mapping[str, Any]) -> str:
        """In what another one is another."""
        names = [name for name in self.identity if name != "hash" and found.get(name) != self.identity[name]]
        return f"its {' and '.join(names)} differ" if names else "of another network, data or code"

    def _refused(self, reason: str) -> InputError:
        return InputError(
            f"folder {show_path(self.folder)}: {reason}; allowed is the folder of the same {self.kind}, or none: "
            f"name another {'output' if self.kind == 'sweep' else 'checkpoint'}, or remove it"
        )

    def finished(self, count: int) -> dict[int, xr.Dataset]:
        """Results of finished points by their numbers; what cannot be read is not finished."""
        found = {}
        for number in range(count):
            try:
                content = self._path(number).read_bytes()
                found[number] = decoded(content, self.identity["hash"], number)
            except _DAMAGED:
                continue
        return found

    def keep(self, number: int, result: xr.Dataset) -> None:
        """Write a finished point.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        write_bytes(self._path(number), encoded(result, self.identity["hash"], number))

    def remove(self) -> None:
        """Remove the folder, when the result is whole."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"point-{number:06d}.npz"


def encoded(result: xr.Dataset, sweep: str, number: int) -> bytes:
    """A result as arrays and JSON."""
    arrays: dict[str, Any] = {}
    names: dict[str, Any] = {}
    for place, (name, variable) in enumerate(result.variables.items()):
        values = variable.values
        arrays[f"v{place}"] = values.astype(str) if values.dtype == object else values
        names[f"v{place}"] = [str(name), list(variable.dims), _json(variable.attrs), name in result.coords]
    header = {"sweep": sweep, "point": number, "variables": names, "attrs": _json(result.attrs)}
    arrays[_HEADER] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def decoded(content: bytes, sweep: str, number: int) -> xr.Dataset:
    """The result that `encoded` wrote.

    Raises
    ------
    ValueError
        If it is damaged (as are other errors), or another point.
    """
    import xarray as xr

    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        header = json.loads(file[_HEADER].tobytes())
        if (header["sweep"], header["point"]) != (sweep, number):
            raise ValueError("another point")
        variables: dict[str, Any] = {}
        coordinates: dict[str, Any] = {}
        for key, (name, dims, attributes, coordinate) in header["variables"].items():
            (coordinates if coordinate else variables)[name] = (dims, file[key], attributes)
    return xr.Dataset(variables, coordinates, header["attrs"])


def _json(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): getattr(value, "tolist", lambda value=value: value)() for name, value in attributes.items()}
