"""Tangents, compiled: derivatives of one field of a single-site process by one Gaussian field, at every site.

They are rows of sites. All rows that belong to one component of the Gaussian field follow each other, from its step on:
earlier steps do not depend on it. So a memory reads them in order.
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
        Shape (components of the Gaussian field times steps from its own on times components of the field, sites).
    starts
        For every component of the Gaussian field, the row where step 0 would begin.
    """

    def __init__(self, shape: tuple[int, int, int], noise: tuple[int, int, int], sites: int, kept: bool) -> None:
        self.labels, self.noise, self.kept = shape[1:], noise, kept
        self.size, self.components, self.now = shape[1] * shape[2], noise[1] * noise[2], -1
        steps = np.repeat(np.arange(noise[0]), self.components)
        lengths = (shape[0] - steps if kept else np.ones_like(steps)) * self.size
        self.starts = np.cumsum(lengths) - lengths - (steps * self.size if kept else 0)
        self.rows = np.zeros((int(lengths.sum()), sites))

    def add_identity(self, t: int, s: int, factor: float) -> None:
        """The Gaussian field itself, at its step ``s``."""
        places, self.now = self.places(t), t
        same = identity_of(self.labels, self.noise[1:]).reshape(self.size, self.components)
        for component in range(self.components):
            start = places[s * self.components + component]
            self.rows[start : start + self.size] += factor * same[:, component, None]

    def add(self, t: int, factor: Any, other: "CompiledTangents") -> None:
        """``factor`` times those of another field at the same step; a number, or of shape (samples, outputs, sites)."""
        factor = np.asarray(factor, float)
        factor = factor if factor.ndim else factor.reshape(1, 1, 1)
        matching = (self.matching(labels) for labels in (factor.shape[:2], other.labels))
        factor = np.broadcast_to(factor, (*factor.shape[:2], self.rows.shape[1])).reshape(-1, self.rows.shape[1])
        fresh, places, self.now = t != self.now, self.rows_of(t), t
        _add_scaled(self.rows, places, fresh, np.ascontiguousarray(factor), other.rows, other.places(t), *matching)

    def add_memory(self, t: int, kernel: _Floats, past: "CompiledTangents") -> None:
        """``sum_{s, nu, c'} kernel[mu, c, s, nu, c'] past(s, nu, c')``."""
        kernel = np.broadcast_to(kernel, (*self.labels, *kernel.shape[2:]))
        weights = np.ascontiguousarray(kernel.reshape(self.size, -1))
        fresh, places, self.now = t != self.now, self.rows_of(t), t
        _add_past(self.rows, places, fresh, weights, past.rows, past.starts, past.size, self.components)

    def mean(self, t: int) -> _Floats:
        """Average over sites for ``s <= t``, shape (samples, outputs, steps, samples, outputs)."""
        places = self.places(t)
        found = np.zeros((self.size, places.size))
        _averages(found, self.rows, places)
        return found.reshape(*self.labels, -1, *self.noise[1:])

    def variance(self, t: int, probes: _Floats) -> float:
        """Variance over sites of ``sum_s tangent(s) probe(s)``, averaged over probes; the largest of all labels."""
        places = self.places(t)
        weights = np.ascontiguousarray(probes.reshape(-1, probes.shape[-1])[: places.size].T)
        largest = 0.0
        for component in range(self.size):
            along = np.zeros((len(weights), self.rows.shape[1]))
            _add_all(along, 1.0, weights, self.rows, places + component, along.shape[1])
            largest = max(largest, float(along.var(axis=1).mean()))
        return largest

    def rows_of(self, t: int) -> _Ints:
        """The first row of a step for every component of the Gaussian field up to this step."""
        return self.starts[: (t + 1) * self.components] + (t * self.size if self.kept else 0)

    def places(self, t: int) -> _Ints:
        """The same; rows of another step are cleared where steps are not kept and nothing was added to this one."""
        found = self.rows_of(t)
        if not self.kept and t != self.now:
            self.rows[: found.size * self.size] = 0
        return found

    def matching(self, labels: tuple[int, ...]) -> _Ints:
        """For every component of the field, that of something which may lack labels."""
        samples, outputs = np.indices(self.labels)
        return np.asarray((samples * labels[1] * (labels[0] > 1) + outputs * (labels[1] > 1)).reshape(-1))


@njit(cache=True, nogil=True)
def _add_past(
    out: _Floats,
    places: _Ints,
    fresh: bool,
    weights: _Floats,
    past: _Floats,
    starts: _Ints,
    size: int,
    components: int,
) -> None:
    """out[component, r] += sum_k weights[r, k] past[component, k] from the step of each component on."""
    rows, count = weights.shape
    for component in range(places.size):
        first = min((component // components) * size, count)
        there = np.arange(starts[component] + first, starts[component] + count)
        target = out[places[component] : places[component] + rows]
        for lo in range(0, out.shape[1], _BLOCK):
            hi = min(lo + _BLOCK, out.shape[1])
            if fresh:
                target[:, lo:hi] = 0.0
            _add_rows(target, 1.0, weights[:, first:], past, there, lo, hi)


@njit(cache=True, nogil=True)
def _add_scaled(
    out: _Floats,
    places: _Ints,
    fresh: bool,
    factor: _Floats,
    other: _Floats,
    others: _Ints,
    factor_of: _Ints,
    other_of: _Ints,
) -> None:
    """out[component, r] += factor[r] * other[component, r], site by site; labels that one lacks are repeated."""
    for component in range(places.size):
        for r in range(factor_of.size):
            y, x = out[places[component] + r], other[others[component] + other_of[r]]
            w = factor[factor_of[r]]
            if fresh:
                for i in range(y.size):
                    y[i] = w[i] * x[i]
            else:
                for i in range(y.size):
                    y[i] += w[i] * x[i]


@njit(cache=True, nogil=True)
def _averages(out: _Floats, rows: _Floats, places: _Ints) -> None:
    """out[r, component] = average over sites."""
    for r in range(out.shape[0]):
        for component in range(out.shape[1]):
            out[r, component] = _mean(rows[places[component] + r])
