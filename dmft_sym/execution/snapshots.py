"""The state of a run on disk, from which another process goes on with the same numbers, bit for bit.

Nothing is unpickled: a file has arrays, and JSON that says of which attribute of which object each is the value. They
are put into a network that was made anew from the same program and arguments: only values come from the file.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from dmft_sym.support.files import write_bytes

from .interface import Arithmetic

PERIOD = 30.0
"""Seconds between two snapshots."""
_HEADER = "header"
_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)
_PLAIN = (bool, int, float, str, type(None))
_OURS = "dmft_sym.execution"
_FIXED = ("plan", "spec", "recursion", "_arithmetic", "_watch")
"""Attributes that follow from the program, or lead back to where they are."""


class Snapshots:
    """A file that holds the state of a run as of some steps ago.

    Parameters
    ----------
    path
        The file; it is written whole or not at all.
    run
        What tells the run from others; a file of another one is not read.
    """

    def __init__(self, path: Path, run: str) -> None:
        self.path, self.run = path, run
        self._last = time.monotonic()

    def resume(self, state: Mapping[str, Any]) -> dict[str, Any] | None:
        """Put what the file has into the objects of ``state``; ``None`` if there is no such file.

        Returns
        -------
        dict
            New values of what are no objects: numbers, arrays, and lists and dictionaries of them.
        """
        try:
            with np.load(io.BytesIO(self.path.read_bytes()), allow_pickle=False) as file:
                header = json.loads(file[_HEADER].tobytes())
                if header["run"] != self.run:
                    return None
                arrays = {name: file[name] for name in file.files if name != _HEADER}
        except _DAMAGED:
            return None
        return {name: _put(state[name], found, arrays) for name, found in header["state"].items()}

    def keep(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Write the state, if the last one is long ago.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        if time.monotonic() - self._last < PERIOD:
            return
        arrays: dict[str, Any] = {}
        header = {"run": self.run, "state": {name: _taken(thing, arrays) for name, thing in state().items()}}
        content = io.BytesIO()
        arrays[_HEADER] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        np.savez(content, **arrays)
        write_bytes(self.path, content.getvalue())
        self._last = time.monotonic()


def _taken(thing: Any, arrays: dict[str, Any]) -> Any:
    """A value as JSON, with its arrays in ``arrays``."""
    if isinstance(thing, np.ndarray):
        name = f"a{len(arrays)}"
        arrays[name] = thing
        return {"array": name}
    if isinstance(thing, _PLAIN):
        return {"value": thing}
    if isinstance(thing, Generator):
        return {"stream": thing.bit_generator.state}
    if isinstance(thing, list | tuple):
        return {type(thing).__name__: [_taken(one, arrays) for one in thing]}
    if isinstance(thing, dict):  # in the order of its keys, which are those of the plan
        return {"dict": [_taken(one, arrays) for one in thing.values()]}
    if type(thing).__module__.startswith(_OURS):
        return {"object": {name: _taken(one, arrays) for name, one in _attributes(thing).items()}}
    raise TypeError(f"state of {type(thing).__name__}")


def _attributes(thing: Any) -> dict[str, Any]:
    """Attributes of an object that change while it runs."""
    found = {
        name: value
        for name, value in vars(thing).items()
        if name not in _FIXED and not callable(value) and not isinstance(value, np.dtype)
    }
    if isinstance(thing, Arithmetic):  # statements, by their places in the plan
        found["_remembered"] = [number for number, s in enumerate(thing.plan.steps) if s in thing._remembered]
    return found


def _put(thing: Any, found: dict[str, Any], arrays: Mapping[str, Any]) -> Any:
    """The value that `_taken` wrote; an object is ``thing`` itself, with its attributes set."""
    ((kind, content),) = found.items()
    if kind == "array":
        return arrays[content]
    if kind == "value":
        return content
    if kind == "stream":
        thing.bit_generator.state = content
        return thing
    if kind == "dict":
        return {key: _put(value, one, arrays) for (key, value), one in zip(thing.items(), content, strict=True)}
    if kind in ("list", "tuple"):
        old = list(thing) if isinstance(thing, list | tuple) else []  # which may have grown since
        made = [_put(old[k] if k < len(old) else None, one, arrays) for k, one in enumerate(content)]
        return tuple(made) if kind == "tuple" else made
    for name, one in content.items():
        if name == "_remembered":
            places = _put([], one, arrays)
            thing._remembered = {thing.plan.steps[number] for number in places}
            continue
        setattr(thing, name, _put(getattr(thing, name), one, arrays))
    return thing
