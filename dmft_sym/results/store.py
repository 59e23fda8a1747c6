"""Results as netCDF files: written whole or not at all, read back with every attribute."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from dmft_sym.support import files
from dmft_sym.support.messages import InputError, first_line, show, show_path
from dmft_sym.support.outcomes import Outcome

from .axes import word
from .equal_outputs import EQUAL, packed, unpacked

if TYPE_CHECKING:
    import xarray as xr

FORMAT = "dmft-sym result 1"
SEM = "_sem"
"""What is appended to the name of a variable to name its standard error."""
BIAS = "_bias"
"""What is appended to the name of a variable to name its bias by few sites."""
MANY_DIRECTIONS = 0.25
"""Known directions per site of a replica, beyond which a bias is pointed out."""
_ENCODED = "encoded_attributes"
_ENGINE: Literal["h5netcdf"] = "h5netcdf"
_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class ResultError(InputError):
    """A result that cannot be written, read or compared; one line."""


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise `ResultError` if no result could be written at ``path``; call it before a long run."""
    try:
        files.check_writable(path)
    except InputError as error:
        raise ResultError(str(error)) from error


def save(dataset: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a result as netCDF.

    The file is made in memory, written under a temporary name in the same folder, flushed to disk and then renamed, so
    an existing file at ``path`` is replaced whole or stays as it is.

    Parameters
    ----------
    dataset
        What a solver or a simulation returned.
    path
        File name, by custom ``*.nc``.

    Returns
    -------
    None

    Raises
    ------
    ResultError
        If the file cannot be written.

    See Also
    --------
    load : reads it back.

    References
    ----------
    netCDF 4, https://www.unidata.ucar.edu/software/netcdf.

    Examples
    --------
    >>> import os, tempfile
    >>> import dmft_sym as ds
    >>> run = ds.derive(ds.deep_linear(depth=0)).solve(samples_per_dim=2, learning_rate=0.1, steps=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ds.save(run, os.path.join(folder, "run.nc"))
    ...     again = ds.load(os.path.join(folder, "run.nc"))
    >>> bool((again.train_loss == run.train_loss).all())
    True
    """
    check_dataset(dataset, "dataset")
    check_writable(path)
    try:
        files.write_bytes(path, _netcdf(_encoded(packed(dataset))))
    except InputError as error:
        raise ResultError(str(error)) from error


def _netcdf(dataset: xr.Dataset) -> memoryview:
    """The netCDF file of a dataset, in memory: on a full disk HDF5 ends the process when it closes a file."""
    import h5netcdf
    from xarray.backends import H5NetCDFStore

    content = io.BytesIO()
    with h5netcdf.File(content, "w") as file:
        dataset.dump_to_store(H5NetCDFStore(file))
    return content.getbuffer()


def load(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a result that `save` wrote.

    Parameters
    ----------
    path
        File name.

    Returns
    -------
    xarray.Dataset
        With the variables, axes and attributes that it was saved with; outputs that are alike are expanded.

    Raises
    ------
    ResultError
        If the file is missing, unreadable, half-written or something else; one line.

    See Also
    --------
    save : writes it.

    References
    ----------
    netCDF 4, https://www.unidata.ucar.edu/software/netcdf.

    Examples
    --------
    >>> import dmft_sym as ds
    >>> try:
    ...     ds.load("nothing.nc")
    ... except ds.InputError as error:
    ...     print(str(error).split(";")[0])
    result 'nothing.nc': cannot be read (No such file or directory)
    """
    import h5py
    import xarray as xr

    _check_start(path)
    try:
        with h5py.File(path, "r") as file:  # refuses half-written files before the layers above stumble over them
            format_ = file.attrs.get("format")
        if format_ == FORMAT:
            return unpacked(_decoded(xr.load_dataset(path, engine=_ENGINE)))
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise _not_a_result(path, f"damaged or half-written ({first_line(error)})") from error
    raise _not_a_result(path, "netCDF or HDF5, but not a result of dmft-sym")


def summary(dataset: xr.Dataset) -> str:
    """One line: steps, outcome, last losses (mean over outputs and seeds), and the largest standard error of ``f``."""
    losses = []
    for name, words in (("train_loss", "train loss"), ("test_loss", "test loss")):
        if name in dataset and dataset[name].size:
            kept = dataset[name].dropna(word(dataset), how="any")
            if kept.size:
                losses.append(f"{words} {float(kept.isel({word(dataset): -1}).mean()):.4g}")
    outcome = Outcome.of(dataset.attrs)
    reached = f"{dataset.sizes.get('step', 0)} steps"
    if "time" in dataset.sizes:
        reached = f"flow to time {float(dataset['time'][-1]):g}" if dataset.sizes["time"] else "nothing"
    words = reached if outcome.completed else str(outcome)
    if "f_sem" in dataset and dataset["f_sem"].size:
        losses.append(f"standard error of f up to {float(dataset['f_sem'].max()):.2g}")
    if f"f{BIAS}" in dataset and dataset[f"f{BIAS}"].size:
        losses.append(f"bias up to {float(abs(dataset[f'f{BIAS}']).max()):.2g}")
    return ", ".join([words, *losses, *notes(dataset)])


def notes(dataset: xr.Dataset) -> list[str]:
    """What a reader of the numbers must know: biased by few sites, or one of several equal outputs."""
    return [*bias_notes(dataset), *([dataset.attrs[EQUAL]] if EQUAL in dataset.attrs else [])]


def bias_notes(dataset: xr.Dataset) -> list[str]:
    """A note if the replicas of a sampled result have too few sites for their directions."""
    share = float(dataset.attrs.get("directions_per_site", 0.0))
    if share <= MANY_DIRECTIONS:
        return []
    return [f"biased by few sites ({share:.2g} directions per site of a replica): use more, or fewer replicas"]


def check_dataset(value: object, what: str) -> None:
    """Raise `ResultError` if ``value`` is not an `xarray.Dataset`."""
    import xarray as xr

    if not isinstance(value, xr.Dataset):
        raise ResultError(f"{what} = {show(value)}: allowed is what a solver or simulate returned")


def _check_start(path: str | os.PathLike[str]) -> None:
    try:
        files.check_path(path, "result")
    except InputError as error:
        raise ResultError(str(error)) from error
    try:
        files.check_regular(path)
        with open(path, "rb") as file:
            start = file.read(len(_SIGNATURE))
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise _not_a_result(path, f"cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if start != _SIGNATURE:
        raise _not_a_result(path, "not a netCDF-4 file" if start else "the file is empty")


def _not_a_result(path: str | os.PathLike[str], reason: str) -> ResultError:
    allowed = "allowed is a file that dmft-sym run or dmft-sym simulate wrote"
    return ResultError(f"result {show_path(path)}: {reason}; {allowed}")


def _encoded(dataset: xr.Dataset) -> xr.Dataset:
    copy = dataset.copy(deep=False)
    copy.attrs = {**_encoded_attrs(dataset.attrs), "format": FORMAT}
    for name in dataset.variables:
        copy[name].attrs = _encoded_attrs(dataset[name].attrs)
        copy[name].encoding = {}
    return copy


def _decoded(dataset: xr.Dataset) -> xr.Dataset:
    dataset.attrs = _decoded_attrs(dataset.attrs)
    for name in dataset.variables:
        dataset[name].attrs = _decoded_attrs(dataset[name].attrs)
        dataset[name].encoding = {}
    return dataset


def _encoded_attrs(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes as netCDF has them: numbers and text stay, the rest becomes JSON and is listed by name."""
    result: dict[str, Any] = {}
    encoded = []
    for name, value in attrs.items():
        if name in ("format", _ENCODED):
            continue
        plain = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
        if _native(plain):
            result[str(name)] = plain
        else:
            result[str(name)] = json.dumps(plain, default=_as_list)
            encoded.append(str(name))
    if encoded:
        result[_ENCODED] = json.dumps(encoded)
    return result


def _decoded_attrs(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    encoded = json.loads(attrs.get(_ENCODED, "[]"))
    result = {}
    for name, value in attrs.items():
        if name in ("format", _ENCODED):
            continue
        if name in encoded:
            value = json.loads(value)
        elif hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
            value = value.item()
        result[name] = value
    return result


def _native(value: object) -> bool:
    if isinstance(value, str):
        return "\0" not in value and not any(0xD800 <= ord(letter) <= 0xDFFF for letter in value)
    if isinstance(value, bool):
        return False
    return isinstance(value, float) or (isinstance(value, int) and -(2**63) <= value < 2**63)


def _as_list(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
