"""Leading eigenvalues of a linear map that is applied and not stored, by block Arnoldi iteration."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from dmft_sym.support.array_types import Array, Floats

# Eigenvalues: dense up to this size; above it columns of a block, blocks between two looks at the Ritz values, the
# residual of an eigenvalue relative to the threshold, and the largest basis.
_DENSE = 60
_BLOCK = 3
_LOOK = 5
_CONVERGED = 1e-11
_LARGEST = 400
# Imaginary parts below this, relative to the eigenvalue, are rounding.
_REAL = 1e-6


def real_eigenvalues(apply: Callable[[Floats], Floats], size: int, threshold: float) -> list[float]:
    """Real eigenvalues of a linear map, descending: all above ``0.9 threshold``, some of those below.

    Parameters
    ----------
    apply
        The map, on arrays of shape (size, columns).

    Notes
    -----
    A multiple eigenvalue is found as often as it occurs, up to the number of columns of a block.
    """
    for values, vectors, images, basis in _ritz(apply, size):
        if images is None:
            return _real_ones(values)
        errors = np.linalg.norm(images @ vectors - (basis @ vectors) * values, axis=0)
        leading = np.argmax(np.abs(values))
        counted = values.real > 0.9 * threshold
        settled = errors[leading] <= 1e-3 * np.abs(values[leading])
        if settled and (errors[counted] <= _CONVERGED * threshold).all():
            return _real_ones(values[errors <= 1e-6 * threshold])
    raise AssertionError("the last Ritz values are eigenvalues")


def eigenvector_at_one(apply: Callable[[Floats], Floats], size: int) -> Floats:
    """Real unit eigenvector at the eigenvalue closest to one, shape (size,)."""
    vector = np.zeros(size)
    for values, vectors, images, basis in _ritz(apply, size):
        nearest = int(np.argmin(np.abs(values - 1)))
        vector = np.real(basis @ vectors[:, nearest])
        vector = vector / np.linalg.norm(vector)
        if images is None:
            break
        error = np.linalg.norm(apply(vector[:, None])[:, 0] - np.real(values[nearest]) * vector)
        if error <= _CONVERGED and abs(values[nearest] - 1) < 0.1:
            break
    return np.asarray(vector)


def _ritz(apply: Callable[[Floats], Floats], size: int) -> Iterator[tuple[Array, Array, Array | None, Floats]]:
    """Ritz values and vectors with the images of the basis, from growing bases; the last ones are exact (no images)."""
    limit = min(_LARGEST, size // 2) if size > _DENSE else 0
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(size, _BLOCK)))[0]
    images = np.empty((size, 0))
    while basis.shape[1] < limit:
        block = apply(basis[:, images.shape[1] :])
        images = np.concatenate([images, block], axis=1)
        if (images.shape[1] // _BLOCK) % _LOOK == 0:
            yield *np.linalg.eig(basis.T @ images), images, basis
        for _ in range(2):  # once more, because one orthogonalisation leaves rounding errors behind
            block = block - basis @ (basis.T @ block)
        basis = np.concatenate([basis, np.linalg.qr(block)[0]], axis=1)
    yield *np.linalg.eig(apply(np.eye(size))), None, np.eye(size)


def _real_ones(values: Array) -> list[float]:
    real = values[np.abs(values.imag) <= _REAL * np.abs(values)].real
    return [float(value) for value in np.sort(real)[::-1]]
