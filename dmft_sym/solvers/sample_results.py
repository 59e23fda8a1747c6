"""Results on given samples as labelled arrays: of one network, and averages over several with standard errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_sym.program import SAMPLE, Axes
from dmft_sym.regimes.sample_program import OUTPUT_FUNCTION
from dmft_sym.regimes.samples import Samples
from dmft_sym.results.store import BIAS, SEM

from .kernels import Kernel, alignment
from .measurements import Measurements

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[Any]

_LONG_NAMES = {
    "f": "output of the network",
    "train_loss": "training loss",
    "test_loss": "test loss",
    "train_accuracy": "fraction of training samples in the right class",
    "test_accuracy": "fraction of test samples in the right class",
    "NTK": "neural tangent kernel on the samples",
    "NTK_alignment": "alignment of the neural tangent kernel with the targets",
    "outlier": "singular values of a hidden matrix (N^-1/2 W) outside of its bulk",
    "bulk_edge": "edges of the bulk of singular values",
    "outlier_limit": "smallest outlier that stands out of the noise of a replica",
}
OF_SPECTRA = ("outlier", "bulk_edge", "outlier_limit")
_AXES = {
    "trained": "1 for training samples, 0 for test samples",
    "sample": "number of the sample, training samples first",
    "sample2": "number of the sample, training samples first",
    "output": "output of the network",
    "output2": "output of the network",
    "layer": "hidden layer of the kernel",
    "matrix": "hidden matrix",
    "rank": "place in descending order",
    "side": "lower or upper edge",
    "seed": "number of the network",
}


def network_dataset(outputs: Array, measured: Measurements, data: Samples, *, simulated: bool = False) -> xr.Dataset:
    """What one network showed.

    Parameters
    ----------
    outputs
        ``f``, shape (steps, samples, outputs).
    simulated
        Whether the largest singular values were measured, which may be inside of the bulk.

    Returns
    -------
    xarray.Dataset
        ``f`` (step, sample, output), kernels ([layer,] kernel_step, labels, labels), ``outlier`` (matrix,
        spectrum_step, rank), ``bulk_edge`` (matrix, spectrum_step, side), ``outlier_limit`` (matrix, spectrum_step).
    """
    import xarray as xr

    wanted = measured.wanted
    names = [label.name for label in OUTPUT_FUNCTION.axes]
    variables: dict[str, Any] = {"f": (("step", *names), outputs)}
    values = {label.name: np.arange(size) for label, size in data.sizes.items()}
    coords: dict[str, Any] = {"step": np.arange(len(outputs)), **values}
    steps = [step for step in wanted.kernel_steps if step < len(outputs)]
    if steps:
        coords |= {"kernel_step": steps, **{f"{name}2": value for name, value in values.items()}}
        for kernel in wanted.kernels.fields:
            variables[kernel.name] = _kernel_variable(kernel, measured.kernels[kernel.name], steps)
        tangent = np.stack([measured.kernels["NTK"][step] for step in steps])
        variables["NTK"] = (("kernel_step", *_both(wanted.kernels.labels)), tangent)
    dataset = xr.Dataset({name: v for name, v in variables.items() if not isinstance(v, xr.DataArray)}, coords)
    dataset = dataset.assign({name: v for name, v in variables.items() if isinstance(v, xr.DataArray)})
    if wanted.matrices:
        dataset = dataset.merge(_spectra(measured, len(outputs), simulated), join="outer")
    return dataset


def _both(axes: Axes) -> list[str]:
    """Axes of a kernel over these labels."""
    return [label.name for label in axes] + [f"{label}2" for label in axes]


def _kernel_variable(kernel: Kernel, values: Mapping[int, Array], steps: Sequence[int]) -> xr.DataArray:
    import xarray as xr

    dims = ["kernel_step", *_both(kernel.field.axes)]
    stacked = np.stack([values[step] for step in steps], axis=1 if kernel.layers else 0)
    coords: dict[str, Any] = {}
    if kernel.layers:
        dims, coords = ["layer", *dims], {"layer": kernel.layers}
    return xr.DataArray(stacked, coords, dims, name=kernel.name)


def _spectra(measured: Measurements, done: int, simulated: bool) -> xr.Dataset:
    import xarray as xr

    wanted = measured.wanted
    steps = [step for step in wanted.spectrum_steps if step < done]
    names = list(wanted.matrices)
    found = [[measured.outliers[name][step] for step in steps] for name in names]
    ranks = max((len(values) for row in found for values in row), default=0)
    table = np.full((len(names), len(steps), ranks), np.nan)
    for row, of_matrix in enumerate(found):
        for column, values in enumerate(of_matrix):
            table[row, column, : len(values)] = values
    coords = {"matrix": names, "spectrum_step": steps, "rank": np.arange(ranks)}
    dims = ("matrix", "spectrum_step")
    dataset = xr.Dataset({"outlier": ((*dims, "rank"), table)}, coords)
    if simulated:
        return dataset
    edges = [[measured.edges[name][step] for step in steps] for name in names]
    sided = (*dims, "side")
    table = np.array(edges, dtype=float).reshape(len(names), len(steps), 2)
    limits = np.array([[measured.limits[name][step] for step in steps] for name in names], dtype=float)
    variables = {"bulk_edge": (sided, table), "outlier_limit": (dims, limits.reshape(len(names), len(steps)))}
    return dataset.assign_coords(side=["lower", "upper"]).assign(variables)


def derived(dataset: xr.Dataset, data: Samples) -> xr.Dataset:
    """Losses, accuracies and alignments, which are functions of averages; leading axes of ``dataset`` are kept.

    Returns
    -------
    xarray.Dataset
        ``train_loss`` (step, output) (of softmax without the output), ``train_accuracy`` where there are classes, the
        same for test samples, ``<kernel>_alignment`` ([layer,] kernel_step) on the training samples.
    """
    import xarray as xr

    found: dict[str, xr.DataArray] = {}
    parts = {"train": slice(0, data.count)} | ({"test": slice(data.count, None)} if data.total > data.count else {})
    f = dataset["f"].transpose(..., "sample", "output")
    for part, rows in parts.items():
        values, targets = f.isel(sample=rows).values, data.all_targets[rows]
        found[f"{part}_loss"] = _scalar_track(f, data.rule.value(values, targets))
        accuracy = data.rule.accuracy(values, targets)
        if accuracy is not None:
            found[f"{part}_accuracy"] = _scalar_track(f, accuracy)
    trained = slice(0, data.count)
    for name in dataset.data_vars:
        kernel = dataset[name]
        if "sample2" in kernel.dims:
            found[f"{name}_alignment"] = _alignment(kernel.isel(sample=trained, sample2=trained), data)
    return xr.Dataset(found)


def _scalar_track(f: xr.DataArray, values: Array) -> xr.DataArray:
    import xarray as xr

    dims = [dim for dim in f.dims if dim != "sample"]
    dims = dims if values.ndim == len(dims) else dims[:-1]
    return xr.DataArray(values, {dim: f[dim] for dim in dims if dim in f.coords}, dims)


def _alignment(kernel: xr.DataArray, data: Samples) -> xr.DataArray:
    """Alignment with ``y y^T``; a kernel with outputs is averaged over equal ones first."""
    import xarray as xr

    if "output" in kernel.dims:
        outputs = kernel.sizes["output"]
        same = xr.DataArray(np.eye(outputs) / outputs, dims=("output", "output2"))
        kernel = (kernel * same).sum(("output", "output2"))
    kernel = kernel.transpose(..., SAMPLE.name, f"{SAMPLE}2")
    values = alignment(kernel.values, data.targets)
    return xr.DataArray(values, {k: kernel[k] for k in kernel.dims[:-2] if k in kernel.coords}, kernel.dims[:-2])


def averaged(replicas: Sequence[xr.Dataset], data: Samples) -> xr.Dataset:
    """Means over replicas with standard errors ``<name>_sem``.

    Functions of averages are computed from the averages, their errors by the jackknife. An outlier is reported where
    more than half of the replicas have it.
    """
    import xarray as xr

    stacked = xr.concat(list(replicas), "replica", join="outer")
    count = len(replicas)
    mean = stacked.mean("replica", skipna=False)
    error = stacked.std("replica", ddof=1, skipna=False) / np.sqrt(count)
    if "outlier" in stacked:
        present = stacked["outlier"].notnull().sum("replica")
        often = 2 * present > count
        mean["outlier"] = stacked["outlier"].mean("replica").where(often)
        error["outlier"] = (stacked["outlier"].std("replica", ddof=1) / present**0.5).where(often)
        kept = often.any([dim for dim in often.dims if dim != "rank"])
        mean, error = mean.isel(rank=kept.values), error.isel(rank=kept.values)
    functions = derived(mean, data)
    left_out = (count * stacked.mean("replica", skipna=False) - stacked) / (count - 1)
    parts = derived(left_out[[str(n) for n in left_out.data_vars if n not in OF_SPECTRA]], data)
    jackknife = parts.std("replica", ddof=0, skipna=False) * np.sqrt(count - 1)
    means = mean.merge(functions)
    errors = error.merge(jackknife).drop_vars(["bulk_edge", "outlier_limit"], errors="ignore")
    return means.merge(errors.rename({str(name): f"{name}{SEM}" for name in errors.data_vars}))


def labelled(dataset: xr.Dataset, data: Samples, attrs: Mapping[str, Any]) -> xr.Dataset:
    """The dataset with targets, names, units and attributes."""
    targets = (("sample", "output"), data.all_targets)
    trained = ("sample", data.train.astype(int))
    dataset = dataset.assign(target=targets).assign_coords(trained=trained)
    for name in dataset.data_vars:
        dataset[name].attrs = {"long_name": _long_name(str(name)), "units": "1"}
    for axis in ("step", "kernel_step", "spectrum_step"):
        if axis in dataset.coords:
            dataset[axis].attrs = {"long_name": "training step", "units": "gradient steps"}
    for axis, long_name in _AXES.items():
        if axis in dataset.coords:
            dataset[axis].attrs = {"long_name": long_name, "units": "1"}
    dataset.attrs = dict(attrs)
    return dataset


def _long_name(name: str) -> str:
    if name.endswith(SEM):
        return f"standard error of {_long_name(name.removesuffix(SEM))}"
    if name.endswith(BIAS):
        return f"bias by few sites of {_long_name(name.removesuffix(BIAS))}"
    if name.endswith("_alignment") and name not in _LONG_NAMES:
        return f"alignment of the kernel {name.removesuffix('_alignment')} with the targets"
    return _LONG_NAMES.get(name, "target" if name == "target" else f"kernel {name}, <F F> of the field of this name")


def output_track(scalars: Mapping[Any, Array]) -> Array:
    """``f`` of all steps, shape (steps, samples, outputs), from the scalars of a run."""
    return next(values for ref, values in scalars.items() if ref.scalar.name == "f")


def data_attributes(data: Samples) -> dict[str, Any]:
    """Attributes that tell the samples and their loss."""
    return {"loss": data.loss, "data_hash": data.digest[:16]}
