"""The bias of few sites, estimated by halving them.

A replica of ``S`` sites is off by ``c/S`` on average, each of its halves by ``2c/S``: the mean of the halves minus the
replica estimates ``c/S``, up to ``O(1/S^2)``. Halves draw the random numbers of the replica, so that most of the
fluctuations cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dmft_sym.regimes.samples import Samples
from dmft_sym.results.store import BIAS, SEM

from .sample_results import OF_SPECTRA, derived, jackknife, left_out, mean_and_error, suffixed

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
    whole, half = xr.align(whole, (both[0] + both[1]) / 2, join="inner")
    bias, error = mean_and_error(half - whole)
    means = [part.mean("replica", skipna=False) for part in (half, whole)]
    functions, parts = (_change_of_functions(pair, data) for pair in (means, [left_out(half), left_out(whole)]))
    return xr.merge([suffixed(bias.merge(functions), BIAS), suffixed(error.merge(jackknife(parts)), f"{BIAS}{SEM}")])


def _change_of_functions(pair: Sequence[xr.Dataset], data: Samples) -> xr.Dataset:
    """Functions of averages: those of halves minus those of replicas."""
    half, whole = (derived(part.drop_vars("outlier", errors="ignore"), data) for part in pair)
    return half - whole
