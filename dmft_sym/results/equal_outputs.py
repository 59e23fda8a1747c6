"""Results of one output that stands for others like it, with the axes of all of them.

Order parameters are ``delta_cc'`` times those of one output. Their arrays are views: blocks between different outputs
are one block of zeros, so that memory does not grow with the square of the number of outputs until it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xarray as xr

_OUTPUT, _OTHER = "output", "output2"
EQUAL = "equal_outputs"
NOTE = "one output was solved for all; finite networks agree as long as outputs << input dimension"
"""What results of several equal outputs say in this attribute."""


def for_all_outputs(dataset: xr.Dataset, outputs: int) -> xr.Dataset:
    """A result of one output as that of several; variables without the axis stay.

    Parameters
    ----------
    dataset
        With axes ``output`` and ``output2`` of length one.
    outputs
        Number ``C`` of outputs.
    """
    import xarray as xr

    found = {
        name: xr.Variable(variable.dims, _repeated(variable, outputs), variable.attrs)
        for name, variable in dataset.variables.items()
    }
    numbers = {dim: np.arange(outputs) for dim in (_OUTPUT, _OTHER) if dim in dataset.dims}
    found |= {dim: xr.Variable((dim,), array, dataset[dim].attrs) for dim, array in numbers.items()}
    coords = {name: found.pop(name) for name in dataset.coords}
    return xr.Dataset(found, coords, {**dataset.attrs, EQUAL: NOTE})


def _repeated(variable: xr.Variable, outputs: int) -> NDArray[Any]:
    """The values at all outputs: the same ones, and zero between different outputs."""
    array, dims = np.asarray(variable.values), variable.dims
    if _OTHER in dims and _OUTPUT in dims:
        return _diagonal(array, dims.index(_OUTPUT), dims.index(_OTHER), outputs)
    shape = [outputs if dim == _OUTPUT else size for dim, size in zip(dims, array.shape, strict=True)]
    return np.broadcast_to(array, shape)


def _diagonal(array: NDArray[Any], first: int, second: int, outputs: int) -> NDArray[Any]:
    """``delta_cc'`` times an array, a view of ``2 C - 1`` blocks of which the middle one is not zero.

    Block ``c - c'`` stands at distance ``c - c'`` of the middle one; pages of zeros that nobody writes take no memory.
    """
    blocks = np.zeros((2 * outputs - 1, *array.shape), array.dtype)
    blocks[outputs - 1] = array
    unknown = np.isnan(array)  # layers that a field does not have, and fields of which nothing is left
    if unknown.any():
        blocks[:, unknown] = np.nan
    strides = list(blocks.strides[1:])
    strides[first], strides[second] = blocks.strides[0], -blocks.strides[0]
    shape = list(array.shape)
    shape[first] = shape[second] = outputs
    return np.lib.stride_tricks.as_strided(blocks[outputs - 1 :], tuple(shape), tuple(strides), writeable=False)


def packed(dataset: xr.Dataset) -> xr.Dataset:
    """What a file has of equal outputs: order parameters of one of them, on axes of their own."""
    if EQUAL not in dataset.attrs or _OTHER not in dataset.dims:
        return dataset
    return dataset.drop_vars(_OTHER).assign({name: dataset[name].isel(_FIRST).rename(_ONE) for name in _pairs(dataset)})


def unpacked(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset that was packed."""
    alone = [name for name in dataset.data_vars if _ONE[_OTHER] in dataset[name].dims]
    if not alone:
        return dataset
    names = {new: old for old, new in _ONE.items()}
    spread = for_all_outputs(dataset[alone].drop_vars(_OUTPUT, errors="ignore").rename(names), dataset.sizes[_OUTPUT])
    found = dataset.drop_vars(alone).assign_coords({_OTHER: dataset[_OUTPUT].variable})
    return found.assign({name: spread[name] for name in alone})[list(dataset.data_vars)]


_FIRST = {_OUTPUT: slice(1), _OTHER: slice(1)}
_ONE = {_OUTPUT: "one_output", _OTHER: "one_output2"}


def _pairs(dataset: xr.Dataset) -> list[Any]:
    return [name for name in dataset.data_vars if _OTHER in dataset[name].dims]
