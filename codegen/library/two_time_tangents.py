"""Tangents in NumPy: derivatives of one field of a single-site process by one Gaussian field, at every site."""

from typing import Any

import numpy as np
from dmft_sym.codegen.library.common import _Floats


class Tangents:
    """``d field(t, mu, c) / d noise(s, nu, c')``; zero for ``s > t``.

    Attributes
    ----------
    values
        Shape (steps, samples, outputs, steps, samples, outputs, sites).

    Parameters
    ----------
    shape, noise
        Steps, samples and outputs of the field and of the Gaussian field.
    kept
        Whether rows of past steps are looked at.
    """

    def __init__(self, shape: tuple[int, int, int], noise: tuple[int, int, int], sites: int, kept: bool) -> None:
        self.values = np.zeros((*shape, *noise, sites))

    def add_identity(self, t: int, s: int, factor: float) -> None:
        """The Gaussian field itself, at its step ``s``."""
        self.values[t, :, :, s] += factor * identity_of(self.values.shape[1:3], self.values.shape[4:6])[..., None]

    def add(self, t: int, factor: Any, other: "Tangents") -> None:
        """``factor`` times those of another field at the same step; a number, or of shape (samples, outputs, sites)."""
        factor = np.asarray(factor)
        factor = factor.reshape(*factor.shape[:2], 1, 1, 1, -1) if factor.ndim else factor
        self.values[t] += factor * other.values[t]

    def add_memory(self, t: int, kernel: _Floats, past: "Tangents") -> None:
        """``sum_{s, nu, c'} kernel[mu, c, s, nu, c'] past(s, nu, c')``."""
        self.values[t] += np.tensordot(kernel, past.values[: kernel.shape[2]], 3)

    def mean(self, t: int) -> _Floats:
        """Average over sites for ``s <= t``, shape (samples, outputs, steps, samples, outputs)."""
        return np.asarray(self.values[t, :, :, : t + 1].mean(-1))

    def variance(self, t: int, probes: _Floats) -> float:
        """Variance over sites of ``sum_s tangent(s) probe(s)``, averaged over probes; the largest of all labels."""
        tangents = self.values[t, :, :, : t + 1]
        seen = np.tensordot(np.moveaxis(tangents, -1, 2), probes, 3)
        return float(seen.var(axis=2).mean(-1).max())


def identity_of(shape: tuple[int, ...], noise: tuple[int, ...]) -> _Floats:
    """1 where samples and outputs are the same, shape (samples, outputs) twice; labels that noise lacks are free."""
    same = (np.eye(n) if m > 1 else np.ones((n, 1)) for n, m in zip(shape, noise, strict=True))
    return np.asarray(np.einsum("mn,cd->mcnd", *same))
