"""Whether a result from a file is labelled as the toolkit labels results, before it is drawn or compared.

`dmft_sym.load` reads whatever was saved, results that a user has changed included; figures and comparisons rely on
labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dmft_sym.support.messages import InputError, first_line, show, show_path

from .store import ResultError, load

if TYPE_CHECKING:
    import xarray as xr

_TEXTS = ("matrix", "direction", "side")
_WORDS = ("verdict",)
"""Variables that are words."""
_UNLABELLED = ("point", "number")
"""Axes whose places are not told apart: points of a density, all values of a spectrum."""
_ATTRIBUTES = {"outcome": str, "steps": int}


def load_labelled(path: str) -> xr.Dataset:
    """Read a result and check its labels.

    Raises
    ------
    ResultError
        If the file is none, or if an axis, a label or a variable is not as a solver or a simulation leaves it.
    """
    dataset = load(path)
    for problem in _problems(dataset):
        raise _changed(path, problem)
    return dataset


def _problems(dataset: xr.Dataset) -> Iterator[str]:
    if not dataset.data_vars:
        yield "it has no variables"
    for name, size in dataset.sizes.items():
        if size and name not in _UNLABELLED:
            yield from _of_axis(dataset, str(name))
    for name, values in dataset.data_vars.items():
        if values.dtype.kind not in "fiub" and name not in _WORDS:
            yield f"the variable {name} has no numbers"
    for name, kind in _ATTRIBUTES.items():
        if name in dataset.attrs and not _is(dataset.attrs[name], kind):
            yield f"the attribute {name} is {show(dataset.attrs[name])}"


def _of_axis(dataset: xr.Dataset, name: str) -> Iterator[str]:
    import numpy as np

    if name not in dataset.indexes:
        yield f"the axis {name} has no labels"
        return
    labels = dataset.indexes[name]
    if (labels.dtype.kind in "fiu") == (name in _TEXTS):
        yield f"labels of the axis {name} are {'numbers' if name in _TEXTS else 'no numbers'}"
    elif labels.dtype.kind == "f" and not np.isfinite(labels).all():
        yield f"labels of the axis {name} are not finite"
    elif not labels.is_unique:
        yield f"the label {labels[labels.duplicated()][0]} stands twice on the axis {name}"


def _is(value: object, kind: type) -> bool:
    import numbers

    return isinstance(value, str) if kind is str else isinstance(value, numbers.Integral)


@contextmanager
def understood(*paths: str | None) -> Iterator[None]:
    """What figures and comparisons make of results; what they stumble over was changed after it was written.

    Raises
    ------
    ResultError
        In place of errors of the libraries below.
    """
    try:
        yield
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        names = " and ".join(show_path(path) for path in paths if path is not None)
        raise ResultError(
            f"result {names}: not as dmft-sym wrote it ({first_line(error)}); allowed is a file that dmft-sym run or "
            "dmft-sym simulate wrote"
        ) from error


def _changed(path: str, problem: str) -> ResultError:
    return ResultError(
        f"result {show_path(path)}: {problem}; allowed is a file that dmft-sym run or dmft-sym simulate wrote"
    )
