"""Arrays of samples out of files and out of the data sets that come with scikit-learn.

Nothing is downloaded. The named sets need scikit-learn, which is not installed with this package by default:
``pip install 'dmft-sym[data]'``.
"""

from __future__ import annotations

import importlib
import itertools
import math
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from dmft_sym.networks.losses import loss_named
from dmft_sym.support.messages import show, show_path, suggestion
from dmft_sym.support.real_arrays import Array, DataError, real_array

from .files import Archive, open_npz, read_csv

NAMES = ("digits", "iris", "wine", "breast_cancer")
NEARLY_CONSTANT = 0.95

PathLike = str | os.PathLike[str]
Arrays = dict[str, Any]
"""``inputs`` and ``targets``, ``test_inputs`` and ``test_targets`` if there are: arguments of `Samples`."""


def arrays_of_files(inputs: PathLike, targets: PathLike | None = None, axes: int = 0) -> Arrays:
    """Arrays whose inputs and targets are in files of their own; see `dmft_sym.data.from_files`.

    Parameters
    ----------
    axes
        How many axes inputs may have between samples and dimension.
    """
    if targets is None and kind_of("inputs", inputs) == ".csv":
        raise DataError(
            f"targets are missing: allowed is a file beside inputs {show_path(inputs)}, or one .npz with both"
        )
    together = targets is None
    others = inputs if targets is None else targets
    return _arrays("inputs", inputs, together, axes) | _arrays("targets", others, together)


def with_axes(arrays: Arrays, labels: Mapping[str, int] | None) -> Arrays:
    """Arrays whose inputs have axes of these labels; rows are cut into equal pieces, the last label first.

    Raises
    ------
    DataError
        If inputs have other axes, or rows that do not divide.
    """
    if not labels:
        return arrays
    sizes, text = tuple(labels.values()), show(dict(labels))
    found = dict(arrays)
    for name in ("inputs", "test_inputs"):
        array = arrays.get(name)
        if array is None:
            continue
        if array.ndim == 2:
            pieces = math.prod(sizes)
            if array.shape[1] % pieces:
                raise DataError(
                    f"labels = {text}: {name} have {array.shape[1]} columns; allowed are multiples of {pieces}"
                )
            found[name] = array.reshape(len(array), *sizes, -1)
        elif array.shape[1:-1] != sizes:
            raise DataError(
                f"labels = {text}: {name} have the shape {array.shape}; allowed are the sizes of their axes"
            )
    return found


def arrays_of_table(path: PathLike, outputs: int = 1) -> Arrays:
    """Arrays of a CSV file whose last columns are targets; see `dmft_sym.data.from_csv`."""
    table = read_csv(path, "inputs")
    inputs = table.shape[1] - 1
    if inputs == 0:
        raise DataError(f"inputs {show_path(path)}: one column; allowed are columns of inputs and, last, of targets")
    columns = _count("outputs", outputs, 1, inputs)
    return {"inputs": table[:, :-columns], "targets": table[:, -columns:]}


def arrays_of_set(
    name: str,
    classes: Sequence[int] = (0, 1),
    samples: int = 20,
    seed: int = 0,
    standardize: bool = True,
    loss: str = "squared",
    test_samples: int = 0,
) -> Arrays:
    """Arrays drawn from a data set; see `dmft_sym.data.named_set`."""
    loss_name = loss_named(loss).name
    features, labels = _load(name)
    chosen = _classes(name, classes, int(labels.max()) + 1)
    rows = _draw(labels, chosen, _count("seed", seed, 0))
    trained = _count("samples", samples, len(chosen), len(rows))
    tested = _count("test_samples", test_samples, 0, len(rows) - trained)
    if standardize:
        features = _standardized(features, np.isin(labels, chosen))
    targets = _targets(labels[rows], chosen, loss_name)
    inputs, last = features[rows], trained + tested
    found = {"inputs": inputs[:trained], "targets": targets[:trained]}
    tests = {"test_inputs": inputs[trained:last], "test_targets": targets[trained:last]}
    return found | tests if tested else found


def _arrays(name: str, path: PathLike, together: bool, axes: int = 0) -> dict[str, Array]:
    """Arrays of training and test samples that a file has under ``name``."""
    found: dict[str, object] = {}
    if kind_of(name, path) == ".csv":
        found[name] = read_csv(path, name)
    else:
        archive = open_npz(path, name)
        if together:
            _check_names(archive)
        found[name] = archive.find(name, only=not together)
        if f"test_{name}" in archive.names:
            found[f"test_{name}"] = archive.find(f"test_{name}")
    of_inputs = ("(P, D)", (2,)) if not axes else ("(P, ..., D) with an axis for each of labels", (2, 2 + axes))
    shapes = of_inputs if name == "inputs" else ("(P,) or (P, C)", (1, 2))
    return {key: real_array(f"{key} of {show_path(path)}", value, *shapes) for key, value in found.items()}


def _check_names(archive: Archive) -> None:
    """Refuse names that look like misspelt ones; other arrays may be there and are not read."""
    known = ("inputs", "targets", "test_inputs", "test_targets")
    for name in archive.names:
        meant = suggestion(name, known)
        if name not in known and meant:
            raise DataError(f"{archive.label}: array {show(name)}{meant}: allowed are {', '.join(known)}")


def kind_of(name: str, path: PathLike) -> str:
    """``".npz"`` or ``".csv"``, by the name of a file."""
    try:
        kind = PurePath(os.fspath(path)).suffix.lower()
    except TypeError:
        raise DataError(f"{name} = {show(path)}: allowed is the name of an .npz or .csv file") from None
    if kind not in (".npz", ".csv"):
        raise DataError(f"{name} {show_path(path)}: allowed are files whose names end in .npz or .csv")
    return kind


def _load(name: object) -> tuple[Array, np.ndarray]:
    if not isinstance(name, str) or name not in NAMES:
        hint = suggestion(name, NAMES) if isinstance(name, str) else ""
        raise DataError(f"set = {show(name)}: allowed are {', '.join(NAMES)}{hint}")
    try:
        module = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise DataError(
            f"set = {show(name)}: allowed with scikit-learn only, which is not installed: pip install 'dmft-sym[data]'"
        ) from error
    bunch = getattr(module, f"load_{name}")()
    return np.asarray(bunch.data, dtype=np.float64), np.asarray(bunch.target)


def _classes(name: str, classes: object, count: int) -> tuple[int, ...]:
    allowed = f"allowed for {name} are two or more different integers from 0 to {count - 1}"
    listed = list(classes) if isinstance(classes, Iterable) and not isinstance(classes, str | bytes) else []
    chosen = tuple(int(entry) for entry in listed if _is_integer(entry) and 0 <= entry < count)
    if len(chosen) < max(2, len(listed)) or len(set(chosen)) < len(chosen):
        raise DataError(f"classes = {show(classes)}: {allowed}")
    return chosen


def _draw(labels: np.ndarray, classes: tuple[int, ...], seed: int) -> list[int]:
    """Rows of these classes in random order, one of each class in turn until a class has no more."""
    orders = [
        np.random.default_rng([seed, entry]).permutation(np.flatnonzero(labels == entry)).tolist() for entry in classes
    ]
    turns = itertools.zip_longest(*orders)
    return [row for turn in turns for row in turn if row is not None]


def _standardized(features: Array, used: np.ndarray) -> Array:
    reference = features[used]
    share = np.array([np.unique(column, return_counts=True)[1].max() for column in reference.T]) / len(reference)
    kept = share < NEARLY_CONSTANT
    return (features[:, kept] - reference[:, kept].mean(axis=0)) / reference[:, kept].std(axis=0)


def _targets(labels: np.ndarray, classes: tuple[int, ...], loss: str) -> Array:
    rows = (labels[:, None] == np.array(classes)).astype(np.float64)
    if loss == "softmax":
        return rows
    if len(classes) == 2:
        return 2 * rows[:, 1:] - 1
    return 2 * rows - 1 if loss == "logistic" else rows


def _count(name: str, value: object, low: int, high: int | None = None) -> int:
    if not _is_integer(value) or value < low or (high is not None and value > high):  # type: ignore[operator]
        bounds = f">= {low}" if high is None else f"from {low} to {high}"
        raise DataError(f"{name} = {show(value)}: allowed are integers {bounds}")
    return int(value)  # type: ignore[call-overload]


def _is_integer(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
