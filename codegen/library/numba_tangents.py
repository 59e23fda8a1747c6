"""Tangents, compiled: derivatives of one field of a single-site process by one Gaussian field, at every site.

They are rows of sites. All rows that belong to one component of the Gaussian field follow each other, so that a memory
reads them in order, and only those since the step of the component: earlier ones do not depend on it.
"""

from typing import Any

import numpy as np
from dmft_sym.codegen.library.common import _Floats, _Ints
from dmft_sym.codegen.library.sampled_products import _BLOCK, _add_all, _add_rows, _mean
from dmft_sym.codegen.library.two_time_tangents import identity_of
from numba import njit


class CompiledTangents:
    """What `Tangents` are, with the same methods.

    Attributes
    ----------
    rows
        Shape (components of the Gaussian field, steps that are kept, components of the field, sites), flat up to sites.
    """

    def __init__(self, shape: tuple[int, int, int], noise: tuple[int, int, int], sites: int, kept: bool) -> None:
        self.labels, self.noise, self.kept = shape[1:], noise, kept
        self.size, self.components, self.width = shape[1] * shape[2], noise[1] * noise[2], shape[0] if kept else 1
        self.rows = np.zeros((noise[0] * self.components * self.width * self.size, sites))
        self.now = -1

    def add_identity(self, t: int, s: int, factor: float) -> None:
        """The Gaussian field itself, at its step ``s``."""
        same = identity_of(self.labels, self.noise[1:]).reshape(self.size, self.components)
        first = self.first(t)
        for component in range(self.components):
            start = first + (s * self.components + component) * self.width * self.size
            self.rows[start : start + self.size] += factor * same[:, component, None]

    def add(self, t: int, factor: Any, other: "CompiledTangents") -> None:
        """``factor`` times those of another field at the same step; a number, or of shape (samples, outputs, sites)."""
        sites = self.rows.shape[1]
        factor = np.asarray(factor, float)
        factor = factor if factor.ndim else factor.reshape(1, 1, 1)
        places = (self.places(shape) for shape in (factor.shape[:2], other.labels))
        factor = np.ascontiguousarray(np.broadcast_to(factor, (*factor.shape[:2], sites))).reshape(-1, sites)
        strides = self.width * self.size, other.width * other.size
        firsts = self.first(t), other.first(t)
        _add_scaled(self.rows, firsts[0], strides[0], factor, other.rows, firsts[1], strides[1], *places, self.seen(t))

    def add_memory(self, t: int, kernel: _Floats, past: "CompiledTangents") -> None:
        """``sum_{s, nu, c'} kernel[mu, c, s, nu, c'] past(s, nu, c')``."""
        weights = np.ascontiguousarray(np.broadcast_to(kernel, (*self.labels, *kernel.shape[2:])))
        weights = weights.reshape(self.size, -1)
        lines = self.first(t), self.width * self.size, past.width * past.size, past.size
        _add_past(self.rows, weights, past.rows, *lines, self.components, self.seen(t))

    def mean(self, t: int) -> _Floats:
        """Average over sites for ``s <= t``, shape (samples, outputs, steps, samples, outputs)."""
        found = np.zeros((self.size, self.seen(t)))
        _averages(found, self.rows, self.first(t), self.width * self.size)
        return found.reshape(*self.labels, -1, *self.noise[1:])

    def variance(self, t: int, probes: _Floats) -> float:
        """Variance over sites of ``sum_s tangent(s) probe(s)``, averaged over probes; the largest of all labels."""
        count = self.seen(t)
        weights = np.ascontiguousarray(probes.reshape(-1, probes.shape[-1])[:count].T)
        stride = self.width * self.size
        places = self.first(t) + stride * np.arange(count)
        largest = 0.0
        for component in range(self.size):
            along = np.zeros((len(weights), self.rows.shape[1]))
            _add_all(along, 1.0, weights, self.rows, places + component, along.shape[1])
            largest = max(largest, float(along.var(axis=1).mean()))
        return largest

    def first(self, t: int) -> int:
        """The first row of a step; where steps are not kept the rows of the last one are cleared."""
        if not self.kept and t != self.now:
            self.rows[: self.seen(t) * self.size] = 0
        self.now = t
        return t * self.size if self.kept else 0

    def seen(self, t: int) -> int:
        """Number of components of the Gaussian field up to a step."""
        return min(t + 1, self.noise[0]) * self.components

    def places(self, labels: tuple[int, ...]) -> _Ints:
        """For every component of the field, that of something which may lack labels."""
        samples, outputs = np.indices(self.labels)
        return np.asarray((samples * labels[1] * (labels[0] > 1) + outputs * (labels[1] > 1)).reshape(-1))


@njit(cache=True, nogil=True)
def _add_past(
    out: _Floats,
    weights: _Floats,
    past: _Floats,
    first: int,
    stride: int,
    length: int,
    size: int,
    components: int,
    count: int,
) -> None:
    """out[component, r] += sum_k weights[r, k] past[component, k] from the step of each component on."""
    rows, S = weights.shape[0], out.shape[1]
    for component in range(count):
        start = (component // components) * size
        if start < weights.shape[1]:
            places = np.arange(component * length + start, component * length + weights.shape[1])
            target = out[first + component * stride : first + component * stride + rows]
            for lo in range(0, S, _BLOCK):
                _add_rows(target, 1.0, weights[:, start:], past, places, lo, min(lo + _BLOCK, S))


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add_scaled(
    out: _Floats,
    first: int,
    stride: int,
    factor: _Floats,
    other: _Floats,
    first_other: int,
    stride_other: int,
    factors: _Ints,
    others: _Ints,
    count: int,
) -> None:
    """out[component, r] += factor[factors[r]] * other[component, others[r]], site by site."""
    for component in range(count):
        for r in range(factors.size):
            y = out[first + component * stride + r]
            x = other[first_other + component * stride_other + others[r]]
            w = factor[factors[r]]
            for i in range(y.size):
                y[i] += w[i] * x[i]


@njit(cache=True, nogil=True)
def _averages(out: _Floats, rows: _Floats, first: int, stride: int) -> None:
    """out[r, component] = average of the sites of a row."""
    for r in range(out.shape[0]):
        for component in range(out.shape[1]):
            out[r, component] = _mean(rows[first + component * stride + r])
