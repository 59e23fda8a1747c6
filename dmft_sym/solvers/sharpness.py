"""Sharpness on given samples: leading eigenvalues of the Gauss-Newton matrix of the loss, from the tangent kernel.

With ``K`` the neural tangent kernel on the ``P`` training samples and ``H`` the second derivatives of the loss of each
sample by its outputs, the Gauss-Newton matrix has the eigenvalues of ``H^{1/2} K H^{1/2} / P`` other than zero, in the
units in which every array has its own learning rate: gradient descent at a rate ``eta0`` is stable below ``2/eta0``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmft_sym.networks.losses import Loss
from dmft_sym.program import OUTPUT, SAMPLE
from dmft_sym.support.array_types import Array

if TYPE_CHECKING:
    import xarray as xr

RANKS = 10
"""How many of the largest eigenvalues of the kernel are kept."""
_DENSE = 400
_PAIR = (SAMPLE.name, OUTPUT.name, f"{SAMPLE}2", f"{OUTPUT}2")


def leading_eigenvalues(kernel: xr.DataArray, f: xr.DataArray, targets: Array, loss: Loss) -> dict[str, xr.DataArray]:
    """Sharpness and eigenvalues of the kernel, for every place of its other axes.

    Parameters
    ----------
    kernel
        ``NTK`` (..., sample, output, sample2, output2) on the training samples.
    f
        Outputs at the same places (..., sample, output).
    targets
        Of the training samples, shape (P, C).

    Returns
    -------
    dict of DataArray
        ``sharpness`` (...), the leading eigenvalue of the Gauss-Newton matrix; ``NTK_eigenvalue`` (..., eigenvalue),
        the largest of ``K/P``, descending.
    """
    import xarray as xr

    kernel = kernel.transpose(..., *_PAIR)
    dims, shape = kernel.dims[:-4], kernel.shape[:-4]
    count = kernel.sizes[SAMPLE.name] * kernel.sizes[OUTPUT.name]
    matrices = kernel.values.reshape(-1, count, count) / kernel.sizes[SAMPLE.name]
    outputs = f.transpose(*dims, SAMPLE.name, OUTPUT.name).values.reshape(-1, *f.shape[-2:])
    ranks = min(RANKS, count)
    values = np.array([_largest(matrix, ranks) for matrix in matrices]).reshape(-1, ranks)
    leading = [_leading(m, loss.hessian(at, targets), v[0]) for m, at, v in zip(matrices, outputs, values, strict=True)]
    coords = {dim: kernel[dim] for dim in dims if dim in kernel.coords}
    ranked = {**coords, "eigenvalue": np.arange(ranks)}
    return {
        "sharpness": xr.DataArray(np.array(leading).reshape(shape), coords, dims),
        "NTK_eigenvalue": xr.DataArray(values.reshape(*shape, ranks), ranked, (*dims, "eigenvalue")),
    }


def _leading(kernel: Array, hessians: Array, without: float) -> float:
    """The leading eigenvalue of ``H K``, ``H`` with a block for every sample; ``without`` that of ``K``."""
    samples, outputs, _ = hessians.shape
    if not np.isfinite(hessians).all() or not np.isfinite(kernel).all():
        return np.nan
    if (hessians == np.eye(outputs)).all():
        return without
    values, vectors = np.linalg.eigh(hessians)
    if (values >= -1e-12 * np.abs(values).max(initial=0.0)).all():  # convex: a root of every block
        roots = (vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]) @ np.swapaxes(vectors, 1, 2)
        half = np.einsum("pab,pbx->pax", roots, kernel.reshape(samples, outputs, -1)).reshape(kernel.shape)
        both = np.einsum("pab,pbx->pax", roots, half.T.reshape(samples, outputs, -1)).reshape(kernel.shape)
        return float(_largest(both, 1)[0])
    squares, basis = np.linalg.eigh(kernel)
    root = basis * np.sqrt(np.maximum(squares, 0.0))
    bent = np.einsum("pab,pbx->pax", hessians, root.reshape(samples, outputs, -1)).reshape(kernel.shape)
    return float(_largest(root.T @ bent, 1)[0])


def _largest(matrix: Array, count: int) -> Array:
    """The largest eigenvalues of a symmetric matrix, descending; NaN if it is not finite."""
    if not np.isfinite(matrix).all():
        return np.full(count, np.nan)
    matrix = 0.5 * (matrix + matrix.T)
    if len(matrix) <= max(_DENSE, 2 * count):
        return np.asarray(np.linalg.eigvalsh(matrix)[::-1][:count])
    from scipy.sparse.linalg import eigsh

    start = np.random.default_rng(0).standard_normal(len(matrix))
    return np.sort(eigsh(matrix, k=count, which="LA", v0=start, return_eigenvectors=False))[::-1]
