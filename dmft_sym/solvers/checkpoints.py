"""Checkpoints of long runs and simulations: a folder that is there until the result is whole.

It has networks that are finished, and the state of the one that is trained (`execution.snapshots`); arrays and JSON,
written under another name and renamed, and nothing that would be unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dmft_sym.cache.ownership import problem as not_own
from dmft_sym.derivation.identity import of_theory, plain
from dmft_sym.execution.snapshots import Snapshots
from dmft_sym.results.parts import Parts
from dmft_sym.support.messages import InputError, show, show_path

if TYPE_CHECKING:
    from dmft_sym.derivation.problem import Problem


@contextmanager
def opened(path: object, what: str, theory: Problem, settings: Mapping[str, Any]) -> Iterator[Parts]:
    """The folder of a checkpoint, made if it is not there, for this process alone; removed when the body ends well.

    Parameters
    ----------
    what
        ``"run"`` or ``"simulation"``.
    settings
        All that numbers depend on, beside the theory.

    Raises
    ------
    InputError
        If it belongs to somebody else or to a run with other settings, or cannot be written; one line.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"checkpoint = {show(path)}: allowed is the name of a folder, which is made")
    if os.path.lexists(path) and not os.path.isdir(path):
        raise InputError(f"checkpoint {show_path(path)}: a file; allowed is the name of a folder, which is made")
    if os.path.isdir(path) and (reason := not_own(os.stat(path))) is not None:
        raise InputError(f"checkpoint {show_path(path)}: the folder {reason}; allowed is a folder of your own")
    with Parts.opened(path, _identity(what, theory, settings), what) as parts:
        yield parts
        parts.remove()


def snapshots_in(parts: Parts, number: int = 0) -> Snapshots:
    """Where the state of a network is kept."""
    return Snapshots(parts.folder / f"state-{number:06d}.npz", f"{parts.identity['hash']} {number}")


def _identity(what: str, theory: Problem, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a run is, as JSON has it; ``hash`` covers the rest and all that it does not spell out."""
    from importlib.metadata import version

    from dmft_sym.cache.modules import compiler_fingerprint

    known = {name: plain(value) for name, value in sorted(settings.items())}
    found = {"what": what, "settings": known, "version": version("dmft-sym")}
    text = json.dumps({**found, "theory": of_theory(theory), "code": compiler_fingerprint()}, sort_keys=True)
    return {**found, "hash": hashlib.sha256(text.encode()).hexdigest()}
