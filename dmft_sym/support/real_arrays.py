"""Arrays of finite real numbers out of what users pass, refused in one line if they are something else."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from .messages import InputError, show

LARGEST = 1e100  # sums of squares stay finite

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


class DataError(InputError):
    """Data that cannot be used; one line that names the array, the place and what is allowed."""


def real_array(name: str, value: object, shape: str, dimensions: tuple[int, ...]) -> Array:
    """A new float64 array of the finite real numbers ``value``, with one row for every sample.

    Parameters
    ----------
    name
        What a message calls it.
    value
        Anything that NumPy reads as numbers.
    shape, dimensions
        The allowed shapes in words, and their numbers of axes.

    Raises
    ------
    DataError
        If it is something else, is empty or has a number that is not finite (saying in which row, counted from 0).
    """
    array = _array(name, value)
    if array.ndim not in dimensions or not array.size:
        raise DataError(f"{name} have shape {array.shape}: allowed is shape {shape}, not empty")
    with np.errstate(over="ignore"):  # long doubles may not fit: they become inf and are refused below
        numbers = np.array(array, dtype=np.float64, order="C")
    for place in np.argwhere(~(np.abs(numbers) <= LARGEST))[:1]:
        entry = f"{name}, {place_of(place)} = {numbers[tuple(place)]:g}"
        raise DataError(f"{entry}: allowed are finite numbers of size up to {LARGEST:g}")
    return numbers + 0.0  # no negative zeros: equal numbers have equal bytes


def place_of(indices: Array) -> str:
    """Row and column of an entry in words, counted from 0."""
    return ", ".join(f"{axis} {int(index)}" for axis, index in zip(("row", "column"), indices, strict=False))


def _array(name: str, value: object) -> np.ndarray[Any, Any]:
    if np.ma.isMaskedArray(value) and np.ma.getmaskarray(value).any():
        raise DataError(f"{name} with masked entries: allowed are real numbers everywhere")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # rows of different lengths, for example
        raise DataError(f"{name}: not an array ({error}); allowed are real numbers") from error
    if array.dtype.kind not in "biuf":
        shown = f"of type {array.dtype}" if array.ndim else f"= {show(value)}"
        raise DataError(f"{name} {shown}: allowed are real numbers")
    return array
