"""What the variables and axes of results are called in words, and their units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .axes import IN_TIME
from .store import BIAS, SEM

if TYPE_CHECKING:
    import xarray as xr

STEPS = "gradient steps"
TIMES = "learning rate × gradient steps"

_VARIABLES = {
    "f": "output of the network",
    "target": "target",
    "train_loss": "training loss",
    "test_loss": "test loss",
    "train_accuracy": "fraction of training samples in the right class",
    "test_accuracy": "fraction of test samples in the right class",
    "NTK": "neural tangent kernel on the samples",
    "NTK_alignment": "alignment of the neural tangent kernel with the targets",
    "outlier": "outliers of a trained matrix",
    "outlier_limit": "smallest outlier that stands out of the noise of a replica",
    "bulk_edge": "edges of the bulk of a trained matrix",
    **dict.fromkeys(("escape_step", "escape_time"), "escape of the first outlier"),
    "sharpness": "sharpness, the leading eigenvalue of the Gauss-Newton matrix",
    "NTK_eigenvalue": "largest eigenvalues of the neural tangent kernel on training samples, divided by their number",
    "rate_sharpness": "learning rate × sharpness, stable below the attribute stable_below",
    "overlap": "|cos| between the vectors of an outlier and a field",
    "value": "singular value, eigenvalue of the NTK",
    "density": "density of the bulk",
    "initial_std": "standard deviation of sqrt(columns) W at initialization",
    "outliers": "number of outliers of a matrix",
    "bulk_shift": "how far a quantile of the bulk has moved, in units of the upper edge",
    "verdict": "lazy, spikes or restructured",
    "spectrum_value": "singular values, eigenvalues of the NTK",
}
_AXES = {
    **dict.fromkeys(("step", "step2", "kernel_step", "spectrum_step"), "training step"),
    **dict.fromkeys(("time", "time2", "kernel_time", "spectrum_time"), "time of the flow"),
    **dict.fromkeys(("sample", "sample2"), "number of the sample, training samples first"),
    **dict.fromkeys(("output", "output2"), "output of the network"),
    **dict.fromkeys(("layer", "layer2"), "layer"),
    "trained": "1 for training samples, 0 for test samples",
    "matrix": "matrix",
    **dict.fromkeys(("rank", "eigenvalue"), "place in descending order"),
    "side": "lower or upper edge",
    "seed": "number of the network",
    "quantile": "level of a quantile of the bulk",
}


def describe(dataset: xr.Dataset, **words: str) -> xr.Dataset:
    """Give ``long_name`` and ``units`` to the variables and axes that have none.

    Parameters
    ----------
    words
        What variables are in this dataset, where that is something else than usual.
    """
    for name, variable in dataset.data_vars.items():
        variable.attrs = variable.attrs or _attributes(_in_words(str(name), words, "sample2" in variable.dims), name)
    for name, long_name in _AXES.items():
        if name in dataset.coords:
            dataset[name].attrs = _attributes(long_name, name)
    return dataset


def in_time(dataset: xr.Dataset, times: Sequence[float] | None) -> xr.Dataset:
    """The results of a flow, whose steps are numbers of times, over axes of time.

    Parameters
    ----------
    times
        Of the flow; ``None`` for steps, which stay what they are.
    """
    import numpy as np

    if times is None:
        return dataset
    found = {step: time for step, time in IN_TIME.items() if step in dataset.dims}
    values = {time: np.asarray(times)[dataset[step].values] for step, time in found.items()}
    renamed = dataset.rename(found).assign_coords(values)
    if "escape_step" in renamed:
        renamed = renamed.rename(escape_step="escape_time")
        renamed["escape_time"].attrs = {}
    return describe(renamed)


def _attributes(long_name: str, name: object) -> dict[str, str]:
    units = {"step": STEPS, "time": TIMES}.get(str(name).removesuffix("2").rpartition("_")[2], "1")
    return {"long_name": long_name, "units": units}


def _in_words(name: str, words: dict[str, str], kernel: bool) -> str:
    if name.endswith(SEM):
        return f"standard error of {_in_words(name.removesuffix(SEM), words, kernel)}"
    if name.endswith(BIAS):
        return f"bias by few sites of {_in_words(name.removesuffix(BIAS), words, kernel)}"
    if name in (known := _VARIABLES | words):
        return known[name]
    if name.endswith("_alignment"):
        return f"alignment of the kernel {name.removesuffix('_alignment')} with the targets"
    return f"kernel {name}, <F F> of the field of this name" if kernel else name
