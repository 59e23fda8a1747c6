"""Weight matrices out of files: ``.npz``, ``.npy`` and ``.safetensors``; never a pickle."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from dmft_sym.support.files import read_bytes
from dmft_sym.support.messages import first_line, how_to_install, show, show_path
from dmft_sym.support.real_arrays import DataError

from .files import MAX_BYTES, open_npz

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib")
ALLOWED = "allowed are .npz, .npy and .safetensors"


def read_weights(path: str | os.PathLike[str]) -> dict[str, np.ndarray[Any, Any]]:
    """All arrays of a file by name; that of an ``.npy`` file is the name of the file.

    Raises
    ------
    InputError
        If the file is a pickle, another kind, empty or damaged.
    """
    end, label = PurePath(path).suffix.lower(), f"weights {show_path(path)}"
    if end in PICKLES:
        raise DataError(
            f"{label}: a pickle, which runs what is in it when it is read; {ALLOWED}. Export it where it was made: "
            "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
        )
    if end == ".npz":
        archive = open_npz(path, "weights")
        return {name: archive.read(name) for name in archive.names}
    if end == ".npy":
        return {PurePath(path).stem: _npy(path, label)}
    if end == ".safetensors":
        return _safetensors(path, label)
    raise DataError(f"{label}: {ALLOWED}")


def _npy(path: str | os.PathLike[str], label: str) -> np.ndarray[Any, Any]:
    content = read_bytes(path, "weights", MAX_BYTES)
    try:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError, MemoryError, TypeError) as error:
        raise DataError(f"{label}: cannot be read ({first_line(error)}); allowed is what numpy.save writes") from error


def _safetensors(path: str | os.PathLike[str], label: str) -> dict[str, np.ndarray[Any, Any]]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load
    except ImportError as error:
        raise DataError(f"{label}: needs safetensors, {how_to_install('weights')}") from error
    content = read_bytes(path, "weights", MAX_BYTES)
    try:
        found: Mapping[str, np.ndarray[Any, Any]] = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        reason = first_line(error)
        raise DataError(f"{label}: cannot be read ({reason}); allowed are arrays of float16, 32 or 64") from error
    if not found:
        raise DataError(f"{label}: no arrays; allowed is a matrix or more")
    return dict(found)


def chosen(arrays: Mapping[str, np.ndarray[Any, Any]], names: Mapping[str, str]) -> dict[str, np.ndarray[Any, Any]]:
    """Some of the arrays, under the names that they are to have.

    Parameters
    ----------
    names
        Name in the file by name of the matrix; all arrays under their own names if it is empty.

    Raises
    ------
    DataError
        If there is no such array.
    """
    for name in names.values():
        if name not in arrays:
            raise DataError(f"matrix {show(name)}: allowed are {', '.join(sorted(arrays))}")
    return {name: arrays[of] for name, of in names.items()} if names else dict(arrays)
