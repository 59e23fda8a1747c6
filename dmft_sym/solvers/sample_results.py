"""Results on given samples as labelled arrays: of one network, and averages over several with standard errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_sym.program import SAMPLE, Axes
from dmft_sym.regimes.sample_program import OUTPUT_FUNCTION
from dmft_sym.regimes.samples import Samples
from dmft_sym.results.names import describe
from dmft_sym.results.store import SEM
from dmft_sym.support.array_types import Array

from .kernels import FieldKernel, alignment
from .measurements import Measurements
from .sharpness import leading_eigenvalues

if TYPE_CHECKING:
    import xarray as xr


OF_SPECTRA = ("outlier", "bulk_edge", "outlier_limit")


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
    dataset = measured.observed.added_to(dataset, len(outputs))
    # Copies of labels, and labels that no data have, are axes of kernels alone.
    dataset = dataset.assign_coords({d: np.arange(n) for d, n in dataset.sizes.items() if d not in dataset.coords})
    if wanted.matrices:
        dataset = dataset.merge(_spectra(measured, len(outputs), simulated), join="outer")
    return dataset


def _both(axes: Axes) -> list[str]:
    """Axes of a kernel over these labels."""
    return [label.name for label in axes] + [f"{label}2" for label in axes]


def _kernel_variable(kernel: FieldKernel, values: Mapping[int, Array], steps: Sequence[int]) -> xr.DataArray:
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
        same for test samples, ``<kernel>_alignment`` ([layer,] kernel_step) on the training samples, ``sharpness``
        (kernel_step) and ``NTK_eigenvalue`` (kernel_step, eigenvalue).
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
    if "NTK" in dataset and {"output", "output2"} <= set(dataset["NTK"].dims):
        kernel = dataset["NTK"].isel(sample=trained, sample2=trained)
        steps = kernel["kernel_step"]
        at = f.isel(sample=trained).sel(step=steps.values).rename(step="kernel_step").assign_coords(kernel_step=steps)
        found |= leading_eigenvalues(kernel, at, data.targets, data.rule)
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
    mean, error = mean_and_error(stacked)
    if "outlier" in stacked:
        kept = mean["outlier"].notnull().any([dim for dim in mean["outlier"].dims if dim != "rank"])
        mean, error = mean.isel(rank=kept.values), error.isel(rank=kept.values)
    parts = derived(left_out(stacked)[[str(n) for n in stacked.data_vars if n not in OF_SPECTRA]], data)
    errors = error.merge(jackknife(parts)).drop_vars(["bulk_edge", "outlier_limit"], errors="ignore")
    return mean.merge(derived(mean, data)).merge(suffixed(errors, SEM))


def mean_and_error(stacked: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Means over the axis ``replica``, and standard errors; of outliers where more than half of replicas have one."""
    count = stacked.sizes["replica"]
    mean = stacked.mean("replica", skipna=False)
    error = stacked.std("replica", ddof=1, skipna=False) / np.sqrt(count)
    if "outlier" in stacked:
        present = stacked["outlier"].notnull().sum("replica")
        often = 2 * present > count
        mean["outlier"] = stacked["outlier"].mean("replica").where(often)
        error["outlier"] = (stacked["outlier"].std("replica", ddof=1) / present**0.5).where(often)
    return mean, error


def left_out(stacked: xr.Dataset) -> xr.Dataset:
    """Means over all replicas but one, for each of them."""
    count = stacked.sizes["replica"]
    return (count * stacked.mean("replica", skipna=False) - stacked) / (count - 1)


def jackknife(parts: xr.Dataset) -> xr.Dataset:
    """Standard errors of functions of means, from these functions where each replica was left out."""
    return parts.std("replica", ddof=0, skipna=False) * np.sqrt(parts.sizes["replica"] - 1)


def suffixed(dataset: xr.Dataset, suffix: str) -> xr.Dataset:
    """The dataset with something appended to the names of its variables."""
    return dataset.rename({str(name): f"{name}{suffix}" for name in dataset.data_vars})


def labelled(dataset: xr.Dataset, data: Samples) -> xr.Dataset:
    """The dataset with targets, names, units, and attributes that tell the samples and their loss."""
    dataset = dataset.assign(target=(("sample", "output"), data.all_targets))
    dataset = dataset.assign_coords(trained=("sample", data.train.astype(int)))
    dataset = describe(dataset, outlier="singular values of a matrix (N^-1/2 W) outside of its bulk")
    dataset.attrs = {"loss": data.rule.name, "data_hash": data.digest[:16]}
    return dataset


def output_track(scalars: Mapping[Any, Array]) -> Array:
    """``f`` of all steps, shape (steps, samples, outputs), from the scalars of a run."""
    return next(values for ref, values in scalars.items() if ref.scalar.name == "f")
