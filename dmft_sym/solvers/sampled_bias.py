"""The bias of few sites, estimated by halving them.

A replica of ``S`` sites is off by ``c/S`` on average, each of its halves by ``2c/S``: the mean of the halves minus the
replica estimates ``c/S``, up to ``O(1/S^2)``. Halves draw the random numbers of the replica, so that most of the
fluctuations cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dmft_sym.regimes.samples import Samples
from dmft_sym.results.store import BIAS, SEM

from .sample_results import OF_SPECTRA, derived

if TYPE_CHECKING:
    import xarray as xr


def estimated_bias(replicas: Sequence[xr.Dataset], halves: Sequence[xr.Dataset], data: Samples) -> xr.Dataset:
    """Bias of every variable, and its standard error over replicas.

    Parameters
    ----------
    replicas
        What every replica showed.
    halves
        What their halves showed, two of each replica.

    Returns
    -------
    xarray.Dataset
        ``<name>_bias`` and ``<name>_bias_sem`` on the axes of the variables. NaN after the step where a half diverged,
        and for outliers that fewer than half of the replicas share with both of their halves.
    """
    import xarray as xr

    dropped = [name for name in OF_SPECTRA if name != "outlier"]
    whole = xr.concat(list(replicas), "replica", join="outer").drop_vars(dropped, errors="ignore")
    both = [xr.concat(list(halves[k::2]), "replica", join="outer").drop_vars(dropped, errors="ignore") for k in (0, 1)]
    half = (both[0] + both[1]) / 2
    whole, half = xr.align(whole, half, join="inner")
    change, count = half - whole, len(replicas)
    bias = change.mean("replica", skipna=False)
    error = change.std("replica", ddof=1, skipna=False) / np.sqrt(count)
    if "outlier" in change:
        present = change["outlier"].notnull().sum("replica")
        often = (2 * present > count) & (present > 1)
        bias["outlier"] = change["outlier"].mean("replica").where(often)
        error["outlier"] = (change["outlier"].std("replica", ddof=1) / present**0.5).where(often)
    means = [part.mean("replica", skipna=False) for part in (half, whole)]
    left_out = [(count * mean - part) / (count - 1) for mean, part in zip(means, (half, whole), strict=True)]
    functions, parts = (_change_of_functions(pair, data) for pair in (means, left_out))
    jackknife = parts.std("replica", ddof=0, skipna=False) * np.sqrt(count - 1)
    found = {BIAS: bias.merge(functions), f"{BIAS}{SEM}": error.merge(jackknife)}
    return xr.merge(
        [part.rename({str(name): f"{name}{suffix}" for name in part.data_vars}) for suffix, part in found.items()]
    )


def _change_of_functions(pair: Sequence[xr.Dataset], data: Samples) -> xr.Dataset:
    """Functions of averages: those of halves minus those of replicas."""
    half, whole = (derived(part.drop_vars("outlier", errors="ignore"), data) for part in pair)
    return half - whole
