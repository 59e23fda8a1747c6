"""Two-time matrices as labelled arrays: ``(layer, step, output, step2, output2)``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .names import describe

if TYPE_CHECKING:
    import xarray as xr

Label = tuple[str, str, tuple[int | str, ...], int | None]
"""Name, array, first layer of each axis (``"class"`` of classes of sites), single layer."""


def label_order_parameters(
    arrays: Mapping[str, NDArray[Any]],
    labels: Iterable[Label],
    scales: Mapping[str, Any],
    steps: int,
    outputs: int,
    retained: Mapping[str, NDArray[Any]] | None = None,
    shares: NDArray[Any] | None = None,
) -> dict[str, xr.DataArray]:
    """Name and label the matrices that a generated module returned.

    Parameters
    ----------
    arrays
        By the module's names, shape (layer axes..., T C, T C).
    labels
        What the module's ``labels`` function returned: name, array, first layer of each axis, single layer.
    scales
        Factors that undo the normalisation of the Gaussian fields, by array.
    steps
        Number of steps to keep.
    retained
        What weight decay has left of a Gaussian field at every step, by the name of the field, shape (T,). A generated
        module responds to the field before decay, and the response to what is left of it is reported.

    shares
        Of classes of sites, which are averaged over.

    Returns
    -------
    dict of DataArray
        Arrays of one name at different layers are joined along ``layer``; where a name has several arrays at one
        layer, the names of the arrays (field and Gaussian field) tell them apart.
    """
    grouped: dict[str, dict[str, xr.DataArray]] = {}
    for name, array, starts, layer in labels:
        values, firsts = arrays[array], starts
        if shares is not None and starts[:1] == ("class",):
            values, firsts = np.tensordot(shares, values, 1), starts[1:]
        part = _labelled(values, firsts, layer, steps, outputs, scales.get(array, 1))
        left = (retained or {}).get(array.removeprefix(f"{name}_")) if name.startswith("R_") else None
        if left is not None:
            part = _undecayed(part, left[:steps])
        if part.size:
            grouped.setdefault(name, {})[array] = part
    found: dict[str, xr.DataArray] = {}
    for name, parts in grouped.items():
        for label, joined in _joined(name, parts).items():
            shown = parts if label == name else [label]
            joined.attrs = {"long_name": _long_name(name, shown), "units": "1"}
            found[label] = joined
    return found


def _labelled(
    array: NDArray[Any], starts: tuple[Any, ...], layer: int | None, steps: int, outputs: int, scale: Any
) -> xr.DataArray:
    import xarray as xr

    total = array.shape[-2] // outputs
    lead = array.shape[:-2]
    blocks = array.reshape(*lead, total, outputs, total, outputs)[..., :steps, :, :steps, :]
    dims: list[str] = ["layer", "layer2"][: len(lead)]
    coords = {dim: np.arange(start, start + n) for dim, start, n in zip(dims, starts, lead, strict=True)}
    if layer is not None and not lead:
        blocks, dims, coords = blocks[np.newaxis], ["layer"], {"layer": np.array([layer])}
    return xr.DataArray(blocks * scale if scale != 1 else blocks, coords, [*dims, *_TWO_TIMES])


def _undecayed(part: xr.DataArray, left: NDArray[Any]) -> xr.DataArray:
    """Responses to the decayed fields; NaN where so little is left that products with it lose their digits."""
    import xarray as xr

    numbers = np.finfo(part.dtype)
    return part / xr.DataArray(np.where(left > numbers.tiny / numbers.eps, left, np.nan), dims="step2")


_TWO_TIMES = ("step", "output", "step2", "output2")


def _joined(name: str, parts: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """One array where the parts (by array) are at different layers; the names of the arrays where they are not."""
    import xarray as xr

    if len(parts) == 1:
        (part,) = parts.values()
        return {name: part}
    layered = all(part.dims[0] == "layer" and "layer2" not in part.dims for part in parts.values())
    if layered:
        taken = np.concatenate([part["layer"].values for part in parts.values()])
        if len(set(taken)) == len(taken):
            return {name: xr.concat(list(parts.values()), "layer").sortby("layer")}
    return dict(parts)


def _long_name(name: str, arrays: Iterable[str]) -> str:
    """In words; arrays are called ``<name>_<field that is averaged with, or Gaussian field that is responded to>``."""
    kind, _, field = name.partition("_")
    if kind == "C":
        return f"correlation of {field}"
    sources = " and ".join(array.removeprefix(f"{name}_") for array in arrays)
    return f"response of {field} to {sources}"


def make_dataset(scalars: Mapping[str, NDArray[Any]], order_parameters: Mapping[str, xr.DataArray]) -> xr.Dataset:
    """Scalars of shape ([seed,] step, output) and order parameters as one dataset with labelled axes."""
    import xarray as xr

    dims = {2: ("step", "output"), 3: ("seed", "step", "output")}
    variables: dict[str, Any] = {name: (dims[values.ndim], values) for name, values in scalars.items()}
    first = next(iter(scalars.values()))
    steps, outputs = np.arange(first.shape[-2]), np.arange(first.shape[-1])
    dataset = xr.Dataset(variables, {"step": steps, "output": outputs})
    if first.ndim == 3:
        dataset = dataset.assign_coords(seed=np.arange(first.shape[0]))
    if order_parameters:
        dataset = dataset.assign_coords(step2=steps, output2=outputs)
        dataset = xr.merge([dataset, xr.Dataset(dict(order_parameters))], join="outer", compat="no_conflicts")
    squared = {"train_loss": "training loss (mean squared error)", "test_loss": "test loss (mean squared error)"}
    return describe(dataset, **squared)
